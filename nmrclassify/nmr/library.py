"""Compound libraries: K pure compounds, each a map of multiplets along one axis."""

import io
import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from nmrclassify.config import bounded, check
from nmrclassify.files import packaged, quoted
from nmrclassify.nmr.axis import PPM_AXIS, Axis
from nmrclassify.nmr.multiplets import SYMBOLS, all_patterns, pattern

_NAME = re.compile(r"(?!_)[\w \-+,.'()/]{1,80}(?<!_)")


@dataclass(frozen=True)
class Library:
    """K named compounds as one dense array.

    Attributes
    ----------
    names : tuple of str, length K
    areas : ndarray, shape (K, P, L), float32
        Peak areas of each compound at concentration 1 (proton counts, in the metabolite library).
    """

    names: tuple[str, ...]
    areas: np.ndarray
    axis: Axis

    def __post_init__(self) -> None:
        """Check shapes, areas and names."""
        if (
            self.areas.ndim != 3
            or self.areas.shape[0] != len(self.names)
            or self.areas.shape[2] != self.axis.n_positions
        ):
            raise ValueError(
                f"library areas have shape {self.areas.shape}; expected ({len(self.names)}"
                f" compounds, peaks, {self.axis.n_positions} positions)"
            )
        if not np.isfinite(self.areas).all() or (self.areas < 0).any():
            raise ValueError(
                "library areas hold a negative or undefined number; expected areas of 0 or more"
            )
        empty = [
            name for name, areas in zip(self.names, self.areas, strict=True) if not areas.any()
        ]
        if empty:
            raise ValueError(
                f"compound {quoted(empty[0])} has no multiplet; give it at least one, or leave it"
                " out"
            )
        for name in self.names:
            # Every page shows names inside Markdown and HTML: they must hold no markup.
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"compound name {quoted(name)} is not usable; it may hold 1 to 80 letters,"
                    " digits, spaces and -+,.'()/"
                )
        if len(set(self.names)) != len(self.names):
            raise ValueError("two compounds share a name; give each a different one")

    @property
    def n_compounds(self) -> int:
        """K, the number of compounds (classes)."""
        return self.areas.shape[0]

    @property
    def n_peaks(self) -> int:
        """P, the number of peaks of a multiplet."""
        return self.areas.shape[1]

    @property
    def occupancy(self) -> np.ndarray:
        """Share of the positions that each compound fills, shape (K,)."""
        return self.areas.any(axis=1).mean(axis=1)


@dataclass(frozen=True)
class LibraryConfig:
    """Sizes of a random library, as in the design document."""

    n_compounds: int = bounded(10, 1, 64, "compounds, the classes K")
    n_positions: int = bounded(21, 4, 512, "positions on the axis, L")
    n_peaks: int = bounded(6, 2, 6, "peaks of a multiplet, P")
    n_sets: int = bounded(2, 1, 8, "sets of multiplets that are added to form a compound")
    occupancy: float = bounded(
        0.1, 0.01, 1.0, "probability that one set has a multiplet at a position"
    )
    # Share of the positions that a compound fills, to the next number of positions below or above;
    # 0 for any, as in version 0.1.
    filled: float = bounded(0.2, 0.0, 1.0, "share of the positions that a compound fills")

    def __post_init__(self) -> None:
        """Check the bounds."""
        check(self)


def random_library(config: LibraryConfig, rng: np.random.Generator) -> Library:
    """Draw a library: a compound is the sum of `n_sets` sets of randomly placed unit multiplets.

    A compound is drawn again if it does not fill the share `filled` of the positions, has no
    multiplet, or equals an earlier one: no network could classify it.

    Raises
    ------
    ValueError
        If too few distinct compounds are drawn at these sizes.
    """
    patterns = all_patterns(config.n_peaks)  # (kinds, P)
    compounds: dict[bytes, np.ndarray] = {}
    for _ in range(1000 * config.n_compounds):
        present = rng.random((config.n_sets, config.n_positions)) < config.occupancy
        kinds = rng.integers(len(patterns), size=present.shape)
        areas = (patterns[kinds] * present[..., None]).sum(axis=0).T.astype(np.float32)  # (P, L)
        n_filled = int(areas.any(axis=0).sum())
        fits = not config.filled or abs(n_filled - config.filled * config.n_positions) < 1
        if n_filled and fits:
            compounds.setdefault(areas.tobytes(), areas)
        if len(compounds) == config.n_compounds:
            break
    else:
        raise ValueError(
            f"only {len(compounds)} distinct compounds were drawn; expected {config.n_compounds}:"
            " change occupancy or filled, raise n_positions, or lower n_compounds"
        )
    names = tuple(f"compound {k}" for k in range(config.n_compounds))
    return Library(
        names,
        np.ascontiguousarray(np.stack(list(compounds.values()))),
        Axis(config.n_positions, 0.0, float(config.n_positions)),
    )


# Ten common metabolites with few multiplets, the compounds of the toy.
METABOLITES = (
    "ethanol",
    "lactate",
    "alanine",
    "acetate",
    "glycine",
    "valine",
    "succinate",
    "citrate",
    "creatinine",
    "formate",
)


@lru_cache(maxsize=1)
def metabolite_table() -> pd.DataFrame:
    """Return the multiplets of `METABOLITES`, each with its reference.

    A kind without a pattern, such as "dsept", becomes an unresolved multiplet, "m".
    """
    table = pd.read_csv(io.BytesIO(packaged("common_metabolites.csv"))).set_index("compound")
    table = table.loc[list(METABOLITES)].reset_index()
    table["multiplicity"] = table["kind"].where(table["kind"].isin(SYMBOLS), "m")
    return table[["compound", "ppm", "multiplicity", "protons", "reference"]]


@lru_cache(maxsize=1)
def metabolite_library() -> Library:
    """Return `METABOLITES` on 21 positions of 0.5 ppm from 0 to 10.5; areas are proton counts."""
    areas = np.zeros((len(METABOLITES), 6, PPM_AXIS.n_positions), dtype=np.float32)
    table = metabolite_table()
    columns = (table[name] for name in ("compound", "ppm", "multiplicity", "protons"))
    for compound, ppm, kind, protons in zip(*columns, strict=True):
        position = PPM_AXIS.position(ppm)
        areas[METABOLITES.index(compound), :, position] += protons * pattern(kind)  # (P,)
    return Library(METABOLITES, areas, PPM_AXIS)
