"""The table of all parameters of a link: name, values, default, meaning, and former name.

A new parameter is one entry in this table. Controls and links read their defaults, bounds and
options here.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nmrclassify.config import bounds
from nmrclassify.evaluation.robustness import SWEEPS
from nmrclassify.mixtures import spectrum_regions
from nmrclassify.mixtures.edits import from_text
from nmrclassify.mixtures.grid import MixtureConfig
from nmrclassify.mixtures.peaks import PeakMixtureConfig
from nmrclassify.mixtures.presets import PRESETS
from nmrclassify.mixtures.processing_recipe import REFERENCES, ProcessingRecipe
from nmrclassify.mixtures.spec import OWN, SEED
from nmrclassify.networks.conv_tasnet import NetworkConfig
from nmrclassify.networks.registry import NETWORKS
from nmrclassify.nmr.axis import FULL_AXIS, MHZ_BOUNDS
from nmrclassify.nmr.library import LibraryConfig
from nmrclassify.training.optimiser import OPTIMISERS
from nmrclassify.training.recipes import RECIPES, TrainConfig

MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class Parameter:
    """One parameter of a link.

    Attributes
    ----------
    kind : type
        int, float, bool ("yes" or "no" in a link) or str.
    default : object
        The value that a link leaves out; None if it depends on other values, such as the preset.
    low, high : float
        The bounds of a number.
    options : tuple of str
        The texts that are allowed; if empty, those that `pattern` matches.
    old : str
        Its name in links of version 0.1; such links are read and never written.
    old_values : dict of str to str
        Values of older links, and what they are called now.
    check : callable
        Replaces `pattern`; raises ValueError for a text that is not allowed.
    """

    name: str
    kind: type
    meaning: str
    default: Any = None
    low: float = 0
    high: float = 0
    options: tuple[str, ...] = ()
    pattern: str = r"[a-z0-9-]{1,100}"
    old: str = ""
    old_values: Mapping[str, str] = field(default_factory=dict)
    check: Callable[[str], object] | None = None

    @property
    def is_number(self) -> bool:
        """Whether the value is a number."""
        return self.kind in (int, float)

    def parse(self, text: str) -> Any:
        """Return the value that a text of a link stands for.

        Raises
        ------
        ValueError
            If it is not a valid value; the message says what is expected.
        """
        if self.is_number:
            return self._number(text)
        options = ("yes", "no") if self.kind is bool else self.options
        if options and text not in options:
            raise ValueError(f"expected one of {', '.join(options)}")
        if self.check is not None:
            self.check(text)
        elif not options and not re.fullmatch(self.pattern, text):
            raise ValueError(f"expected a name like {self.pattern}")
        return text == "yes" if self.kind is bool else self.old_values.get(text, text)

    def _number(self, text: str) -> float:
        try:
            value = (
                self.kind(text) if self.kind is float or re.fullmatch(r"\d{1,10}", text) else None
            )
        except ValueError:
            value = None
        if value is None or not self.low <= value <= self.high:
            number = "a whole number" if self.kind is int else "a number"
            raise ValueError(f"expected {number} from {self.low:g} to {self.high:g}")
        return value


def _whole(
    name: str, low: float, high: float, meaning: str, default: int | None = None, old: str = ""
) -> Parameter:
    return Parameter(name, int, meaning, default, int(low), int(high), old=old)


def _real(name: str, low: float, high: float, meaning: str, old: str = "") -> Parameter:
    return Parameter(name, float, meaning, None, low, high, old=old)


def _flag(name: str, meaning: str, default: bool | None = None, old: str = "") -> Parameter:
    return Parameter(name, bool, meaning, default, old=old)


def _choice(
    name: str, options: tuple[str, ...], meaning: str, default: str | None = None, old: str = ""
) -> Parameter:
    return Parameter(name, str, meaning, default, options=options, old=old)


def _field(name: str, config: type, of: str = "", old: str = "", meaning: str = "") -> Parameter:
    """Return the parameter of a bounded field; presets and recipes determine its default."""
    limit = bounds(config, of or name)
    kind = type(getattr(config, of or name))
    low, high = kind(limit.low), kind(limit.high)
    return Parameter(name, kind, meaning or limit.help, None, low, high, old=old)


_MAX_SOURCES = bounds(MixtureConfig, "n_sources").high
_MAX_COMPOUNDS = bounds(LibraryConfig, "n_compounds").high
_MAX_STEPS = bounds(TrainConfig, "steps").high
_MAX_OUTPUTS = bounds(NetworkConfig, "n_compounds").high + 1
_LAST_FILTER = bounds(NetworkConfig, "n_filters").high - 1
_LAST_POSITION = bounds(NetworkConfig, "n_positions").high - 1
_LOW, _HIGH = FULL_AXIS.low, FULL_AXIS.high
_OLD_MODELS = {"shipped": "queries"}  # the one packaged model of versions 0.1 and 0.2
_SOURCES = range(1, int(_MAX_SOURCES) + 1)

# The data and the mixture: what `MixtureSpec.link` writes.
_MIXTURE = (
    _choice("preset", (*PRESETS, OWN), "data", "metabolites"),
    _whole("seed", 0, MAX_SEED, "seed of compounds, split and mixtures", SEED),
    _field("sources", MixtureConfig, "n_sources"),
    _flag("repetition", "a compound may occur twice in a mixture", old="repeat"),
    _flag("number_varies", "mixtures hold 1 to `sources` compounds", old="varies"),
    _real("spread", 1.0, 10.0, "highest concentration; the lowest is its inverse"),
    _field("jitter", MixtureConfig, "shift_jitter"),
    _field("noise", MixtureConfig),
    _choice(
        "mixture", ("unseen", "choose", "file"), "test mixture, own composition or file", "unseen"
    ),
    _whole("number", 1, 20_000, "number of the test mixture", old="n"),
    *(
        _whole(f"compound_{i}", 0, _MAX_COMPOUNDS, "compound, from 1; 0 is none", old=f"c{i}")
        for i in _SOURCES
    ),
    *(
        _field(f"amount_{i}", MixtureConfig, "concentration_low", f"a{i}", "its concentration")
        for i in _SOURCES
    ),
    _flag("unknown_compound", "add a compound from outside the library", False, "foreign"),
    Parameter("edits", str, "edits, such as cut_5~move_3_0.5", "", old="edit", check=from_text),
)
_OTHERS = (
    # The model and its training.
    Parameter(
        "model",
        str,
        "reference, queries, untrained, upload, training, or the name of a run",
        old_values=_OLD_MODELS,
    ),
    _whole("step", 0, _MAX_STEPS, "training step of the model", old="at"),
    _choice("network", tuple(NETWORKS), "kind of network", "slots"),
    _choice("filters", ("64", "32", "16"), "filters of the encoder in the next training", "64"),
    _choice("recipe", tuple(RECIPES), "recipe of the training"),
    _choice("optimiser", tuple(OPTIMISERS), "optimiser of the training"),
    _field("learning_rate", TrainConfig, old="rate"),
    _field("steps", TrainConfig),
    _field("batch_size", TrainConfig, old="batch"),
    _whole("weights_seed", 0, MAX_SEED, "seed of the initial weights", old="weights"),
    _field("weight_decay", TrainConfig, old="decay"),
    _field("reconstruction_weight", TrainConfig, old="balance"),
    _field("mask_weight", TrainConfig),
    _field("concentration_spread", TrainConfig, old="widen"),
    _field("repeats", TrainConfig, old="twice"),
    _field("added_noise", TrainConfig, old="grain"),
    _field("added_jitter", TrainConfig, old="wobble"),
    _field("added_common_shift", TrainConfig),
    _field("remix", TrainConfig),
    _field("unknown", TrainConfig, old="strange"),
    _field("unknown_replaces", TrainConfig),
    _flag("own_levels", "each training mixture has its own spread, jitter and noise", old="levels"),
    # What the pages show. Outputs are counted from 1, filters and positions from 0, as in figures.
    _whole("output", 1, _MAX_OUTPUTS, "output of the chosen cell"),
    _whole("filter", 0, _LAST_FILTER, "filter of the chosen cell"),
    _whole("position", 0, _LAST_POSITION, "position of the chosen cell"),
    Parameter(
        "unfolded",
        str,
        "cell of the network's picture whose arithmetic is shown: stage~row~position",
        pattern=r"[a-z]{3,12}(-[a-z0-9]{1,3})?~\d{1,3}~\d{1,3}",
    ),
    _flag("sort_filters", "order filters by what they respond to", True, "sort"),
    _flag("weak_cells", "draw masks where the encoding is weak", False, "silent"),
    _flag("wrong_cells", "draw only differences from the ideal mask that are large", False),
    _flag("only_wrong", "list only mixtures with a mistake", False, "wrong"),
    _choice("sweep", tuple(SWEEPS), "what changes on the page Robustness", "shift_jitter"),
    _whole("slot", 1, _MAX_SOURCES, "output whose classes Time travel shows"),
    _choice("blocks", ("skip", "residual"), "which output of the blocks is drawn", "skip"),
    # Side B of the page Compare.
    Parameter("model_b", str, "model of side B", old="other", old_values=_OLD_MODELS),
    _whole("step_b", 0, _MAX_STEPS, "training step of side B", old="otherat"),
    _field("noise_b", MixtureConfig, "noise", "othernoise"),
    _field("jitter_b", MixtureConfig, "shift_jitter", "otherjitter"),
    _flag("unedited_b", "side B is without the edits", False, "otherplain"),
    # Lessons, quiz and presenter mode.
    Parameter("lesson", str, "name of the open lesson", pattern=r"[a-z]{1,20}"),
    _whole("lesson_step", 1, 9, "step of the lesson", 1, "part"),
    _whole("quiz_round", 1, MAX_SEED, "round of the quiz", 1, "round"),
    _whole("quiz_seed", 0, MAX_SEED, "order of the quiz's mixtures", 1),
    _choice("quiz_level", ("clean", "noisy", "unlisted"), "level of the quiz", "clean"),
    _flag("presenter", "large text without controls", False, "present"),
    # The page Full scale.
    _choice("scale_library", ("synthetic", "metabolites", OWN), "library", "synthetic", "library"),
    _choice("scale_mixture", ("drawn", "file"), "drawn mixture or file", "drawn", "sample"),
    _whole("scale_compounds", 1, 100, "number of compounds in the mixture", 75, "size"),
    _field("scale_jitter", PeakMixtureConfig, "jitter", "shift"),
    _field("scale_noise", PeakMixtureConfig, "noise", "hiss"),
    _whole("scale_unknown", 0, 10, "compounds from outside the library", 0, "strangers"),
    _whole("scale_seed", 0, MAX_SEED, "seed of the mixture", 1, "draw"),
    _real("scale_mhz", *MHZ_BOUNDS, "frequency of the spectrometer in MHz"),
    _flag("spectrum_baseline", "subtract the baseline of an uploaded spectrum", True),
    _choice("spectrum_reference", REFERENCES, "what is at 0 ppm", "auto"),
    _field("spectrum_shift", ProcessingRecipe, "shift"),
    _choice("spectrum_ph_from", ("auto", "by hand"), "where the pH is from", "auto"),
    _field("spectrum_ph", ProcessingRecipe, "ph"),
    _flag("spectrum_cut", "cut regions out of the spectrum", True),
    Parameter(
        "spectrum_regions",
        str,
        "regions that are cut, such as 4.58_4.92~-0.2_0.2",
        check=spectrum_regions.from_text,
    ),
    _field("spectrum_threshold", ProcessingRecipe, "threshold"),
    _flag("spectrum_fit", "fit lines to the spectrum", True),
    _whole("known_compound", 0, 5_000, "compound of known concentration; 0 is DSS or TSP"),
    _real("known_mm", 0.0, 1e6, "its concentration in mM; 0 is unknown"),
    _whole("compound", 1, 5_000, "number of the coloured compound"),
    _real("threshold", 0.01, 0.99, "least probability of a named compound", "sure"),
    _real("ppm_low", _LOW, _HIGH, "right end of the drawn axis", "low"),
    _real("ppm_high", _LOW, _HIGH, "left end of the drawn axis", "high"),
)
MIXTURE = tuple(parameter.name for parameter in _MIXTURE)
PARAMETERS = {parameter.name: parameter for parameter in (*_MIXTURE, *_OTHERS)}
OLD_NAMES = {parameter.old: name for name, parameter in PARAMETERS.items() if parameter.old}
