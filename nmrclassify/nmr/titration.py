"""Shifts that depend on the pH: the groups of a compound that take up protons.

Between the protonated and the deprotonated form of a group, protons exchange fast, so that a
multiplet stands at the mean of its two places, weighted by the fractions of the forms:

    ppm(pH) = ppm(7.4) + sum over groups of change * (f(pH) - f(7.4)),  f = 1 / (1 + 10^(pH - pKa))

``data/acid_base.csv`` has one group a row: its compound, its class, its pKa, the positions of the
compound's multiplets (by their ppm in the packaged table) relative to the group, and where the pKa
is from. Changes are stated once for each class and position, in `CHANGES`; they are usual values of
the class, not measurements of the compound. Where a change is published for the compound [1]_, the
row states it ("published +0.179").

Not modelled: oxo acids add water in acid, which lowers their amount; protons at carbon that are
exchanged for deuterium; groups beyond pH 0.5 to 12.

References
----------
.. [1] G. D. Tredwell, J. G. Bundy, M. De Iorio, T. M. D. Ebbels, "Modelling the acid/base 1H NMR
   chemical shift limits of metabolites in human urine", Metabolomics 12, 152 (2016).
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from nmrclassify.files import packaged
from nmrclassify.nmr.compound_files import common_metabolites
from nmrclassify.nmr.compounds import Compounds

TABLE_PH = 7.4  # at which the packaged table was measured
PH_BOUNDS = (0.5, 12.0)
PKA_SOURCES = ("CRC Handbook", "Tredwell 2016", "textbook", "analogy")  # analogy: a like compound
PKA_SD = 0.15  # ionic strength and temperature move a pKa by as much
RELATIVE_SD = 0.2  # of a class's change
LEAST_SD = 0.01  # ppm, of a class's change
PUBLISHED_SD = 0.005  # ppm
PUBLISHED = "published"
_SAME_PPM = 5e-4

# Change of a shift in ppm when the group takes up a proton, by the position of the multiplet:
# alpha is at the carbon beside the group's carbon or nitrogen.
CHANGES: dict[str, dict[str, float]] = {
    "carboxyl": {"alpha": 0.2, "beta": 0.06, "gamma": 0.025, "far": 0.01, "vinyl": 0.14},
    "amino acid carboxyl": {
        "alpha": 0.33,
        "beta": 0.09,
        "gamma": 0.03,
        "delta": 0.01,
        "N-methyl": 0.07,
    },
    "acyl amino acid carboxyl": {"alpha": 0.23, "beta": 0.08, "gamma": 0.03, "far": 0.02},
    "hydroxy acid carboxyl": {"alpha": 0.25, "beta": 0.085, "gamma": 0.03},
    "oxo acid carboxyl": {"beta": 0.12, "gamma": 0.03},
    "aromatic carboxyl": {"ortho": 0.16, "meta": 0.06, "para": 0.12},
    "amino acid ammonium": {"alpha": 0.4, "beta": 0.22, "gamma": 0.1, "delta": 0.04},
    "ammonium": {"alpha": 0.38, "beta": 0.22, "gamma": 0.08, "delta": 0.03, "far": 0.01},
    "secondary ammonium": {"alpha": 0.43, "beta": 0.2},
    "tertiary ammonium": {"alpha": 0.62},
    "imidazole": {"H2": 0.9, "H5": 0.35, "CH2": 0.15, "next": 0.07, "N-methyl": 0.2},
    "pyridine": {"H2": 0.4, "H4": 0.65, "H5": 0.6, "H6": 0.35},
    "adenine": {"H2": 0.28, "H8": 0.22, "H1'": 0.1, "sugar": 0.03},
    "purine": {"near": 0.4, "far": 0.1},
    "cytosine": {"H5": 0.22, "H6": 0.28, "sugar": 0.03},
    "amidine": {"CH2": 0.22, "N-methyl": 0.09},
    "lactam": {"near": 0.15, "far": 0.08},
    "phosphate": {"alpha": 0.08, "beta": 0.03},
    "thiol": {"alpha": 0.2, "beta": 0.15},
    "phenol": {"ortho": 0.28, "meta": 0.17, "far": 0.05},
    "enol": {"alpha": 0.43, "beta": 0.06, "gamma": 0.03},
    "sulfinic acid": {"alpha": 0.3, "beta": 0.08},
    "N-oxide": {"alpha": 0.3},
}


@dataclass(frozen=True, eq=False)
class Titrations:
    """The groups of a library that take up protons, and the multiplets that they move.

    A pair is a group and a multiplet that it moves.

    Attributes
    ----------
    n_multiplets : int
        M, of the library.
    pka : ndarray, shape (G,)
        Of each group.
    owner : ndarray, shape (G,), int64
        Compound of each group.
    group, multiplet : ndarrays, shape (n,), int64
        Of each pair.
    change, change_sd : ndarrays, shape (n,)
        ppm by which the multiplet moves when the group takes up a proton, and the standard
        deviation of what is not known of it.
    """

    n_multiplets: int
    pka: np.ndarray
    owner: np.ndarray
    group: np.ndarray
    multiplet: np.ndarray
    change: np.ndarray
    change_sd: np.ndarray

    @classmethod
    def of(cls, compounds: Compounds) -> "Titrations":
        """Return those of a library.

        Only compounds whose name and multiplets (ppm) are those of the packaged table have groups:
        another table may have been measured at another pH.

        Raises
        ------
        ValueError
            If the lines of such a compound were simulated: `second_order` moves its places, and
            comes after `at_ph`.
        """
        table = common_metabolites()
        known = _places_of(table)
        for k, name in enumerate(compounds.names if compounds.given else ()):
            rows = slice(compounds.first_multiplet[k], compounds.first_multiplet[k + 1])
            if any(compounds.given[rows]) and name in known:
                j = table.names.index(name)
                whole = slice(table.first_multiplet[j], table.first_multiplet[j + 1])
                same = compounds.couplings[rows] == table.couplings[whole]
                if same and any(table.couplings[whole]):  # a pure spectrum states none
                    raise ValueError(
                        f"the lines of {name} were simulated; expected the library as it is in its"
                        " table: apply `second_order` after the pH"
                    )
        index = {
            name: k
            for k, (name, ppm) in enumerate(_places_of(compounds).items())
            if name in known and _is_same(ppm, known[name])
        }
        pka, owner = list[float](), list[int]()
        pairs = list[tuple[int, int, float, float]]()
        for row in acid_base_table():
            if row.compound not in index:
                continue
            k = index[row.compound]
            first, end = compounds.first_multiplet[k], compounds.first_multiplet[k + 1]
            for place, change, deviation in row.changes:
                for m in range(first, end):
                    if abs(compounds.ppm[m] - place) < _SAME_PPM:
                        pairs.append((len(pka), m, change, deviation))
            pka.append(row.pka)
            owner.append(k)
        columns = np.array(pairs).reshape(-1, 4).T
        return cls(
            compounds.n_multiplets,
            np.array(pka, dtype=float),
            np.array(owner, dtype=np.int64),
            columns[0].astype(np.int64),
            columns[1].astype(np.int64),
            columns[2],
            columns[3],
        )

    def fractions(self, ph: float | np.ndarray, pka: np.ndarray | None = None) -> np.ndarray:
        """Return the protonated fraction of each group, shape (..., G), for pH values (...)."""
        pka = self.pka if pka is None else pka
        return 1 / (1 + 10.0 ** (np.asarray(ph, dtype=float)[..., None] - pka))

    def moves(
        self,
        ph: float | np.ndarray,
        pka: np.ndarray | None = None,
        change: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the distance of each multiplet from the table in ppm.

        Parameters
        ----------
        ph : float or ndarray of any shape
        pka : ndarray, shape (G,), optional
            Instead of the stated ones.
        change : ndarray, shape (n,), optional
            Instead of the stated ones.

        Returns
        -------
        ndarray, shape (..., M)
        """
        taken_up = self.fractions(ph, pka) - self.fractions(TABLE_PH, pka)  # (..., G)
        change = self.change if change is None else change
        return self._summed(taken_up[..., self.group] * change)

    def spread_at(self, ph: float | np.ndarray) -> np.ndarray:
        """Return the standard deviation in ppm of what is not known of `moves`, shape (..., M).

        It grows with the distance from pH 7.4, where the table was measured, and near a pKa.
        """
        fraction, usual = self.fractions(ph), self.fractions(TABLE_PH)
        of_change = ((fraction - usual)[..., self.group] * self.change_sd) ** 2
        slope = np.log(10) * (fraction * (1 - fraction) - usual * (1 - usual)) * PKA_SD
        of_pka = (slope[..., self.group] * self.change) ** 2
        return np.sqrt(self._summed(of_change + of_pka))

    def _summed(self, of_pairs: np.ndarray) -> np.ndarray:
        """Return the sum over the pairs of each multiplet, shape (..., M)."""
        shape = of_pairs.shape[:-1]
        flat = of_pairs.reshape(int(np.prod(shape)), len(self.multiplet))
        sums = [np.bincount(self.multiplet, row, self.n_multiplets) for row in flat]
        return np.reshape(sums, (*shape, self.n_multiplets))

    def drawn(self, ph: float, rng: np.random.Generator) -> np.ndarray:
        """Return moves of a sample that deviates from the table as samples do, shape (M,), in ppm.

        Each pKa deviates by `PKA_SD`, each change by its standard deviation, at most by 15 % of the
        change, or .01 ppm if that is more.
        """
        pka = self.pka + PKA_SD * rng.standard_normal(len(self.pka))
        deviation = np.minimum(self.change_sd, np.maximum(0.15 * np.abs(self.change), LEAST_SD))
        change = self.change + deviation * rng.standard_normal(len(self.change))
        return self.moves(ph, pka, change)


