"""Import paths of version 0.1: they work for this release, with a warning, and go with the next.

The README and the programs that the pages print taught them. `MODULES` and `RENAMED` say where the
names of an old module are now. Modules that still exist under an old name (`mixtures`, `training`)
call `moved_name` themselves; for every other old module `OldModules` makes a stand-in.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pkgutil import resolve_name
from types import ModuleType
from typing import Any

# Where the names of an old module are now, but for those below.
MODULES = {
    "answers": "evaluation.prediction",
    "axis": "nmr.axis",
    "bench.robustness": "evaluation.robustness",
    "change_figures": "plots.comparison",
    "checkpoints": "training.checkpoints",
    "compounds": "nmr.compound_files",
    "contrast": "evaluation.compare_predictions",
    "curves": "plots.curves",
    "drawing": "plots.style",
    "edits": "mixtures.edits",
    "figures": "plots.maps",
    "inside": "evaluation.interpretation",
    "inside_figures": "plots.activations",
    "metrics": "evaluation.metrics",
    "mixtures": "mixtures.grid",
    "presets": "mixtures.presets",
    "runs": "training.runs",
    "scale": "",
    "scale.figures": "plots.spectrum",
    "scale.identify": "evaluation.identify",
    "scale.mixtures": "mixtures.peaks",
    "scale.spectrum": "plots.spectrum_layers",
    "synthetic": "nmr.synthetic",
    "tables": "mixtures.grid_files",
    "training": "training.trainer",
}
RENAMED = {
    "answers.answer": "networks.conv_tasnet.Network.predict",
    "answers.compare": "evaluation.prediction.match_truth",
    "answers.verdict": "evaluation.prediction.describe_prediction",
    "contrast.contrast": "evaluation.compare_predictions.compare_predictions",
    "edits.Sample": "mixtures.edits.Mixture",
    "figures.confusion": "plots.classes.confusion",
    "figures.headings": "plots.classes.headings",
    "mixtures.foreign_compounds": "mixtures.grid.unknown_compounds",
    "scale.mixtures.ScaleConfig": "mixtures.peaks.PeakMixtureConfig",
    "scale.mixtures.draw": "mixtures.peaks.draw_mixture",
    "scale.spectrum.layers": "plots.spectrum_layers.spectrum_layers",
    "training.TrainConfig": "training.recipes.TrainConfig",
    "training.recipe": "training.recipes.recipe",
}
PACKAGE = __name__.rpartition(".")[0]


def moved_name(old_module: str, name: str) -> Any:
    """Return what `name` of a module of version 0.1 is now, and warn.

    Raises
    ------
    AttributeError
        If there is no such name.
    """
    path = RENAMED.get(f"{old_module}.{name}", f"{MODULES[old_module]}.{name}")
    try:
        value = resolve_name(f"{PACKAGE}.{path}")
    except (AttributeError, ImportError, ValueError):
        module = f"{PACKAGE}.{old_module}"
        raise AttributeError(f"module {module!r} has no attribute {name!r}") from None
    text = f"{PACKAGE}.{old_module}.{name} is {PACKAGE}.{path} now; the old path goes in 0.3"
    warnings.warn(text, FutureWarning, stacklevel=3)
    return value


class OldModules(MetaPathFinder, Loader):
    """Find the modules of version 0.1 that are gone; look their names up with `moved_name`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for an old module; None for any other."""
        package, _, old = fullname.partition(".")
        if package != PACKAGE or old not in MODULES:
            return None
        is_package = any(key.startswith(f"{old}.") for key in MODULES)
        return ModuleSpec(fullname, self, is_package=is_package)

    def exec_module(self, module: ModuleType) -> None:
        """Let a module look its names up when they are asked for."""
        old = module.__name__.partition(".")[2]
        module.__dict__["__getattr__"] = lambda name: moved_name(old, name)


# Last, so that a module that is there is found first.
sys.meta_path.append(OldModules())
