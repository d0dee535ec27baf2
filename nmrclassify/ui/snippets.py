"""Python programs that reproduce the mixture, the model and the main figure of a page."""

import re
from dataclasses import fields
from typing import Any

from nmrclassify.mixtures import edits
from nmrclassify.mixtures.grid import MixtureConfig
from nmrclassify.mixtures.spec import OWN, usual_config
from nmrclassify.training.checkpoints import PACKAGED, Checkpoint
from nmrclassify.training.recipes import TrainConfig
from nmrclassify.training.trainer import sizes_for
from nmrclassify.ui import url_state
from nmrclassify.ui.panels import View

# Where each name that a program may use is imported from.
_MODULES = {
    "nmrclassify.evaluation.compare_predictions": "compare_predictions",
    "nmrclassify.evaluation.filters": "patterns_of",
    "nmrclassify.evaluation.interpretation": "Cell trace_cell",
    "nmrclassify.evaluation.masks": "ideal_masks_of_outputs",
    "nmrclassify.evaluation.metrics": "evaluate",
    "nmrclassify.evaluation.prediction": "match_mixture",
    "nmrclassify.mixtures.edits": " ".join(kind.__name__ for kind in edits.KINDS.values()),
    "nmrclassify.mixtures.grid": "MixtureConfig",
    "nmrclassify.mixtures.grid_files": "read_library read_mixture",
    "nmrclassify.mixtures.presets": "build",
    "nmrclassify.mixtures.spec": "MixtureSpec",
    "nmrclassify.nmr.axis": "Axis",
    "nmrclassify.plots": "page_figures",
    "nmrclassify.training.checkpoints": "load shipped",
    "nmrclassify.training.packaged": "training_history",
    "nmrclassify.training.recipes": "TrainConfig",
    "nmrclassify.training.runs": "find",
    "nmrclassify.training.trainer": "Trainer model_for sizes_for",
    "pathlib": "Path",
}
_PREDICTION = (
    "prediction = model.predict(sample.areas)",
    "truth = match_mixture(prediction, sample, {weight})",
)
_OVERVIEW = (
    *_PREDICTION,
    "figure = page_figures.overview(",
    "    sample, prediction, truth, data.library, patterns=patterns_of(model)",
    ")",
)
# The lines that draw each page's main figure, from `data`, `plain`, `sample` and `model`.
_FIGURES: dict[str, tuple[str, ...]] = {
    "app.py": _OVERVIEW,
    "pages/travel.py": _OVERVIEW,
    "pages/train.py": _OVERVIEW,
    "pages/mixtures.py": ("figure = page_figures.mixture(sample, data.library)",),
    "pages/masks.py": (
        *_PREDICTION,
        "ideal = ideal_masks_of_outputs(model, sample, truth)",
        "figure = page_figures.masks(",
        "    prediction,",
        "    truth,",
        "    ideal,",
        "    patterns_of(model),",
        "    data.library,",
        "    sort={sort},",
        "    show_weak={weak_cells},",
        "    only_wrong={wrong_cells},",
        ")",
    ),
    "pages/separation.py": (
        *_PREDICTION,
        "figure = page_figures.separation(prediction, truth, data.library)",
    ),
    "pages/inside.py": (
        "trace = trace_cell(model, sample.areas, {cell})",
        "figure = page_figures.cell_trace(trace, model.kind, data.library)",
    ),
    "pages/whatif.py": (
        "change = compare_predictions((model, plain.areas), (model, sample.areas))",
        "print(change.presence.round(3))  # before, after",
        "figure = page_figures.change(change, data.library)",
    ),
    "pages/evaluate.py": (
        "result = evaluate(model, data.test_mixtures(), {weight})",
        "print(result.summary())",
        "figure = page_figures.confusion(result, data.library)",
    ),
    "pages/robustness.py": ('figure = page_figures.robustness("{sweep}")',),
}


def pages() -> tuple[str, ...]:
    """Return the pages that have a program."""
    return tuple(_FIGURES)


def code(page: str, view: View) -> str:
    """Return a program that reproduces the main figure of a page as `figure`, and opens it.

    Raises
    ------
    ValueError
        If the page has no program.
    """
    if page not in _FIGURES:
        raise ValueError(f"page is {page!r}; expected one of {', '.join(_FIGURES)}")
    values = {
        "weight": view.checkpoint.training.reconstruction_weight,
        "cell": view.followed_cell,
        "sort": url_state.get("sort_filters"),
        "weak_cells": url_state.get("weak_cells"),
        "wrong_cells": url_state.get("wrong_cells"),
        "sweep": url_state.get("sweep"),
    }
    figure = [line.format(**values) for line in _FIGURES[page]]
    return _program([*_mixture(view), *_model(view), *figure, "figure.show()"])


