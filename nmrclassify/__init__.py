"""Watch a network take an NMR mixture apart: generate mixtures, train, look at masks, evaluate."""

__version__ = "0.2.0"

from nmrclassify import moved as moved
