"""Libraries from spectra and peak lists of pure compounds, freely mixed with tables.

A pure compound is a file in any form that `peak_files` reads, or the folder of an experiment; its
name is that of the file without the ending, or that of the folder. A folder or a zip archive may
hold many. Tables of libraries (`nmr.compound_files`) may stand beside them.

The spectrum of a pure compound is processed as a mixture's is: referenced if there is a standard,
the solvent cut out, lines fitted. Lines that are further apart than `GAP` belong to different
groups, since no coupling between protons is as large. Each group is one multiplet of given lines,
which moves as a whole. Its inner distances are kept in Hz: measured at another frequency, those
that are couplings remain right, and those between overlapping multiplets do not.

Groups below `LEAST_GROUP` of the largest (carbon satellites, impurities) and lines below
`LEAST_LINE` of the largest of their group are dropped.

Amounts need a number of protons. A name that ends with it in brackets, "alanine (4H)", gives the
protons that the spectrum shows: neither exchanging ones nor those under the solvent. Amounts of
this compound are concentrations, as those of a table are. Otherwise the whole area counts as
`USUAL_PROTONS`, and amounts of this compound can only be compared with each other.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from nmrclassify.files import quoted
from nmrclassify.files.tables import TableError, read_table
from nmrclassify.mixtures import peak_files, spectrum_files
from nmrclassify.mixtures.archives import ZIP, ArchiveError, unpack
from nmrclassify.mixtures.peaks import Peaks
from nmrclassify.nmr import compound_files, report_lines
from nmrclassify.nmr.column_names import column_name
from nmrclassify.nmr.compounds import MAX_OF_ONE, MAX_PROTONS, Compounds, joined, safe_name
from nmrclassify.nmr.multiplets import MAX_GIVEN_LINES, given_lines

MAX_FILES = 500
GAP = 20.0  # Hz
LEAST_GROUP = 0.02  # of the largest group's area; carbon satellites have .011, impurities often .01
LEAST_LINE = 0.03  # of the largest line's area in its group
USUAL_PROTONS = 6.0  # the median of the packaged table
ENDINGS = frozenset(  # of files with a compound
    ("csv", "tsv", "txt", "dat", "asc", "zip", "dx", "jdx", "jcamp", "nmrml", "ft", "ft1")
)

_STATED = re.compile(r"(?P<name>.*\S)\s*\((?P<protons>\d{1,4}) ?H\)", re.DOTALL)
_PARTS = {"fid", "ser", "acqus", "procpar", "pdata"}  # of an experiment's folder


@dataclass(frozen=True)
class FileProblem:
    """What was left out or changed of a file.

    Attributes
    ----------
    file : str
        Its name.
    row : int or None
        As a spreadsheet counts; None for the whole file.
    text : str
        Plain text, which may quote the file: not to be shown as Markdown.
    dropped : bool
        Whether the row or file was left out.
    """

    file: str
    row: int | None
    text: str
    dropped: bool


@dataclass(frozen=True)
class LibraryReading:
    """The compounds of several files.

    Attributes
    ----------
    notes : dict of str to str
        For each pure compound, how its lines were obtained.
    problems : tuple of FileProblem
    """

    compounds: Compounds
    notes: dict[str, str]
    problems: tuple[FileProblem, ...]


@dataclass(frozen=True)
class _Entry:
    """A file or folder with one pure compound, or a table."""

    file: str
    name: str
    source: Path | bytes


def read_libraries(
    sources: Sequence[Path | tuple[str, bytes]],
    progress: Callable[[int, int], None] = lambda done, total: None,
    max_files: int = MAX_FILES,
) -> LibraryReading:
    """Read tables and pure compounds as one library.

    A pure compound takes the place of one of the same name in a table.

    Parameters
    ----------
    sources : sequence of Path or (str, bytes)
        Files and folders, or names and contents of files.
    progress : callable
        Called with the number of files read and of all files.
    max_files : int
        Limit on the files, those in folders and archives included.

    Returns
    -------
    LibraryReading
        Files and rows that cannot be used are left out, each with a problem that gives the reason.

    Raises
    ------
    ValueError
        If there are no files or more than `max_files`, or none can be used.
    OSError
        If a folder cannot be read.
    """
    with ExitStack() as stack:
        entries, problems = list[_Entry](), list[FileProblem]()
        for source in sources:
            try:
                entries += _entries(source, stack)
            except ArchiveError as error:
                name = source.name if isinstance(source, Path) else source[0]
                problems.append(FileProblem(name, None, str(error), True))
        if problems and not entries:
            raise ValueError(f"{problems[0].file}: {problems[0].text}")
        if not 1 <= len(entries) <= max_files:
            raise ValueError(
                f"there are {len(entries):,} files of compounds; expected 1 to {max_files}: tables"
                f" or spectra that end with .{', .'.join(sorted(ENDINGS))}, or folders of"
                " experiments"
            )
        tables: list[tuple[str, Compounds]] = []
        pure: dict[str, tuple[str, Compounds]] = {}
        notes: dict[str, str] = {}
        for count, entry in enumerate(entries):
            progress(count, len(entries))
            try:
                content = _content(entry.source)
                if isinstance(content, bytes) and _is_table(content):
                    name = entry.name if report_lines.is_report(content) else ""
                    reading = compound_files.read_compounds(content, name=name)
                    tables.append((entry.file, reading.compounds))
                    problems += _of_rows(entry.file, reading)
                    continue
                compounds, note, changed = _pure(entry, content)
            except (ValueError, OSError) as error:
                problems.append(FileProblem(entry.file, None, str(error), True))
                continue
            (name,) = compounds.names
            if (key := name.casefold()) in pure:
                text = f"{pure[key][0]} has the compound {name!r}, too; rename one of the files"
                problems.append(FileProblem(entry.file, None, text, True))
                continue
            pure[key], notes[name] = (entry.file, compounds), note
            problems += changed
        progress(len(entries), len(entries))
    parts = _without_repeats(tables, pure, problems)
    if not parts:
        first = problems[0]
        raise ValueError(f"{first.file}: {first.text}" if len(entries) > 1 else first.text)
    return LibraryReading(joined(parts), notes, tuple(problems))


def _without_repeats(
    tables: list[tuple[str, Compounds]],
    pure: dict[str, tuple[str, Compounds]],
    problems: list[FileProblem],
) -> list[Compounds]:
    """Return libraries that have no name in common; adds what was left out to `problems`."""
    parts, owner = [], {name: file for name, (file, _) in pure.items()}
    for file, compounds in tables:
        kept = []
        for k, name in enumerate(compounds.names):
            if (key := name.casefold()) in owner:
                text = f"compound {name!r} is left out, because {owner[key]} has it"
                problems.append(FileProblem(file, None, text, True))
            else:
                kept.append(k)
        owner |= dict.fromkeys(map(str.casefold, compounds.names), file)
        if kept:
            parts.append(compounds.select(kept))
    return parts + [compounds for _, compounds in pure.values()]


def _entries(source: Path | tuple[str, bytes], stack: ExitStack) -> Iterator[_Entry]:
    """Yield the compounds and tables of a file, an archive or a folder."""
    if isinstance(source, tuple):
        file, content = source
        stem = Path(file).stem
    else:
        file, stem = source.name, source.stem
        if source.is_dir():
            yield from _of_folder(source, source.resolve().name)
            return
        if source.suffix.lower() != ".zip":
            yield _Entry(file, stem, source)
            return
        content = source.read_bytes() if source.stat().st_size <= spectrum_files.MAX_BYTES else b""
    if not content.startswith(ZIP):
        yield _Entry(file, stem, source if isinstance(source, Path) else content)
        return
    folder = Path(stack.enter_context(TemporaryDirectory()))
    unpack(
        content,
        folder,
        lambda name: _is_entry(Path(name)) or spectrum_files.is_part_of_spectrum(name),
    )
    yield from _of_folder(folder, stem)


def _of_folder(folder: Path, name: str) -> Iterator[_Entry]:
    """Yield what a folder holds: one experiment, or a compound for each file and folder in it."""
    if _is_experiment(folder):
        yield _Entry(name, name, folder)
        return
    inside = sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith((".", "__MACOSX")) and not path.is_symlink()
    )
    folders = [path for path in inside if path.is_dir()]
    files = [path for path in inside if path.is_file() and _is_entry(path)]
    if len(folders) == 1 and not files and not _is_experiment(folders[0]):
        yield from _of_folder(folders[0], folders[0].name)  # of an archive of one folder
        return
    for path in sorted([*files, *folders]):
        yield _Entry(path.name, path.name if path.is_dir() else path.stem, path)


def _is_entry(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return not hidden and path.suffix.lower().removeprefix(".") in ENDINGS


def _is_experiment(folder: Path) -> bool:
    """Return whether a folder is one experiment, or holds the numbered ones of one sample."""

    def has_parts(place: Path) -> bool:
        return any((place / part).exists() for part in _PARTS)

    numbered = (path for path in folder.iterdir() if path.is_dir() and path.name.isdigit())
    return has_parts(folder) or any(map(has_parts, numbered))


def _content(source: Path | bytes) -> Path | bytes:
    """Return the content of a file, or the folder of an experiment."""
    if isinstance(source, bytes) or source.is_dir():
        return source
    if not source.is_file():
        raise ValueError("there is no such file; give the path of a file or a folder")
    with source.open("rb") as file:
        return file.read(spectrum_files.MAX_BYTES + 1)


def _has_columns(content: bytes, *layouts: tuple[str, ...]) -> bool:
    """Return whether this is a table with the columns of one of the layouts."""
    try:
        read_table(
            content, layouts, max_bytes=peak_files.MAX_BYTES, max_rows=2**18, name_of=column_name
        )
    except TableError:
        return False
    return True


def _is_table(content: bytes) -> bool:
    """Return whether a file is a table of a library, which names its compounds, or reports."""
    return not spectrum_files.is_instrument_file(content) and (
        report_lines.is_report(content) or _has_columns(content, ("compound",), ("gissmo_id",))
    )


def _of_rows(file: str, reading: compound_files.Reading) -> list[FileProblem]:
    return [FileProblem(file, p.row, p.text, p.dropped) for p in reading.problems]


def _pure(entry: _Entry, content: Path | bytes) -> tuple[Compounds, str, list[FileProblem]]:
    """Return a pure compound, how its lines were obtained, and what was changed about its rows."""
    stated = _STATED.fullmatch(entry.name)
    name = safe_name(stated["name"] if stated else entry.name)
    if (
        isinstance(content, bytes)
        and not spectrum_files.is_instrument_file(content)
        and _has_columns(content, ("ppm", "kind", "protons"))
    ):
        reading = compound_files.read_compounds(content, name=name)
        rows = f"A table of {reading.compounds.n_multiplets:,} multiplets."
        return reading.compounds, rows, _of_rows(entry.file, reading)
    sample = peak_files.read_sample(content)
    protons = float(stated["protons"]) if stated else None
    compounds = pure_compound(name, sample.peaks, protons)
    of_groups = np.bincount(compounds.line_multiplet)
    scale = (
        f"They count as {protons:g} protons."
        if protons
        else f"No number of protons is stated: they count as {USUAL_PROTONS:g}."
    )
    kept = f"Lines kept: {of_groups.sum():,}, in groups: {len(of_groups):,}."
    note = f"{sample.note} {kept} {scale}"
    return compounds, note, []


def pure_compound(name: str, peaks: Peaks, protons: float | None = None) -> Compounds:
    """Return a library of one compound, from the peaks of its pure spectrum.

    Parameters
    ----------
    peaks : Peaks
        The frequency of their axis is that of the measurement.
    protons : float, optional
        Protons that all peaks together stand for; `USUAL_PROTONS` if it is not known.

    Raises
    ------
    ValueError
        If the number of protons is not above 0 and at most `MAX_PROTONS`, or there are more than
        `MAX_OF_ONE` groups of lines.
    """
    if protons is None:
        protons = USUAL_PROTONS
    if not 0 < protons <= MAX_PROTONS:
        raise ValueError(
            f"protons of {quoted(name)} are {protons:g}; expected a number above 0, at most"
            f" {MAX_PROTONS:g}"
        )
    mhz = peaks.axis.mhz
    groups = groups_of_lines(peaks.ppm * mhz, peaks.areas.astype(np.float64))
    if len(groups) > MAX_OF_ONE:
        raise ValueError(
            f"the spectrum has {len(groups):,} groups of lines; expected at most {MAX_OF_ONE}, of"
            " one pure compound: raise the threshold, or give a peak list"
        )
    total = sum(areas.sum() for _, areas in groups)
    lines = [given_lines(hz, areas) for hz, areas in groups]
    return Compounds(
        (name,),
        np.zeros(len(groups)),
        np.array([centre / mhz for centre, _ in lines]),
        np.array([areas.sum() * protons / total for _, areas in groups]),
        tuple("s" if len(hz) == 1 else "m" for hz, _ in groups),
        ((),) * len(groups),
        tuple(of_group for _, of_group in lines),
    )


def groups_of_lines(hz: np.ndarray, areas: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Divide the lines of a pure compound at gaps of more than `GAP`; drop weak groups and lines.

    Parameters
    ----------
    hz : ndarray, shape (n,)
        Ascending.
    areas : ndarray, shape (n,)

    Returns
    -------
    list of (ndarray, ndarray)
        Places and areas of each group, at most `MAX_GIVEN_LINES`: a longer one is divided at its
        widest gap.
    """
    groups = _divided(hz, areas)
    largest = max(group[1].sum() for group in groups)
    kept = []
    for places, sizes in groups:
        if sizes.sum() < LEAST_GROUP * largest:
            continue
        strong = sizes >= LEAST_LINE * sizes.max()
        kept += _divided(places[strong], sizes[strong])
    return kept


def _divided(hz: np.ndarray, areas: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    gaps = np.diff(hz)
    cuts = np.flatnonzero(gaps > GAP) + 1
    if len(cuts) == 0 and len(hz) > MAX_GIVEN_LINES:
        cuts = np.array([gaps.argmax() + 1])
    if len(cuts) == 0:
        return [(hz, areas)]
    parts = zip(np.split(hz, cuts), np.split(areas, cuts), strict=True)
    return [group for part in parts for group in _divided(*part)]
