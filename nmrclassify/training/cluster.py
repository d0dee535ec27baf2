"""Trainings and calls on a cluster of `dask.distributed`, where NMRCLASSIFY_SCHEDULER names one.

The scheduler of the cluster has the queue. If a worker dies, the scheduler runs what it computed
again on another one: a training from the state in which it was sent, so that it gives the same
bytes.

Pickles go between this process and the workers, both ways: whoever reaches the scheduler can run
any program on them.
"""

import asyncio
import os
import pickle
import re
import threading
import time
import uuid
from collections import deque
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any

from nmrclassify import __version__
from nmrclassify.training.worker import train  # light: the scheduler imports this module, too

if TYPE_CHECKING:
    from distributed import Client

_ADDRESS = re.compile(r"((tcp|tls)://)?([\w.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}")
CONNECT_SECONDS = 10
HALT_SECONDS = 10  # longer than a step and a snapshot take on a busy machine
# A training whose reader is gone halts after so long, and after so many messages.
READER_SECONDS = 60
MAX_MESSAGES = 32
LOOK_SECONDS = 0.2  # between two looks for messages
STATE_SECONDS = 30.0  # between two states that a worker sends, which the server saves


def address() -> str | None:
    """Return the address of the scheduler, NMRCLASSIFY_SCHEDULER, or None if there is none.

    Raises
    ------
    ValueError
        If the environment variable is not an address.
    """
    text = os.environ.get("NMRCLASSIFY_SCHEDULER")
    if text is not None and not _ADDRESS.fullmatch(text):
        raise ValueError(
            f"NMRCLASSIFY_SCHEDULER is {text[:60]!r}; expected the address that `dask scheduler`"
            " prints, such as tcp://192.0.2.1:8786"
        )
    return text


def connect(scheduler: str) -> "Client":
    """Return a client of the scheduler at an address.

    Raises
    ------
    ImportError
        If `distributed` is not installed.
    ConnectionError
        If no scheduler answers within ten seconds.
    """
    distributed = _distributed()
    try:
        return distributed.Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except OSError as error:
        raise ConnectionError(
            f"no scheduler answers at {scheduler} within {CONNECT_SECONDS} s; start one with"
            " `dask scheduler`, or correct NMRCLASSIFY_SCHEDULER"
        ) from error


def _distributed() -> ModuleType:
    try:
        import distributed
    except ImportError as error:
        raise ImportError(
            "NMRCLASSIFY_SCHEDULER names a cluster, but dask.distributed is not installed;"
            " `pip install .[cluster]` installs it"
        ) from error
    return distributed


class ClusterTask:
    """A training on a worker of the cluster; it is used as a process of this machine is.

    Its messages come through a queue of the scheduler, each with the attempt that sent it: the
    scheduler may take a worker for dead that still sends some.

    Parameters
    ----------
    scheduler : str
        The address of the scheduler.
    """

    def __init__(self, scheduler: str):
        distributed = _distributed()
        self._client = connect(scheduler)
        self._name = f"training-{uuid.uuid4().hex}"
        self._messages = distributed.Queue(self._name, self._client, MAX_MESSAGES)
        self._halted = distributed.Event(self._name, self._client)
        self._task: Any = None
        self._arrived: deque[bytes] = deque()
        self._attempt = ""
        self.pid: int | None = None  # on the machine of the worker

    def send(self, limits: tuple[float, int], trainer: Any) -> None:
        """Give it its limits and its trainer; the limit of memory is the worker's own."""
        self._task = self._client.submit(
            _train,
            self._name,
            __version__,
            limits[0],
            STATE_SECONDS,
            pickle.dumps(trainer),
            key=self._name,
        )

    def receive(self) -> tuple:
        """Return its next message; waits for it."""
        while True:
            while not self._arrived:
                over = self._task.done()  # asked first, because its last message comes earlier
                try:
                    self._arrived.extend(self._messages.get(batch=True))
                except (OSError, KeyError):  # a scheduler that was started anew has no such queue
                    return "lost", "the scheduler of the cluster was lost"
                if not self._arrived:
                    if over:
                        return self._end_of_task()
                    time.sleep(LOOK_SECONDS)
            attempt, pid, message = pickle.loads(self._arrived.popleft())
            if message[0] == "begun":
                self._attempt, self.pid = attempt, pid
            if attempt == self._attempt:
                return message

    def _end_of_task(self) -> tuple[str, str]:
        if self._task.status != "error":
            return "lost", "the cluster dropped this training"
        error = self._task.exception()
        if isinstance(error, _distributed().KilledWorker):
            return "lost", (
                f"{error.allowed_failures + 1} workers of the cluster ended while they ran this"
                " training, most often because their machines ran out of memory"
            )
        return "failed", f"training failed: {error}"

    def halt(self) -> None:
        """Make it halt after the present step."""
        if self._client.status == "running":  # else there is nobody to tell
            with suppress(OSError):
                self._halted.set()

    def kill(self) -> None:
        """Withdraw it; a worker that runs it already halts after the present step."""
        self.halt()
        if self._task is not None and self._client.status == "running":
            with suppress(OSError):
                self._task.cancel()

    def end(self) -> None:
        """Wait until it has ended, and leave nothing of it on the scheduler."""
        self.halt()
        # A withdrawn task may still have to see that it is to halt.
        if self._task is not None and not self._task.cancelled():
            with suppress(OSError, asyncio.CancelledError):
                self._task.exception(HALT_SECONDS)
                self._halted.clear()
        self._messages.close()
        self._client.close()


def _train(
    name: str, version: str, max_seconds: float, state_seconds: float, pickled: bytes
) -> None:
    """Train on a worker of the cluster; the counterpart of `ClusterTask`."""
    import torch
    from distributed import Event, Queue, get_client

    if version != __version__:
        raise RuntimeError(
            f"a worker of the cluster has nmrclassify {__version__}; expected {version}, that of"
            " the server: install the same version on all machines"
        )
    client, attempt = get_client(), uuid.uuid4().hex
    messages, event = Queue(name, client, MAX_MESSAGES), Event(name, client)
    halted, asked = threading.Event(), threading.Event()
    state_sent = time.monotonic()

    def send(*message: Any) -> None:
        messages.put(pickle.dumps((attempt, os.getpid(), message)), timeout=READER_SECONDS)

    def between() -> None:
        nonlocal state_sent
        if time.monotonic() - state_sent > state_seconds:
            send("state", trainer.state())
            state_sent = time.monotonic()

    def wait() -> None:
        with suppress(Exception):  # a worker that loses the scheduler, or is told to end
            event.wait()
            asked.set()
        halted.set()

    try:
        send("begun")
        threading.Thread(target=wait, daemon=True).start()
        torch.set_num_threads(1)
        trainer = pickle.loads(pickled)
        train(trainer, max_seconds, halted, send, between)
        if halted.is_set() and not asked.is_set():  # another worker begins it again
            raise ConnectionError("this worker lost its scheduler")
        send("halted", trainer.state())
    finally:
        messages.close()
