"""The process of one training, `python -m nmrclassify.training.worker`, and its end for `jobs.Job`.

It reads its limits and a trainer from its input, and writes messages to its output, each a pickle:
("frame", step, weights) for the training history, ("snapshot", Snapshot, weights) after its first
step and at times, and at the end ("halted", state) or ("failed", sentence). It halts after the
present step when its input is closed: by `Job`, or because the process that started it has died.

Its arguments are the folder of its run and the SHA-256 of the key of the visit. It saves the state
of the training there at times and when it halts, as the command line does.

The pickles are safe: both ends of the pipes are this program. No file or visitor writes to them.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from nmrclassify.training.trainer import Trainer

HALT_SECONDS = 10  # longer than a step and a snapshot take on a busy machine
SAVING = 0.02  # the share of its time that a training spends on states at most


def _be_modest(max_memory: int) -> None:
    """Take the lowest priority, and at most so many bytes of memory, as far as the system can."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the server, which then halts this
    with contextlib.suppress(AttributeError, OSError):
        os.nice(19)
        # Linux shares cores between sessions first, and niceness counts within one: the process
        # takes a session of its own, and that has the lowest priority, too.
        os.setsid()
        Path("/proc/self/autogroup").write_text("19")
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (max_memory, max_memory))
    # Linux: if the machine runs out of memory, it ends a training before the server.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _wait_for_end_of_input(halted: threading.Event) -> None:
    # Not through sys.stdin: its lock would be held when Python ends.
    os.read(0, 1)
    halted.set()


def _sentence(error: Exception, max_memory: int) -> str:
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return (
            f"the training needs more than {max_memory / 2**20:,.0f} MiB of memory, the limit for"
            " one training; choose fewer mixtures per step"
        )
    return f"training failed: {error}"


def train(
    trainer: "Trainer",
    max_seconds: float,
    halted: threading.Event,
    send: Callable[..., None],
    between: Callable[[], None] = lambda: None,
) -> None:
    """Train until the end, a limit, or `halted`.

    Parameters
    ----------
    send : callable
        Takes the parts of each message but the last, which the caller sends.
    between : callable
        Called before each step.
    """
    from nmrclassify.training.history import weights_of

    measured, snapshot_due = trainer.step, time.monotonic()
    while not (halted.is_set() or trainer.finished or trainer.seconds > max_seconds):
        between()
        trainer.advance()
        if trainer.training_history.steps[-1] == trainer.step:
            send("frame", trainer.step, weights_of(trainer.model))
        now = time.monotonic()
        # At most a tenth of the time goes to snapshots, and no more of them than a page can show.
        if now > snapshot_due:
            send("snapshot", trainer.snapshot(), weights_of(trainer.model))
            measured, after = trainer.step, time.monotonic()
            snapshot_due = after + max(0.4, 9 * (after - now))
    if measured != trainer.step:
        send("snapshot", trainer.snapshot(), weights_of(trainer.model))


def _tell(problem: object) -> None:
    print(f"nmrclassify: {problem}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _saving(trainer: "Trainer", folder: Path, visit: str) -> Iterator[Callable[[], None]]:
    """Hold the folder, yield what saves at times, and save in the end; or train without."""
    from nmrclassify.training import run_files, run_states

    with contextlib.ExitStack() as held:
        try:
            run_files.check_home(folder)
            held.enter_context(run_files.locked(folder))
            run_files.write_visit(folder, visit)
        except (OSError, ValueError) as error:
            _tell(f"{error}; this training is not saved while it runs")
            yield lambda: None
            return
        saver = run_states.Saver(trainer, folder, tell=_tell, share=SAVING)
        # Broken: the server died while a message was sent, which is between two steps.
        with contextlib.suppress(BrokenPipeError):
            yield saver.between
        if not trainer.finished:
            try:
                saver.save()
            except OSError as error:
                _tell(f"step {trainer.step} is not saved: {error}")


def _train(max_seconds: float, output: BinaryIO) -> None:
    # The priority is low by now: these import torch.
    from nmrclassify.training.optimiser import without_compiler

    without_compiler()
    trainer = pickle.load(sys.stdin.buffer)

    def send(*message: Any) -> None:
        pickle.dump(message, output)
        output.flush()

    halted = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: halted.set())
    threading.Thread(target=_wait_for_end_of_input, args=(halted,), daemon=True).start()
    if len(sys.argv) == 3:
        with _saving(trainer, Path(sys.argv[1]), sys.argv[2]) as between:
            train(trainer, max_seconds, halted, send, between)
    else:
        train(trainer, max_seconds, halted, send)
    send("halted", trainer.state())  # the folder is free by now


def main() -> None:
    """Train until the end, a limit, or the end of the input."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints goes to the log, not between the messages
    max_seconds, max_memory = pickle.load(sys.stdin.buffer)
    _be_modest(max_memory)
    with contextlib.suppress(BrokenPipeError):  # nobody reads any more
        try:
            _train(max_seconds, output)
        except Exception as error:  # shown to the owner of the training
            pickle.dump(("failed", _sentence(error, max_memory)), output)
            output.flush()
    os._exit(0)  # at once: Python would take a second to tidy up torch


class WorkerProcess:
    """A process that trains; this module says what goes through its pipes.

    Not by `multiprocessing`: its processes would run app.py, which is the main module of a server.
    """

    def __init__(self, *arguments: str) -> None:
        """Start it."""
        path = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "nmrclassify.training.worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"},
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self.pid = self._process.pid

    def send(self, *values: Any) -> None:
        """Give it its limits and its trainer."""
        with contextlib.suppress(BrokenPipeError):  # `receive` says why
            for value in values:
                pickle.dump(value, self._input)
            self._input.flush()

    def receive(self) -> tuple:
        """Return its next message; waits for it."""
        try:
            return pickle.load(self._output)
        except (EOFError, pickle.UnpicklingError):
            return "lost", f"the process of this training ended {self._cause()}"

    def _cause(self) -> str:
        code = self._process.wait()
        if code < 0:
            return (
                f"by {signal.Signals(-code).name} from outside, most often because the machine ran"
                " out of memory"
            )
        return f"with code {code}; the log of the server says more"

    def halt(self) -> None:
        """Make it halt after the present step."""
        with contextlib.suppress(OSError):
            self._input.close()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def end(self) -> None:
        """Wait until it has ended."""
        self.halt()
        self._output.close()
        try:
            self._process.wait(HALT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()


if __name__ == "__main__":
    main()
