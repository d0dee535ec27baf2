"""CSV tables in and out: one hardened reader, and a writer in which no text is a formula."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from nmrclassify.files import QUOTED, quoted, write_atomically

MAX_COLUMNS = 64
MAX_CELLS = 2**19  # of a table, in the columns that are read
MAX_LINE = 2**14  # characters
MAX_ABOVE = 1000  # empty lines and comments above the header
MAX_COMMENT = 1000  # characters of a comment that holds the header
MAX_ROW_LINES = 32  # of one row whose cells hold line breaks
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # starts of a formula
COMMENT = ("#", "%")  # starts of a line that is no row
SEPARATORS = ",;\t "  # of columns; a space stands for a run of spaces or tabs

_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_WITH_COMMA = re.compile(r"[+-]?\d+,\d+(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_OF_NUMBERS = frozenset("0123456789+-‒–—−eE.,; ")
_DASH = re.compile(r"(?<=[\d.])\s*(?:[-‒–—−]|to)\s*(?=[-+.\d])")  # of a range, no sign
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)  # or a decimal comma


class TableError(ValueError):
    """A CSV table that cannot be used; the message says where, what was expected and what to do."""


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
    is_formula = value.startswith(FORMULA + COMMENT) and not _DECIMAL.fullmatch(value)
    return f"'{value}" if is_formula else value


def read_table(
    source: str | bytes | Path | IO,
    layouts: Sequence[Sequence[str]],
    optional: Sequence[str] = (),
    *,
    max_bytes: int,
    max_rows: int,
    numbers: Sequence[str] = (),
    large: Sequence[str] = (),
    lists: Sequence[str] = (),
    plain: Callable[[str], str] = str,
    bare: tuple[str, str] | None = None,
    name_of: Callable[[str], str] = lambda name: name.strip().strip('"').strip().lower(),
) -> pd.DataFrame:
    """Read a CSV table in any of the forms in which spreadsheets and spectrometers write it.

    The separator of columns is a comma, a semicolon, a tab, or a run of spaces. The encoding is
    UTF-8, UTF-16, or, where no character is UTF-8, Windows-1252, which extends Latin-1. Lines that
    start with "#" or "%" are no rows, but one of them may hold the header. Numbers may have a
    decimal comma.

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
    numbers : sequence of str
        Columns that hold numbers, or ranges of two as 3.5-3.4: decimal commas become points.
    large : sequence of str
        Those of them in which 1,234 can be a number above a thousand.
    lists : sequence of str
        Columns that hold numbers with ";" or spaces between them.
    plain : callable
        Returns a cell of `lists` without what else is written beside its numbers, such as a unit.
    bare : tuple of (str, str), optional
        Names of the columns of a table of two columns without a header, which is refused otherwise.
    name_of : callable
        Returns the name of a column for what the header says.

    Returns
    -------
    DataFrame
        The columns of `layouts` and `optional` that the table has, as text without spaces around
        it, so that a message can quote what was written. The index holds the row numbers that a
        spreadsheet shows. Rows that hold nothing are left out. `attrs["header"]` is False if the
        names are those of `bare`.

    Raises
    ------
    TableError
        If the file is too large, is not such a table, has a column twice or lacks one, has a row
        with more cells than columns, or holds numbers that can be read in two ways.
    """
    text = _Text.of(source, max_bytes)
    wanted = list(dict.fromkeys([name for layout in layouts for name in layout] + list(optional)))
    form = _form(text, layouts, wanted, bare, name_of)
    reader = _rows(text, form.separator)
    try:
        above, header = 0, form.names
        if form.in_first_row:
            above, first = next(
                (row for row in islice(reader, MAX_ABOVE) if any(map(str.strip, row[1]))), (1, [])
            )
            header = form.names or [name_of(name) for name in first]
        used = _used(header, layouts, wanted)
        most = min(max_rows, MAX_CELLS // len(used))
        index = np.empty(most, np.int64)  # an eighth of the memory of a list
        columns = [(k, list[str]()) for k in used.values()]
        for number, cells in reader:
            if number > above + most:
                raise TableError(f"the table has more than {most:,} rows; split it")
            if not any(map(str.strip, cells)):
                continue
            _check_length(number, cells, len(header), form.separator)
            index[len(columns[0][1])] = number
            for k, column in columns:
                cell = cells[k].strip() if k < len(cells) else ""
                if cell.startswith("'") and cell[1:2] in FORMULA + COMMENT:  # as in `csv_text`
                    cell = cell[1:].strip()
                column.append(cell)
    except csv.Error as error:
        raise TableError(
            f"the file is not a CSV table ({error}); expected the columns {', '.join(layouts[0])}"
        ) from None
    of_name = {name: column for name, (_, column) in zip(used, columns, strict=True)}
    index = index[: len(columns[0][1])]
    for name in lists:
        if name in of_name:
            of_name[name][:] = map(plain, of_name[name])
    _write_points(
        {name: of_name[name] for name in numbers if name in of_name},
        {name: of_name[name] for name in lists if name in of_name},
        large,
        index,
    )
    table = pd.DataFrame(of_name, index=index, dtype=object, copy=False)
    table.attrs["header"] = not form.bare
    return table


def _check_length(number: int, cells: list[str], expected: int, separator: str) -> None:
    """Check that a row has no more cells than there are columns, and none less between spaces."""
    if len(cells) > expected and any(map(str.strip, cells[expected:])):
        raise TableError(
            f"row {number} has {len(cells):,} cells; expected {expected}, one for each column"
            + (": with decimal commas, put ; between the columns" if separator == "," else "")
        )
    if separator == " " and len(cells) < expected:
        raise TableError(
            f"row {number} has {len(cells):,} cell{'s' * (len(cells) > 1)}; expected {expected},"
            " one for each column: where a cell is empty, put ; between the columns, not spaces"
        )


@dataclass(frozen=True)
class _Text:
    """The bytes of a file, which can be decoded, and their encoding."""

    content: bytes
    encoding: str

    @classmethod
    def of(cls, source: str | bytes | Path | IO, max_bytes: int) -> "_Text":
        """Read a file, find its encoding, and check that it is text."""
        content = content_of(source, max_bytes)
        is_bytes = isinstance(content, bytes)
        if isinstance(content, str):
            content = content[: max_bytes + 1].encode("utf-8", "surrogatepass")
        if len(content) > max_bytes:
            raise TableError(f"the file has more than {max_bytes:,} bytes; expected at most that")
        if content.startswith(b"PK\3\4"):
            raise TableError("the file is a workbook or an archive; save the table as CSV")
        encoding = _encoding(content) if is_bytes else "utf-8-sig"
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError as error:
            raise TableError(
                f"byte {error.start} is not {encoding.upper().removesuffix('-SIG')} text; save the"
                " table as CSV in UTF-8"
            ) from None
        if "\0" in text or (encoding == "cp1252" and re.search(r"[\x01-\x08\x0e-\x1f]", text)):
            raise TableError("the file holds binary data; expected a CSV table")
        return cls(content, encoding)

    def lines(self) -> Iterator[str]:
        """Yield the lines with their ends, without the byte-order mark of a spreadsheet."""
        file = io.TextIOWrapper(io.BytesIO(self.content), self.encoding, newline="")
        for number, line in enumerate(iter(partial(file.readline, MAX_LINE + 1), ""), 1):
            if len(line) > MAX_LINE:
                raise TableError(
                    f"line {number} has more than {MAX_LINE:,} characters; expected one row of the"
                    " table a line"
                )
            yield line


def content_of(source: str | bytes | Path | IO, max_bytes: int) -> str | bytes:
    """Return what a source holds, of a file or a path one byte more than allowed at most.

    A `str` is the text itself, never a path.
    """
    if isinstance(source, Path):
        with source.open("rb") as file:
            return file.read(max_bytes + 1)
    return source if isinstance(source, (str, bytes)) else source.read(max_bytes + 1)


def text_of(source: str | bytes | Path | IO, max_bytes: int) -> str:
    """Return a text in any of the encodings that `read_table` knows.

    Raises
    ------
    TableError
        If it is too large, or is no text.
    """
    text = _Text.of(source, max_bytes)
    return text.content.decode(text.encoding)


def _encoding(content: bytes) -> str:
    """Return the encoding of a text, as Python calls it."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    start = content[: 2 * (min(len(content), 400) // 2)]
    if b"\0" in start:  # every second byte, in text of Western letters
        if b"\0" not in start[::2] and start[1::2].count(0) > 0.9 * len(start[1::2]):
            return "utf-16-le"
        if b"\0" not in start[1::2] and start[::2].count(0) > 0.9 * len(start[::2]):
            return "utf-16-be"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        # One character that is UTF-8 makes another that is not a fault.
        others = re.search(r"[^\x00-\x7f\ufffd]", content.decode("utf-8", "replace"))
        return "utf-8-sig" if others else "cp1252"
    return "utf-8-sig"


