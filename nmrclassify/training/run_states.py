"""The state of an unfinished training on disk, with which it goes on as if never interrupted.

It is in the folder of the run that the training makes: the untrained network with its data, the
weights at earlier steps, and a file with the rest and with checksums of the others.
"""

import time
from collections.abc import Callable
from pathlib import Path

import torch

from nmrclassify.files import TensorFile, sealed, write_atomically
from nmrclassify.networks.registry import current_tensor_name
from nmrclassify.training import checkpoints, run_files
from nmrclassify.training.checkpoints import Checkpoint
from nmrclassify.training.history import FILE as STEPS_FILE
from nmrclassify.training.history import MAX_BYTES as MAX_STEPS_BYTES
from nmrclassify.training.history import MAX_FRAMES
from nmrclassify.training.history import load as load_steps
from nmrclassify.training.optimiser import expected_tensors
from nmrclassify.training.run_files import CONFIG
from nmrclassify.training.trainer import Trainer

SAVE_STEPS, SAVE_SECONDS = 200, 30  # between two states, at most
MAX_STATE_BYTES = 64 * 1024 * 1024
STATE, START = "state.safetensors", "start.safetensors"
_STATE = {"step", "seconds", "history", "since"}


def room_needed(trainer: Trainer) -> int:
    """Return the bytes that a run and the state of its training take at most, while both exist."""
    model = sum(value.nbytes for value in trainer.model.state_dict().values())
    return 2 * min(MAX_STEPS_BYTES, MAX_FRAMES * model) + 8 * model + 2 * 2**20


def save_state(trainer: Trainer, folder: Path) -> None:
    """Write what `resume` needs to go on with an unfinished training.

    The state before it counts until the new one is complete: the last file that is written has the
    checksums of all.
    """
    run_files.check_home(folder)
    state = trainer.state()
    tensors = state.pop("tensors")
    steps = f"steps-{trainer.step}.safetensors"
    untrained = trainer.training_history.network(0)
    start = checkpoints.to_bytes(
        Checkpoint(untrained, trainer.dataset, trainer.config, trainer.seed, 0, {})
    )
    contents = {START: start, steps: trainer.training_history.to_bytes()}
    for name, content in contents.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            write_atomically(path, content)
    state["parts"] = {name: run_files.digest(content) for name, content in contents.items()}
    write_atomically(folder / STATE, sealed(tensors, "state", state))
    for path in folder.glob("steps-*.safetensors"):
        if path.name != steps:
            path.unlink(missing_ok=True)


def remove_state(folder: Path) -> None:
    """Remove what `save_state` wrote."""
    for path in (folder / STATE, folder / START, *folder.glob("steps-*.safetensors")):
        path.unlink(missing_ok=True)


class Saver:
    """Writes the state of a training from time to time; a full disk does not end the training.

    Parameters
    ----------
    every : int
        Steps between two states.
    tell : callable
        Called with a sentence if a state could not be written.
    share : float
        The share of the time that states take at most, besides the one every 30 seconds.
    """

    def __init__(
        self,
        trainer: Trainer,
        folder: Path,
        every: int = SAVE_STEPS,
        tell: Callable[[str], None] = lambda text: None,
        share: float = 1.0,
    ):
        self._trainer, self._folder = trainer, folder
        self._every, self._tell, self._share = every, tell, share
        self._step, self._time, self._took = trainer.step, time.monotonic(), 0.0

    def between(self) -> None:
        """Write the state if so many steps or 30 seconds have passed since it was tried last."""
        step, passed = self._trainer.step, time.monotonic() - self._time
        due = step - self._step >= self._every and self._took <= self._share * passed
        if not due and passed < SAVE_SECONDS:
            return
        try:
            self.save()
        except OSError as error:
            self._tell(f"step {step} is not saved: {error}; the training goes on, and tries again")

    def save(self) -> None:
        """Write the state; raises OSError with the path if that is not possible."""
        began = time.monotonic()
        try:
            with run_files.naming(self._folder):
                run_files.check_room(self._folder, room_needed(self._trainer))
                save_state(self._trainer, self._folder)
        finally:
            self._step, self._time = self._trainer.step, time.monotonic()
            self._took = self._time - began


def resume(folder: Path, tell: Callable[[str], None] = lambda text: None) -> Trainer:
    """Return the training whose state `save_state` wrote, as if it had never been interrupted.

    Parameters
    ----------
    tell : callable
        Called with a sentence if the weights of earlier steps are damaged: the training goes on
        without them.

    Raises
    ------
    ValueError
        If the folder holds no interrupted training, or a damaged one, or also a finished run that
        is another training.
    """
    if not (folder / STATE).is_file():
        finished = (folder / CONFIG).is_file()
        raise ValueError(
            f"no interrupted training in {folder}"
            + (": the one there is finished" if finished else "; leave out --resume to start one")
        )
    try:
        file = TensorFile.read(
            folder / STATE, "state", MAX_STATE_BYTES, MAX_STATE_BYTES, name_of=current_tensor_name
        )
        state = file.header
        if set(state) == _STATE | {"sha256", "parts"}:
            file.unseal()
        elif set(state) != _STATE:  # files of before have no checksums
            raise ValueError(f"{STATE} is no state of a training")
        checkpoint = _start(folder, state.get("parts", {}))
        trainer = Trainer(
            checkpoint.dataset,
            checkpoint.training,
            checkpoint.seed,
            checkpoint.model.kind,
            checkpoint.model.config,
        )
        parts = trainer.model, trainer.optimiser, "model"
        arrays = file.arrays(expected_tensors(file.described, *parts))
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        trainer.load_state(state | {"tensors": tensors})
    except (KeyError, TypeError, RuntimeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"the state in {folder} is damaged ({error}); add --overwrite in place of --resume to"
            " start again"
        ) from error
    _check_same(folder, trainer)
    steps = next((name for name in state.get("parts", {}) if name != START), STEPS_FILE)
    try:
        if (folder / steps).is_file() or "parts" in state:
            _check_part(folder, steps, state.get("parts", {}))
            loaded = load_steps(folder / steps, trainer.model)
            if loaded.steps[-1] > trainer.step:
                raise ValueError("they are of a later step")
            trainer.training_history = loaded
    except (OSError, ValueError) as error:
        tell(f"{folder / steps} is not used ({error}); the training goes on without these steps")
    return trainer


def _start(folder: Path, parts: dict) -> Checkpoint:
    _check_part(folder, START, parts)
    return checkpoints.load(folder / START)


def _check_part(folder: Path, name: str, parts: dict) -> None:
    """Compare a part of a state with the checksum that the state has of it, if it has one."""
    if parts and run_files.digest((folder / name).read_bytes()) != parts[name]:
        raise ValueError(f"{name} is damaged: its SHA-256 is not the one that {STATE} states")


def _check_same(folder: Path, trainer: Trainer) -> None:
    """Raise ValueError if the folder holds a finished run of another training."""
    if not (folder / CONFIG).is_file():
        return
    own = {
        "preset": trainer.dataset.preset,
        "data_seed": trainer.dataset.seed,
        "weights_seed": trainer.seed,
        "model": trainer.model.kind,
        "steps": trainer.config.steps,
    }
    config = run_files.read_json(folder / CONFIG)
    for key, value in own.items():
        if config.get(key) != value:
            raise ValueError(
                f"{folder} holds a finished training whose {key} is {config.get(key)!r}, and an"
                f" interrupted one whose {key} is {value!r}; move one of them to another folder"
            )