def compared(first: View, second: View) -> str:
    """Return a program that compares two views, as the page Compare does."""
    lines = []
    for name, view in (("a", first), ("b", second)):
        lines += [
            f"def side_{name}():",
            *(f"    {line}" for line in (*_mixture(view), *_model(view))),
            "    return data, model, sample",
            "",
            "",
        ]
    one_training = first.checkpoint.same_filters(second.checkpoint)
    lines += [
        "(data, model_a, sample_a), (_, model_b, sample_b) = side_a(), side_b()",
        "change = compare_predictions(",
        "    (model_a, sample_a.areas), (model_b, sample_b.areas)"
        + (", one_training=True" if one_training else ""),
        ")",
        "print(change.presence.round(3))  # A, B",
        'figure = page_figures.change(change, data.library, sides=("A", "B"))',
        "figure.show()",
    ]
    return _program(["", *lines])


def _program(lines: list[str]) -> str:
    """Return a program with the imports that its lines need."""
    used = set(re.findall(r"(?<![\w.\"'])[A-Za-z]\w*", "\n".join(lines)))
    imports = []
    for module, names in _MODULES.items():
        needed = sorted(used & set(names.split()), key=str.lower)
        if needed:
            imports.append(f"from {module} import {', '.join(needed)}")
    return "\n".join([*imports, "", *lines, ""])


def _changed(config: Any, usual: Any) -> str:
    """Return the arguments of a configuration that differ from `usual`, as code."""
    return ", ".join(
        f"{f.name}={getattr(config, f.name)!r}"
        for f in fields(config)
        if getattr(config, f.name) != getattr(usual, f.name)
    )


def _sizes(name: str, data: str, checkpoint: Checkpoint) -> str:
    """Return the sizes of a network as a further argument; "" if they are the usual ones."""
    n_filters, kind = checkpoint.model.config.n_filters, checkpoint.model.kind
    if n_filters == sizes_for(checkpoint.dataset, kind).n_filters:
        return ""
    return f", {name}=sizes_for({data}, {kind!r}, n_filters={n_filters})"


def _config(preset: str, config: MixtureConfig) -> str:
    """Return a way to make mixtures as code; "" if it is that of the preset."""
    if config == usual_config(preset):
        return ""
    return f"MixtureConfig({_changed(config, MixtureConfig())})"


def _mixture(view: View) -> list[str]:
    spec, library = view.spec, view.library
    lines, files = [], []
    if spec.preset == OWN:
        lines += [
            "# The page Mixtures offers this library as CSV.",
            'file = Path("library.csv").read_bytes()',
            f"library = read_library(file, {library.axis!r}, {library.n_peaks})",
        ]
        files.append("library=library")
    if spec.from_file:
        lines += [
            'file = Path("mixture.csv").read_bytes()  # that you uploaded',
            f"areas = read_mixture(file, {library.axis!r}, {library.n_peaks})",
        ]
        files.append("areas=areas")
    arguments = [
        f"{name}={value!r}"
        for name, value in (
            ("number", spec.number),
            ("compounds", spec.compounds),
            ("concentrations", spec.concentrations),
            ("unknown", spec.unknown),
            ("edits", spec.edits),
        )
        if value not in (None, (), False)
    ]
    if config := _config(spec.preset, spec.mixing):
        arguments.insert(0, f"config={config}")
    return [
        *lines,
        "spec = MixtureSpec(",
        *(f"    {argument}," for argument in (repr(spec.preset), f"seed={spec.seed}", *arguments)),
        ")",
        f"data, plain, sample = spec.realise({', '.join(files)})",
    ]


def _model(view: View) -> list[str]:
    name, checkpoint = view.chosen.key, view.checkpoint
    kind = checkpoint.model.kind
    if name in PACKAGED:
        names = repr(name), repr(checkpoint.dataset.preset)
        if view.chosen.last:
            return [f"model = shipped({', '.join(names)}).model"]
        return [f"model = training_history({', '.join(names)}).network({checkpoint.step})"]
    if name == "untrained" or not checkpoint.step:
        sizes = _sizes("config", "data", checkpoint)
        seed = checkpoint.seed
        return [f"model = model_for(data, seed={seed}, kind={kind!r}{sizes})  # untrained"]
    if name == "upload":
        return ['model = load("model.safetensors").model  # the file that you uploaded']
    if name != "training" and view.chosen.last:
        return [f'model = load(find({name!r}).folder / "model.safetensors").model']
    # All randomness is a function of seed and step: the same training gives the same weights.
    trained, spec, data, lines = checkpoint.dataset, view.spec, "data", []
    if (trained.seed, trained.config) != (spec.seed, spec.mixing):
        data = "training_data"
        name = "quick" if spec.preset == OWN else spec.preset
        arguments = [repr(name), f"seed={trained.seed}"]
        if config := _config(spec.preset, trained.config):
            arguments.append(f"mixture={config}")
        if spec.preset == OWN:
            arguments.append("library=library")
        lines = [f"{data} = build({', '.join(arguments)})"]
    settings = _changed(checkpoint.training, TrainConfig())
    sizes = _sizes("network", data, checkpoint)
    return [
        *lines,
        f"settings = TrainConfig({settings})",
        f"trainer = Trainer({data}, settings, seed={checkpoint.seed}, kind={kind!r}{sizes})",
        f"for _ in range({checkpoint.step}):",
        "    trainer.advance()",
        "model = trainer.model",
    ]
