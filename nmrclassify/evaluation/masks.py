"""Analysis of masks: ideal masks, the shares that masks give, their overlap, the worst cells."""

from dataclasses import dataclass

import numpy as np
import torch

from nmrclassify.evaluation.prediction import match_mixture
from nmrclassify.mixtures.edits import Mixture
from nmrclassify.mixtures.grid import Mixtures
from nmrclassify.networks import losses
from nmrclassify.networks.conv_tasnet import WEAK, Network
from nmrclassify.networks.prediction import Truth

DISAGREES = 0.3  # distance of a mask from the ideal mask at which a cell counts as wrong
TIE = 0.02  # shares that differ by less are equal: the multiplet has two owners
OCCUPIED = 0.01  # of the largest multiplet; a position with less holds none


@torch.inference_mode()
def ideal_ratio_masks(model: Network, sources: np.ndarray) -> np.ndarray:
    """Return the masks that share each cell of the encoding in proportion to the true sources.

    As `losses.ideal_ratio_masks`; of signed encodings, the absolute values are shared.

    Parameters
    ----------
    sources : ndarray, shape (C, P, L)

    Returns
    -------
    ndarray, shape (C, N, L)
    """
    encoded = model.encode(torch.from_numpy(np.ascontiguousarray(sources, dtype=np.float32)))
    return losses.ideal_ratio_masks(encoded.abs()[None])[0].numpy()


def ideal_masks_of_outputs(
    model: Network, mixture: Mixture, truth: Truth | None
) -> np.ndarray | None:
    """Return the ideal mask of each output, shape (M, N, L); None where the truth is not known."""
    if truth is None or mixture.sources is None:
        return None
    total = mixture.sources.sum(axis=0)
    if mixture.unknown is not None:
        total = total + mixture.unknown
    # Sources without an output have their share of each cell, too.
    rest = total - truth.sources.sum(axis=0)
    return ideal_ratio_masks(model, np.concatenate([truth.sources, rest[None]]))[:-1]


def weak_cells(encoding: np.ndarray) -> np.ndarray:
    """Return the cells (N, L) below 2 % of the strongest encoding: a mask has no effect there."""
    strength = np.abs(encoding)
    return strength < WEAK * max(float(strength.max()), 1e-9)


def disagreements(masks: np.ndarray, ideal: np.ndarray, encoding: np.ndarray) -> np.ndarray:
    """Return mask minus ideal mask, NaN where the encoding is weak.

    Parameters
    ----------
    masks, ideal : ndarray, shape (M, N, L)
    encoding : ndarray, shape (N, L)

    Returns
    -------
    ndarray, shape (M, N, L)
    """
    return np.where(weak_cells(encoding), np.nan, masks - ideal)


@torch.inference_mode()
def multiplet_encodings(model: Network, areas: np.ndarray) -> np.ndarray:
    """Return the encoding of the multiplet at each position alone, as if no other were there.

    The encoder is linear, so they add up to the encoding of the mixture. A multiplet reaches the
    cells of its own position and of the two neighbours.

    Parameters
    ----------
    areas : ndarray, shape (P, L)
        The mixture.

    Returns
    -------
    ndarray, shape (L, N, L)
    """
    alone = areas[None] * np.eye(areas.shape[1])[:, None]  # (L, P, L)
    return model.encode(torch.from_numpy(alone.astype(np.float32))).numpy()


