"""Second-order spectra: multiplets of strongly coupled protons, simulated at a frequency.

First-order multiplets hold where the shifts of coupled protons differ by far more than their
coupling, both in Hz. Otherwise lines move and change their areas ("roof effect"): in asparagine the
two protons of the CH2 group, .09 ppm apart, have a coupling of 17 Hz.

``data/spin_systems.csv`` lists the couplings between the multiplets of packaged compounds that need
this: where, at 400 MHz, the shifts of two coupled groups differ by less than 12 couplings. It was
derived from the table of the compounds: a coupling that two multiplets of a compound state is one
coupling between them. Protons of one shift are magnetically equivalent, unless ``pairs`` says
otherwise: where the table states two couplings with them, both are the mean. Its columns:

- ``first``, ``second``: rows of the compound in the table, counted from 1. No second: a nucleus
  that is not a proton, such as 31P.
- ``pairs``: which protons of two groups are coupled. ``all``: each with each; ``same``: the i-th
  with the i-th; ``weak``: the second group splits the first, at first order.
- ``j_hz``: negative between the protons of a CH2 group.
"""

import csv
import io
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

import numpy as np
from scipy.sparse.csgraph import connected_components

from nmrclassify.files import packaged
from nmrclassify.nmr.compound_files import common_metabolites
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.multiplets import MAX_LINES, Lines, given_lines, pascal_row

MAX_SPINS = 7  # 50 ms; each further spin takes ten times as long
MERGE = 0.1  # Hz; lines that are nearer are one
NEGLIGIBLE = 0.01  # of the area of a multiplet: weaker lines are left out


@dataclass(frozen=True)
class SpinSystem:
    """Coupled spins 1/2 of one compound.

    Attributes
    ----------
    rows : tuple of int, length n
        Multiplet of each spin, counted from 0 within the compound.
    couplings : tuple of tuples of float, (n, n)
        In Hz, signed; symmetric, with zeros on the diagonal.
    weak : tuple of (int, tuple of float of length n)
        Groups of equivalent nuclei outside the system: how many, and the coupling of each spin with
        them. They split the lines at first order.
    """

    rows: tuple[int, ...]
    couplings: tuple[tuple[float, ...], ...]
    weak: tuple[tuple[int, tuple[float, ...]], ...] = ()

    def __post_init__(self) -> None:
        """Check the shapes."""
        n, couplings = len(self.rows), np.array(self.couplings)
        if not 2 <= n <= MAX_SPINS:
            raise ValueError(f"a spin system has {n} spins; expected 2 to {MAX_SPINS}")
        if couplings.shape != (n, n) or (couplings != couplings.T).any() or couplings.trace():
            raise ValueError(
                f"couplings of {n} spins are {couplings.tolist()}; expected a symmetric"
                f" ({n}, {n}) matrix with zeros on its diagonal"
            )
        if any(len(shifts) != n for _, shifts in self.weak):
            raise ValueError(f"weak is {self.weak}; expected {n} couplings in each group")


