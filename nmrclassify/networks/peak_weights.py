"""The trained network at full scale as one small `.safetensors` file: weights, sizes, how it was made, what it scored."""

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from nmrclassify.networks.peak_network import PeakNetwork, PeakNetworkConfig
from nmrclassify.training.checkpoints import SUFFIX, CheckpointError, write_atomically

FORMAT = "nmrclassify-scale-1"
MAX_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True)
class Trained:
    """A trained network and how it came about.

    Attributes
    ----------
    network : PeakNetwork
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
    if path.suffix != SUFFIX:
        raise ValueError(
            f"the network is to be written to {path.name!r}; expected a name ending in {SUFFIX}"
        )
    header = {
        "format": FORMAT,
        "network": asdict(trained.network.config),
        "threshold": trained.threshold,
        "made": trained.made,
    }
    tensors = {name: value.contiguous() for name, value in trained.network.state_dict().items()}
    # One entry, because safetensors writes several in an order that changes from call to call.
    write_atomically(path, save_tensors(tensors, metadata={"nmrclassify": json.dumps(header)}))


def load(path: Path) -> Trained:
    """Read a trained network, believing nothing in the file.

    Raises
    ------
    CheckpointError
        If the file is missing, too large, of another format, or does not fit its own stated sizes.
    """
    path = Path(path)
    if not path.is_file() or path.suffix != SUFFIX:
        raise CheckpointError(f"no network at {path.name}; give the path of a {SUFFIX} file")
    if path.stat().st_size > MAX_BYTES:
        raise CheckpointError(
            f"{path.name} has {path.stat().st_size:,} bytes; expected at most {MAX_BYTES:,}"
        )
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {})["nmrclassify"])
        if header["format"] != FORMAT:
            raise CheckpointError(
                f"{path.name} has format {header['format']!r}; expected {FORMAT!r}"
            )
        if any(type(value) is not int for value in header["network"].values()):
            raise CheckpointError(
                f"{path.name}: a size of the network is not a whole number; train the network again"
            )
        network = PeakNetwork(PeakNetworkConfig(**header["network"]))
        tensors = load_tensors(path.read_bytes())
        expected = network.state_dict()
        for name in sorted(expected.keys() | tensors.keys()):
            found = tensors.get(name)
            if (
                found is None
                or name not in expected
                or found.shape != expected[name].shape
                or found.dtype != expected[name].dtype
            ):
                raise CheckpointError(
                    f"{path.name}: tensor {name!r} does not fit the stated sizes; train the network"
                    " again"
                )
            if not np.isfinite(found.numpy()).all():
                raise CheckpointError(
                    f"{path.name}: tensor {name!r} holds an undefined number; train the network"
                    " again"
                )
        network.load_state_dict(tensors)
        made = dict(header["made"])
        threshold = float(header["threshold"])
        if not 0 < threshold < 1 or not 1e-3 < float(network.temperature) < 1e3:
            raise CheckpointError(
                f"{path.name}: threshold is {threshold:g} and temperature"
                f" {float(network.temperature):g}; train it again"
            )
    except CheckpointError:
        raise
    except (
        SafetensorError,
        KeyError,
        ValueError,
        OverflowError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise CheckpointError(f"{path.name} does not describe a usable network: {error}") from error
    network.requires_grad_(False).eval()
    return Trained(network, threshold, made)


@lru_cache(maxsize=1)
def shipped() -> Trained:
    """Return the trained network that comes with the package; `bench scale` measures it."""
    with resources.as_file(
        resources.files("nmrclassify").joinpath("data/scale.safetensors")
    ) as path:
        return load(path)
