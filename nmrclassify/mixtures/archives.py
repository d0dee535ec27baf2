"""Archives and folders that visitors give: only the wanted files are read, within limits."""

import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from nmrclassify.files import quoted

MAX_FILES, MAX_DEPTH, MAX_RATIO = 5000, 12, 500  # of an archive or a folder
MAX_UNPACKED = 128 * 2**20  # bytes of all files of an archive that are read
ZIP = b"PK\x03\x04", b"PK\x05\x06"  # starts of an archive with files, and of an empty one


class ArchiveError(ValueError):
    """An archive or a folder that is not read: value, expectation, remedy."""


def unpack(content: bytes, folder: Path, is_wanted: Callable[[str], bool]) -> None:
    """Write the wanted files of a zip archive into a folder, and none outside it.

    Parameters
    ----------
    content : bytes
        The archive.
    folder : Path
        An empty folder.
    is_wanted : callable
        Returns whether a file of this name, without its folders, is to be written.

    Raises
    ------
    ArchiveError
        If it is damaged, exceeds the limits of this module, or names a file outside its folder.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > MAX_FILES:
                raise ArchiveError(
                    f"the archive has {len(entries):,} files; expected {MAX_FILES:,} at most"
                )
            unpacked = 0
            for entry in entries:
                path = PurePosixPath(entry.filename.replace("\\", "/"))
                if not is_wanted(path.name):
                    continue
                if path.is_absolute() or ".." in path.parts or ":" in entry.filename:
                    raise ArchiveError(
                        f"the archive has a file {quoted(entry.filename)} outside its folder;"
                        " expected names below it"
                    )
                if len(path.parts) > MAX_DEPTH:
                    raise ArchiveError(
                        f"a file of the archive is {len(path.parts)} folders deep; expected"
                        f" {MAX_DEPTH} at most"
                    )
                unpacked += entry.file_size
                if unpacked > MAX_UNPACKED or entry.file_size > MAX_RATIO * max(
                    entry.compress_size, 1024
                ):
                    raise ArchiveError(
                        f"the archive unpacks to {unpacked:,} bytes or more; expected"
                        f" {MAX_UNPACKED:,} at most, and no file {MAX_RATIO} times its packed size"
                    )
                with archive.open(entry) as file:
                    data = file.read(entry.file_size + 1)
                if len(data) > entry.file_size:
                    raise ArchiveError("a file of the archive is longer than the archive states")
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OSError,
    ) as error:
        raise ArchiveError(
            f"the archive cannot be unpacked ({str(error)[:80]}); pack it again, without a password"
        ) from None


def files_below(folder: Path, is_wanted: Callable[[str], bool]) -> list[Path]:
    """Return the wanted files below a folder; links are not followed.

    Raises
    ------
    ArchiveError
        If it holds more than `MAX_FILES` files.
    """

    def below(place: Path, depth: int) -> Iterator[Path]:
        for path in sorted(place.iterdir()):
            if path.is_symlink():
                continue
            if path.is_dir() and depth < MAX_DEPTH:
                yield from below(path, depth + 1)
            elif path.is_file():
                yield path

    files = []
    for count, path in enumerate(below(folder, 1)):
        if count >= MAX_FILES:
            raise ArchiveError(
                f"{folder.name} holds more than {MAX_FILES:,} files; give the folder of the"
                " experiment"
            )
        if is_wanted(path.name):
            files.append(path)
    return files
