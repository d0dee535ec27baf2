"""The process of one training: `python -m nmrclassify.training.worker`, started by `jobs.Job`.

It reads its limits and a trainer from its input, and writes messages to its output, each a pickle:
("frame", step, weights) for the training history, ("snapshot", Snapshot, weights) after its first
step and at times, and at the end ("halted", state) or ("failed", sentence). It halts after the
present step when its input is closed: by `Job`, or because the process that started it has died.

The pickles are safe: both ends of the pipes are this program. No file or visitor writes to them.
"""

import contextlib
import os
import pickle
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO


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


def _train(max_seconds: float, output: BinaryIO) -> None:
    # The priority is low by now: this imports torch.
    trainer = pickle.load(sys.stdin.buffer)
    from nmrclassify.training.history import weights_of

    def send(*message: Any) -> None:
        pickle.dump(message, output)
        output.flush()

    halted = threading.Event()
    threading.Thread(target=_wait_for_end_of_input, args=(halted,), daemon=True).start()
    measured, snapshot_due = trainer.step, time.monotonic()
    while not (halted.is_set() or trainer.finished or trainer.seconds > max_seconds):
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
    send("halted", trainer.state())


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


if __name__ == "__main__":
    main()
