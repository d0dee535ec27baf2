"""Synthetic libraries at full scale, with the statistics of two real ones.

GISSMO (1,325 compounds; Dashti et al. 2017, 2018) is half aromatic fragments; HMDB (847
metabolites; Wishart et al.) is mostly aliphatic and has many unresolved multiplets. Multiplets,
kinds, protons, shifts and couplings follow the measured marginal distributions. What ties them
together within a compound is a simple model: aromatic and aliphatic shifts cluster, CH3 groups
stand upfield as s, d or t, neighbours share a coupling, and large couplings sit where CH2 pairs
are.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from nmrclassify.config import bounded, check
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.equivalent_compounds import equivalent_compounds
from nmrclassify.nmr.multiplets import n_couplings

AROMATIC = 6.3  # ppm


@dataclass(frozen=True)
class Statistics:
    """Measured marginal distributions of a real library: quantiles, and shares of kinds.

    Attributes
    ----------
    sizes, ppm, couplings : tuple of (float, float)
        Quantiles, as (share, value), of the multiplets of a compound, of their shifts in ppm, and
        of their couplings in Hz.
    kinds : dict
        Share of each kind; the rest to 1 is divided as in `RARE`.
    """

    sizes: tuple[tuple[float, float], ...]
    ppm: tuple[tuple[float, float], ...]
    couplings: tuple[tuple[float, float], ...]
    kinds: dict[str, float]


def _pairs(text: str) -> tuple[tuple[float, float], ...]:
    """Return "a b, c d" as ((a, b), (c, d))."""
    return tuple((float(a), float(b)) for a, b in (pair.split() for pair in text.split(",")))


def _matrix(text: str) -> np.ndarray:
    """Return the numbers of a text as a matrix, one row for each line."""
    return np.array(
        [[float(value) for value in line.split()] for line in text.splitlines() if line]
    )


GISSMO = Statistics(
    sizes=_pairs("0 1, 0.05 2, 0.25 3, 0.5 4, 0.75 6, 0.95 8, 0.99 10, 1 21"),
    # Each multiplet counts once; weighted by protons, the quartiles are 2.56, 3.87 and 7.25.
    ppm=_pairs(
        "0 0.7, 0.01 1, 0.05 1.6, 0.1 2.13, 0.15 2.44, 0.2 2.77, 0.25 3.17, 0.3 3.6, "
        "0.35 3.84, 0.4 4.12, 0.45 4.56, 0.5 6.28, 0.55 6.8, 0.6 7, 0.65 7.19, 0.7 7.32, "
        "0.75 7.41, 0.8 7.53, 0.85 7.66, 0.9 7.85, 0.95 8.15, 0.99 8.9, 1 9.9"
    ),
    couplings=_pairs("0 0.5, 0.05 1.1, 0.25 5, 0.5 7.2, 0.75 8.2, 0.95 12.6, 1 18"),
    kinds={
        "d": 0.206,
        "s": 0.198,
        "dd": 0.193,
        "t": 0.183,
        "ddd": 0.041,
        "dt": 0.037,
        "m": 0.028,
        "quint": 0.021,
        "td": 0.02,
        "tt": 0.019,
        "q": 0.012,
    },
)
HMDB = Statistics(
    sizes=_pairs("0 1, 0.05 1, 0.25 3, 0.5 5, 0.75 7, 0.95 14, 0.99 18, 1 32"),
    ppm=_pairs(
        "0 0.6, 0.065 1, 0.267 2, 0.438 3, 0.644 4, 0.747 5, 0.79 6, 0.857 7, 0.96 8, "
        "0.993 9, 1 9.9"
    ),
    couplings=_pairs("0 0.5, 0.05 1.5, 0.25 4.3, 0.5 7, 0.75 8.3, 0.95 14.6, 1 18"),
    kinds={
        "m": 0.37,
        "s": 0.155,
        "d": 0.146,
        "dd": 0.132,
        "t": 0.102,
        "ddd": 0.02,
        "td": 0.013,
        "q": 0.013,
        "dt": 0.011,
    },
)
RARE = {"ddt": 0.35, "quint": 0.15, "sept": 0.15, "dq": 0.15, "sext": 0.1, "tt": 0.1}
PROTONS = {1: 0.6, 2: 0.25, 3: 0.1, 6: 0.05}  # 6 stands for all above 3
MANY = {4: 0.55, 6: 0.33, 9: 0.12}

# Joint shares of regions, protons and kinds before they are fitted to the shares above: rounded
# from GISSMO, where each row adds up to 1.
_EDGES = (2.0, 3.0, 4.0, AROMATIC)
_KINDS = tuple(
    ["s", "d", "t", "q", "dd", "dt", "td", "tt", "ddd", "ddt", "quint", "sext", "sept", "dq", "m"]
)
_PROTONS_AT = _matrix("""
0.31 0.19 0.33  0.17
0.31 0.27 0.36  0.06
0.42 0.32 0.15  0.11
0.63 0.34 0.02  0.01
0.77 0.22 0.001 0.009
""")  # region x protons
_KINDS_AT = _matrix("""
0.13 0.16 0.14 0.001 0.01 0.005 0.005 0.05  0.02  0.01  0.08  0.02   0.005  0.01  0.21
0.39 0.03 0.15 0.02  0.14 0.03  0.01  0.02  0.06  0.02  0.03  0.002  0.01   0.002 0.05
0.28 0.07 0.18 0.02  0.27 0.03  0.01  0.02  0.05  0.002 0.04  0.001  0.01   0.001 0.005
0.29 0.2  0.11 0.05  0.18 0.03  0.02  0.01  0.05  0.01  0.01  0.003  0.007  0.01  0.01
0.11 0.31 0.22 0.002 0.22 0.05  0.03  0.015 0.035 0.002 0.006 0.0001 0.0001 0.001 0.001
""")  # region x kind
_KINDS_OF = _matrix("""
0.09 0.3  0.08 0.008 0.3   0.03  0.03  0.025 0.07  0.02   0.001  0.001  0.005  0.01   0.04
0.19 0.04 0.5  0.03  0.07  0.08  0.01  0.02  0.003 0.001  0.03   0.005  0.001  0.005  0.01
0.76 0.12 0.11 0.001 0.002 0.001 0.001 0.001 0.001 0.0001 0.0001 0.0001 0.0001 0.0001 0.0001
0.45 0.09 0.04 0.001 0.001 0.001 0.001 0.002 0.001 0.0001 0.3    0.001  0.01   0.0001 0.01
""")  # protons x kind
# Usual couplings of each splitting in Hz, the first group's first: aliphatic, aromatic.
_USUAL = {
    "d": (7.5, 7.5),
    "t": (7.1, 7.0),
    "q": (7.2, 2.0),
    "quint": (5.0, 2.5),
    "sext": (6.5, 2.0),
    "sept": (6.8, 2.0),
}
_USUAL_NEXT = ((10.5, 5.5, 3.5), (8.0, 2.5, 1.2))  # of a dd, ddd, dt, ...
_USUAL_M = (13.5, 9.5, 6.8, 4.8)


@dataclass(frozen=True)
class SyntheticConfig:
    """Size of a synthetic library, and which real library it resembles."""

    n_compounds: int = bounded(877, 1, 10_000, "compounds, the classes K")
    metabolites: float = bounded(
        0.5,
        0.0,
        1.0,
        "share of compounds with the statistics of HMDB; the others have those of GISSMO",
    )
    sharing: float = bounded(
        0.8, 0.0, 1.0, "probability that two multiplets next to each other share a coupling"
    )
    relatives: float = bounded(
        0.35,
        0.0,
        1.0,
        "share of compounds that have some multiplets of another compound, slightly changed",
    )

    def __post_init__(self) -> None:
        """Check the bounds."""
        check(self)


def synthetic_compounds(config: SyntheticConfig, rng: np.random.Generator) -> Compounds:
    """Draw a library of compounds with the statistics of real ones.

    Returns
    -------
    Compounds
        Named "compound 1", "compound 2", ...; no two are equivalent on `FULL_AXIS` at 0.01 ppm:
        such a compound is drawn again.

    Raises
    ------
    ValueError
        If 50 rounds leave equivalent compounds.
    """
    is_metabolite = rng.permutation(
        np.arange(config.n_compounds) < round(config.metabolites * config.n_compounds)
    )
    drawn: list[list[tuple]] = [[] for _ in is_metabolite]
    missing = np.arange(config.n_compounds)
    for _ in range(50):
        for statistics, members in ((GISSMO, ~is_metabolite), (HMDB, is_metabolite)):
            indices = missing[members[missing]]
            if len(indices):
                fresh = _draw(statistics, len(indices), config.sharing, rng)
                for k, rows in zip(indices, _related(fresh, config.relatives, rng), strict=True):
                    drawn[k] = rows
        compounds = _as_compounds(drawn)
        groups = equivalent_compounds(compounds, FULL_AXIS)
        missing = np.setdiff1d(
            np.arange(config.n_compounds), np.unique(groups, return_index=True)[1]
        )
        if not len(missing):
            return compounds
    raise ValueError(
        f"only {config.n_compounds - len(missing)} of the {config.n_compounds} compounds can be"
        " distinguished; lower n_compounds"
    )


def _related(drawn: list[list[tuple]], share: float, rng: np.random.Generator) -> list[list[tuple]]:
    """Return compounds with multiplets copied from others, as in homologues and isomers."""
    related = list(drawn)
    for k in np.flatnonzero(rng.random(len(drawn)) < share):
        other = drawn[int(rng.integers(len(drawn)))]
        keep = np.flatnonzero(rng.random(len(other)) < rng.uniform(0.3, 1.0))[: len(drawn[k])]
        # Between homologues, most multiplets of a common group move little, and some far.
        moves = 0.015 * rng.standard_t(2, len(keep)).clip(-15, 15)
        # Neighbours still share a coupling after it has changed.
        values = sorted({j for i in keep for j in other[i][3]})
        changed = dict(
            zip(
                values,
                (np.array(values) + 0.15 * rng.standard_normal(len(values)))
                .clip(0.3, 40)
                .round(2)
                .tolist(),
                strict=True,
            )
        )
        copied = []
        for i, move in zip(keep, moves.tolist(), strict=True):
            ppm, protons, kind, couplings = other[i]
            moved = tuple(sorted((changed[j] for j in couplings), reverse=True))
            copied.append((float(np.clip(ppm + move, 0.3, 10.5).round(4)), protons, kind, moved))
        rest = [drawn[k][i] for i in rng.permutation(len(drawn[k]))[: len(drawn[k]) - len(copied)]]
        related[k] = sorted(copied + rest)
    return related


def _as_compounds(drawn: list[list[tuple]]) -> Compounds:
    names = tuple(f"compound {k + 1}" for k in range(len(drawn)))
    compound = np.repeat(np.arange(len(drawn)), [len(rows) for rows in drawn])
    ppm, protons, kinds, couplings = zip(*(row for rows in drawn for row in rows), strict=True)
    return Compounds(names, compound, np.array(ppm), np.array(protons), kinds, couplings)


def _quantile(pairs: tuple[tuple[float, float], ...], share: np.ndarray) -> np.ndarray:
    shares, values = np.array(pairs).T
    return np.interp(share, shares, values)


def _draw(
    statistics: Statistics, n: int, sharing: float, rng: np.random.Generator
) -> list[list[tuple]]:
    """Draw n compounds as lists of (ppm, protons, kind, couplings), ppm ascending."""
    sizes = np.rint(_quantile(statistics.sizes, rng.random(n))).astype(int)
    compound = np.repeat(np.arange(n), sizes)
    ppm = _shifts(statistics, compound, n, rng)
    order = np.lexsort((ppm, compound))
    ppm = ppm[order].round(4)
    protons, kinds = _protons_and_kinds(statistics, ppm, rng)
    couplings = _couplings(statistics, compound, ppm, kinds, sharing, rng)
    drawn: list[list[tuple]] = [[] for _ in range(n)]
    for row in zip(compound, ppm, protons, kinds, couplings, strict=True):
        drawn[row[0]].append(row[1:])
    return drawn


def _shifts(
    statistics: Statistics, compound: np.ndarray, n: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw shifts that cluster within a compound and follow the measured quantiles over all."""
    values, shares = [pair[1] for pair in statistics.ppm], [pair[0] for pair in statistics.ppm]
    aliphatic = float(np.interp(AROMATIC, values, shares))
    # The aromatic share of a compound is near 0 or 1 more often than between.
    aromatic = (
        rng.random(len(compound)) < rng.beta(1.4 * (1 - aliphatic), 1.4 * aliphatic, n)[compound]
    )
    # The common part correlates the shifts of one compound in one region; each shift alone stays
    # uniform.
    common = rng.standard_normal((2, n))[aromatic.astype(int), compound]
    share = ndtr(np.sqrt(0.35) * common + np.sqrt(0.65) * rng.standard_normal(len(compound)))
    return _quantile(
        statistics.ppm, np.where(aromatic, aliphatic + share * (1 - aliphatic), share * aliphatic)
    )


