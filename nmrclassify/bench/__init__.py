"""The measurements behind every figure that the README states: one module each, with a function `run` -> dict."""

import importlib
import pkgutil


def listed() -> dict[str, str]:
    """Return the name and the first line of each measurement."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            text = importlib.import_module(f"{__name__}.{module.name}").__doc__
            found[module.name] = text.strip().splitlines()[0]
    return found


def run(name: str) -> dict:
    """Run one measurement.

    Raises
    ------
    ValueError
        If there is none of this name.
    """
    known = listed()
    if name not in known:
        raise ValueError(f"bench is {name!r}; expected one of {', '.join(known)}")
    return importlib.import_module(f"{__name__}.{name}").run()
