"""Training runs on disk: one folder a run with its configuration, its history and its model.

They live in `~/.nmrclassify/runs`, or in the folder `runs` below what the environment variable
NMRCLASSIFY_HOME names.
"""

import json
import re
import secrets
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from nmrclassify.files import quoted, write_atomically
from nmrclassify.files.tables import write_csv
from nmrclassify.networks.conv_tasnet import Network
from nmrclassify.training import checkpoints, run_files
from nmrclassify.training.checkpoints import Checkpoint
from nmrclassify.training.history import FILE as STEPS_FILE
from nmrclassify.training.history import TrainingHistory
from nmrclassify.training.history import load as load_steps
from nmrclassify.training.run_files import CONFIG, home
from nmrclassify.training.run_states import STATE, remove_state

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
MAX_APP_RUNS = 200
MAX_APP_TIMELINES = 40  # up to 24 MB each
MAX_APP_STATES = 40  # as large
MAX_STEPS = 10**9
MAX_ROWS, MAX_HISTORY_BYTES = 100_000, 32 * 1024 * 1024  # of a run's history
LEFT_SECONDS = 3600
MODEL, HISTORY = "model.safetensors", "history.csv"


@dataclass(frozen=True)
class Run:
    """A finished or stopped training on disk; `made_by` is "cli" or "app".

    Attributes
    ----------
    damage : str
        Why the run cannot be used; empty for a run that can.
    """

    id: str
    folder: Path
    made_by: str
    model: str
    preset: str
    steps: int
    compound_accuracy: float
    damage: str = ""

    @property
    def title(self) -> str:
        """One line for a list."""
        if self.damage:
            return f"{self.id[:15]} · damaged: {self.damage}"
        return (
            f"{self.id[:15]} · {self.model} on {self.preset} · {self.steps:,} steps ·"
            f" {self.compound_accuracy:.0%} of compounds"
        )


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

    The run is complete with the last file, a manifest with the checksums of the others. What is
    there of an interrupted training is removed then.

    Parameters
    ----------
    made_by : str
        "cli" or "app".
    steps : TrainingHistory, optional
        For the page Time travel.
    """
    run_files.check_home(folder)
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
        "manifest": run_files.MANIFEST,
    }
    (folder / run_files.MANIFEST).unlink(missing_ok=True)
    checkpoints.save(checkpoint, folder / MODEL)
    if steps is not None:
        write_atomically(folder / STEPS_FILE, steps.to_bytes())
    write_csv(pd.DataFrame(history), folder / HISTORY)
    write_atomically(folder / CONFIG, json.dumps(config, indent=2).encode())
    steps_file = () if steps is None else (STEPS_FILE,)
    run_files.write_manifest(folder, (MODEL, HISTORY, CONFIG, *steps_file))
    remove_state(folder)
    return folder / MODEL


def remove(folder: Path) -> None:
    """Remove the run and the interrupted training of a folder, but no other file."""
    for name in (run_files.MANIFEST, CONFIG, MODEL, STEPS_FILE, HISTORY):
        (folder / name).unlink(missing_ok=True)
    remove_state(folder)


def check_free(folder: Path) -> None:
    """Raise ValueError if a folder holds a training that a new one would replace."""
    if (folder / STATE).is_file():
        raise ValueError(
            f"{folder} holds an interrupted training; add --resume to continue it, or --overwrite"
            " to start anew"
        )
    if (folder / CONFIG).is_file() or (folder / MODEL).is_file():
        raise ValueError(
            f"{folder} holds a finished training; choose another --out, or add --overwrite to"
            " replace it"
        )


def history(run: Run) -> list[dict]:
    """Return the rows of a run's training; empty where they cannot be read."""
    try:
        run_files.check(run.folder, HISTORY)
        if (run.folder / HISTORY).stat().st_size > MAX_HISTORY_BYTES:
            return []
        rows = pd.read_csv(run.folder / HISTORY)
    except (OSError, ValueError):
        return []
    usable = "step" in rows and len(rows) <= MAX_ROWS and all(map(is_numeric_dtype, rows.dtypes))
    return rows.to_dict("records") if usable and np.isfinite(rows["step"]).all() else []


