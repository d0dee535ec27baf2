"""The training loop, recipes, checkpoints, runs and jobs."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Return a name of the module of version 0.1 that this room is called after."""
    from nmrclassify.moved import moved_name

    return moved_name("training", name)
