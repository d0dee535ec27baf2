"""The folder of a run: where it is, whose it is, and what keeps it whole.

That is a lock, checksums, room on the disk, and no leftovers.
"""

import hmac
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from nmrclassify.files import CheckpointError, parse_json, quoted, write_atomically

try:
    import fcntl
except ImportError:  # Windows has no such lock; two processes are not kept apart there
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
CONFIG = "config.json"  # of a finished run
VISIT = "visit.sha256"  # of the key of the visit that made it
MANIFEST = "manifest.json"
MAX_JSON_BYTES = 256 * 1024
_LEFTOVER = re.compile(r"\.[a-z]+(-\d+)?\.(safetensors|csv|json)\..{6,12}")  # `write_atomically`


def home() -> Path:
    """Return the folder that holds all runs; `home_problem` tells whether it can be used."""
    return Path(os.environ.get("NMRCLASSIFY_HOME") or Path.home() / ".nmrclassify") / "runs"


def home_is_blank() -> bool:
    """Whether NMRCLASSIFY_HOME is set to nothing."""
    return not os.environ.get("NMRCLASSIFY_HOME", "named").strip()


def home_problem() -> str | None:
    """Return why `home` cannot hold runs, in one sentence, or None if it can."""
    if home_is_blank():
        return (
            f"NMRCLASSIFY_HOME is {os.environ['NMRCLASSIFY_HOME']!r}; expected the path of a"
            " folder: name one, or remove the variable"
        )
    there = next(path for path in (home(), *home().absolute().parents) if os.path.lexists(path))
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return None
    state = "cannot be written" if there.is_dir() else "is a file"
    return (
        f"runs cannot be saved in {home()}, because {there} {state}; expected a folder that can be"
        " written: name one in NMRCLASSIFY_HOME"
    )


def check_home(folder: Path) -> None:
    """Raise OSError if the folder is among the runs, and these cannot be written."""
    if folder.is_relative_to(home()) and (problem := home_problem()):
        raise OSError(problem)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder, and hold it for this process; the lock of a dead process does not count.

    What interrupted writes have left is removed.

    Raises
    ------
    ValueError
        If another process holds the folder; the message has its id.
    OSError
        If the folder cannot be made or written.
    """
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _locked_file(path)
    except OSError as error:
        raise OSError(
            f"the folder {folder} cannot be written ({error.strerror}); expected one that can: name"
            " another"
        ) from error
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        for left in folder.iterdir():
            if _LEFTOVER.fullmatch(left.name):
                left.unlink(missing_ok=True)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _locked_file(path: Path) -> int:
    """Return the open lock file of a folder, which the system frees when this process ends."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if fcntl is None:
            return descriptor
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its holder may have removed it before it was locked here.
            if os.fstat(descriptor).st_ino == os.stat(path).st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode("ascii", "replace") or "unknown"
            os.close(descriptor)
            raise ValueError(
                f"process {holder} writes the folder {path.parent}; wait for its end, or name"
                " another folder"
            ) from None
        os.close(descriptor)


def is_locked(folder: Path) -> bool:
    """Whether a process that lives holds the folder."""
    try:
        with (folder / LOCK).open("r+b") as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False


@contextmanager
def naming(folder: Path) -> Iterator[None]:
    """Name the folder in the error of a write."""
    try:
        yield
    except OSError as error:
        if error.strerror is None:
            raise
        raise OSError(f"{folder} cannot be written ({error.strerror})") from error


def check_room(folder: Path, n_bytes: int) -> None:
    """Raise OSError if the disk of a folder, which need not exist, has less room than `n_bytes`."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    if free < n_bytes:
        raise OSError(
            f"the disk of {folder} has {free / 1e6:,.1f} MB of free space; expected at least"
            f" {n_bytes / 1e6:,.1f} MB: free some, or name another folder"
        )


def digest(content: bytes) -> str:
    """Return the SHA-256 of a file's content."""
    return sha256(content).hexdigest()


def write_visit(folder: Path, visit: str) -> None:
    """State in a folder whose it is: the SHA-256 of the key of a visit, never the key itself."""
    if not is_of_visit(folder, visit):
        write_atomically(folder / VISIT, visit.encode())


def is_of_visit(folder: Path, visit: str) -> bool:
    """Whether a folder was made by the visit whose key has this SHA-256."""
    try:
        with (folder / VISIT).open("rb") as file:
            return hmac.compare_digest(file.read(len(visit) + 1), visit.encode())
    except OSError:
        return False


def read_json(path: Path) -> Any:
    """Return what a small JSON file states.

    Raises
    ------
    ValueError
        If it is too large, nested too deep, or not JSON.
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(MAX_JSON_BYTES + 1)
    if len(content) > MAX_JSON_BYTES:
        raise ValueError(f"{path.name} has more than {MAX_JSON_BYTES:,} bytes")
    try:
        return parse_json(content)
    except RecursionError:
        raise ValueError(f"{path.name} is nested too deep") from None
    except ValueError as error:
        raise ValueError(f"{path.name} is not JSON ({error})") from None


def write_manifest(folder: Path, names: Iterable[str]) -> None:
    """State size and checksum of these files; a run is complete once its manifest is there."""
    files = {}
    for name in names:
        content = (folder / name).read_bytes()
        files[name] = {"bytes": len(content), "sha256": digest(content)}
    write_atomically(folder / MANIFEST, json.dumps({"files": files}, indent=2).encode())


def check(folder: Path, name: str, whole: bool = True) -> None:
    """Compare a file with the manifest of its folder; without a manifest there is nothing to check.

    Parameters
    ----------
    whole : bool
        Whether to compare the checksum, and not only the size.

    Raises
    ------
    CheckpointError
        If they differ, or the manifest is damaged.
    OSError
        If the file is missing.
    """
    path = folder / name
    if not (folder / MANIFEST).is_file():
        return
    try:
        stated = read_json(folder / MANIFEST)["files"]
        if name not in stated:
            return
        size, checksum = stated[name]["bytes"], stated[name]["sha256"]
    except (ValueError, TypeError, KeyError):
        raise CheckpointError(f"{MANIFEST} is damaged; train again") from None
    found = path.stat().st_size
    if found != size:
        raise CheckpointError(
            f"{name} is damaged: it has {found:,} bytes, expected {quoted(str(size))}; train again"
        )
    if whole and digest(path.read_bytes()) != checksum:
        raise CheckpointError(
            f"{name} is damaged: its SHA-256 is not that of {MANIFEST}; train again"
        )