def at_ph(compounds: Compounds, ph: float) -> Compounds:
    """Return a library as it is at a pH: the ppm of multiplets change, and how well they are known.

    The library must be as its table has it, at pH 7.4. A compound whose places are not those of the
    packaged table, such as one that was moved to another pH before, stays as it is.

    Raises
    ------
    ValueError
        If the pH is out of `PH_BOUNDS`, or the library's lines were simulated, see `Titrations.of`.
    """
    low, high = PH_BOUNDS
    if not low <= ph <= high:
        raise ValueError(f"the pH is {ph!r}; expected a number from {low:g} to {high:g}")
    if ph == TABLE_PH:
        return compounds
    titrations = Titrations.of(compounds)
    if not len(titrations.pka):
        return compounds
    deviations = np.hypot(compounds.deviations, titrations.spread_at(ph))
    return replace(compounds, ppm=compounds.ppm + titrations.moves(ph), deviations=deviations)


@dataclass(frozen=True)
class AcidBaseRow:
    """A group of ``data/acid_base.csv``.

    Attributes
    ----------
    changes : tuple of (float, float, float)
        ppm of a multiplet in the packaged table; its change, and the change's standard deviation,
        in ppm.
    pka_source : str
        One of `PKA_SOURCES`.
    """

    compound: str
    kind: str
    pka: float
    changes: tuple[tuple[float, float, float], ...]
    pka_source: str