def transitions(system: SpinSystem, hz: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the lines of a spin system.

    The Hamiltonian is that of nmrsim (G. Sametz). A transition
    belongs to the multiplet whose spins it flips most.

    Parameters
    ----------
    hz : ndarray, shape (n,)
        Larmor frequency of each spin, from any origin.

    Returns
    -------
    tuple of ndarrays, each of shape (transitions,)
        Frequency in Hz, area (they sum to n), and multiplet.
    """
    hz = np.asarray(hz, dtype=np.float64)
    if hz.shape != (len(system.rows),):
        raise ValueError(f"hz has the shape {hz.shape}; expected {(len(system.rows),)}")
    # Each state of the nuclei outside shifts the spins: state -> how many states shift alike.
    states: Counter[tuple[float, ...]] = Counter()
    groups = [
        [(m - n / 2, int(ways)) for m, ways in enumerate(pascal_row(n))] for n, _ in system.weak
    ]
    for chosen in product(*groups):
        shift, ways = np.zeros(len(hz)), 1
        for (m, count), (_, couplings) in zip(chosen, system.weak, strict=True):
            shift, ways = shift + m * np.array(couplings), ways * count
        states[tuple(shift.round(9))] += ways
    found = [
        (places, areas * ways / states.total(), rows)
        for shift, ways in states.items()
        for places, areas, rows in [_transitions(system, hz + shift)]
    ]
    places, areas, rows = map(np.concatenate, zip(*found, strict=True))
    return places, areas, rows


def _transitions(system: SpinSystem, hz: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n, centre = len(hz), float(hz.mean())
    # Bit k of a state, from the left, is 1 if spin k is down. The total spin is conserved.
    bits = (np.arange(2**n)[:, None] >> np.arange(n)[::-1]) & 1
    n_down = bits.sum(axis=1)
    hamiltonian = _coupling_energies(system.couplings) + np.diag((0.5 - bits) @ (hz - centre))
    multiplets = np.unique(system.rows)
    weights = np.array(system.rows)[:, None] == multiplets  # (n, multiplets)
    found = []
    blocks = [np.flatnonzero(n_down == k) for k in range(n + 1)]
    solved = [np.linalg.eigh(hamiltonian[np.ix_(block, block)]) for block in blocks]
    for k in range(n):
        upper, lower = blocks[k], blocks[k + 1]
        flipped = upper[:, None] ^ lower  # a power of 2 where one spin flips
        single = (flipped & (flipped - 1)) == 0
        spin = n - 1 - np.log2(flipped, where=single, out=np.zeros(flipped.shape)).astype(int)
        (energies, states), (energies_below, states_below) = solved[k], solved[k + 1]
        amplitudes = np.stack(
            [states.T @ (single * weights[spin, m]) @ states_below for m in range(len(multiplets))]
        )
        areas = amplitudes.sum(axis=0) ** 2 / 2 ** (n - 1)
        places = energies[:, None] - energies_below
        found.append(
            (places.ravel(), areas.ravel(), multiplets[np.abs(amplitudes).argmax(axis=0)].ravel())
        )
    places, areas, rows = map(np.concatenate, zip(*found, strict=True))
    return places + centre, areas, rows


@lru_cache(maxsize=128)
def _coupling_energies(couplings: tuple[tuple[float, ...], ...]) -> np.ndarray:
    """Return the part of the Hamiltonian that holds at any frequency, (2^n, 2^n), read-only."""
    # Imported here: it takes .2 s and most commands need no simulation.
    from nmrsim.qm import hamiltonian_dense

    energies = hamiltonian_dense(np.zeros(len(couplings)), np.array(couplings)).real
    energies.setflags(write=False)
    return energies


def second_order(compounds: Compounds, mhz: float) -> Compounds:
    """Return the library with simulated lines where protons are strongly coupled.

    A packaged compound is recognised by its name and by the kinds, couplings and protons of its
    multiplets. Their shifts are those of `compounds`; what moves them comes first:
    ``second_order(at_ph(compounds, ph), mhz)``. All others keep their first-order lines, as
    do those with given lines. The ppm of a simulated multiplet is the centre of its lines, which
    coupling moves by a few Hz at most. Where multiplets of a compound overlap, a line can belong to
    either, and their protons change (by .16 at most), not their sum. CH3 groups, and 31P, are taken
    as weakly coupled.

    Parameters
    ----------
    mhz : float
        1H frequency of the spectrometer.

    Raises
    ------
    ValueError
        If `mhz` is not a number above 0.
    """
    if not 0 < mhz < float("inf"):
        raise ValueError(f"mhz is {mhz!r}; expected a number above 0")
    systems, first = spin_systems(), compounds.first_multiplet
    ppm, protons = compounds.ppm.copy(), compounds.protons.copy()
    given = list(compounds.given or (None,) * compounds.n_multiplets)
    for k, name in enumerate(compounds.names):
        if name not in systems:
            continue
        rows = slice(first[k], first[k + 1])
        if _pattern(compounds, k) != _pattern(*_packaged_compound(name)) or any(given[rows]):
            continue
        for system in systems[name]:
            shifts = tuple(float(compounds.ppm[first[k] + row]) for row in system.rows)
            for row, simulated in _simulated(system, shifts, float(mhz)):
                ppm[first[k] + row] = simulated.centre
                protons[first[k] + row] *= simulated.area
                given[first[k] + row] = simulated.lines
    if not any(given):
        return compounds
    return replace(compounds, ppm=ppm, protons=protons, given=tuple(given))


def _pattern(compounds: Compounds, k: int) -> tuple:
    first = compounds.first_multiplet
    rows = slice(first[k], first[k + 1])
    protons = tuple(compounds.protons[rows].tolist())
    return compounds.kinds[rows], compounds.couplings[rows], protons


@lru_cache(maxsize=1)
def _packaged_index() -> dict[str, int]:
    return {name: k for k, name in enumerate(common_metabolites().names)}


def _packaged_compound(name: str) -> tuple[Compounds, int]:
    return common_metabolites(), _packaged_index()[name]


@dataclass(frozen=True)
class _Simulated:
    """A simulated multiplet: centre of its lines in ppm, area for each proton, lines."""

    centre: float
    area: float
    lines: Lines


@lru_cache(maxsize=2048)
def _simulated(
    system: SpinSystem, ppm: tuple[float, ...], mhz: float
) -> tuple[tuple[int, _Simulated], ...]:
    """Return row and simulation of each multiplet of a system."""
    places, areas, rows = transitions(system, np.array(ppm) * mhz)
    result = []
    for row in sorted(set(system.rows)):
        some = rows == row
        area = float(areas[some].sum()) / system.rows.count(row)
        hz, sizes = _merged(places[some], areas[some], MERGE, None)
        kept = sizes >= NEGLIGIBLE * sizes.sum()
        hz, sizes = _merged(hz[kept], sizes[kept], 0.0, MAX_LINES)
        centre, lines = given_lines(hz.tolist(), sizes.tolist())
        # A rounding error would make equal numbers of protons differ.
        result.append((row, _Simulated(centre / mhz, round(area, 6), lines)))
    return tuple(result)


def _merged(
    hz: np.ndarray, areas: np.ndarray, gap: float, most: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Merge the two closest lines while they are within `gap` Hz or there are more than `most`."""
    kept = areas > 1e-6 * areas.sum()
    order = hz[kept].argsort()
    hz, areas = hz[kept][order], areas[kept][order]
    # Transitions that differ by rounding errors only are merged in one step.
    starts = np.flatnonzero(np.r_[True, np.diff(hz) > 1e-3])
    sums = np.add.reduceat(areas, starts)
    hz, areas = np.add.reduceat(areas * hz, starts) / sums, sums
    while len(hz) > 1:
        gaps = np.diff(hz)
        k = int(gaps.round(9).argmin())
        if gaps[k] >= gap and (most is None or len(hz) <= most):
            break
        area = areas[k] + areas[k + 1]
        hz[k] = (areas[k] * hz[k] + areas[k + 1] * hz[k + 1]) / area
        areas[k] = area
        hz, areas = np.delete(hz, k + 1), np.delete(areas, k + 1)
    return hz, areas


@lru_cache(maxsize=1)
def spin_systems() -> dict[str, tuple[SpinSystem, ...]]:
    """Return the spin systems of the packaged compounds that need them, by name."""
    rows_of = defaultdict(list)
    for row in csv.DictReader(io.StringIO(packaged("spin_systems.csv").decode())):
        rows_of[row["compound"]].append(row)
    return {name: _read(name, rows) for name, rows in rows_of.items()}


def _read(name: str, rows: list[dict[str, str]]) -> tuple[SpinSystem, ...]:
    """Return the spin systems of a compound: what is coupled, in one piece."""
    compounds, k = _packaged_compound(name)
    protons = compounds.protons[compounds.first_multiplet[k] : compounds.first_multiplet[k + 1]]
    sizes = np.maximum(1, protons.round()).astype(int)  # a mixture of anomers has less than 1
    inside = sorted({int(row[end]) - 1 for row in rows if row["pairs"] != "weak" for end in _ENDS})
    spins = [(row, i) for row in inside for i in range(sizes[row])]
    index = {spin: i for i, spin in enumerate(spins)}
    matrix = np.zeros((len(spins), len(spins)))
    weak: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(spins)))
    for row in rows:
        first, coupling = int(row["first"]) - 1, float(row["j_hz"])
        if row["pairs"] == "weak":
            weak[row["second"]][[index[first, i] for i in range(sizes[first])]] = coupling
            continue
        second = int(row["second"]) - 1
        for i, j in product(range(sizes[first]), range(sizes[second])):
            if row["pairs"] == "all" or i == j:
                one, other = index[first, i], index[second, j]
                matrix[one, other] = matrix[other, one] = coupling
    count, label = connected_components(matrix != 0, directed=False)
    systems = []
    for piece in range(count):
        chosen = np.flatnonzero(label == piece)
        systems.append(
            SpinSystem(
                tuple(spins[i][0] for i in chosen),
                tuple(map(tuple, matrix[np.ix_(chosen, chosen)].tolist())),
                tuple(
                    (int(sizes[int(second) - 1]) if second else 1, tuple(shifts[chosen].tolist()))
                    for second, shifts in weak.items()
                    if shifts[chosen].any()
                ),
            )
        )
    # The halves of a symmetric compound are one system.
    return tuple(dict.fromkeys(systems))


_ENDS = ("first", "second")
