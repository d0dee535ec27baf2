"""Files in and out: one atomic writer, one checked reader of tensors; `tables` reads CSV.

Files come from visitors. Nothing that can run code is read, sizes are limited before anything is
parsed, and whatever cannot be used is refused in one plain sentence. That sentence may quote the
file: it is not to be shown as Markdown.
"""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

SUFFIX = ".safetensors"
MAX_HEADER_BYTES = 256 * 1024
MAX_DIGITS = 18  # of a whole number in JSON: 64 bits hold it
QUOTED = 80  # characters of a file in an error

_UNSEALED = "0" * 64
_DTYPES = {"float32": "F32", "int64": "I64"}


class CheckpointError(ValueError):
    """A file of tensors that cannot be used; the message says why and what to do."""


def packaged(name: str) -> bytes:
    """Return a file of the package's folder `data`."""
    return resources.files("nmrclassify").joinpath("data", name).read_bytes()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it: a crash never leaves half a file.

    File and folder are on the disk when this returns.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
    if os.name == "posix":  # elsewhere a folder cannot be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def described(tensors: Mapping[str, Any]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return data type and shape of tensors or arrays, as `TensorFile.arrays` expects them."""
    return {
        name: (_DTYPES[str(value.dtype).removeprefix("torch.")], tuple(value.shape))
        for name, value in tensors.items()
    }


def tensor_bytes(tensors: Mapping[str, Any], entry: str, header: Any) -> bytes:
    """Serialise tensors (of the processor) or arrays, and a header that JSON can hold.

    The header is one metadata entry: safetensors writes several in an order that changes from call
    to call.
    """
    arrays = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    return save_arrays(arrays, metadata={entry: json.dumps(header)})


def sealed(tensors: Mapping[str, Any], entry: str, header: dict) -> bytes:
    """Return `tensor_bytes` with the file's SHA-256 in its header, which `unseal` compares."""
    content = tensor_bytes(tensors, entry, {"sha256": _UNSEALED} | header)
    return content.replace(_UNSEALED.encode(), sha256(content).hexdigest().encode(), 1)


def write_tensors(path: Path, content: bytes) -> None:
    """Write what `tensor_bytes` returned atomically.

    Raises
    ------
    ValueError
        If the path does not end in `.safetensors`.
    """
    if path.suffix != SUFFIX:
        raise ValueError(f"{path.name!r} is no name for this file; expected one ending in {SUFFIX}")
    write_atomically(path, content)


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a whole number has {len(digits)} digits; expected {MAX_DIGITS} at most")
    return int(digits)


def parse_json(content: bytes | str) -> Any:
    """Return the value of a JSON text.

    Raises
    ------
    ValueError
        If it is not JSON, or has a whole number of more than `MAX_DIGITS` digits: `float` would not
        take one of 400.
    RecursionError
        If it is nested too deep.
    """
    return json.loads(content, parse_int=_whole_number)


@dataclass(frozen=True)
class TensorFile:
    """A safetensors file of which only the header has been read.

    Attributes
    ----------
    name : str
        Stands at the start of each error.
    header : Any
        The metadata entry that was asked for, parsed from JSON; not checked.
    described : dict of str to (str, tuple of int)
        Data type and shape that the file states of each tensor.
    name_of : callable
        Returns the present name of a tensor for its name in the file.
    """

    name: str
    header: Any
    described: dict[str, tuple[str, tuple[int, ...]]]
    content: bytes
    name_of: Callable[[str], str]

    @classmethod
    def read(
        cls,
        source: Path | bytes,
        entry: str,
        max_bytes: int,
        max_header: int = MAX_HEADER_BYTES,
        name: str = "the file",
        name_of: Callable[[str], str] = str,
    ) -> "TensorFile":
        """Read the header of a file, or of its bytes, which `name` names in errors.

        Raises
        ------
        CheckpointError
            If the file is missing, too large, of another format, or lacks the metadata `entry`.
        """
        if isinstance(source, Path):
            name = source.name
            if not source.is_file():
                raise CheckpointError(f"no file at {source}; give the path of a {SUFFIX} file")
            if source.suffix != SUFFIX:
                raise CheckpointError(
                    f"{name!r} is not a {SUFFIX} file; other formats can run code and are not read"
                )
            with source.open("rb") as file:
                source = file.read(max_bytes + 1)
        if len(source) > max_bytes:
            raise CheckpointError(f"{name} is too large; expected at most {max_bytes:,} bytes")
        size = int.from_bytes(source[:8], "little")
        if len(source) < 8 or size > min(max_header, len(source) - 8):
            raise CheckpointError(
                f"{name} is not a {SUFFIX} file, or was cut off; download or train it again"
            )
        try:
            tensors = parse_json(source[8 : 8 + size])
            header = parse_json(tensors.pop("__metadata__")[entry])
            stated = {
                name_of(key): (value["dtype"], tuple(value["shape"]))
                for key, value in tensors.items()
            }
        except (KeyError, ValueError, AttributeError, TypeError, RecursionError):
            raise CheckpointError(
                f"{name} is not a {SUFFIX} file that nmrclassify wrote; train a model to get one"
            ) from None
        return cls(name, header, stated, source, name_of)

    def unseal(self) -> None:
        """Take the SHA-256 that `sealed` wrote out of the header.

        Raises
        ------
        CheckpointError
            If the file is not as it was written.
        """
        stated = str(self.header.pop("sha256")).encode()
        if (
            sha256(self.content.replace(stated, _UNSEALED.encode(), 1)).hexdigest()
            != stated.decode()
        ):
            raise CheckpointError(f"{self.name} is damaged: its SHA-256 is not the one it states")

    def arrays(self, expected: Mapping[str, tuple[str, tuple[int, ...]]]) -> dict[str, np.ndarray]:
        """Return all tensors as arrays, if they are just those of `expected`, see `described`.

        Raises
        ------
        CheckpointError
            If one is missing, unknown, of another data type or shape, or holds an undefined number.
        """
        for key in sorted(expected.keys() | self.described.keys()):
            if expected.get(key) != self.described.get(key):
                stated, wanted = (
                    "{} {}".format(*form[key]) if key in form else "no such tensor"
                    for form in (self.described, expected)
                )
                raise CheckpointError(
                    f"{self.name}: tensor {key!r} is {stated}; expected {wanted}: train it again"
                )
        try:
            loaded = load_arrays(self.content)
            arrays = {self.name_of(key): array for key, array in loaded.items()}
        except Exception as error:  # the library's own class of error, or what a bad offset raises
            raise CheckpointError(f"{self.name} is damaged ({error}); train it again") from None
        for key, array in arrays.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise CheckpointError(
                    f"{self.name}: tensor {key!r} holds an undefined number; train it again"
                )
        return arrays


def quoted(text: str) -> str:
    """Return a text of a file as an error may quote it: escaped, at most 80 characters."""
    shown = repr(text[:QUOTED])
    return shown if len(text) <= QUOTED and len(shown) <= QUOTED else f"{shown[: QUOTED - 1]}…"