def _protons_and_kinds(
    statistics: Statistics, ppm: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, list[str]]:
    """Draw protons and kinds that suit the shifts and follow the measured shares over all."""
    rare = 1 - sum(statistics.kinds.values())
    shares = np.array([statistics.kinds.get(kind, 0) + rare * RARE.get(kind, 0) for kind in _KINDS])
    values, below = [pair[1] for pair in statistics.ppm], [pair[0] for pair in statistics.ppm]
    at = np.diff(np.concatenate([[0], np.interp(_EDGES, values, below), [1]]))
    joint = (
        _PROTONS_AT[:, :, None] * _KINDS_AT[:, None] * _KINDS_OF / shares.clip(1e-3)
    )  # (regions, protons, kinds)
    for _ in range(100):  # iterative proportional fitting
        for axis, target in enumerate(
            (at, np.array(list(PROTONS.values())), shares / shares.sum())
        ):
            shape = [-1 if k == axis else 1 for k in range(3)]
            joint *= (target / joint.sum(axis=tuple(k for k in range(3) if k != axis))).reshape(
                shape
            )
    cumulative = joint.reshape(len(at), -1).cumsum(axis=1)
    region = np.searchsorted(_EDGES, ppm, side="right")
    cell = (
        (rng.random((len(ppm), 1)) * cumulative[region, -1:] >= cumulative[region])
        .sum(axis=1)
        .clip(max=cumulative.shape[1] - 1)
    )
    protons = np.array(list(PROTONS))[cell // len(_KINDS)]
    many = rng.choice(list(MANY), size=len(ppm), p=list(MANY.values()))
    return np.where(protons > 3, many, protons).astype(float), [
        _KINDS[k] for k in cell % len(_KINDS)
    ]


def _couplings(
    statistics: Statistics,
    compound: np.ndarray,
    ppm: np.ndarray,
    kinds: list[str],
    sharing: float,
    rng: np.random.Generator,
) -> list[tuple[float, ...]]:
    """Draw a value for each splitting, the largest where large ones are usual."""
    usual: list[float] = []
    slots: list[list[int]] = []  # of each multiplet, into `usual`
    is_shared = rng.random(len(kinds)) < sharing
    free = None  # the multiplet before, if it has a coupling that is not shared yet
    values: tuple[float, ...]
    for k, kind in enumerate(kinds):
        ring = int(ppm[k] >= AROMATIC)
        if kind == "m":
            values = _USUAL_M
        elif n_couplings(kind) == 1:
            values = (_USUAL[kind][ring],)
        else:
            values = _USUAL_NEXT[ring][: n_couplings(kind)]
        indices = list(range(len(usual), len(usual) + len(values)))
        partner = (
            free
            if free is not None
            and compound[free] == compound[k]
            and (ppm[free] >= AROMATIC) == ring
            else None
        )
        if indices and partner is not None and is_shared[k]:
            indices = [slots[partner][0], *indices[:-1]]
            values, free = values[1:], None
        elif indices:
            free = k
        usual += values
        slots.append(indices)
    order = np.argsort(np.array(usual) * np.exp(0.3 * rng.standard_normal(len(usual))))
    # A shared value is weighted by its uses: large values are shared more often, and would
    # otherwise be too frequent.
    uses = np.bincount([slot for indices in slots for slot in indices], minlength=len(usual))[order]
    drawn = np.empty(len(usual))
    drawn[order] = _quantile(
        statistics.couplings, (uses.cumsum() - uses * rng.random(len(usual))) / max(uses.sum(), 1)
    ).round(2)
    return [
        tuple(sorted((float(drawn[slot]) for slot in indices), reverse=True)) for indices in slots
    ]
