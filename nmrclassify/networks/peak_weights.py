"""The trained network at full scale as one small `.safetensors` file: weights, sizes and scores."""

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from nmrclassify.files import (
    CheckpointError,
    TensorFile,
    described,
    packaged,
    tensor_bytes,
    write_tensors,
)
from nmrclassify.networks.peak_network import PeakNetwork, PeakNetworkConfig

FORMAT = "nmrclassify-scale-1"
MAX_BYTES = 10 * 1024 * 1024
MAX_WEIGHT = 1e6  # larger ones can overflow; whether they do depends on the processor


@dataclass(frozen=True)
class Trained:
    """A trained network, its threshold, and the record of its training.

    Attributes
    ----------
    threshold : float
        Probability from which a compound is named: one for all, chosen on development mixtures.
    made : dict
        The training's configuration, steps, seconds and scores.
    """

    network: PeakNetwork
    threshold: float
    made: dict


def save(trained: Trained, path: Path) -> None:
    """Write a trained network atomically.

    Raises
    ------
    ValueError
        If the path does not end in `.safetensors`.
    """
    header = {
        "format": FORMAT,
        "network": asdict(trained.network.config),
        "threshold": trained.threshold,
        "made": trained.made,
    }
    write_tensors(path, tensor_bytes(trained.network.state_dict(), "nmrclassify", header))


def load(path: Path) -> Trained:
    """Read a trained network from a file.

    Raises
    ------
    CheckpointError
        If the file is missing, too large, of another format, or does not fit its own stated sizes.
    """
    return _trained(TensorFile.read(Path(path), "nmrclassify", MAX_BYTES))


def _trained(file: TensorFile) -> Trained:
    name, header = file.name, file.header
    try:
        if header["format"] != FORMAT:
            raise CheckpointError(f"{name} has format {header['format']!r}; expected {FORMAT!r}")
        if any(type(value) is not int for value in header["network"].values()):
            raise CheckpointError(
                f"{name}: a size of the network is not a whole number; train the network again"
            )
        sizes = {"context": 0} | header["network"]  # version 0.1 did not state it
        network = PeakNetwork(PeakNetworkConfig(**sizes))
        arrays = file.arrays(described(network.state_dict()))
        network.load_state_dict({key: torch.from_numpy(array) for key, array in arrays.items()})
        made, threshold = dict(header["made"]), float(header["threshold"])
        temperature = float(network.temperature)
        if not 0 < threshold < 1 or not 1e-3 < temperature < 1e3:
            raise CheckpointError(
                f"{name}: threshold is {threshold:g} and temperature {temperature:g}; train it"
                " again"
            )
        largest = max(float(np.abs(array).max(initial=0)) for array in arrays.values())
        if largest > MAX_WEIGHT:
            raise CheckpointError(
                f"{name}: a weight is {largest:g}, too large for a finite output; expected at most"
                f" {MAX_WEIGHT:g}, train the network again"
            )
    except CheckpointError:
        raise
    except Exception as error:  # what a forged header makes a constructor raise: one sentence
        raise CheckpointError(f"{name} does not describe a usable network: {error}") from error
    network.requires_grad_(False).eval()
    return Trained(network, threshold, made)


@lru_cache(maxsize=1)
def shipped() -> Trained:
    """Return the trained network that comes with the package; `bench scale` measures it."""
    content = packaged("scale.safetensors")
    return _trained(TensorFile.read(content, "nmrclassify", MAX_BYTES, name="scale.safetensors"))