def _is_comment(line: str) -> bool:
    """Return whether a line is no row: a comment, or the separator as a spreadsheet notes it."""
    start = line.lstrip()[:6]
    return start.startswith(COMMENT) or (start[:4].lower() == "sep=" and len(start.strip()) <= 5)


def _rows(text: _Text, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows, numbered as a spreadsheet does: a row whose cells hold line breaks is one.

    A comment is an empty row.
    """
    of_row = 0

    def lines() -> Iterator[str]:
        nonlocal of_row
        for line in text.lines():
            if not of_row and _is_comment(line):
                line = "\n"
            of_row += 1
            if of_row > MAX_ROW_LINES:
                raise csv.Error(f"a quoted cell does not end within {MAX_ROW_LINES} lines")
            yield " ".join(line.split()) + "\n" if separator == " " else line

    for row in enumerate(csv.reader(lines(), delimiter=separator, strict=True), 1):
        of_row = 0
        yield row


@dataclass(frozen=True)
class _Form:
    """How a table is written.

    Attributes
    ----------
    separator : str
        One of `SEPARATORS`.
    names : list of str
        The columns; empty if a reader of rows has to find them in the first row.
    in_first_row : bool
        Whether the first row is the header.
    bare : bool
        Whether there is no header.
    """

    separator: str
    names: list[str]
    in_first_row: bool = True
    bare: bool = False


def _form(
    text: _Text,
    layouts: Sequence[Sequence[str]],
    wanted: Sequence[str],
    bare: tuple[str, str] | None,
    name_of: Callable[[str], str],
) -> _Form:
    """Find the separator and the header of a table."""
    comments, first = list[str](), ""
    for number, line in enumerate(islice(text.lines(), MAX_ABOVE)):
        if not number and re.match(r"\s*##\s*title\s*=", line, re.IGNORECASE):
            raise TableError(
                "the file is JCAMP-DX; export it as CSV with the columns"
                f" {', '.join(bare or layouts[0])}"
            )
        if _is_comment(line):
            comments.append(line)
        elif line.strip():
            first = line
            break

    def names_in(line: str, separator: str) -> list[str]:
        if separator == " ":
            return _names_between_spaces(line, wanted, name_of)
        return [name_of(name) for name in line.split(separator)]

    def known(separator: str) -> int:
        return len(set(wanted) & set(names_in(first, separator)))

    best = max(SEPARATORS, key=known)
    if known(best):
        return _Form(best, names_in(first, " ") if best == " " else [])
    counts = {mark: _count_cells(first, mark) for mark in SEPARATORS}
    for line in [line for line in comments[-50:][::-1] if len(line) <= MAX_COMMENT]:
        for mark in SEPARATORS:
            names = names_in(line.strip().lstrip("".join(COMMENT)).strip(" \t\r\n"), mark)
            if any(set(layout) <= set(names) for layout in layouts):
                # savetxt of NumPy puts spaces between the names and another mark between numbers.
                of_rows = [other for other in (mark, *SEPARATORS) if counts[other] == len(names)]
                return _Form(of_rows[0] if of_rows else mark, names, in_first_row=False)
    numeric = [mark for mark in "\t; ," if _are_numbers(first, mark)]
    if not numeric or counts[numeric[0]] > MAX_COLUMNS:
        return _Form(",", [])  # `_used` says what is wrong
    count = counts[numeric[0]]
    if bare is None or count != len(bare):
        raise TableError(
            f"the table has no header, and {count} numbers in its first row; expected a header"
            f" with the columns {', '.join(layouts[0])}"
            + (": with decimal commas, put ; between the columns" if numeric[0] == "," else "")
        )
    return _Form(numeric[0], list(bare), in_first_row=False, bare=True)


def _names_between_spaces(
    line: str, wanted: Sequence[str], name_of: Callable[[str], str]
) -> list[str]:
    """Return the columns of a header with spaces between its names, which may hold spaces too."""
    words = [word for word in re.split(r"\t| {2,}", line.strip()) if word]
    names = [name_of(word) for word in words]
    if len(words) > 1 and len(set(wanted) & set(names)) > 1:
        return names
    words, names = line.replace('"', " ").split()[: 4 * MAX_COLUMNS], []
    while words:
        # The most words that are one known name, as in "chemical shift (ppm)".
        several = (n for n in (5, 4, 3, 2) if name_of(" ".join(words[:n])) in wanted)
        n = next((n for n in several if n <= len(words)), 1)
        names.append(name_of(" ".join(words[:n])))
        words = words[n:]
    return names


def _cells(line: str, separator: str) -> list[str]:
    cells = line.split() if separator == " " else [cell.strip() for cell in line.split(separator)]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _count_cells(line: str, separator: str) -> int:
    return len(_cells(line, separator))


def _are_numbers(line: str, separator: str) -> bool:
    cells = [cell.strip('"') for cell in _cells(line, separator)]
    return len(cells) > 1 and all(
        _DECIMAL.fullmatch(cell) or _WITH_COMMA.fullmatch(cell) for cell in cells
    )


def _write_points(
    numbers: Mapping[str, list[str]],
    lists: Mapping[str, list[str]],
    large: Sequence[str],
    index: np.ndarray,
) -> None:
    """Replace the decimal commas in columns, if commas can only be that.

    Raises
    ------
    TableError
        If the numbers can be read in two ways.
    """
    columns = [(name, cells) for part in (numbers, lists) for name, cells in part.items()]
    if not any("," in cell for _, cells in columns for cell in cells):
        return

    def first(mark: str) -> tuple[str, str, str] | None:
        found = (
            (f"row {index[k]}, column {name!r}", cell, name)
            for name, cells in columns
            for k, cell in enumerate(cells)
            if mark in cell and set(cell) <= _OF_NUMBERS
        )
        return next(found, None)

    comma, point = first(","), first(".")
    if comma is None or (point is not None and comma[2] in lists):
        return  # in no number, or with the wrong mark: the reader says so
    place, cell, name = comma
    if point is not None:
        raise TableError(
            f"{place}: {quoted(cell)} has a comma, but {quoted(point[1])} in {point[0]} a point;"
            " expected one decimal mark, and no mark for thousands"
        )
    if not any(
        _WITH_COMMA.fullmatch(part) and (name not in large or not _THOUSANDS.fullmatch(part))
        for name, cells in numbers.items()
        for cell in cells
        if "," in cell
        for part in ends(cell)
    ):
        without = cell.replace(",", " and " if name in lists else "")
        raise TableError(
            f"{place}: {quoted(cell)} can be {quoted(cell.replace(',', '.'))} or {quoted(without)};"
            " expected numbers without commas: write a decimal point"
        )
    for name, cells in columns:
        for k, cell in enumerate(cells):
            if "," in cell:
                cells[k] = _with_point(cell, name in lists)


def _with_point(cell: str, is_list: bool) -> str:
    """Return a number, or a list of them, with points for commas; anything else as it is."""
    parts = re.split(r"[;\s]+", cell) if is_list else ends(cell)
    if all(_WITH_COMMA.fullmatch(part) for part in parts if "," in part):
        return cell.replace(",", ".")
    return cell


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
    names = header
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


def ends(text: str) -> list[str]:
    """Return the two numbers of a range such as "3.53-3.49" or "3.53 to 3.49"; else the text."""
    parts = _DASH.split(text) if len(text) <= QUOTED else []
    return parts if len(parts) == 2 else [text]


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
            f" {expected}; correct it, or leave the row out"
        )
    return values
