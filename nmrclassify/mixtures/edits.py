"""One mixture, and its edits: change a multiplet or the amount of a compound, or add noise.

An edited mixture is a function of the mixture before and a list of edits. So undo makes the list
shorter, and a link holds the list as text. There edits are joined by "~", and the parts of one edit
by "_": ``add_5_d_2~move_3_0.5~amount_4_0``.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from nmrclassify.mixtures.grid import Mixtures, generator, shift_multiplets
from nmrclassify.nmr.library import Library
from nmrclassify.nmr.multiplets import SYMBOLS, pattern

MAX_EDITS = 40
MAX_AREA, MAX_MOVE, MAX_NOISE, MAX_AMOUNT = 1000.0, 512.0, 1.0, 100.0
MIN_AMOUNT = 1e-4
MAX_EDITED_AREA = 1e6  # peak area after all edits


class Contents(NamedTuple):
    """The sources of a mixture, with shapes (C, P, L), (C,) and (C,)."""

    sources: np.ndarray
    labels: np.ndarray
    concentrations: np.ndarray


@dataclass(frozen=True)
class Mixture:
    """One mixture: the arrays of `Mixtures` without their first axis.

    `sources`, `labels` and `concentrations` are all None for a mixture from a file.
    """

    areas: np.ndarray
    sources: np.ndarray | None = None
    labels: np.ndarray | None = None
    concentrations: np.ndarray | None = None
    unknown: np.ndarray | None = None

    @classmethod
    def of(cls, mixtures: Mixtures, i: int) -> "Mixture":
        """Return mixture `i` of a batch."""
        unknown = None if mixtures.unknown is None else mixtures.unknown[i]
        return cls(
            mixtures.areas[i],
            mixtures.sources[i],
            mixtures.labels[i],
            mixtures.concentrations[i],
            unknown,
        )

    @property
    def contents(self) -> Contents | None:
        """The sources; None for a mixture from a file."""
        if self.sources is None or self.labels is None or self.concentrations is None:
            return None
        return Contents(self.sources, self.labels, self.concentrations)

    def parts(self, n_compounds: int) -> np.ndarray | None:
        """Return the areas of each compound of the mixture, shape (n, P, L); None if unknown.

        An unknown compound is the last one; `n_compounds` is the size of the library.
        """
        if self.contents is None:
            return None
        real = self.contents.sources[self.contents.labels < n_compounds]
        if self.unknown is None or not self.unknown.any():
            return real
        return np.concatenate([real, self.unknown[None]])

    def each(self, change: Callable[[np.ndarray], np.ndarray]) -> "Mixture":
        """Change the areas of the mixture and of its parts; `change` is linear, on (..., P, L)."""
        parts = {name: getattr(self, name) for name in ("areas", "sources", "unknown")}
        return replace(
            self,
            **{
                name: change(part).astype(np.float32)
                for name, part in parts.items()
                if part is not None
            },
        )


class EditError(ValueError):
    """An edit that is not possible; the message has the reason and the possible values."""


def _position(value: int, library: Library) -> int:
    if not 0 <= value < library.axis.n_positions:
        raise EditError(
            f"position is {value}; expected 0 to {library.axis.n_positions - 1}, the axis of these"
            " data"
        )
    return value


def _place(library: Library, position: int) -> str:
    axis = library.axis
    if not 0 <= position < axis.n_positions:
        return f"position {position}"
    return f"{axis.centres[position]:.2f} ppm" if axis.unit == "ppm" else f"position {position}"


@dataclass(frozen=True)
class Add:
    """Add a multiplet ("s", "d", ... "sext") that belongs to no compound of the library."""

    word: ClassVar[str] = "add"
    position: int
    kind: str
    area: float

    def apply(self, sample: Mixture, library: Library) -> Mixture:
        """Return the edited mixture."""
        if self.kind not in SYMBOLS or not 0 < self.area <= MAX_AREA:
            raise EditError(
                f"multiplet is {self.area:g} x {self.kind!r}; expected an area up to {MAX_AREA:g}"
                f" and one of {', '.join(SYMBOLS)}"
            )
        try:
            peaks = self.area * pattern(self.kind, library.n_peaks)
        except ValueError as error:
            raise EditError(str(error)) from error
        extra = np.zeros_like(sample.areas)
        extra[:, _position(self.position, library)] = peaks
        unknown = extra if sample.unknown is None else sample.unknown + extra
        return replace(sample, areas=sample.areas + extra, unknown=unknown)

    def words(self, library: Library) -> str:
        """Return the edit in words."""
        return f"add {self.kind} of area {self.area:g} at {_place(library, self.position)}"


@dataclass(frozen=True)
class Cut:
    """Remove all area at a position; a compound without area is no longer in the mixture."""

    word: ClassVar[str] = "cut"
    position: int

    def apply(self, sample: Mixture, library: Library) -> Mixture:
        """Return the edited mixture."""
        keep = np.ones(library.axis.n_positions, dtype=np.float32)
        keep[_position(self.position, library)] = 0
        return _without_empty(sample.each(lambda areas: areas * keep), library)

    def words(self, library: Library) -> str:
        """Return the edit in words."""
        return f"remove the multiplet at {_place(library, self.position)}"


@dataclass(frozen=True)
class Move:
    """Move the multiplet at a position by `by` positions, which may be a fraction."""

    word: ClassVar[str] = "move"
    position: int
    by: float

    def apply(self, sample: Mixture, library: Library) -> Mixture:
        """Return the edited mixture."""
        if not abs(self.by) <= MAX_MOVE:
            raise EditError(
                f"a multiplet is moved by {self.by:g} positions; expected at most {MAX_MOVE:g}"
            )
        shifts = np.zeros(library.axis.n_positions)
        shifts[_position(self.position, library)] = self.by
        return sample.each(
            lambda areas: shift_multiplets(
                areas, np.broadcast_to(shifts, (*areas.shape[:-2], len(shifts)))
            )
        )

    def words(self, library: Library) -> str:
        """Return the edit in words."""
        axis = library.axis
        by = f"{self.by * axis.width:+.2f} ppm" if axis.unit == "ppm" else f"{self.by:+g} positions"
        return f"move the multiplet at {_place(library, self.position)} by {by}"


@dataclass(frozen=True)
class Scale:
    """Multiply all areas at a position by a factor."""

    word: ClassVar[str] = "scale"
    position: int
    by: float

    def apply(self, sample: Mixture, library: Library) -> Mixture:
        """Return the edited mixture."""
        if not 0 < self.by <= MAX_AREA:
            raise EditError(
                f"a multiplet is scaled by {self.by:g}; expected above 0 to {MAX_AREA:g}, or"
                " remove it"
            )
        factor = np.ones(library.axis.n_positions, dtype=np.float32)
        factor[_position(self.position, library)] = self.by
        return sample.each(lambda areas: areas * factor)

    def words(self, library: Library) -> str:
        """Return the edit in words."""
        return f"{self.by:.3g} times the multiplet at {_place(library, self.position)}"


@dataclass(frozen=True)
class Amount:
    """Set the concentration of a compound of the library; compounds are counted from 1.

    In a mixture from a file, this concentration is added to what is there.
    """

    word: ClassVar[str] = "amount"
    compound: int
    amount: float

    def apply(self, sample: Mixture, library: Library) -> Mixture:
        """Return the edited mixture."""
        if not 1 <= self.compound <= library.n_compounds or not (
            self.amount == 0 or MIN_AMOUNT <= self.amount <= MAX_AMOUNT
        ):
            raise EditError(
                f"amount of compound {self.compound} is {self.amount:g}; expected 0, or"
                f" {MIN_AMOUNT:g} to {MAX_AMOUNT:g}, and a compound from 1 to"
                f" {library.n_compounds}"
            )
        k, amount = self.compound - 1, np.float32(self.amount)
        pure = library.areas[k] * amount
        if sample.contents is None:
            return replace(sample, areas=sample.areas + pure)
        sources, labels, concentrations = (part.copy() for part in sample.contents)
        present = labels == k
        if present.any():  # its multiplets stay where jitter has put them
            sources[present] *= amount / concentrations[present].sum()
            concentrations[present] *= amount / concentrations[present].sum()
        elif amount:
            if not (labels == library.n_compounds).any():  # no source is free: append one
                sources = np.concatenate([sources, np.zeros_like(sources[:1])])
                labels = np.append(labels, library.n_compounds)
                concentrations = np.append(concentrations, np.float32(0))
            free = int(np.flatnonzero(labels == library.n_compounds)[0])
            sources[free], labels[free], concentrations[free] = pure, k, amount
        areas = sample.areas + (sources.sum(axis=0) - sample.contents.sources.sum(axis=0))
        return _without_empty(
            Mixture(areas, sources, labels, concentrations, sample.unknown), library
        )

    def words(self, library: Library) -> str:
        """Return the edit in words."""
        name = (
            library.names[self.compound - 1]
            if 1 <= self.compound <= library.n_compounds
            else f"compound number {self.compound}"
        )
        return f"{self.amount:g} x {name}" if self.amount else f"no {name}"


@dataclass(frozen=True)
class Noise:
    """Add noise of a standard deviation (peak area) to every peak, drawn from a seed."""

    word: ClassVar[str] = "noise"
    level: float
    seed: int

    def apply(self, sample: Mixture, library: Library) -> Mixture:
        """Return the edited mixture."""
        if not 0 < self.level <= MAX_NOISE or not 0 <= self.seed < 2**31:
            raise EditError(
                f"noise is {self.level:g}, seed {self.seed}; expected above 0 to {MAX_NOISE:g}, and"
                " a seed below 2^31"
            )
        noise = generator(self.seed, "view", 1).normal(0.0, self.level, sample.areas.shape)
        return replace(sample, areas=sample.areas + noise.astype(np.float32))

    def words(self, library: Library) -> str:
        """Return the edit in words."""
        return f"add noise of {self.level:g} (seed {self.seed})"


Edit = Add | Cut | Move | Scale | Amount | Noise
KINDS = {kind.word: kind for kind in (Add, Cut, Move, Scale, Amount, Noise)}


def _without_empty(sample: Mixture, library: Library) -> Mixture:
    """Label sources without area as "no compound"."""
    if sample.contents is None:
        return sample
    sources, labels, concentrations = sample.contents
    empty = ~sources.any((1, 2))
    return replace(
        sample,
        labels=np.where(empty, library.n_compounds, labels),
        concentrations=np.where(empty, np.float32(0), concentrations),
    )


def apply(sample: Mixture, edits: tuple[Edit, ...], library: Library) -> Mixture:
    """Return the mixture after all edits, made in this order.

    Raises
    ------
    EditError
        If one is not possible with this library, or makes areas beyond `MAX_EDITED_AREA`.
    """
    for edit in edits:
        sample = edit.apply(sample, library)
        if not np.abs(sample.areas).max() <= MAX_EDITED_AREA:
            raise EditError(
                f"to {edit.words(library)} makes areas above {MAX_EDITED_AREA:g}; expected less:"
                " make it smaller, or undo"
            )
    return sample


def is_empty(sample: Mixture, plain: Mixture) -> bool:
    """Whether an edited mixture has no area, but for rounding; `plain` is without the edits."""
    return float(np.abs(sample.areas).max()) <= 1e-5 * float(np.abs(plain.areas).max())


def to_text(edits: tuple[Edit, ...]) -> str:
    """Return edits as the text in a link."""

    def part(value: object) -> str:
        return f"{value:.9g}" if isinstance(value, float) else str(value)

    return "~".join(
        "_".join([edit.word, *(part(getattr(edit, f.name)) for f in fields(edit))])
        for edit in edits
    )


def from_text(text: str) -> tuple[Edit, ...]:
    """Return the edits of a text in a link; `apply` checks their positions and compounds.

    Raises
    ------
    EditError
        If the text does not stand for edits, or has more than `MAX_EDITS` of them.
    """
    parts = text.split("~") if text else []
    if len(parts) > MAX_EDITS:
        raise EditError(f"{len(parts)} edits; expected at most {MAX_EDITS}: undo some")
    return tuple(map(_parsed, parts))


# For each type of value: its conversion, its pattern in a link, and its name in errors.
_VALUES: dict[Any, tuple[Callable[[str], Any], str, str]] = {
    int: (int, r"\d{1,10}", "a whole number"),
    float: (float, r"-?\d{1,4}(\.\d{1,13})?(e-?\d{1,2})?", "a number"),
    str: (str, r"[a-z]{1,9}", "a word"),
}


def _plain(text: str) -> str:
    """Return text without characters that make a link in Markdown."""
    return re.sub(r"[^\w.~-]", "?", text)


def _parsed(text: str) -> Edit:
    word, *values = text.split("_")
    kind = KINDS.get(word)
    if kind is None or len(values) != len(fields(kind)):
        raise EditError(
            "expected edits like add_5_d_2, cut_5, move_5_0.5, amount_3_2 or noise_0.1_7, not"
            f" '{_plain(text[:30])}'"
        )
    arguments = []
    for item, value in zip(fields(kind), values, strict=True):
        convert, pattern, expected = _VALUES[item.type]
        if not re.fullmatch(pattern, value):
            raise EditError(
                f"{item.name} of {word!r} is '{_plain(value[:20])}'; expected {expected}"
            )
        arguments.append(convert(value))
    return kind(*arguments)
