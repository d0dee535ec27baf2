"""The trained models of the package: how they are made, and the steps of their trainings.

Each has three files in `nmrclassify/data`: the checkpoint, the packed weights at some of its steps,
and the rows of its history. `python -m nmrclassify package-models` writes them.
"""

import io
from dataclasses import replace
from pathlib import Path

import pandas as pd

from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.files import packaged, write_atomically
from nmrclassify.files.tables import write_csv
from nmrclassify.mixtures.presets import build
from nmrclassify.training import checkpoints
from nmrclassify.training.checkpoints import PACKAGED, PACKAGED_PRESETS, Checkpoint, shipped
from nmrclassify.training.history import TrainingHistory, unpack
from nmrclassify.training.recipes import recipe
from nmrclassify.training.trainer import Trainer

FOLDER = Path(__file__).parents[1] / "data"
SEED = 7
RECIPES = {"reference": "long", "queries": "thorough"}
# Of each packaged model: preset and name, in the order in which they are made.
ALL = tuple((preset, name) for preset in PACKAGED_PRESETS for name in PACKAGED)


def training_history(name: str = "reference", preset: str = "metabolites") -> TrainingHistory:
    """Return the weights at some steps of the training of `shipped(name, preset)`.

    The last step has the weights of the model exactly, the others nearly.
    """
    return unpack(packaged(f"{preset}_{name}.steps.gz"), shipped(name, preset).model)


def rows(name: str = "reference", preset: str = "metabolites") -> list[dict]:
    """Return the curves of the training of `shipped(name, preset)`: a row a measured step."""
    content = packaged(f"{preset}_{name}.csv")
    return pd.read_csv(io.BytesIO(content)).to_dict("records")


def trainer_of(name: str, preset: str, steps: int | None = None) -> Trainer:
    """Return the training of a packaged model at its start; `steps` replaces that of the recipe."""
    kind = PACKAGED[name]
    config = recipe(RECIPES[name])
    config = replace(config, steps=config.steps if steps is None else steps)
    return Trainer(build(preset, SEED), config, kind=kind)


def write(trainer: Trainer, name: str, folder: Path = FOLDER) -> Path:
    """Write the files of a packaged model after its training; return the path of its checkpoint."""
    stem = f"{trainer.dataset.preset}_{name}"
    metrics = evaluate(
        trainer.model, trainer.dataset.test_mixtures(), trainer.config.reconstruction_weight
    ).summary()
    path = folder / f"{stem}.safetensors"
    checkpoints.save(Checkpoint.from_trainer(trainer, metrics), path)
    write_atomically(folder / f"{stem}.steps.gz", trainer.training_history.packed())
    # The same training takes another time on another day.
    curves = pd.DataFrame(trainer.history).drop(columns="seconds")
    write_csv(curves, folder / f"{stem}.csv")
    return path
