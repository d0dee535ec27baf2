"""Training runs on disk: one folder a run with its configuration, its history and its model.

They live in `~/.nmrclassify/runs`, or in the folder `runs` below what the environment variable
NMRCLASSIFY_HOME names.
"""

import json
import os
import re
import secrets
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import torch

from nmrclassify.files import TensorFile, tensor_bytes, write_atomically, write_csv
from nmrclassify.networks.registry import current_tensor_name
from nmrclassify.training import checkpoints
from nmrclassify.training.checkpoints import Checkpoint
from nmrclassify.training.history import FILE as STEPS_FILE
from nmrclassify.training.history import TrainingHistory
from nmrclassify.training.history import load as load_steps
from nmrclassify.training.optimiser import expected_tensors
from nmrclassify.training.trainer import Trainer

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
MAX_APP_RUNS = 200
MAX_STATE_BYTES = 64 * 1024 * 1024
MAX_APP_TIMELINES = 40  # up to 24 MB each


@dataclass(frozen=True)
class Run:
    """A finished or stopped training on disk; `made_by` is "cli" or "app"."""

    id: str
    folder: Path
    made_by: str
    model: str
    preset: str
    steps: int
    compound_accuracy: float

    @property
    def title(self) -> str:
        """One line for a list."""
        return (
            f"{self.id[:15]} · {self.model} on {self.preset} · {self.steps:,} steps ·"
            f" {self.compound_accuracy:.0%} of compounds"
        )


def home() -> Path:
    """Return the folder that holds all runs."""
    return Path(os.environ.get("NMRCLASSIFY_HOME", Path.home() / ".nmrclassify")) / "runs"


def new_id(kind: str, preset: str, seed: int) -> str:
    """Return a new run's name; its random end keeps the run private to those with the link."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return f"{stamp}-{kind}-{preset}-s{seed}-{secrets.token_hex(6)}"


def save(
    checkpoint: Checkpoint,
    history: list[dict],
    folder: Path,
    made_by: str,
    steps: TrainingHistory | None = None,
) -> Path:
    """Write a run's files, each atomically, and return the path of its model.

    Parameters
    ----------
    made_by : str
        "cli" or "app".
    steps : TrainingHistory, optional
        For the page Time travel.
    """
    config = {
        "made_by": made_by,
        "preset": checkpoint.dataset.preset,
        "data_seed": checkpoint.dataset.seed,
        "weights_seed": checkpoint.seed,
        "steps": checkpoint.step,
        "mixture": asdict(checkpoint.dataset.config),
        "training": asdict(checkpoint.training),
        "model": checkpoint.model.kind,
        "model_config": asdict(checkpoint.model.config),
        "metrics": checkpoint.metrics,
        "version": checkpoint.version,
    }
    model = folder / "model.safetensors"
    checkpoints.save(checkpoint, model)
    if steps is not None:
        write_atomically(folder / STEPS_FILE, steps.to_bytes())
    write_csv(pd.DataFrame(history), folder / "history.csv")
    # Last, because a folder counts as a run once it has its configuration.
    write_atomically(folder / "config.json", json.dumps(config, indent=2).encode())
    return model


def save_state(trainer: Trainer, folder: Path) -> None:
    """Write what `resume` needs to go on with an unfinished training."""
    state = trainer.state()
    tensors = state.pop("tensors")
    start = checkpoints.to_bytes(Checkpoint.from_trainer(trainer, {}))
    write_atomically(folder / "start.safetensors", start)
    write_atomically(folder / STEPS_FILE, trainer.training_history.to_bytes())
    write_atomically(folder / "state.safetensors", tensor_bytes(tensors, "state", state))


def resume(folder: Path) -> Trainer:
    """Return the training whose state `save_state` wrote, as if it had never been interrupted.

    Raises
    ------
    ValueError
        If the folder holds no interrupted training.
    """
    if not (folder / "state.safetensors").is_file():
        raise ValueError(f"no interrupted training in {folder}; leave out --resume to start one")
    checkpoint = checkpoints.load(folder / "start.safetensors")
    trainer = Trainer(
        checkpoint.dataset,
        checkpoint.training,
        checkpoint.seed,
        checkpoint.model.kind,
        checkpoint.model.config,
    )
    try:
        file = TensorFile.read(
            folder / "state.safetensors",
            "state",
            MAX_STATE_BYTES,
            MAX_STATE_BYTES,
            name_of=current_tensor_name,
        )
        parts = trainer.model, trainer.optimiser, "model"
        arrays = file.arrays(expected_tensors(file.described, *parts))
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        trainer.load_state(file.header | {"tensors": tensors})
        if (folder / STEPS_FILE).is_file():
            trainer.training_history = load_steps(folder / STEPS_FILE, trainer.model)
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"the state in {folder} is damaged ({error}); leave out --resume to start again"
        ) from error
    return trainer


def history(run: Run) -> list[dict]:
    """Return the rows of a run's training; empty where they cannot be read."""
    try:
        return pd.read_csv(run.folder / "history.csv").to_dict("records")
    except (OSError, ValueError):
        return []


def _read(folder: Path) -> Run | None:
    try:
        config = json.loads((folder / "config.json").read_text())
        accuracy = float(config["metrics"]["compound_accuracy"])
        return Run(
            folder.name,
            folder,
            str(config["made_by"]),
            str(config["model"]),
            str(config["preset"]),
            int(config["steps"]),
            accuracy,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not a run, or one that is being written


def find(run_id: str) -> Run:
    """Return the run with this name.

    Raises
    ------
    ValueError
        If the name is not that of a run; it never reaches outside the runs folder.
    """
    run = _read(home() / run_id) if _ID.fullmatch(run_id) else None
    if run is None:
        raise ValueError(
            f"no run is called {run_id[:80]!r}; it may have been removed, pick another one"
        )
    return run


def listed() -> list[Run]:
    """Return all runs, newest first."""
    folders = sorted(home().iterdir(), reverse=True) if home().is_dir() else []
    return [run for folder in folders if _ID.fullmatch(folder.name) and (run := _read(folder))]


def prune_app_runs() -> None:
    """Remove the oldest runs of the app's visitors beyond `MAX_APP_RUNS`, to save disk space."""
    app_runs = [run for run in listed() if run.made_by == "app"]
    for run in app_runs[MAX_APP_TIMELINES:]:
        (run.folder / STEPS_FILE).unlink(missing_ok=True)
    for run in app_runs[MAX_APP_RUNS:]:
        shutil.rmtree(run.folder, ignore_errors=True)
