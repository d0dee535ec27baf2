"""Python code that reproduces what a page shows: the data, the model, the mixture, and the page's main figure."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from nmrclassify.mixtures.grid import MixtureConfig
from nmrclassify.mixtures.presets import PRESETS
from nmrclassify.nmr.axis import PPM_AXIS, Axis
from nmrclassify.training.trainer import TrainConfig


@dataclass(frozen=True)
class Recipe:
    """How the state of a page came about.

    Attributes
    ----------
    preset : str
        "own" for an uploaded library.
    seed : int
    mixture : MixtureConfig
    model : str
        "shipped", "untrained", "upload", "training" (of the visit), or the name of a run.
    kind : str
        Of the network.
    training : TrainConfig
    weights : int
        Seed of the initial weights.
    step : int
        Of the training.
    last : bool
        Whether that is the model as it was kept, not a step before.
    number : int or None
        Of the test mixture, from 1.
    labels, concentrations : ndarray or None
        Of a mixture of one's choice.
    foreign : int or None
        Where a compound from outside the library is added: the number, from 0, of the stream that
        it is drawn from.
    truth : bool
        Whether the truth about the mixture is known, and can be set against the outputs.
    own_seed, own_mixture : int, MixtureConfig, or None
        Of the data that the model was trained on; those that are shown where they are not prediction.
    edits : str
    axis, n_peaks : Axis, int
        Of an uploaded library.
    output, filter, position : int
        The cell that is looked at.
    """

    preset: str
    seed: int
    mixture: MixtureConfig
    model: str
    kind: str
    training: TrainConfig
    weights: int
    step: int
    last: bool
    number: int | None
    labels: np.ndarray | None = None
    concentrations: np.ndarray | None = None
    foreign: int | None = None
    truth: bool = True
    own_seed: int | None = None
    own_mixture: MixtureConfig | None = None
    edits: str = ""
    axis: Axis = PPM_AXIS
    n_peaks: int = 6
    output: int = 0
    filter: int = 0
    position: int = 0


# What each page's main figure is, given `model`, `data`, `sample` and `plain`, the mixture before
# edits.
_OVERVIEW = (
    (
        "from nmrclassify.plots import maps",
        "from nmrclassify.evaluation.prediction import match_truth, predict",
        "from nmrclassify.plots.style import Theme",
    ),
    (
        "prediction = predict(model, sample.areas)",
        "{truth}",
        (
            "figure = maps.overview(sample.areas, prediction, data.library.names, data.library.axis,"
            " Theme(), truth)"
        ),
    ),
)
_FIGURES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "app.py": _OVERVIEW,
    "pages/travel.py": _OVERVIEW,
    "pages/train.py": _OVERVIEW,
    "pages/mixtures.py": (
        ("from nmrclassify.plots import maps", "from nmrclassify.plots.style import Theme"),
        (
            (
                'figure = maps.area_maps([("Mixture: 6 peaks x positions", sample.areas[None])],'
                " data.library.axis, Theme(), outputs=False)"
            ),
        ),
    ),
    "pages/masks.py": (
        (
            "from nmrclassify.plots import classes, maps",
            "from nmrclassify.evaluation.prediction import predict",
            "from nmrclassify.plots.style import Theme",
        ),
        (
            "prediction = predict(model, sample.areas)",
            (
                'figure = maps.mask_maps([("Masks the network estimated", prediction.masks)],'
                " data.library.axis, Theme(),"
            ),
            (
                "                           headings=classes.headings(prediction,"
                " data.library.names, None), indices=prediction.outputs)"
            ),
        ),
    ),
    "pages/separation.py": (
        (
            "from nmrclassify.plots import classes, maps",
            "from nmrclassify.evaluation.prediction import predict",
            "from nmrclassify.plots.style import Theme",
        ),
        (
            "prediction = predict(model, sample.areas)",
            (
                'figure = maps.area_maps([("Separated by the network", prediction.multiplets)],'
                " data.library.axis, Theme(),"
            ),
            (
                "                           headings=classes.headings(prediction,"
                " data.library.names, None), indices=prediction.outputs)"
            ),
        ),
    ),
    "pages/inside.py": (
        (
            "from nmrclassify.evaluation import interpretation",
            "from nmrclassify.plots import activations",
            "from nmrclassify.plots.style import Theme",
        ),
        (
            "cell = interpretation.Cell(output={output}, filter={filter}, position={position})",
            "trace = interpretation.trace_cell(model, sample.areas, cell)",
            (
                "figure = activations.cell_trace(trace, data.library.names, model.kind,"
                " data.library.axis, Theme())"
            ),
        ),
    ),
    "pages/whatif.py": (
        (
            "from nmrclassify.plots import comparison",
            "from nmrclassify.evaluation.compare_predictions import compare_predictions",
            "from nmrclassify.plots.style import Theme",
        ),
        (
            "change = compare_predictions((model, plain.areas), (model, sample.areas))",
            "print(change.presence.round(3))  # before, after",
            (
                "figure = comparison.multiplet_change(change, data.library.names,"
                " data.library.axis, Theme())"
            ),
        ),
    ),
    "pages/evaluate.py": (
        (
            "from nmrclassify.plots import classes",
            "from nmrclassify.plots.style import Theme",
            "from nmrclassify.evaluation.metrics import evaluate",
        ),
        (
            "result = evaluate(model, data.test_mixtures(){weight})",
            "print(result.summary())",
            "counts = result.confusion()",
            'names = (*data.library.names, "nothing")[: len(counts)]',
            "figure = classes.confusion(counts, names, Theme())",
        ),
    ),
    "pages/robustness.py": (
        (
            "from nmrclassify.plots import curves",
            "from nmrclassify.evaluation.robustness import SWEEPS, measured",
            "from nmrclassify.plots.style import Theme",
        ),
        (
            "results = measured()",
            'rows = curves.over_seeds(results[results["sweep"] == "shift_jitter"])',
            'figure = curves.robustness(rows, SWEEPS["shift_jitter"].title, Theme())',
        ),
    ),
}


def pages() -> tuple[str, ...]:
    """Return the pages that a snippet can be made for."""
    return tuple(_FIGURES)


def code(page: str, recipe: Recipe) -> str:
    """Return a program that reproduces the main figure of a page as `figure`, and opens it.

    Raises
    ------
    ValueError
        If no snippet is made for that page.
    """
    if page not in _FIGURES:
        raise ValueError(f"page is {page!r}; expected one of {', '.join(_FIGURES)}")
    imports, figure = _FIGURES[page]
    known = recipe.truth and (recipe.number is not None or recipe.labels is not None)
    lines, more = _data("data", recipe.seed, recipe.mixture, recipe)
    needed = [
        *more,
        *(line if known else line.replace("match_truth, predict", "predict") for line in imports),
    ]
    for made, names in (_model(recipe), _mixture(recipe)):
        lines += made
        needed += names
    truth, weight = "truth = None", recipe.training.reconstruction_weight
    if known:
        truth = (
            f"truth = match_truth(prediction, sample.areas, sample.sources, sample.labels, {weight!r}, "
            "sample.unknown, sample.concentrations)"
        )
    values = {
        "truth": truth,
        "weight": f", {weight!r}" if weight != 1 else "",
        "output": recipe.output,
        "filter": recipe.filter,
        "position": recipe.position,
    }
    lines += [_filled(line, values) for line in figure]
    return "\n".join([*_merged(needed), "", *lines, "figure.show()", ""])


def compared(first: Recipe, second: Recipe) -> str:
    """Return a program that sets two states side by side, as the page Compare does; its `figure` is of the separated multiplets."""
    needed = [
        "from nmrclassify.plots import comparison",
        "from nmrclassify.evaluation.compare_predictions import compare_predictions",
        "from nmrclassify.plots.style import Theme",
    ]
    sides = []
    for name, recipe in (("a", first), ("b", second)):
        lines, more = _data("data", recipe.seed, recipe.mixture, recipe)
        needed += more
        for made, names in (_model(recipe), _mixture(recipe)):
            lines += made
            needed += names
        sides += [
            f"def side_{name}():",
            *(f"    {line}" for line in lines),
            "    return data, model, sample",
            "",
            "",
        ]
    return "\n".join(
        [
            *_merged(needed),
            "",
            "",
            *sides,
            "(data, model_a, sample_a), (_, model_b, sample_b) = side_a(), side_b()",
            "change = compare_predictions((model_a, sample_a.areas), (model_b, sample_b.areas))",
            "print(change.presence.round(3))  # A, B",
            (
                "figure = comparison.multiplet_change(change, data.library.names,"
                ' data.library.axis, Theme(), ("A", "B"))'
            ),
            "figure.show()",
            "",
        ]
    )


def _filled(line: str, values: dict[str, Any]) -> str:
    for name, value in values.items():
        line = line.replace("{" + name + "}", str(value))
    return line


def _merged(imports: list[str]) -> list[str]:
    """Return import lines, those from one module joined, sorted."""
    joined: dict[str, set[str]] = {}
    for line in imports:
        _, module, _, names = line.split(" ", 3)
        joined.setdefault(module, set()).update(names.split(", "))
    return [
        f"from {module} import {', '.join(sorted(names, key=str.lower))}"
        for module, names in sorted(joined.items())
    ]


def _changed(config: Any, usual: Any) -> str:
    """Return a configuration's arguments that differ from `usual`, as code."""
    return ", ".join(
        f"{f.name}={getattr(config, f.name)!r}"
        for f in fields(config)
        if getattr(config, f.name) != getattr(usual, f.name)
    )


