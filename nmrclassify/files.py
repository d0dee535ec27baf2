"""Files in and out: one atomic writer, one checked reader of tensors, one hardened CSV reader.

Files come from visitors. Nothing that can run code is read, sizes are limited before anything is
parsed, and whatever cannot be used is refused in one plain sentence. That sentence may quote the
file: it is not to be shown as Markdown.
"""

import csv
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

SUFFIX = ".safetensors"
MAX_HEADER_BYTES = 256 * 1024
MAX_DIGITS = 18  # of a whole number in JSON: 64 bits hold it
MAX_COLUMNS = 64
MAX_CELLS = 2**19  # of a table, in the columns that are read
MAX_LINE = 2**14  # characters
MAX_ABOVE = 1000  # empty lines above the header
MAX_ROW_LINES = 32  # of one row whose cells hold line breaks
QUOTED = 80  # characters of a file in an error
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # starts of a formula

_UNSEALED = "0" * 64
_DTYPES = {"float32": "F32", "int64": "I64"}
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


class TableError(ValueError):
    """A CSV table that cannot be used; the message says where, what was expected and what to do."""


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


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV, in which no text is a formula to a spreadsheet; numbers stay numbers.

    A text that starts as a formula does gets an apostrophe in front, which a spreadsheet does not
    show and `read_table` takes away.
    """
    table = table.rename(columns=_harmless)
    for k, kind in enumerate(table.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            table.isetitem(k, table.iloc[:, k].map(_harmless).to_numpy())
    return table.to_csv(index=False)


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write `csv_text` of a table atomically."""
    write_atomically(path, csv_text(table).encode())