@lru_cache(maxsize=1)
def acid_base_table() -> tuple[AcidBaseRow, ...]:
    """Return the rows of ``data/acid_base.csv``.

    Raises
    ------
    ValueError
        If a row names an unknown class, position or source.
    """
    text = packaged("acid_base.csv").decode()
    return tuple(
        AcidBaseRow(
            row["compound"],
            row["group"],
            float(row["pka"]),
            tuple(_changes(row["group"], row["positions"])),
            _checked(row["pka_source"], PKA_SOURCES, "source of a pKa"),
        )
        for row in csv.DictReader(io.StringIO(text))
    )


def _changes(kind: str, positions: str) -> list[tuple[float, float, float]]:
    """Read "alpha: 3.77; beta: 1.47 1.5", where "alpha&beta" is the mean of both.

    A mean holds where one of several equal groups has the proton, each for a part of the time.
    """
    of_kind = CHANGES[_checked(kind, tuple(CHANGES), "class of a group")]
    changes = []
    for part in positions.split(";"):
        name, _, places = part.partition(":")
        word, _, stated = name.strip().partition(" ")
        if word == PUBLISHED:
            change, deviation = float(stated), PUBLISHED_SD
        else:
            expected = tuple(of_kind)
            parts = [of_kind[_checked(p, expected, "position")] for p in name.strip().split("&")]
            change = sum(parts) / len(parts)
            deviation = max(RELATIVE_SD * abs(change), LEAST_SD)
        changes += [(float(place), change, deviation) for place in places.split()]
    return changes


def _checked(text: str, allowed: Sequence[str], what: str) -> str:
    if text not in allowed:
        raise ValueError(f"the {what} is {text!r}; expected one of {', '.join(allowed)}")
    return text


def _places_of(compounds: Compounds) -> dict[str, np.ndarray]:
    """Return the ppm of each compound's multiplets, by its name."""
    parts = np.split(compounds.ppm, compounds.first_multiplet[1:-1])
    return dict(zip(compounds.names, parts, strict=True))


def _is_same(ppm: np.ndarray, places: np.ndarray) -> bool:
    """Return whether each multiplet is one of the table's; some may have been left out."""
    return bool((np.abs(np.subtract.outer(ppm, places)).min(1) < _SAME_PPM).all())
