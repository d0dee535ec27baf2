"""Second-order spectra: multiplets of strongly coupled protons, simulated at a frequency.

First-order multiplets hold where the shifts of coupled protons differ by far more than their
coupling, both in Hz. Otherwise lines move and change their areas ("roof effect"): in asparagine the
two protons of the CH2 group, .09 ppm apart, have a coupling of 17 Hz.

``data/spin_systems.csv`` lists the couplings between the multiplets of packaged compounds that need
this: where, at 400 MHz, the shifts of two coupled groups differ by less than 12 couplings. It was
derived from the table of the compounds: a coupling that two multiplets of a compound state is one
coupling between them. Protons of one shift are magnetically equivalent, unless ``pairs`` says
otherwise. Where the table states two couplings with such protons, their mean stands for both. Its
columns:

- ``first``, ``second``: rows of the compound in the table, counted from 1. No second: a nucleus
  that is not a proton, such as 31P.
- ``pairs``: which protons of two groups are coupled. ``all``: each with each; ``same``: the i-th
  with the i-th; ``weak``: the second group, far away, is coupled with the first at first order.
- ``j_hz``: negative between the protons of a CH2 group.
"""

import csv
import io
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise, product
from math import comb, prod

import numpy as np
from scipy.sparse.csgraph import connected_components

from nmrclassify.files import packaged
from nmrclassify.nmr.compound_files import common_metabolites
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.multiplets import MAX_LINES, Lines, given_lines

_ENDS = ("first", "second")
MAX_SPINS = 7  # 50 ms; each further spin takes ten times as long
NEGLIGIBLE = 0.01  # of the area of a multiplet: weaker lines are left out
KEPT = 0.96  # of the area of a multiplet: as much must be in lines that are not left out
MERGE = (0.1, 0.2, 0.4, 0.8)  # Hz: nearer lines are merged; the first is used that keeps `KEPT`


@dataclass(frozen=True)
class WeakGroup:
    """Equivalent nuclei that are coupled with a spin system at first order: CH3, or 31P.

    Attributes
    ----------
    count : int
        Number of nuclei.
    couplings : tuple of float, length n
        Of each spin of the system with them, in Hz.
    row : int, optional
        Their multiplet, counted from 0 within the compound; None if they are no protons.
    """

    count: int
    couplings: tuple[float, ...]
    row: int | None = None


@dataclass(frozen=True)
class SpinSystem:
    """Coupled spins 1/2 of one compound.

    Attributes
    ----------
    spins : tuple of int, length n
        Multiplet of each spin, counted from 0 within the compound.
    couplings : tuple of tuples of float, (n, n)
        In Hz, signed; symmetric, with zeros on the diagonal.
    weak : tuple of WeakGroup
    """

    spins: tuple[int, ...]
    couplings: tuple[tuple[float, ...], ...]
    weak: tuple[WeakGroup, ...] = ()

    def __post_init__(self) -> None:
        """Check the shapes."""
        n, couplings = len(self.spins), np.array(self.couplings)
        if not 2 <= n <= MAX_SPINS:
            raise ValueError(f"a spin system has {n} spins; expected 2 to {MAX_SPINS}")
        if couplings.shape != (n, n) or (couplings != couplings.T).any() or couplings.trace():
            raise ValueError(
                f"couplings of {n} spins are {couplings.tolist()}; expected a symmetric"
                f" ({n}, {n}) matrix with zeros on its diagonal"
            )
        if any(len(group.couplings) != n for group in self.weak):
            raise ValueError(f"weak is {self.weak}; expected {n} couplings in each group")

    @property
    def protons(self) -> tuple[tuple[int, int], ...]:
        """Multiplet and number of protons: of each spin, then of each weak group of protons."""
        groups = [(group.row, group.count) for group in self.weak if group.row is not None]
        return (*((row, 1) for row in self.spins), *groups)


