"""Libraries at full scale: tables of multiplets, with the lines that follow from them."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.sparse import coo_array, csr_array

from nmrclassify.nmr.axis import Axis
from nmrclassify.nmr.multiplets import (
    Lines,
    are_given_lines,
    check_couplings,
    normalised,
    split,
)

MAX_COMPOUNDS = 20_000
MAX_OF_ONE = 64  # multiplets of one compound; the largest of two real libraries has 32
MAX_NAME = 120
PPM_BOUNDS = (-5.0, 20.0)
MAX_PROTONS = 1000.0
MAX_DEVIATION = 1.0  # ppm

_LOOKALIKE = str.maketrans(
    {
        "[": "(",
        "]": ")",
        "{": "(",
        "}": ")",
        "<": "‹",
        ">": "›",
        "`": "'",
        "|": "/",
        "\\": "/",
        "—": "-",
    }
)
_UNSAFE = re.compile(r"[^\w \-+,.'()/:;&%=\"!?′″’‘“”·±→≥≤°‹›‒–]|_")
# Streamlit turns :name: into a picture, and GitHub's Markdown turns addresses into links.
_MARK = re.compile(r":(?=[\w+-]*:|//|material/)|(?<=www)\.", re.IGNORECASE)


def safe_name(text: str) -> str:
    """Return a name of 1 to `MAX_NAME` characters that holds no markup.

    No part of it has a meaning to Markdown, HTML, Plotly or a spreadsheet. Brackets become round,
    and characters without a harmless equivalent become "-". A safe name is returned unchanged.
    """
    text = unicodedata.normalize("NFC", str(text)[: 4 * MAX_NAME])
    text = "".join(
        character for character in text if unicodedata.category(character) not in ("Cf", "Mn", "Me")
    )
    text = _UNSAFE.sub("-", re.sub(r"\s+", " ", text).translate(_LOOKALIKE))
    while _MARK.search(text):
        text = _MARK.sub("-", text)
    # At the start, = + - would be a formula to a spreadsheet, or a list to Markdown.
    return text.lstrip("=+- ")[:MAX_NAME].rstrip() or "unnamed"


def expand_ranges(first: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return first[i], first[i] + 1, ... of all ranges in one array, and the range i of each."""
    range_of = np.repeat(np.arange(len(first)), lengths)
    starts = np.cumsum(lengths) - lengths
    return (first - starts)[range_of] + np.arange(len(range_of)), range_of


def _joined(values: Iterable[float]) -> str:
    return ";".join(repr(float(value)) for value in values)


