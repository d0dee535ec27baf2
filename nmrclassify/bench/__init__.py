"""The measurements behind every stated figure: one module each, with a function `run` -> dict."""

import importlib
import os
import pkgutil
from datetime import date

import torch

from nmrclassify import __version__


def listed() -> dict[str, str]:
    """Return the name and the first line of each measurement."""
    texts = {}
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            text = importlib.import_module(f"{__name__}.{module.name}").__doc__ or ""
            texts[module.name] = text.strip().partition("\n")[0]
    return texts


def run(name: str) -> dict:
    """Run one measurement; `measured_with` of its result records how and where it ran.

    Raises
    ------
    ValueError
        If there is none of this name.
    """
    known = listed()
    if name not in known:
        raise ValueError(f"bench is {name!r}; expected one of {', '.join(known)}")
    module = importlib.import_module(f"{__name__}.{name}")
    origin = {
        "command": f"python -m nmrclassify bench {name}",
        "seeds": list(getattr(module, "SEEDS", ())),
        "version": __version__,
        "date": date.today().isoformat(),
        "machine": (
            f"{os.cpu_count()} CPU cores, torch {torch.__version__},"
            f" {torch.get_num_threads()} thread{'s' * (torch.get_num_threads() != 1)}"
        ),
    }
    return module.run() | {"measured_with": origin}