def _harmless(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = value.replace("\r", "\n")  # pandas quotes a line feed, but no carriage return
    is_formula = value.startswith(FORMULA) and not _DECIMAL.fullmatch(value)
    return f"'{value}" if is_formula else value


def read_table(
    source: str | bytes | Path | IO,
    layouts: Sequence[Sequence[str]],
    optional: Sequence[str] = (),
    *,
    max_bytes: int,
    max_rows: int,
) -> pd.DataFrame:
    """Read a CSV table with a comma, a semicolon or a tab between its columns.

    Lines are read one by one and bounded in length and number, so that no file within `max_bytes`
    takes more than a second, or more memory than what is returned and 32 MB.

    Parameters
    ----------
    source : str, bytes, Path or file
        A `Path` or an open file is read; a `str` is the text itself, never a path.
    layouts : sequence of sequences of str
        Sets of columns in lower case, of which the table must have one; the usual set first.
    optional : sequence of str
        Further columns that are read. All others are ignored.

    Returns
    -------
    DataFrame
        The columns of `layouts` and `optional` that the table has, as text without spaces around
        it, so that a message can quote what was written. The index holds the row numbers that a
        spreadsheet shows. Rows that hold nothing are left out.

    Raises
    ------
    TableError
        If the file is too large, is not such a table, has a column twice or lacks one, or has a row
        with more cells than columns.
    """
    content = _content(source, max_bytes)
    wanted = list(dict.fromkeys([name for layout in layouts for name in layout] + list(optional)))
    first = next((line for line in islice(_lines(content), MAX_ABOVE) if line.strip()), "")
    separator = max(
        ",;\t", key=lambda mark: len(set(wanted) & {_column(name) for name in first.split(mark)})
    )
    reader = _rows(content, separator)
    try:
        above, header = next(
            (row for row in islice(reader, MAX_ABOVE) if any(map(str.strip, row[1]))), (1, [])
        )
        used = _used(header, layouts, wanted)
        most = min(max_rows, MAX_CELLS // len(used))
        numbers = np.empty(most, np.int64)  # an eighth of the memory of a list
        columns = [(k, list[str]()) for k in used.values()]
        for number, cells in reader:
            if number > above + most:
                raise TableError(f"the table has more than {most:,} rows; split it")
            if len(cells) > len(header) and any(map(str.strip, cells[len(header) :])):
                raise TableError(
                    f"row {number} has {len(cells):,} cells; expected {len(header)}, one for each"
                    " column"
                )
            if any(map(str.strip, cells)):
                numbers[len(columns[0][1])] = number
                for k, column in columns:
                    cell = cells[k].strip() if k < len(cells) else ""
                    if cell.startswith("'") and cell[1:2] in FORMULA:  # as `csv_text` writes it
                        cell = cell[1:].strip()
                    column.append(cell)
    except csv.Error as error:
        raise TableError(
            f"the file is not a CSV table ({error}); expected the columns {', '.join(layouts[0])}"
        ) from None
    return pd.DataFrame(
        {name: column for name, (_, column) in zip(used, columns, strict=True)},
        index=numbers[: len(columns[0][1])],
        dtype=object,
        copy=False,
    )


def _content(source: str | bytes | Path | IO, max_bytes: int) -> bytes:
    """Return the bytes of a table, which are valid UTF-8."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            source = file.read(max_bytes + 1)
    content = source if isinstance(source, (str, bytes)) else source.read(max_bytes + 1)
    if isinstance(content, str):
        content = content[: max_bytes + 1].encode("utf-8", "surrogatepass")
    if len(content) > max_bytes:
        raise TableError(f"the file has more than {max_bytes:,} bytes; expected at most that")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TableError(
            f"byte {error.start} is not UTF-8 text; save the table as CSV in UTF-8"
        ) from None
    if b"\0" in content:
        raise TableError("the file holds binary data; expected a CSV table")
    return content


def _lines(content: bytes) -> Iterator[str]:
    """Yield the lines with their ends, without the byte-order mark of a spreadsheet."""
    file = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline="")
    for number, line in enumerate(iter(partial(file.readline, MAX_LINE + 1), ""), 1):
        if len(line) > MAX_LINE:
            raise TableError(
                f"line {number} has more than {MAX_LINE:,} characters; expected one row of the"
                " table a line"
            )
        yield line


def _rows(content: bytes, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows, numbered as a spreadsheet does: a row whose cells hold line breaks is one."""
    of_row = 0

    def lines() -> Iterator[str]:
        nonlocal of_row
        for line in _lines(content):
            of_row += 1
            if of_row > MAX_ROW_LINES:
                raise csv.Error(f"a quoted cell does not end within {MAX_ROW_LINES} lines")
            yield line

    for row in enumerate(csv.reader(lines(), delimiter=separator, strict=True), 1):
        of_row = 0
        yield row


def _column(name: str) -> str:
    return name.strip().strip('"').strip().lower()


def _used(
    header: list[str], layouts: Sequence[Sequence[str]], wanted: Sequence[str]
) -> dict[str, int]:
    """Return where each wanted column stands in a checked header."""
    if not header:
        raise TableError(
            f"the file is empty; expected a CSV table with the columns {', '.join(layouts[0])}"
        )
    if len(header) > MAX_COLUMNS:
        raise TableError(
            f"the table has {len(header):,} columns, more than {MAX_COLUMNS}; keep those that are"
            f" read: {', '.join(layouts[0])}"
        )
    names = [name.strip().lower() for name in header]
    repeated = [name for name in names if name and names.count(name) > 1]
    if repeated:
        raise TableError(f"column {quoted(repeated[0])} occurs twice; keep one of them")
    nearest = min(layouts, key=lambda layout: (len(set(layout) - set(names)), -len(layout)))
    missing = [name for name in nearest if name not in names]
    if missing:
        raise TableError(
            f"column {missing[0]!r} is missing: the columns are"
            f" {', '.join(quoted(name[:30]) for name in names[:12])}; expected {', '.join(nearest)}"
        )
    return {name: names.index(name) for name in wanted if name in names}


def decimal(text: str) -> float:
    """Return the number that a plain decimal (point, perhaps an exponent) states; NaN otherwise."""
    return float(text) if len(text) <= 40 and _DECIMAL.fullmatch(text) else float("nan")


def decimals(
    table: pd.DataFrame, column: str, low: float, high: float, expected: str
) -> np.ndarray:
    """Return a column of `read_table` as numbers from `low` to `high`, shape (rows,), float64.

    Raises
    ------
    TableError
        If a cell holds something else; names the row, the column and the cell, and says `expected`.
    """
    values = np.fromiter(map(decimal, table[column]), np.float64, len(table))
    bad = ~((low <= values) & (values <= high))
    if bad.any():
        k = int(bad.argmax())
        raise TableError(
            f"row {table.index[k]}, column {column!r}: {quoted(table[column].iloc[k])} is not"
            f" {expected}"
        )
    return values
