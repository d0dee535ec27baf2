"""Analysis of masks: ideal masks, their overlap, and the output that dominates a position."""

import numpy as np
import torch
from scipy.cluster.hierarchy import leaves_list, linkage

from nmrclassify.mixtures.edits import Mixture
from nmrclassify.networks import losses
from nmrclassify.networks.conv_tasnet import WEAK, Network
from nmrclassify.networks.prediction import Truth


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


def dominant_outputs(multiplets: np.ndarray) -> np.ndarray:
    """Return the output with the largest share at each position, (L,); -1 without area."""
    share = shares(multiplets)
    return np.where(share.any(axis=0), share.argmax(axis=0), -1)


def similarity_order(masks: np.ndarray) -> np.ndarray:
    """Return an order of the N filters that puts those with similar masks side by side, shape (N,).

    Leaves of an average-linkage clustering over the filters' mask values (scipy, optimal leaf
    ordering).

    Parameters
    ----------
    masks : ndarray, shape (C, N, L)
    """
    rows = masks.transpose(1, 0, 2).reshape(masks.shape[1], -1)
    return leaves_list(linkage(rows, "average", optimal_ordering=True))