@dataclass(frozen=True, eq=False)
class Compounds:
    """K named compounds as a table of M multiplets.

    Attributes
    ----------
    names : tuple of str, length K
    compound : ndarray, shape (M,), int64
        The compound that each multiplet belongs to, from 0, never decreasing.
    ppm : ndarray, shape (M,), float64
        Centre of each multiplet.
    protons : ndarray, shape (M,), float64
        Its area at concentration 1.
    kinds : tuple of str, length M
        As `multiplets.normalised` writes them, e.g. "dd".
    couplings : tuple of tuples of float, length M
        In Hz, one for each splitting.
    given : tuple of (Lines or None), length M, optional
        Lines that are given and do not follow from kind and couplings, which then only describe
        them: of a measured spectrum or of strongly coupled spins. Left out if there are none. Their
        offsets in Hz hold at the frequency at which they were obtained; at another one they are
        exact only where couplings alone separate the lines.
    deviations : ndarray, shape (M,), float64, optional
        Standard deviation of what is not known of each multiplet's place in ppm, beside the usual
        shifts between samples: far from the pH of the table, for example. 0 if left out.
    """

    names: tuple[str, ...]
    compound: np.ndarray
    ppm: np.ndarray
    protons: np.ndarray
    kinds: tuple[str, ...]
    couplings: tuple[tuple[float, ...], ...]
    given: tuple[Lines | None, ...] = ()
    deviations: np.ndarray = None  # type: ignore[assignment]  # None: all 0

    def __post_init__(self) -> None:
        """Make the columns read-only, and check them."""
        if self.deviations is None:
            object.__setattr__(self, "deviations", np.zeros(np.shape(self.ppm)))
        for name in ("compound", "ppm", "protons", "deviations"):
            dtype = np.int64 if name == "compound" else np.float64
            array = np.array(getattr(self, name), dtype=dtype)
            if array.ndim != 1:
                raise ValueError(
                    f"{name} of the multiplets has shape {array.shape}; expected one number for"
                    " each multiplet"
                )
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        for name in ("names", "kinds", "couplings", "given"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        lengths = {
            name: len(getattr(self, name))
            for name in ("compound", "ppm", "protons", "kinds", "couplings", "deviations")
        }
        if self.given:
            lengths["given"] = len(self.given)
            if not any(self.given):
                object.__setattr__(self, "given", ())
        if len(set(lengths.values())) != 1:
            raise ValueError(
                f"columns of the multiplets have lengths {lengths}; expected one length"
            )
        n_compounds = len(self.names)
        if not 1 <= n_compounds <= MAX_COMPOUNDS:
            raise ValueError(
                f"the library has {n_compounds:,} compounds; expected 1 to {MAX_COMPOUNDS:,}"
            )
        present = np.zeros(n_compounds, dtype=bool)
        inside = (self.compound >= 0) & (self.compound < n_compounds)
        if not inside.all() or (np.diff(self.compound) < 0).any():
            raise ValueError(
                f"compound indices are not 0 to {n_compounds - 1} in rising order; sort the"
                " multiplets by compound"
            )
        present[self.compound] = True
        if not present.all():
            raise ValueError(
                f"compound {self.names[present.argmin()]!r} has no multiplet; give it at least one,"
                " or leave it out"
            )
        counts = np.bincount(self.compound)
        if counts.max() > MAX_OF_ONE:
            raise ValueError(
                f"compound {self.names[counts.argmax()]!r} has {counts.max():,} multiplets;"
                f" expected at most {MAX_OF_ONE}: give each group of equivalent protons once, or"
                " leave the compound out"
            )
        for name, values, low, high in (
            ("ppm", self.ppm, *PPM_BOUNDS),
            ("protons", self.protons, 1e-9, MAX_PROTONS),
            ("the deviation", self.deviations, 0.0, MAX_DEVIATION),
        ):
            bad = ~((low <= values) & (values <= high))
            if bad.any():
                k = int(bad.argmax())
                least = "above 0, at most" if name == "protons" else f"{low:g} to"
                raise ValueError(
                    f"{name} of a multiplet of {self.names[self.compound[k]]!r} is {values[k]:g};"
                    f" expected {least} {high:g}"
                )
        for kind in set(self.kinds):
            if normalised(kind) != kind:
                raise ValueError(f"kind {kind!r} is not in symbols; write it {normalised(kind)!r}")
        for kind, couplings in set(zip(self.kinds, self.couplings, strict=True)):
            check_couplings(kind, couplings)
        for k, lines in enumerate(self.given):
            if lines is not None and not are_given_lines(lines):
                raise ValueError(
                    f"the given lines of a multiplet of {self.names[self.compound[k]]!r} are not"
                    " ascending offsets around 0 with areas that sum to 1; make them with"
                    " multiplets.given_lines"
                )
        for name in self.names:
            if safe_name(name) != name:
                raise ValueError(
                    f"compound name {name[:80]!r} is not usable; {safe_name(name)!r} is, see"
                    " safe_name"
                )
        if len(set(self.names)) != n_compounds:
            raise ValueError("two compounds share a name; give each a different one")

    @property
    def n_compounds(self) -> int:
        """K, the number of compounds (classes)."""
        return len(self.names)

    @property
    def n_multiplets(self) -> int:
        """M, the number of multiplets."""
        return len(self.compound)

    @cached_property
    def first_multiplet(self) -> np.ndarray:
        """Where each compound's multiplets start, shape (K + 1,), int64; the last entry is M."""
        return np.searchsorted(self.compound, np.arange(self.n_compounds + 1)).astype(np.int64)

    @cached_property
    def total_protons(self) -> np.ndarray:
        """Protons of each compound, its area at concentration 1, shape (K,)."""
        return np.add.reduceat(self.protons, self.first_multiplet[:-1])

    @cached_property
    def lines(self) -> tuple[Lines, ...]:
        """The lines of each multiplet, of unit area, length M."""
        if not self.given:
            return tuple(map(split, self.kinds, self.couplings))
        return tuple(
            split(kind, couplings) if lines is None else lines
            for kind, couplings, lines in zip(self.kinds, self.couplings, self.given, strict=True)
        )

    @cached_property
    def first_line(self) -> np.ndarray:
        """Where each multiplet's lines start, shape (M + 1,), int64; the last is their number."""
        return np.concatenate([[0], np.cumsum([len(lines.areas) for lines in self.lines])]).astype(
            np.int64
        )

    @cached_property
    def offsets(self) -> np.ndarray:
        """Distance of every line from its multiplet's centre in Hz, shape (lines,)."""
        return np.concatenate([lines.offsets for lines in self.lines])

    @cached_property
    def line_multiplet(self) -> np.ndarray:
        """The multiplet that each line belongs to, shape (lines,), int64."""
        return np.repeat(np.arange(self.n_multiplets), np.diff(self.first_line))

    @cached_property
    def areas(self) -> np.ndarray:
        """Area of every line at concentration 1, shape (lines,): protons times the line's share."""
        return (
            np.concatenate([lines.areas for lines in self.lines])
            * self.protons[self.line_multiplet]
        )

    def line_ppm(self, mhz: float) -> np.ndarray:
        """Return the position of every line in ppm, on a spectrometer of `mhz`, shape (lines,)."""
        return self.ppm[self.line_multiplet] + self.offsets / mhz

    def frame(self) -> pd.DataFrame:
        """Return the table that `compound_files.read_compounds` reads back.

        The columns `offsets_hz` and `shares` are present only if lines are given. There is none for
        `deviations`: a file states a library at its own pH, where they are 0.
        """
        columns = {
            "compound": [self.names[k] for k in self.compound],
            "ppm": self.ppm,
            "kind": list(self.kinds),
            "j_hz": list(map(_joined, self.couplings)),
            "protons": self.protons,
        }
        if self.given:
            columns["offsets_hz"] = [
                _joined(lines.offsets) if lines else "" for lines in self.given
            ]
            columns["shares"] = [_joined(lines.areas) if lines else "" for lines in self.given]
        return pd.DataFrame(columns)

    def select(self, indices: Sequence[int]) -> "Compounds":
        """Return the library of these compounds, in this order.

        Raises
        ------
        ValueError
            If an index is outside the library, or is repeated.
        """
        chosen = np.asarray(indices, dtype=np.int64).ravel()
        if (
            not len(chosen)
            or not ((chosen >= 0) & (chosen < self.n_compounds)).all()
            or len(np.unique(chosen)) != len(chosen)
        ):
            raise ValueError(
                f"compounds {chosen[:9].tolist()} cannot be chosen; expected different ones of 0 to"
                f" {self.n_compounds - 1}"
            )
        first = self.first_multiplet
        rows, compound = expand_ranges(first[chosen], first[chosen + 1] - first[chosen])
        return self._of_rows(tuple(self.names[k] for k in chosen), compound, rows)

    def rows(self, multiplets: np.ndarray) -> "Compounds":
        """Return the library of these multiplets, in rising order.

        Compounds without a remaining multiplet are dropped.
        """
        if len(multiplets) == self.n_multiplets:
            return self  # with the lines that have been split already
        present, compound = np.unique(self.compound[multiplets], return_inverse=True)
        return self._of_rows(tuple(self.names[k] for k in present), compound, multiplets)

    def _of_rows(
        self, names: tuple[str, ...], compound: np.ndarray, rows: np.ndarray
    ) -> "Compounds":
        return Compounds(
            names,
            compound,
            self.ppm[rows],
            self.protons[rows],
            tuple(self.kinds[row] for row in rows),
            tuple(self.couplings[row] for row in rows),
            tuple(self.given[row] for row in rows) if self.given else (),
            self.deviations[rows],
        )

    def with_compounds(self, other: "Compounds") -> "Compounds":
        """Return this library followed by the compounds of another.

        Raises
        ------
        ValueError
            If a name is in both.
        """
        return joined([self, other])

    def _given_or_none(self) -> tuple[Lines | None, ...]:
        return self.given or (None,) * self.n_multiplets

    def sparse(self, axis: Axis) -> csr_array:
        """Return the compounds as sticks on an axis, a sparse array of areas, shape (K, L).

        Lines beyond the axis are left out.
        """
        position = axis.positions(self.line_ppm(axis.mhz))
        inside = position >= 0
        rows = self.compound[self.line_multiplet[inside]]
        return coo_array(
            (self.areas[inside], (rows, position[inside])),
            shape=(self.n_compounds, axis.n_positions),
        ).tocsr()

    def dense(self, axis: Axis, indices: Sequence[int]) -> np.ndarray:
        """Return some compounds as sticks on an axis, shape (n, L), float32; see `sparse`."""
        return self.select(indices).sparse(axis).toarray().astype(np.float32)


def joined(libraries: Sequence[Compounds]) -> Compounds:
    """Return the compounds of one or more libraries as one, in their order.

    Raises
    ------
    ValueError
        If a name is in two of them.
    """
    seen: set[str] = set()
    for library in libraries:
        clash = seen & set(library.names)
        if clash:
            raise ValueError(
                f"{min(clash)!r} is the name of a compound in both libraries; rename it in one of"
                " them"
            )
        seen |= set(library.names)
    before = np.cumsum([0, *(library.n_compounds for library in libraries)])
    return Compounds(
        tuple(name for library in libraries for name in library.names),
        np.concatenate(
            [library.compound + n for library, n in zip(libraries, before, strict=False)]
        ),
        np.concatenate([library.ppm for library in libraries]),
        np.concatenate([library.protons for library in libraries]),
        tuple(kind for library in libraries for kind in library.kinds),
        tuple(row for library in libraries for row in library.couplings),
        tuple(lines for library in libraries for lines in library._given_or_none()),
        np.concatenate([library.deviations for library in libraries]),
    )
