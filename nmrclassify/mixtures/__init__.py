"""Mixtures of compounds: how they are made, edited, read and written."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Return a name of the module of version 0.1 that this room is called after."""
    from nmrclassify.moved import moved_name

    return moved_name("mixtures", name)