def _read(folder: Path) -> Run | None:
    """Return the run of a folder, perhaps a damaged one; None if it is none, or not complete."""
    run = Run(folder.name, folder, "", "", "", 0, 0.0)
    try:
        config = run_files.read_json(folder / CONFIG)
        run = replace(run, made_by=str(config["made_by"]))
        if "manifest" in config and not (folder / run_files.MANIFEST).is_file():
            return None
        steps, accuracy = config["steps"], config["metrics"]["compound_accuracy"]
        model, preset = str(config["model"]), str(config["preset"])
        if type(steps) is not int or not 0 <= steps <= MAX_STEPS:
            raise ValueError(f"steps is {quoted(str(steps))}")
        if not isinstance(accuracy, (int, float)) or not 0 <= accuracy <= 1:
            raise ValueError(f"compound_accuracy is {quoted(str(accuracy))}")
        if not all(re.fullmatch("[a-z]{1,20}", name) for name in (model, preset)):
            raise ValueError(f"model and preset are {quoted(str((model, preset)))}")
        for name in (MODEL, CONFIG, HISTORY):
            if (folder / name).is_file():
                run_files.check(folder, name, whole=False)
            elif name == MODEL:
                raise ValueError(f"{name} is missing")
        header = _first_line(folder / HISTORY)
        if header and b"step" not in header.split(b","):
            raise ValueError(f"{HISTORY} has no column 'step'")
    except OSError:
        return None  # not a run, or one that is being written
    except KeyError as error:
        return replace(run, damage=f"{CONFIG} has no {error}")
    except TypeError:
        return replace(run, damage=f"{CONFIG} is not as nmrclassify writes it")
    except ValueError as error:
        return replace(run, damage=str(error))
    return replace(run, model=model, preset=preset, steps=steps, compound_accuracy=float(accuracy))


def _first_line(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.readline(4096).strip()


def find(run_id: str) -> Run:
    """Return the run with this name, whose model is as it was written.

    Raises
    ------
    ValueError
        If the name is not that of a run, or the run is damaged; it never reaches outside the runs
        folder.
    """
    run = _read(home() / run_id) if _ID.fullmatch(run_id) and len(run_id) < 200 else None
    if run is None:
        raise ValueError(
            f"no run is called {run_id[:80]!r}; it may have been removed, pick another one"
        )
    if run.damage:
        raise ValueError(f"the run {run_id[:80]} is damaged: {run.damage}; pick another one")
    run_files.check(run.folder, MODEL)
    return run


def training_history(run: Run, model: Network) -> TrainingHistory:
    """Return the weights at steps of a run, if they are as they were written; `model` is its model.

    Raises
    ------
    ValueError
        If there are none, or they are damaged.
    """
    with suppress(FileNotFoundError):  # removed to make room; `load_steps` says so
        run_files.check(run.folder, STEPS_FILE)
    return load_steps(run.folder / STEPS_FILE, model)


def _folders() -> list[Path]:
    """Return what may be runs, newest first; nothing if the home cannot be read."""
    try:
        names = [] if run_files.home_is_blank() else list(home().iterdir())
    except OSError:
        return []
    return sorted((path for path in names if _ID.fullmatch(path.name)), reverse=True)


def listed() -> list[Run]:
    """Return all runs, newest first, also damaged ones."""
    return [run for folder in _folders() if (run := _read(folder))]


def unfinished(visit: str | None = None) -> list[Path]:
    """Return the folders of the visitors' trainings without a finished run, newest first.

    Parameters
    ----------
    visit : str, optional
        The SHA-256 of the key of a visit: return only its folders.
    """
    return [
        folder
        for folder in _folders()
        if (folder / run_files.VISIT).is_file()
        and not (folder / run_files.MANIFEST).is_file()
        and (visit is None or run_files.is_of_visit(folder, visit))
    ]


def prune_app_runs() -> None:
    """Remove the oldest runs of the app's visitors beyond `MAX_APP_RUNS`, to save disk space.

    The oldest unfinished trainings beyond `MAX_APP_STATES` go, too, unless they train now.

    Folders that an interrupted write left without a run are removed after an hour.
    """
    app_runs = [run for run in listed() if run.made_by == "app"]
    for run in app_runs[MAX_APP_TIMELINES:]:
        (run.folder / STEPS_FILE).unlink(missing_ok=True)
    old = [run.folder for run in app_runs[MAX_APP_RUNS:]]
    states = [folder for folder in unfinished() if (folder / STATE).is_file()]
    old += [folder for folder in states[MAX_APP_STATES:] if not run_files.is_locked(folder)]
    for folder in old + [folder for folder in _folders() if _is_left(folder)]:
        shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    """Whether a folder without run or training has not been written for an hour."""
    try:
        return (
            folder.is_dir()
            and time.time() - folder.stat().st_mtime > LEFT_SECONDS
            and not (folder / STATE).is_file()
            and not run_files.is_locked(folder)
            and _read(folder) is None
        )
    except OSError:
        return False
