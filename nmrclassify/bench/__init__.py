"""The measurements behind every stated figure: one module each, with a function `run` -> dict."""

import importlib
import inspect
import os
import pkgutil
from datetime import date
from typing import Any

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


def run(name: str, **options: Any) -> dict:
    """Run one measurement; `measured_with` of its result records how and where it ran.

    `options` are arguments of its function `run`.

    Raises
    ------
    ValueError
        If there is none of this name, or it has no such option.
    """
    known = listed()
    if name not in known:
        raise ValueError(f"bench is {name!r}; expected one of {', '.join(known)}")
    module = importlib.import_module(f"{__name__}.{name}")
    unknown = set(options) - set(inspect.signature(module.run).parameters)
    if unknown:
        raise ValueError(f"bench {name} has no option {', '.join(sorted(unknown))}; leave it out")
    origin = {
        "command": f"python -m nmrclassify bench {name}",
        "seeds": list(options.get("seeds", getattr(module, "SEEDS", ()))),
        "version": __version__,
        "date": date.today().isoformat(),
        "machine": (
            f"{os.cpu_count()} CPU cores, torch {torch.__version__},"
            f" {torch.get_num_threads()} thread{'s' * (torch.get_num_threads() != 1)}"
        ),
    }
    return module.run(**options) | {"measured_with": origin}
