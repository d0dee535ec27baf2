"""Checkpoints: one `.safetensors` file with the weights, the library, the split and the training.

Nothing that can run code is read: names, shapes and types are compared with what the stated sizes
require before a value is used.
"""

import re
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from nmrclassify import __version__
from nmrclassify.evaluation.metrics import METRICS, evaluate
from nmrclassify.files import (
    CheckpointError,
    TensorFile,
    described,
    packaged,
    tensor_bytes,
    write_tensors,
)
from nmrclassify.mixtures.dataset import MAX_COMPOSITIONS, MAX_TEST, Dataset
from nmrclassify.mixtures.grid import MixtureConfig
from nmrclassify.networks.conv_tasnet import Network, NetworkConfig
from nmrclassify.networks.registry import NETWORKS, current_tensor_name
from nmrclassify.nmr.axis import Axis
from nmrclassify.nmr.library import Library
from nmrclassify.training.recipes import TrainConfig
from nmrclassify.training.trainer import Trainer

MAX_BYTES = 8 * 1024 * 1024
FORMAT = "nmrclassify-2"
# Settings that files of version 0.1 lack, with the values that it used.
NETWORK_0_1 = {
    "non_negative_encoder": False,
    "relu_before_classes": True,
    "non_negative_fit": False,
}
TRAINING_0_1 = {"mask_weight": 0.0, "unknown_replaces": 0.0}
# The packaged models: name and kind of network. Each is there for each of the presets.
PACKAGED = {"reference": "slots", "queries": "queries"}
PACKAGED_PRESETS = ("metabolites", "original")
PARTS = {"train": (1, MAX_COMPOSITIONS), "validation": (0, MAX_TEST), "test": (1, MAX_TEST)}