def _data(
    name: str, seed: int, mixture: MixtureConfig, recipe: Recipe
) -> tuple[list[str], list[str]]:
    needed = ["from nmrclassify.mixtures.presets import build"]
    usual = PRESETS[recipe.preset].mixture if recipe.preset in PRESETS else MixtureConfig()
    own = recipe.preset not in PRESETS
    lines, arguments = [], [repr("quick" if own else recipe.preset), f"seed={seed}"]
    if mixture != usual:
        arguments.append(f"mixture=MixtureConfig({_changed(mixture, MixtureConfig())})")
        needed.append("from nmrclassify.mixtures.grid import MixtureConfig")
    if own:
        needed += [
            "from nmrclassify.mixtures.grid_files import read_library",
            "from nmrclassify.nmr.axis import Axis",
            "from pathlib import Path",
        ]
        lines.append(
            f'library = read_library(Path("library.csv").read_bytes(), {recipe.axis!r},'
            f" {recipe.n_peaks})  # the page Mixtures offers it as CSV"
        )
        arguments.append("library=library")
    return [*lines, f"{name} = build({', '.join(arguments)})"], needed


def _model(recipe: Recipe) -> tuple[list[str], list[str]]:
    if recipe.model == "shipped":
        return ["model = shipped().model"], ["from nmrclassify.training.checkpoints import shipped"]
    if recipe.model == "untrained" or not recipe.step:
        return (
            [f"model = model_for(data, seed={recipe.weights}, kind={recipe.kind!r})  # untrained"],
            ["from nmrclassify.training.trainer import model_for"],
        )
    if recipe.model == "upload":
        return ['model = load("model.safetensors").model  # the file that you uploaded'], [
            "from nmrclassify.training.checkpoints import load"
        ]
    if recipe.model != "training" and recipe.last:
        return [f'model = load(find({recipe.model!r}).folder / "model.safetensors").model'], [
            "from nmrclassify.training.checkpoints import load",
            "from nmrclassify.training.runs import find",
        ]
    # All randomness is a function of seed and step, so training again gives the same weights, if it
    # is on the same data.
    seed = recipe.seed if recipe.own_seed is None else recipe.own_seed
    mixture = recipe.mixture if recipe.own_mixture is None else recipe.own_mixture
    data, lines, needed = "data", [], []
    if (seed, mixture) != (recipe.seed, recipe.mixture):
        data = "own"
        lines, needed = _data(data, seed, mixture, recipe)
    return (
        [
            *lines,
            (
                f"trainer = Trainer({data},"
                f" TrainConfig({_changed(recipe.training, TrainConfig())}), seed={recipe.weights},"
                f" kind={recipe.kind!r})"
            ),
            f"for _ in range({recipe.step}):",
            "    trainer.advance()",
            "model = trainer.model",
        ],
        [*needed, "from nmrclassify.training.trainer import TrainConfig, Trainer"],
    )


