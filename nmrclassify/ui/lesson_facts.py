"""The facts of a step: packaged, or computed in the background while the page shows how far it is.

A computation runs once for all visitors, in a thread: no run of a page waits for it, so pressing a
button twice starts nothing twice, and the step before is not left on the page.
"""

import threading
import time

import streamlit as st

from nmrclassify.lessons.facts import differences, packaged_facts
from nmrclassify.lessons.lesson import Computation, Facts

WORKERS = threading.Semaphore(2)  # some lessons train small networks, and there may be two cores
SHORT = 2.0  # seconds; a shorter computation is not worth a progress bar
UNSEEN = 10.0  # seconds after which a computation that nobody watches stops
_lock = threading.Lock()
# Shared by all visitors and never changed: facts depend only on their computation.
_computed: dict[Computation, Facts] = {}
_running: dict[Computation, "FactsJob"] = {}


class _Unwatched(Exception):
    """Nobody has looked at the computation for a while."""


class FactsJob:
    """A computation that runs in a thread.

    Attributes
    ----------
    share : float
        Of the work that is done, from 0 to 1.
    words : str
        What is computed.
    error : str
        Why it failed; empty if it did not.
    """

    def __init__(self, computation: Computation) -> None:
        """Start the thread."""
        self.computation = computation
        self.share, self.words, self.error = 0.0, "Waiting for another computation", ""
        self._start = self._seen = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def see(self) -> None:
        """Keep it running: a visitor watches it."""
        self._seen = time.monotonic()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._thread.is_alive()

    @property
    def seconds_left(self) -> float:
        """About how long it will take from now."""
        spent = time.monotonic() - self._start
        if self.share > 0.05:
            return spent / self.share * (1 - self.share)
        return max(self.computation.seconds - spent, 1.0)

    def _report(self, share: float, words: str) -> None:
        self.share, self.words = min(max(share, 0.0), 1.0), words
        if time.monotonic() - self._seen > UNSEEN:
            raise _Unwatched

    def _run(self) -> None:
        try:
            with WORKERS:
                self._start = time.monotonic()
                found = self.computation.compute(self._report)
                with _lock:
                    _computed[self.computation] = found
        except _Unwatched:
            self.error = "nobody watched it"
        except Exception as error:  # whatever it is, the visitor is told
            self.error = f"{type(error).__name__}: {error}"


def start(computation: Computation) -> FactsJob:
    """Compute facts in the background; a computation that runs already is not started twice."""
    with _lock:
        job = _running.get(computation)
        if job is None or not job.is_running:
            _running[computation] = job = FactsJob(computation)
    job.see()
    return job


def facts_of(computation: Computation, live: bool = False) -> Facts | None:
    """Return the facts of a computation; None if they are yet to be computed by `start`.

    `live`: do not use the packaged facts.
    """
    facts = None if live else packaged_facts(computation)
    if facts is None and computation not in _computed and computation.seconds < SHORT:
        _computed[computation] = computation.compute(lambda share, words: None)
    return facts if facts is not None else _computed.get(computation)


def forget(computation: Computation) -> None:
    """Let the next `start` compute the facts again."""
    with _lock:
        _computed.pop(computation, None)


@st.fragment(run_every=0.5)
def watch(job: FactsJob) -> None:
    """Show how far a computation is, and run the page again when it has ended."""
    job.see()
    if job.error:
        st.error(f"The computation failed: {job.error}. Open the step again to retry.")
    elif not job.is_running:
        st.rerun()
    else:
        words = job.words[:1].upper() + job.words[1:]
        text = f"{words}, about {job.seconds_left:.0f} s left. Leave the step to stop it."
        st.progress(job.share, text=text)


def compared(computation: Computation, live: Facts) -> str:
    """Return a sentence that compares facts that were just computed with the packaged ones."""
    found = differences(computation, live)
    if not found:
        return "Computed just now. It agrees with the packaged figures."
    return f"Computed just now. Different from the packaged figures: {'; '.join(found[:3])}."