def shares_from_masks(masks: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Read from the masks alone which share of each multiplet each output gets.

    They are the shares for which the multiplets' encodings, each times its share, come closest to
    the masked encoding: weighted least squares, where a cell has the weight 1 / its encoding (the
    variance of counts). With ideal masks they are the true shares, unless two compounds with
    different multiplets overlap; then they are close. The mean of the masks at a position, weighted
    by the encoding, is no such estimate: the encoder reaches across three positions, so it mixes a
    multiplet with its neighbours.

    Parameters
    ----------
    masks : ndarray, shape (M, N, L)
    parts : ndarray, shape (L, N, L)
        As `multiplet_encodings`.

    Returns
    -------
    ndarray, shape (M, L)
        In 0..1; 0 at positions without a multiplet.
    """
    encoding = parts.sum(axis=0)  # (N, L)
    size = np.abs(parts).sum(axis=(1, 2))
    occupied = np.flatnonzero(size > OCCUPIED * max(size.max(), 1e-30))
    strength = np.abs(encoding)
    weights = 1 / np.maximum(strength, 1e-3 * max(float(strength.max()), 1e-30))
    rows = parts[occupied].reshape(len(occupied), encoding.size).astype(float)  # (multiplets, N L)
    weighted = rows * weights.ravel()
    masked = (masks * encoding).reshape(len(masks), -1).astype(float)
    solution = np.linalg.lstsq(weighted @ rows.T, weighted @ masked.T, rcond=1e-8)[0]
    shares = np.zeros((len(masks), masks.shape[2]))
    shares[:, occupied] = solution.T.clip(0, 1)
    return shares


def true_shares(mixture: Mixture, truth: Truth | None) -> np.ndarray | None:
    """Return each output's true share of the area at each position, shape (M, L).

    None where the truth is not known. NaN at positions where nothing was mixed.
    """
    if truth is None or mixture.sources is None:
        return None
    total = mixture.sources.sum(axis=(0, 1))
    if mixture.unknown is not None:
        total = total + mixture.unknown.sum(axis=0)
    area = truth.sources.sum(axis=1)
    return np.divide(area, total, out=np.full_like(area, np.nan), where=total > 1e-9)


def owners(shares: np.ndarray) -> np.ndarray:
    """Return the output with the largest share (M, L) at each position, (L,); -1 without any."""
    return np.where(shares.any(axis=0), shares.argmax(axis=0), -1)


def wrong_owners(read: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return at which positions the owner by the shares `read` is not one by the true shares.

    The owner has the largest share, or one within `TIE` of it. It may be a compound that no output
    shows; then every output is wrong.

    Parameters
    ----------
    read, true : ndarray, shape (M, L)

    Returns
    -------
    ndarray, shape (L,), bool
        False where nothing was mixed.
    """
    named, shown = owners(read), np.nan_to_num(true)
    share = np.where(named >= 0, shown[named, np.arange(len(named))], -1.0)
    largest = np.maximum(shown.max(axis=0), 1 - shown.sum(axis=0))
    return ~np.isnan(true[0]) & (share < largest - TIE)


def owners_right(model: Network, mixtures: Mixtures, weight: float = 1.0) -> tuple[int, int]:
    """Count the multiplets whose owner the masks alone name, and all multiplets.

    A multiplet here is a position of a mixture where something was mixed; its owner is that of
    `wrong_owners`. Mixtures whose sources cannot be matched to outputs are left out.

    Parameters
    ----------
    weight : float
        The reconstruction weight of the training, for the matching of outputs and sources.
    """
    right = total = 0
    for i in range(len(mixtures.areas)):
        mixture = Mixture.of(mixtures, i)
        prediction = model.predict(mixture.areas)
        truth = match_mixture(prediction, mixture, weight)
        true = true_shares(mixture, truth)
        if true is None:
            continue
        read = shares_from_masks(prediction.masks, multiplet_encodings(model, mixture.areas))
        n_multiplets = int((~np.isnan(true[0])).sum())
        right += n_multiplets - int(wrong_owners(read, true).sum())
        total += n_multiplets
    return right, total


@dataclass(frozen=True)
class WorstMask:
    """One multiplet whose mask is far from the ideal one.

    Attributes
    ----------
    mixture : int
        Index in the batch, from 0.
    output, compound, position : int
        The output; the compound of its source or, without one, the compound that it names; the
        position of the multiplet.
    filter : int
        The filter that differs most there, weighted by its encoding.
    mask, ideal : float
        Share of the multiplet that the mask passes, and that the ideal mask would pass; as
        `shares_from_masks`.
    """

    mixture: int
    output: int
    compound: int
    position: int
    filter: int
    mask: float
    ideal: float

    @property
    def distance(self) -> float:
        """How far the mask is from the ideal one."""
        return abs(self.mask - self.ideal)


def worst_masks(
    model: Network, mixtures: Mixtures, number: int = 12, weight: float = 1.0
) -> list[WorstMask]:
    """Return the multiplets whose masks are farthest from the ideal ones, the farthest first.

    Parameters
    ----------
    number : int
        How many at most; all of them differ by more than `DISAGREES`.
    weight : float
        The reconstruction weight of the training, for the matching of outputs and sources.
    """
    found = []
    for i in range(len(mixtures.areas)):
        mixture = Mixture.of(mixtures, i)
        prediction = model.predict(mixture.areas)
        truth = match_mixture(prediction, mixture, weight)
        ideal = ideal_masks_of_outputs(model, mixture, truth)
        if truth is None or ideal is None:
            continue
        parts = multiplet_encodings(model, mixture.areas)
        read, wanted = shares_from_masks(np.concatenate([prediction.masks, ideal]), parts).reshape(
            2, len(ideal), -1
        )
        effect = np.abs((prediction.masks - ideal) * prediction.encoding)  # (M, N, L)
        compounds = np.where(truth.sources.any((1, 2)), truth.labels, prediction.named)
        for m, p in np.argwhere(np.abs(read - wanted) > DISAGREES):
            found.append(
                WorstMask(
                    i,
                    int(prediction.outputs[m]),
                    int(compounds[m]),
                    int(p),
                    int(effect[m, :, p].argmax()),
                    float(read[m, p]),
                    float(wanted[m, p]),
                )
            )
    return sorted(found, key=lambda worst: -worst.distance)[:number]


def overlap(masks: np.ndarray) -> np.ndarray:
    """Return the second-highest mask of each cell, (N, L): near 1 where two outputs pass it."""
    return np.sort(masks, axis=0)[-2] if len(masks) > 1 else np.zeros_like(masks[0])


def shares(multiplets: np.ndarray) -> np.ndarray:
    """Return each output's share of the separated area at each position.

    Parameters
    ----------
    multiplets : ndarray, shape (C, P, L)

    Returns
    -------
    ndarray, shape (C, L)
        Sums to 1 over the outputs where there is area (above 5 % of the strongest position), and is
        0 elsewhere.
    """
    area = np.abs(multiplets).sum(axis=1)  # (C, L)
    total = area.sum(axis=0)
    return np.divide(
        area, total, out=np.zeros_like(area), where=total > 0.05 * max(total.max(), 1e-9)
    )
