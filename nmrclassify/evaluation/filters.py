"""The filters of the encoder: the multiplet that each one responds to most, and an order by it."""

from dataclasses import dataclass

import numpy as np

from nmrclassify.evaluation.interpretation import filters
from nmrclassify.networks.conv_tasnet import Network
from nmrclassify.nmr.multiplets import KINDS, all_patterns

NO_RESPONSE = 0.01  # of the strongest filter's response; below it, a filter has no name
# Positions relative to the cell's, in the order of the encoder's weights. Axes are drawn with ppm
# decreasing to the right, so the position before (a lower ppm) is the right neighbour.
PLACES = ("right neighbour", "own position", "left neighbour")
_PLACE_ORDER = (2, 0, 1)  # own position first, then left, then right


@dataclass(frozen=True)
class FilterPattern:
    """What one filter responds to most.

    Attributes
    ----------
    kind : str
        The multiplet, "singlet" to "sextet"; "" for a filter without response.
    place : str
        Where it is, one of `PLACES`; "" for a filter without response.
    response : float
        The encoding of one such multiplet of area 1.
    """

    kind: str
    place: str
    response: float

    @property
    def name(self) -> str:
        """The pattern in words: "triplet", "triplet, left neighbour" or "no response"."""
        if not self.kind:
            return "no response"
        return self.kind if self.place == PLACES[1] else f"{self.kind}, {self.place}"


def filter_patterns(encoder: np.ndarray) -> list[FilterPattern]:
    """Return what each filter responds to most.

    Of all multiplets of area 1, singlet to sextet, at the cell's position or a neighbouring one,
    it is the multiplet with the largest encoding, or the largest by magnitude where weights are
    signed.

    Parameters
    ----------
    encoder : ndarray, shape (N, P, 3)
        Weights as `interpretation.filters` returns them.
    """
    patterns = all_patterns(encoder.shape[1])  # (kinds, P)
    responses = np.einsum("npt,kp->nkt", encoder, patterns)  # (N, kinds, 3)
    flat = responses.reshape(len(encoder), -1)
    best = np.abs(flat).argmax(axis=1)
    strongest = np.take_along_axis(flat, best[:, None], axis=1)[:, 0]
    least = NO_RESPONSE * np.abs(strongest).max()
    return [
        FilterPattern(KINDS[i // 3], PLACES[i % 3], float(value))
        if abs(value) > least
        else FilterPattern("", "", float(value))
        for i, value in zip(best, strongest, strict=True)
    ]


def readable_order(patterns: list[FilterPattern]) -> np.ndarray:
    """Return the filters in an order for reading, shape (N,).

    By place (own position, left, right), then by multiplet (singlet to sextet), then the strongest
    response first; those without response are last.
    """

    def key(i: int) -> tuple[int, int, float]:
        pattern = patterns[i]
        if not pattern.kind:
            return len(PLACES), 0, 0.0
        place = _PLACE_ORDER[PLACES.index(pattern.place)]
        return place, KINDS.index(pattern.kind), -abs(pattern.response)

    return np.array(sorted(range(len(patterns)), key=key))


def patterns_of(model: Network) -> list[FilterPattern]:
    """Return what each filter of a network responds to most."""
    return filter_patterns(filters(model)[0])