@dataclass(frozen=True)
class Checkpoint:
    """A trained model with the data set that it was trained for.

    Attributes
    ----------
    dataset : Dataset
        Library and split: the same test compositions stay unseen.
    seed : int
        Of the initial weights.
    metrics : dict
        `Evaluation.summary()` on the unseen compositions when it was written.
    version : str
        Of the package that wrote it.
    """

    model: Network
    dataset: Dataset
    training: TrainConfig
    seed: int
    step: int
    metrics: dict
    version: str = __version__

    @classmethod
    def from_trainer(cls, trainer: Trainer, metrics: dict) -> "Checkpoint":
        """Return the present state of a training."""
        return cls(
            trainer.model, trainer.dataset, trainer.config, trainer.seed, trainer.step, metrics
        )

    def same_filters(self, other: "Checkpoint") -> bool:
        """Whether filter n is filter n of the other model: both are steps of one training.

        Filters start at random, so those of two trainings have no common order, and a difference of
        their masks cell by cell means nothing.
        """
        first, second = (
            (
                c.model.kind,
                c.model.config,
                c.seed,
                c.dataset.seed,
                c.dataset.config,
                c.dataset.preset,
                c.training,
            )
            for c in (self, other)
        )
        return first == second and np.array_equal(
            self.dataset.library.areas, other.dataset.library.areas
        )

    def trained_on(self, labels: np.ndarray) -> np.ndarray:
        """Return whether training used each composition, or may have by augmentation, shape (B,).

        Parameters
        ----------
        labels : ndarray, shape (B, C)
        """
        dataset, config = self.dataset, self.dataset.config
        width, none = config.n_sources, dataset.library.n_compounds
        rows = np.sort(labels, axis=1)
        sizes = (rows < none).sum(axis=1)
        # Padded to the width of the split. A composition that does not fit, or has another number
        # of compounds, is not in the split.
        padded = np.pad(rows, ((0, 0), (0, width)), constant_values=none)[:, :width]
        of_split = (sizes >= 1) & (sizes <= width) if config.number_varies else sizes == width
        held_out = of_split & dataset.held_out(padded)
        used = dataset.keys(dataset.train)
        if self.training.repeats:
            repeats = (dataset.keys(changed) for changed in dataset.with_one_repeat())
            used = np.concatenate([used, *repeats])
        seen = of_split & np.isin(dataset.keys(padded), used)
        if self.training.remix:
            drawn = (
                (sizes <= width + 1) & (config.number_varies | (sizes != width))
                if self.model.any_number
                else of_split
            )
            repeated = ((np.diff(rows, axis=1) == 0) & (rows[:, 1:] < none)).any(axis=1)
            seen |= drawn & (config.repetition | ~repeated)
        return seen & ~held_out & (self.step > 0)


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """Serialise a checkpoint."""
    dataset = checkpoint.dataset
    header = {
        "format": FORMAT,
        "version": checkpoint.version,
        "model": checkpoint.model.kind,
        "model_config": asdict(checkpoint.model.config),
        "training": asdict(checkpoint.training),
        "seed": checkpoint.seed,
        "step": checkpoint.step,
        "metrics": checkpoint.metrics,
        "dataset": {
            "preset": dataset.preset,
            "seed": dataset.seed,
            "mixture": asdict(dataset.config),
        },
        "names": dataset.library.names,
        "axis": asdict(dataset.library.axis),
    }
    tensors: dict = {f"model.{n}": value for n, value in checkpoint.model.state_dict().items()}
    tensors |= {f"split.{part}": getattr(dataset, part) for part in PARTS}
    tensors["library.areas"] = dataset.library.areas
    return tensor_bytes(tensors, "nmrclassify", header)


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint atomically.

    Raises
    ------
    ValueError
        If the path does not end in `.safetensors`.
    """
    write_tensors(path, to_bytes(checkpoint))


def load(path: Path) -> Checkpoint:
    """Read a checkpoint from a file.

    Raises
    ------
    CheckpointError
        If the file is missing, too large, of another format, or does not fit its own stated sizes.
    """
    return _checkpoint(
        TensorFile.read(Path(path), "nmrclassify", MAX_BYTES, name_of=current_tensor_name)
    )


def from_bytes(content: bytes, name: str = "the file") -> Checkpoint:
    """Read a checkpoint from bytes, which `name` names in errors; raises as `load` does."""
    return _checkpoint(
        TensorFile.read(content, "nmrclassify", MAX_BYTES, name=name, name_of=current_tensor_name)
    )


def _checked_metrics(metrics: dict, name: str) -> dict:
    """Return the metrics if they are empty, or complete and finite."""
    known = {key: (2,) if key.endswith("ci95") else () for key in METRICS}
    if metrics and (
        # Version 0.1 did not measure the masks.
        set(known) - set(metrics) not in (set(), {"mask_distance", "mask_distance_ci95"})
        or set(metrics) - set(known)
        or any(np.shape(metrics[key]) != known[key] for key in metrics)
    ):
        raise CheckpointError(
            f"{name}: metrics are {sorted(metrics)[:9]}; expected none or {', '.join(METRICS)}"
        )
    numbers = [
        number
        for value in metrics.values()
        for number in (value if isinstance(value, list) else [value])
    ]
    if not all(
        isinstance(number, (int, float)) and abs(number) < 1e9
        for number in numbers
        if number is not None
    ):
        raise CheckpointError(f"{name}: a metric is not a finite number; train the model again")
    return metrics


def _checkpoint(file: TensorFile) -> Checkpoint:
    """Return what a file holds; each part is compared with the header and with the other parts."""
    name, header = file.name, file.header
    try:
        if header["format"] != FORMAT:
            raise CheckpointError(
                f"{name} has format {header['format']!r}; expected {FORMAT!r}, as nmrclassify"
                " writes it"
            )
        kind = header["model"]
        if kind not in NETWORKS:
            raise CheckpointError(
                f"{name} holds a model {kind!r}; expected {' or '.join(NETWORKS)}"
            )
        config = NetworkConfig(**NETWORK_0_1 | header["model_config"])
        with torch.device("meta"):  # shapes only: draws no random number and fills no memory
            model = NETWORKS[kind](config)
        mixture = MixtureConfig(**header["dataset"]["mixture"])
        training, axis = TrainConfig(**TRAINING_0_1 | header["training"]), Axis(**header["axis"])
        if config.nothing != NETWORKS[kind].has_nothing(mixture):
            raise CheckpointError(
                f"{name}: the network's classes do not fit its mixtures; train the model again"
            )
        expected = described({f"model.{n}": value for n, value in model.state_dict().items()})
        expected["library.areas"] = "F32", (config.n_compounds, config.n_peaks, config.n_positions)
        for part, (least, most) in PARTS.items():
            dtype, shape = file.described.get(f"split.{part}", (None, ()))
            length = shape[0] if len(shape) == 2 else -1
            if dtype != "I64" or not least <= length <= most or shape[1] != mixture.n_sources:
                raise CheckpointError(
                    f"{name}: split.{part} is {dtype} {shape}; expected I64 ({least} to {most},"
                    f" {mixture.n_sources})"
                )
            expected[f"split.{part}"] = dtype, shape
        arrays = file.arrays(expected)
        highest = config.n_compounds - (not mixture.number_varies)
        for part in PARTS:
            rows = arrays[f"split.{part}"]
            if rows.size and (rows.min() < 0 or rows.max() > highest):
                raise CheckpointError(f"{name}: split.{part} names a compound outside 0..{highest}")
        seeds = (header["seed"], header["dataset"]["seed"], header["step"])
        if not all(isinstance(value, int) and 0 <= value < 2**63 for value in seeds):
            raise CheckpointError(
                f"{name}: seeds and step are {seeds}; expected whole numbers of 0 or more"
            )
        names = tuple(map(str, header["names"]))
        library = Library(names, arrays["library.areas"], axis)
        preset = str(header["dataset"]["preset"])
        preset = preset if re.fullmatch("[a-z]{1,20}", preset) else "own"
        train, validation, test = (arrays[f"split.{part}"] for part in PARTS)
        dataset = Dataset(library, mixture, train, validation, test, seeds[1], preset)
        metrics = _checked_metrics(header["metrics"], name)
        weights = {
            n.removeprefix("model."): torch.from_numpy(v)
            for n, v in arrays.items()
            if n.startswith("model.")
        }
        model.load_state_dict(weights, assign=True)
        least_weight = model.encoder.weight.detach().min().item()
        if config.non_negative_encoder and least_weight < 0:
            raise CheckpointError(
                f"{name}: the encoder has a weight of {least_weight:g}; expected 0 or more, since"
                " its configuration has non_negative_encoder; train the model again"
            )
        for key in ("temperature", "reference"):
            value = float(getattr(model, key, 1.0))
            if not 1e-6 < value < 1e6:
                raise CheckpointError(
                    f"{name}: {key} is {value:g}; expected a number above 0; train the model again"
                )
        result = evaluate(model, dataset.test_mixtures()[:8])
        if not np.isfinite(result.confidence).all():
            raise CheckpointError(
                f"{name}: the model's predictions are not finite numbers; train the model again"
            )
        version = str(header["version"])[:20]
    except CheckpointError:
        raise
    except Exception as error:  # what a forged header makes a constructor raise: one sentence
        raise CheckpointError(f"{name} does not describe a usable model: {error}") from error
    model.requires_grad_(False).eval()
    model.trained = seeds[2] > 0
    return Checkpoint(model, dataset, training, seeds[0], seeds[2], metrics, version)


def shipped(name: str = "reference", preset: str = "metabolites") -> Checkpoint:
    """Return a trained model that comes with the package.

    `python -m nmrclassify package-models` made it; `bench shipped` measures those of `metabolites`.

    Parameters
    ----------
    name : str
        "reference" (slots) or "queries".
    preset : str
        The data: "metabolites" or "original".

    Raises
    ------
    ValueError
        If there is no such model.
    """
    for value, known in ((name, PACKAGED), (preset, PACKAGED_PRESETS)):
        if value not in known:
            raise ValueError(f"no packaged model {value!r}; expected {' or '.join(known)}")
    return from_bytes(packaged(f"{preset}_{name}.safetensors"), f"the packaged model {name}")