def _mixture(recipe: Recipe) -> tuple[list[str], list[str]]:
    needed = ["from nmrclassify.mixtures.edits import Mixture, apply, from_text"]
    if recipe.labels is not None:
        lines = [
            (
                f"labels, amounts = array({[recipe.labels.tolist()]}),"
                f" array({[[round(float(c), 6) for c in recipe.concentrations]]}, dtype=float32)"
            ),
            (
                "mixtures = mix_at(data.library, labels, amounts, data.config, generator(data.seed,"
                ' "view"))'
            ),
            "plain = Mixture.of(mixtures, 0)",
        ]
        needed += [
            "from numpy import array, float32",
            "from nmrclassify.mixtures.grid import generator, mix_at",
        ]
    elif recipe.number is not None:
        lines = [
            f"plain = Mixture.of(data.test_mixtures(), {recipe.number - 1})  # test mixture"
            f" {recipe.number}"
        ]
    else:
        lines = [
            'plain = Mixture(read_mixture(Path("mixture.csv").read_bytes(), data.library.axis,'
            " data.library.n_peaks))  # that you uploaded"
        ]
        needed += [
            "from nmrclassify.mixtures.grid_files import read_mixture",
            "from pathlib import Path",
        ]
    if recipe.foreign is not None:
        made = (
            "mixtures"
            if recipe.labels is not None
            else f"data.test_mixtures()[{recipe.number - 1}:{recipe.number}]"
        )
        lines[-1:] = [
            (
                'stranger = unknown_compounds(data.library, 1, generator(data.seed, "unknown",'
                f" {recipe.foreign}))"
            ),
            f"plain = Mixture.of(with_unknown({made}, stranger, ones(1)), 0)",
        ]
        needed += [
            "from numpy import ones",
            "from nmrclassify.mixtures.grid import unknown_compounds, generator, with_unknown",
        ]
    lines.append(
        f"sample = apply(plain, from_text({recipe.edits!r}), data.library)"
        if recipe.edits
        else "sample = plain"
    )
    return lines, needed if recipe.edits else [
        "from nmrclassify.mixtures.edits import Mixture",
        *needed[1:],
    ]
