"""Import paths of version 0.1: they work for this release, with a warning, and go with the next.

The README and the programs that the pages print taught them. `MOVED` says where each name of an old
module is now. Modules that still exist under an old name (`mixtures`, `training`) call `moved_name`
themselves; for every other old module `OldModules` makes a stand-in.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pkgutil import resolve_name
from types import ModuleType
from typing import Any

MOVED = {
    "answers": {
        "answer": "networks.conv_tasnet.Network.predict",
        "compare": "evaluation.prediction.match_truth",
        "verdict": "evaluation.prediction.describe_prediction",
    },
    "axis": {"Axis": "nmr.axis.Axis", "FULL_AXIS": "nmr.axis.FULL_AXIS"},
    "change_figures": {"multiplet_change": "plots.comparison.multiplet_change"},
    "checkpoints": {"load": "training.checkpoints.load", "shipped": "training.checkpoints.shipped"},
    "compounds": {
        "common_metabolites": "nmr.compound_files.common_metabolites",
        "read_compounds": "nmr.compound_files.read_compounds",
    },
    "contrast": {"contrast": "evaluation.compare_predictions.compare_predictions"},
    "curves": {"over_seeds": "plots.curves.over_seeds", "robustness": "plots.curves.robustness"},
    "drawing": {"Theme": "plots.style.Theme"},
    "edits": {
        "Sample": "mixtures.edits.Mixture",
        "apply": "mixtures.edits.apply",
        "from_text": "mixtures.edits.from_text",
    },
    "figures": {
        "area_maps": "plots.maps.area_maps",
        "confusion": "plots.classes.confusion",
        "headings": "plots.classes.headings",
        "mask_maps": "plots.maps.mask_maps",
        "overview": "plots.maps.overview",
    },
    "inside": {
        "Cell": "evaluation.interpretation.Cell",
        "trace_cell": "evaluation.interpretation.trace_cell",
    },
    "inside_figures": {"cell_trace": "plots.activations.cell_trace"},
    "metrics": {"evaluate": "evaluation.metrics.evaluate"},
    "mixtures": {
        "MixtureConfig": "mixtures.grid.MixtureConfig",
        "foreign_compounds": "mixtures.grid.unknown_compounds",
        "generator": "mixtures.grid.generator",
        "mix_at": "mixtures.grid.mix_at",
        "with_unknown": "mixtures.grid.with_unknown",
    },
    "presets": {"build": "mixtures.presets.build"},
    "runs": {"find": "training.runs.find"},
    "scale": {},
    "scale.figures": {"overview": "plots.spectrum.overview"},
    "scale.identify": {"Detector": "evaluation.identify.Detector"},
    "scale.mixtures": {
        "ScaleConfig": "mixtures.peaks.PeakMixtureConfig",
        "draw": "mixtures.peaks.draw_mixture",
    },
    "scale.spectrum": {"layers": "plots.spectrum_layers.spectrum_layers"},
    "synthetic": {
        "SyntheticConfig": "nmr.synthetic.SyntheticConfig",
        "synthetic_compounds": "nmr.synthetic.synthetic_compounds",
    },
    "tables": {
        "read_library": "mixtures.grid_files.read_library",
        "read_mixture": "mixtures.grid_files.read_mixture",
    },
    "training": {
        "TrainConfig": "training.recipes.TrainConfig",
        "Trainer": "training.trainer.Trainer",
        "model_for": "training.trainer.model_for",
        "recipe": "training.recipes.recipe",
    },
    "bench.robustness": {"measured": "evaluation.robustness.measured"},
}
PACKAGE = __name__.rpartition(".")[0]


def moved_name(old_module: str, name: str) -> Any:
    """Return what `name` of a module of version 0.1 is now, and warn.

    Raises
    ------
    AttributeError
        If the old module had no such name, or nobody was taught it.
    """
    path = MOVED[old_module].get(name)
    if path is None:
        raise AttributeError(f"module '{PACKAGE}.{old_module}' has no attribute {name!r}")
    text = f"{PACKAGE}.{old_module}.{name} is {PACKAGE}.{path} now; the old path goes in 0.3"
    warnings.warn(text, FutureWarning, stacklevel=3)
    return resolve_name(f"{PACKAGE}.{path}")


class OldModules(MetaPathFinder, Loader):
    """Find the modules of version 0.1 that are gone; look their names up in `MOVED`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for an old module; None for any other."""
        package, _, old = fullname.partition(".")
        if package != PACKAGE or old not in MOVED:
            return None
        is_package = any(key.startswith(f"{old}.") for key in MOVED)
        return ModuleSpec(fullname, self, is_package=is_package)

    def exec_module(self, module: ModuleType) -> None:
        """Let a module look its names up when they are asked for."""
        old = module.__name__.partition(".")[2]
        module.__dict__["__getattr__"] = lambda name: moved_name(old, name)


# Last, so that a module that is there is found first.
sys.meta_path.append(OldModules())
