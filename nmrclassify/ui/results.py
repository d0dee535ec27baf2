"""What pages compute from a model: once for all visitors with the same model and data.

A missing result is computed by the visitor who needs it first; others who need it wait for that
one. The caches hold the newest results, and each visitor gets a copy.
"""

import hashlib
import threading
from collections.abc import Callable

import numpy as np
import streamlit as st

from nmrclassify.evaluation import interpretation, masks, metrics, stages, unknown
from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.networks.conv_tasnet import Network
from nmrclassify.networks.prediction import Prediction
from nmrclassify.networks.queries import Queries
from nmrclassify.networks.registry import NETWORKS
from nmrclassify.training.checkpoints import Checkpoint
from nmrclassify.training.history import weights_of


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _network(model: Network) -> tuple:
    return model.kind, repr(model.config), model.trained, _digest(weights_of(model).numpy())


def _checkpoint(checkpoint: Checkpoint) -> tuple:
    return _network(checkpoint.model), checkpoint.training.reconstruction_weight


def _dataset(data: Dataset) -> tuple:
    arrays = (data.library.areas, data.train, data.validation, data.test)
    return data.preset, data.seed, repr(data.config), repr(data.library.axis), _digest(*arrays)


# Of what takes up to 150 MB while it is computed: as many at once as there may be cores.
HEAVY = threading.Semaphore(2)
# By content: the same model can be an object of several visits.
KEYS: dict[str | type, Callable] = {
    np.ndarray: _digest,
    Checkpoint: _checkpoint,
    Dataset: _dataset,
    **dict.fromkeys(NETWORKS.values(), _network),
}


@st.cache_data(max_entries=128, show_spinner=False, hash_funcs=KEYS)
def prediction(model: Network, areas: np.ndarray) -> Prediction:
    """Return the prediction for a mixture, shape (P, L)."""
    return model.predict(areas)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=KEYS)
def network_stages(model: Network, areas: np.ndarray, outputs: np.ndarray) -> list[stages.Stage]:
    """Return every stage of a mixture, shape (P, L), in the network."""
    return stages.stages(model, areas, outputs)


@st.cache_data(max_entries=32, show_spinner="Evaluating the test mixtures …", hash_funcs=KEYS)
def evaluation(checkpoint: Checkpoint, dataset: Dataset, draws: int = 1) -> metrics.Evaluation:
    """Return the predictions for `draws` mixtures of each test composition, beside the truth."""
    mixtures = dataset.test_mixtures(draws=draws)
    with HEAVY:
        weight = checkpoint.training.reconstruction_weight
        return metrics.evaluate(checkpoint.model, mixtures, weight)


@st.cache_data(max_entries=16, show_spinner="Adding unknown compounds …", hash_funcs=KEYS)
def unknown_scores(model: Queries, dataset: Dataset) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the scores for an unknown compound, and in which mixtures there is one."""
    with HEAVY:
        return unknown.unknown_scores(model, dataset)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=KEYS)
def receptive_field(
    model: Network, areas: np.ndarray, position: int
) -> interpretation.ReceptiveField:
    """Return which positions each stage at `position` depends on; areas have the shape (P, L)."""
    return interpretation.receptive_field(model, areas, position)


@st.cache_data(
    max_entries=16, show_spinner="Comparing all masks with the ideal ones …", hash_funcs=KEYS
)
def worst_masks(checkpoint: Checkpoint, dataset: Dataset) -> list[masks.WorstMask]:
    """Return the masks of the test mixtures that are farthest from the ideal ones."""
    mixtures = dataset.test_mixtures()
    weight = checkpoint.training.reconstruction_weight
    with HEAVY:
        return masks.worst_masks(checkpoint.model, mixtures, weight=weight)
