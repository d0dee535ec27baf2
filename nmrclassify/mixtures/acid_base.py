"""One pH for a whole mixture, estimated from its lines, together with the offset of the axis.

For each pH the library is moved to where its multiplets stand at that pH (`nmr.titration`). For
each compound, pH and offset: the largest amount that all multiplets of the compound allow, each a
little moved. Its area, on a logarithmic scale, is the compound's score; a pH and an offset at which
whole compounds explain much have a high sum of scores. The less is known of the places at a pH, the
further a multiplet may move there. That alone lets more lines fit by chance, so the median over all
offsets is subtracted. Strongly coupled protons keep the lines that they have at pH 7.4.

The best candidates can then be compared by what a network names at each of them
(`evaluation.choose_ph`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from nmrclassify.mixtures.peaks import Peaks
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.spin_systems import second_order
from nmrclassify.nmr.titration import TABLE_PH, Titrations

LOW, HIGH = 1.0, 11.0  # pH values that are tried
N_CANDIDATES = 3  # beside pH 7.4
CLEARLY = 1.5  # times the score at pH 7.4, where no network compares the candidates
_COARSE, _FINE = 0.5, 0.25  # between pH values
_POSSIBLE = 0.6  # of the highest score
_BETTER = 1.06  # times the score at pH 7.4; a network would decide by chance between equal ones
_NEAR = 0.3  # of pH 7.4: nothing moves between them
_APART = (0.4, 0.01)  # pH and ppm between candidates
_BACKGROUND = 0.3  # ppm of offsets over which the median is taken
# An offset stands out if its score is so many times the 84 % quantile of all scores, both above
# their median. The highest of 9 measured spectra of other compounds in organic solvents was 3.2 (at
# pH 7.4), the lowest of rendered mixtures of the library 3.2 (seeds 100 to 111, at their pH).
_SIGNIFICANT = 3.2
# TSP is .016 ppm from DSS, and moves with the pH. A singlet counts as off by these ppm, where the
# score is so many times that at the singlet: 1.3 to 4.3 times in 3 measured spectra and 6 rendered
# ones with TSP, 1.23 at most in 24 rendered ones with DSS (seeds 100 to 123, pH 2 to 9).
_REFERENCE_ERROR, _CLEARLY_OFF = (0.01, 0.03), 1.25
_BIN = 0.25  # Hz
_STEP = 2  # bins between the offsets that are tried
_REACH = 0.8  # Hz between a line of the library and a peak
# ppm by which a multiplet may move beside the common offset: the narrow ones make it precise.
_MOVED = (0.002, 0.004, 0.008, 0.012)
_OF_SPREAD = (0.25, 0.5, 1.0, 1.5)  # and by how many standard deviations of its place at the pH
_WIDTHS = (0.002, 0.004, 0.008, 0.012, 0.018, 0.027, 0.04, 0.06, 0.09)  # ppm
_MOST_LINES = 12  # of a compound, that count


@dataclass(frozen=True)
class PhCandidate:
    """A pH, and the ppm to add to the axis there; `score` is above that of chance.

    `stands_out` is False where an unknown offset fits hardly better than others.
    """

    ph: float
    offset: float
    score: float
    stands_out: bool = True


@dataclass(frozen=True)
class PhEstimate:
    """The pH of a mixture, and the evidence for it.

    Attributes
    ----------
    ph, offset : float
        The pH, 7.4 where it is not clear; ppm to add to the axis.
    is_estimated : bool
        Whether a pH other than that of the table fits clearly better.
    sentence : str
        The pH and the evidence for it.
    candidates : tuple of PhCandidate
        That were compared: those whose offset stands out, the highest score first; then at most one
        other; pH 7.4 last. None for a pH by hand.
    """

    ph: float
    offset: float
    is_estimated: bool
    sentence: str
    candidates: tuple[PhCandidate, ...]

    @property
    def fact(self) -> str:
        """The pH and where it is from, in a few words."""
        how = "by hand" if not self.candidates else "estimated" if self.is_estimated else "assumed"
        return f"pH {self.ph:.1f} ({how})"


# Gets the candidates in the order of `PhEstimate.candidates`, and for each the peaks on the axis of
# its offset. Returns the index of one, the pH at or near it, and the evidence for it in words.
PhChooser = Callable[[Sequence[PhCandidate], Sequence[Peaks]], tuple[int, float, str]]


def by_hand(ph: float) -> PhEstimate:
    """Return a pH that is known."""
    return PhEstimate(ph, 0.0, True, f"The pH is {ph:.2f} by hand.", ())


def estimate_ph(
    scores: "PhScores",
    peaks_at: Callable[[float], Peaks],
    choose: PhChooser | None = None,
    usual: float | None = None,
) -> PhEstimate:
    """Estimate the pH of a mixture and, unless it is known, the offset of its axis.

    Parameters
    ----------
    peaks_at : callable
        Returns the peaks of the mixture on the axis with an offset.
    choose : PhChooser, optional
        Compares the candidates, if one is not near the pH of the table. Without, that pH is kept
        unless the first candidate is not near it, its offset stands out, and its score is `CLEARLY`
        times as high.
    usual : float, optional
        Offset at the pH of the table, instead of the one with the highest score.
    """
    candidates = scores.candidates()
    last = candidates[-1] if usual is None else replace(candidates[-1], offset=usual)
    candidates = (*candidates[:-1], last)
    best, index, evidence = candidates[0], len(candidates) - 1, ""
    ph = last.ph
    is_far = [abs(c.ph - TABLE_PH) >= _NEAR for c in candidates]
    if choose is not None:
        if any(is_far):
            index, ph, evidence = choose(candidates, [peaks_at(c.offset) for c in candidates])
    elif is_far[0] and best.stands_out:
        times = best.score / max(last.score, 1e-9)
        if times > CLEARLY:
            index, ph = 0, best.ph
            evidence = f"whole compounds explain {min(times, 99):.1f} times as much as at pH 7.4"
    is_estimated = ph != TABLE_PH
    if is_estimated:
        sentence = f"The pH was estimated as {ph:.1f}: {evidence}."
    else:
        sentence = f"No other pH fits clearly better than {TABLE_PH:g}, which is assumed."
    return PhEstimate(ph, candidates[index].offset, is_estimated, sentence, candidates)


def is_significant(above_chance: np.ndarray, best: int) -> bool:
    """Return whether the score at one offset stands out from those at all offsets.

    Parameters
    ----------
    above_chance : ndarray, shape (S,)
        See `PhScores.above_chance`.
    """
    usual = float(np.quantile(above_chance, 0.84))
    # With few lines most scores are equal, and say nothing of chance.
    return usual > 0 and bool(above_chance[best] > _SIGNIFICANT * usual)


class PhScores:
    """How much of a mixture whole compounds explain, at each pH and offset.

    Parameters
    ----------
    ppm, areas : ndarrays, shape (n,)
        Lines of the mixture.
    library : Compounds
        At its pH. The further a multiplet may deviate, the further it is looked for.
    mhz : float
        Frequency of the spectrometer.
    known : float, optional
        The offset, where it is known.
    is_exact : bool
        Whether the known offset is kept whatever the library says. A singlet that was taken for the
        reference may otherwise be off, see `is_off`.
    limit : float, optional
        Largest offset in ppm, where it is not known. Others are tried for the background alone.
    searches_ph : bool
        Whether other pH values than that of the library are tried.
    first_order : bool
        Whether strongly coupled protons keep their first-order lines.

    Attributes
    ----------
    offsets : ndarray, shape (S,)
        In ppm, to be added to the axis, beside what is known.
    limit : float
        Largest possible offset, in ppm.
    has_groups : bool
        Whether other pH values are tried: a compound of the library titrates.
    """

    def __init__(
        self,
        ppm: np.ndarray,
        areas: np.ndarray,
        library: Compounds,
        mhz: float,
        known: float | None = None,
        limit: float | None = None,
        is_exact: bool = True,
        searches_ph: bool = True,
        first_order: bool = False,
    ):
        self._library = library if first_order else second_order(library, mhz)
        self._known, self._is_exact = known, is_exact
        ppm = ppm + (known or 0.0)
        self.limit = limit or _BACKGROUND
        limit = max(self.limit, _BACKGROUND)
        self._titrations = Titrations.of(library)
        library = self._library
        self.has_groups = searches_ph and len(self._titrations.pka) > 0
        self._hz_step = _BIN * _STEP
        self._mhz = mhz
        half = round(limit * mhz / self._hz_step)
        self.offsets = np.arange(-half, half + 1) * self._hz_step / mhz
        moves = self._titrations.moves(np.r_[TABLE_PH, np.linspace(LOW, HIGH, 81)])
        self._range = moves.min(0) - _MOVED[0], moves.max(0) + _MOVED[0]
        self._unit = float(np.median(areas))
        start = (library.ppm + self._range[0] - limit).min() - 0.2
        end = (library.ppm + self._range[1] + limit).max() + 0.2
        self._start = start * mhz
        n = int((end - start) * mhz / _BIN) + 1
        index = np.round((ppm * mhz - self._start) / _BIN).astype(np.int64)
        inside = (index >= 0) & (index < n)
        signal = np.bincount(index[inside], areas[inside], n)
        reach = round(_REACH / _BIN)
        sums = np.r_[np.zeros(reach + 1), np.cumsum(signal), np.full(reach, signal.sum())]
        self._signal = (sums[2 * reach + 1 :] - sums[:n]).astype(np.float32)
        self._resolved = np.array([lines.resolved for lines in library.lines])
        self._half = half
        self._first = np.zeros(library.n_multiplets, dtype=np.int64)
        self._bounds: dict[int, np.ndarray] = {}
        self._dilated: dict[tuple[int, int], np.ndarray] = {}
        self._rows: dict[tuple, np.ndarray] = {}
        # Compounds that do not titrate have one score for every pH. They may be many, so nothing
        # else of them is kept.
        levels = self._levels(library.deviations)
        moves = np.zeros(library.n_multiplets, dtype=np.int64)
        self._moving = np.unique(self._titrations.owner)
        self._unmoved = np.zeros(len(self.offsets))
        for k in np.setdiff1d(np.arange(library.n_compounds), self._moving):
            self._unmoved += self._of_compound(k, self._index(k), moves, levels)
            self._bounds.clear()
            self._dilated.clear()

    def _index(self, k: int) -> list[int]:
        """Return the resolved multiplets of a compound."""
        first, end = self._library.first_multiplet[k : k + 2]
        return [m for m in range(first, end) if self._resolved[m]]

    @staticmethod
    def _levels(spread: np.ndarray) -> np.ndarray:
        """Return how far each multiplet may move, as indices into the widths, shape (4, M)."""
        width = np.hypot(np.array(_MOVED)[:, None], np.outer(_OF_SPREAD, spread))
        return np.abs(np.subtract.outer(width, _WIDTHS)).argmin(2)

    def _bound(self, m: int) -> np.ndarray:
        """Return the amount that a multiplet allows, at each place that any pH and offset give."""
        library, mhz = self._library, self._mhz
        part = slice(library.first_line[m], library.first_line[m + 1])
        offsets = library.offsets[part]
        low = int(np.floor(self._range[0][m] * mhz / self._hz_step)) - self._half
        high = int(np.ceil(self._range[1][m] * mhz / self._hz_step)) + self._half
        self._first[m] = low
        # Lines nearer than the reach share their peaks.
        close = np.abs(np.subtract.outer(offsets, offsets)) <= _REACH
        expected = (close @ library.areas[part]).astype(np.float32)
        centre = np.round((library.ppm[m] * mhz + offsets - self._start) / _BIN).astype(np.int64)
        place = centre[:, None] + np.arange(low, high + 1) * _STEP
        np.clip(place, 0, len(self._signal) - 1, out=place)
        return (self._signal[place] / expected[:, None]).min(0)

    def _widened(self, m: int, level: int) -> np.ndarray:
        """Return the best bound within a distance."""
        key = (m, level)
        if m not in self._bounds:
            self._bounds[m] = self._bound(m)
        if key not in self._dilated:
            size = 2 * round(_WIDTHS[level] * self._mhz / self._hz_step) + 1
            self._dilated[key] = maximum_filter1d(self._bounds[m], size, mode="nearest")
        return self._dilated[key]

    def above_chance(self, ph: float) -> np.ndarray:
        """Return the score at each offset above the median of all, shape (S,)."""
        score = self.at(ph)
        return score - np.median(score)

    @cached_property
    def _coarse(self) -> dict[float, np.ndarray]:
        """Scores above chance at the pH of the table, and at others if the library titrates."""
        others = np.arange(LOW, HIGH + _COARSE / 2, _COARSE) if self.has_groups else np.zeros(0)
        return {ph: self.above_chance(ph) for ph in (TABLE_PH, *others.round(2).tolist())}

    @cached_property
    def is_off(self) -> bool:
        """Whether the library fits clearly better beside a known offset that is not exact.

        The best scores of all pH values are compared: at another pH than the sample's, a library
        may well fit better at another offset.
        """
        if self._known is None or self._is_exact:
            return False
        rows = np.stack(list(self._coarse.values()))  # (pH, S)
        best_of_all = rows.max(0)
        best = self._best(best_of_all, _REFERENCE_ERROR[1])
        row = rows[rows[:, best].argmax()]
        return self._is_beside(best_of_all) and is_significant(row, best)

    def _is_beside(self, above_chance: np.ndarray) -> bool:
        """Return whether the best offset is near the known one, and clearly better."""
        least, most = _REFERENCE_ERROR
        best = self._best(above_chance, most)
        at_known = above_chance[self._best(above_chance, _MOVED[1])]
        is_inside = above_chance[best] >= above_chance[np.abs(self.offsets) <= 2 * most].max()
        is_clear = above_chance[best] > _CLEARLY_OFF * at_known
        is_far = abs(self.offsets[best]) >= least
        return bool(is_inside and is_clear and is_far)

    def best_offset(self, above_chance: np.ndarray) -> float:
        """Return the offset with the highest score, or the known one unless it is off."""
        if self._known is None:
            return float(self.offsets[self.best(above_chance)])
        best = self.best(above_chance)
        if self.is_off and self._is_beside(above_chance) and is_significant(above_chance, best):
            return self._known + float(self.offsets[best])
        return self._known

    def best(self, above_chance: np.ndarray) -> int:
        """Return the index of the possible offset with the highest score."""
        if self._known is None:
            return self._best(above_chance, self.limit)
        # A known offset may be as imprecise as a multiplet's place.
        return self._best(above_chance, _REFERENCE_ERROR[1] if self.is_off else _MOVED[1])

    def _best(self, above_chance: np.ndarray, limit: float) -> int:
        possible = np.abs(self.offsets) <= limit + 1e-9
        return int(np.where(possible, above_chance, -np.inf).argmax())

    def candidates(self) -> tuple[PhCandidate, ...]:
        """Return the best pairs of a pH and an offset, and the best one at the pH of the table.

        Those whose offset stands out come first, at most `N_CANDIDATES`, the highest score first;
        then at most one other. The pH of the table is last, and alone where no other score is
        clearly higher.
        """
        rows = dict(self._coarse)

        def candidate(ph: float) -> PhCandidate:
            row = rows[ph]
            best = self.best(row)
            stands_out = self._known is not None or is_significant(row, best)
            return PhCandidate(ph, self.best_offset(row), float(row[best]), stands_out)

        def rank(one: PhCandidate) -> tuple[bool, float]:
            # An offset that fits hardly better than others may have the highest score by chance: it
            # must displace none that stands out.
            return not one.stands_out, -one.score

        if self.has_groups:
            # Between the coarse ones, around the best.
            ranked = sorted(map(candidate, rows), key=rank)
            n_clear = sum(one.stands_out for one in ranked)
            best = ranked[: min(n_clear, N_CANDIDATES)] + ranked[n_clear : n_clear + 1]
            for ph in (round(one.ph + side, 2) for one in best for side in (-_FINE, _FINE)):
                if LOW <= ph <= HIGH and ph not in rows:
                    rows[ph] = self.above_chance(ph)

        usual, found = candidate(TABLE_PH), list[PhCandidate]()
        for one in sorted((candidate(ph) for ph in rows if ph != TABLE_PH), key=rank):
            apart = all(
                abs(one.ph - c.ph) >= _APART[0] or abs(one.offset - c.offset) >= _APART[1]
                for c in found
            )
            least = _POSSIBLE * found[0].score if found else 0.0
            possible = one.score >= max(least, _BETTER * usual.score)
            n_such = sum(c.stands_out == one.stands_out for c in found)
            if apart and possible and n_such < (N_CANDIDATES if one.stands_out else 1):
                found.append(one)
        return (*found, usual)

    def at(self, ph: float) -> np.ndarray:
        """Return the score at each offset, shape (S,)."""
        moves = np.round(self._titrations.moves(ph) * self._mhz / self._hz_step).astype(np.int64)
        # A library that was moved to a pH by hand already deviates; at pH 7.4 the spread is 0.
        spread = self._titrations.spread_at(ph)
        levels = self._levels(np.hypot(self._library.deviations, spread))
        total = self._unmoved.copy()
        for k in self._moving:
            index = self._index(k)
            key = (k, *moves[index], *levels[:, index].ravel())
            if key not in self._rows:
                self._rows[key] = self._of_compound(k, index, moves, levels)
            total += self._rows[key]
        return gaussian_filter1d(total, 0.001 * self._mhz / self._hz_step, mode="nearest")

    def _of_compound(
        self, k: int, index: list[int], moves: np.ndarray, levels: np.ndarray
    ) -> np.ndarray:
        library, n = self._library, len(self.offsets)
        if not index:
            return np.zeros(n)
        bound = np.full((len(_MOVED), n), np.inf, dtype=np.float32)
        n_lines = 0
        for m in index:
            for row, level in zip(bound, levels[:, m], strict=True):
                widened = self._widened(m, int(level))
                start = int(moves[m] - self._first[m]) - self._half
                np.minimum(row, widened[start : start + n], out=row)
            n_lines += int(library.first_line[m + 1] - library.first_line[m])
        # With a larger offset of the axis, a line is sought further down.
        score = np.log1p(bound[:, ::-1] * library.total_protons[k] / self._unit).sum(0)
        return min(n_lines, _MOST_LINES) * score