def transitions(system: SpinSystem, hz: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the lines of a spin system.

    The energies of the couplings are those of nmrsim (G. Sametz). A transition belongs to the
    multiplet whose spins it flips most.

    Parameters
    ----------
    hz : ndarray, shape (len(system.protons),)
        Larmor frequencies, from any origin.

    Returns
    -------
    tuple of ndarrays, each of shape (transitions,)
        Frequency in Hz, area (they sum to the number of protons), and multiplet.
    """
    hz = np.asarray(hz, dtype=np.float64)
    if hz.shape != (len(system.protons),):
        raise ValueError(f"hz has the shape {hz.shape}; expected {(len(system.protons),)}")
    n = len(system.spins)
    centre, spins_hz = float(hz[:n].mean()), hz[:n] - hz[:n].mean()
    couplings = np.array([group.couplings for group in system.weak]).reshape(-1, n)
    # States of the weak groups, by how many of their nuclei are down. Each shifts the spins.
    counts = np.array([group.count for group in system.weak], dtype=int)
    states = list(product(*(range(count + 1) for count in counts)))
    total = 2 ** int(counts.sum())

    def ways(state: tuple[int, ...]) -> int:
        return prod(map(comb, counts.tolist(), state))

    def shift(state: tuple[int, ...]) -> tuple[float, ...]:
        return tuple(((counts / 2 - np.array(state)) @ couplings).round(9).tolist())

    solved = {key: _eigenstates(system, spins_hz + key) for key in set(map(shift, states))}
    alike: Counter[tuple[float, ...]] = Counter()
    for state in states:
        alike[shift(state)] += ways(state)
    found = []
    for key, n_ways in alike.items():
        places, areas, rows = _flips(system, solved[key])
        found.append((places + centre, areas * n_ways / total, rows))
    # One nucleus of a weak group flips: the spins find themselves in another field.
    n_before = n
    for g, group in enumerate(system.weak):
        if group.row is None:
            continue
        pairs: Counter[tuple[tuple[float, ...], tuple[float, ...]]] = Counter()
        for state in states:
            if state[g] < group.count:
                after = (*state[:g], state[g] + 1, *state[g + 1 :])
                pairs[shift(state), shift(after)] += ways(state) * (group.count - state[g])
        for (before, after_flip), n_ways in pairs.items():
            for (energies, vectors), (energies_after, vectors_after) in zip(
                solved[before], solved[after_flip], strict=True
            ):
                areas = (vectors.T @ vectors_after) ** 2 * n_ways * 2 / total / 2**n
                places = hz[n_before] + energies[:, None] - energies_after
                found.append((places.ravel(), areas.ravel(), np.full(areas.size, group.row)))
        n_before += 1
    places, areas, rows = map(np.concatenate, zip(*found, strict=True))
    return places, areas, rows


@lru_cache(maxsize=MAX_SPINS)
def _blocks(n: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return which spins are down in each state, (2^n, n), and the states of each total spin.

    The first spin is the most significant bit of a state, as in nmrsim.
    """
    down = (np.arange(2**n)[:, None] >> np.arange(n)[::-1]) & 1
    return down, [np.flatnonzero(down.sum(axis=1) == k) for k in range(n + 1)]


def _eigenstates(system: SpinSystem, hz: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return energies in Hz and eigenvectors of each total spin, which is conserved."""
    down, blocks = _blocks(len(hz))
    hamiltonian = _coupling_energies(system.couplings) + np.diag((0.5 - down) @ hz)
    return [np.linalg.eigh(hamiltonian[np.ix_(block, block)]) for block in blocks]


def _flips(
    system: SpinSystem, solved: list[tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the transitions in which a spin of the system flips, as `transitions` does."""
    n, multiplets = len(system.spins), np.unique(system.spins)
    found = []
    for k, masks in enumerate(_flip_masks(system.spins)):
        (energies, states), (energies_below, states_below) = solved[k], solved[k + 1]
        amplitudes = states.T @ masks @ states_below  # (multiplets, upper, lower)
        areas = amplitudes.sum(axis=0) ** 2 / 2 ** (n - 1)
        places = energies[:, None] - energies_below
        rows = multiplets[np.abs(amplitudes).argmax(axis=0)]
        found.append((places.ravel(), areas.ravel(), rows.ravel()))
    places, areas, rows = map(np.concatenate, zip(*found, strict=True))
    return places, areas, rows


@lru_cache(maxsize=128)
def _flip_masks(spins: tuple[int, ...]) -> list[np.ndarray]:
    """Return between which states one spin flips: (multiplets, upper, lower) of each total spin."""
    down, blocks = _blocks(len(spins))
    of_multiplet = np.array(spins) == np.unique(spins)[:, None]  # (multiplets, n)
    masks = []
    for upper, lower in pairwise(blocks):
        changed = down[upper][:, None] != down[lower]  # (upper, lower, n)
        single = changed & (changed.sum(axis=2, keepdims=True) == 1)
        masks.append(np.moveaxis(single @ of_multiplet.T, 2, 0).astype(np.float64))
    return masks


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
    either, and their protons change (by .16 at most), not their sum.

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
            shifts = tuple(float(compounds.ppm[first[k] + row]) for row, _ in system.protons)
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
    protons: Counter[int] = Counter()
    for row, count in system.protons:
        protons[row] += count
    result = []
    for row, count in protons.items():
        some = rows == row
        area = float(areas[some].sum()) / count
        for gap in MERGE:
            hz, sizes = _merged(places[some], areas[some], gap, None)
            kept = sizes >= NEGLIGIBLE * sizes.sum()
            if sizes[kept].sum() > KEPT * sizes.sum():
                break
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
                    WeakGroup(
                        int(sizes[int(second) - 1]) if second else 1,
                        tuple(shifts[chosen].tolist()),
                        int(second) - 1 if second else None,
                    )
                    for second, shifts in weak.items()
                    if shifts[chosen].any()
                ),
            )
        )
    # The halves of a symmetric compound are one system.
    return tuple(dict.fromkeys(systems))
