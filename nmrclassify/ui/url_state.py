"""The state that a link carries: the table of its parameters, and their present values.

Streamlit forgets a widget's value when the page changes, so the values are kept in one dictionary
of the session; a widget starts from it and writes back to it. A value that comes with a link is
checked here, whatever a widget would do.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from nmrclassify.config import bounds
from nmrclassify.evaluation.robustness import SWEEPS
from nmrclassify.mixtures.edits import from_text
from nmrclassify.mixtures.grid import MixtureConfig
from nmrclassify.mixtures.peaks import PeakMixtureConfig
from nmrclassify.mixtures.presets import PRESETS
from nmrclassify.mixtures.spec import OWN, SEED, MixtureSpec, link_text
from nmrclassify.networks.conv_tasnet import NetworkConfig
from nmrclassify.networks.registry import NETWORKS
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.library import LibraryConfig
from nmrclassify.training.optimiser import OPTIMISERS
from nmrclassify.training.recipes import RECIPES, TrainConfig

MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class Parameter:
    """One parameter of a link.

    Attributes
    ----------
    name : str
    kind : type
        int, float, bool ("yes" or "no" in a link) or str.
    meaning : str
    default : object
        The value that is left out of a link; None where it depends on other values.
    low, high : float or None
        The bounds of a number.
    options : tuple of str
        The texts that are allowed; if empty, those that `pattern` matches.
    pattern : str
    old : str
        Its name in links of version 0.1, which is read and never written.
    check : callable
        Replaces `pattern`; raises ValueError for a text that is not allowed.
    """

    name: str
    kind: type
    meaning: str
    default: Any = None
    low: float | None = None
    high: float | None = None
    options: tuple[str, ...] = ()
    pattern: str = r"[a-z0-9-]{1,100}"
    old: str = ""
    check: Callable[[str], object] | None = None

    def parse(self, text: str) -> Any:
        """Return the value that a text of a link stands for.

        Raises
        ------
        ValueError
            If it stands for none; the message says what is expected.
        """
        if self.low is not None and self.high is not None:
            return self._number(text, self.low, self.high)
        options = ("yes", "no") if self.kind is bool else self.options
        if options and text not in options:
            raise ValueError(f"expected one of {', '.join(options)}")
        if self.check is not None:
            self.check(text)
        elif not options and not re.fullmatch(self.pattern, text):
            raise ValueError(f"expected a name like {self.pattern}")
        return text == "yes" if self.kind is bool else text

    def _number(self, text: str, low: float, high: float) -> float:
        try:
            value = (
                self.kind(text) if self.kind is float or re.fullmatch(r"\d{1,10}", text) else None
            )
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            number = "a whole number" if self.kind is int else "a number"
            raise ValueError(f"expected {number} from {low:g} to {high:g}")
        return value


def _field(name: str, config: type, field: str = "", old: str = "", meaning: str = "") -> Parameter:
    """Return the parameter of a bounded field; presets and recipes determine its default."""
    limit = bounds(config, field or name)
    kind = type(getattr(config, field or name))
    return Parameter(
        name, kind, meaning or limit.help, None, kind(limit.low), kind(limit.high), old=old
    )


_MOST_STEPS = int(bounds(TrainConfig, "steps").high)
_MOST_SOURCES = int(bounds(MixtureConfig, "n_sources").high)
_MOST_COMPOUNDS = int(bounds(LibraryConfig, "n_compounds").high)
# Cells of the maps: outputs are counted from 1, filters and positions from 0, as in the figures.
_MOST_OUTPUTS = int(bounds(NetworkConfig, "n_compounds").high) + 1
_LAST_FILTER = int(bounds(NetworkConfig, "n_filters").high) - 1
_LAST_POSITION = int(bounds(NetworkConfig, "n_positions").high) - 1

# What `MixtureSpec.link` writes.
_MIXTURE = (
    Parameter("preset", str, "the data", "metabolites", options=(*PRESETS, OWN)),
    Parameter("seed", int, "seed of compounds, split and mixtures", SEED, 0, MAX_SEED),
    _field("sources", MixtureConfig, "n_sources"),
    Parameter("repetition", bool, "whether a compound may occur twice in a mixture", old="repeat"),
    Parameter(
        "number_varies", bool, "whether mixtures hold 1 to `sources` compounds", old="varies"
    ),
    Parameter("spread", float, "highest concentration; the lowest is its inverse", None, 1.0, 10.0),
    _field("jitter", MixtureConfig, "shift_jitter"),
    _field("noise", MixtureConfig),
    Parameter(
        "mixture",
        str,
        "a test mixture, a composition of one's choice, or a file",
        "unseen",
        options=("unseen", "choose", "file"),
    ),
    Parameter("number", int, "of the test mixture, from 1", None, 1, 20_000, old="n"),
    *(
        Parameter(
            f"compound_{i}",
            int,
            f"compound {i} of a composition, from 1; 0 is none",
            None,
            0,
            _MOST_COMPOUNDS,
            old=f"c{i}",
        )
        for i in range(1, _MOST_SOURCES + 1)
    ),
    *(
        _field(f"amount_{i}", MixtureConfig, "concentration_low", f"a{i}", "its concentration")
        for i in range(1, _MOST_SOURCES + 1)
    ),
    Parameter(
        "unknown_compound",
        bool,
        "whether a compound from outside the library is added",
        False,
        old="foreign",
    ),
    Parameter(
        "edits",
        str,
        "changes of the mixture, such as cut_5~move_3_0.5",
        "",
        old="edit",
        check=from_text,
    ),
)
_OTHERS = (
    # The model.
    Parameter("model", str, "shipped, untrained, upload, training, or the name of a run"),
    Parameter("step", int, "of the training that is looked at", None, 0, _MOST_STEPS, old="at"),
    Parameter("network", str, "queries or slots", "queries", options=tuple(NETWORKS)),
    # Training.
    Parameter("recipe", str, "settings of the training", options=tuple(RECIPES)),
    Parameter("optimiser", str, "of the training", options=tuple(OPTIMISERS)),
    _field("learning_rate", TrainConfig, old="rate"),
    _field("steps", TrainConfig),
    _field("batch_size", TrainConfig, old="batch"),
    Parameter("weights_seed", int, "seed of the initial weights", None, 0, MAX_SEED, old="weights"),
    _field("weight_decay", TrainConfig, old="decay"),
    _field("reconstruction_weight", TrainConfig, old="balance"),
    _field("concentration_spread", TrainConfig, old="widen"),
    _field("repeats", TrainConfig, old="twice"),
    _field("added_noise", TrainConfig, old="grain"),
    _field("added_jitter", TrainConfig, old="wobble"),
    _field("remix", TrainConfig),
    _field("unknown", TrainConfig, old="strange"),
    Parameter(
        "own_levels",
        bool,
        "whether each training mixture has its own share of spread, jitter and noise",
        old="levels",
    ),
    # What the pages show.
    Parameter("output", int, "of the chosen cell, from 1", None, 1, _MOST_OUTPUTS),
    Parameter("filter", int, "of the chosen cell, from 0", None, 0, _LAST_FILTER),
    Parameter("position", int, "of the chosen cell, from 0", None, 0, _LAST_POSITION),
    Parameter("sort_filters", bool, "whether filters stand by similarity", True, old="sort"),
    Parameter(
        "weak_cells",
        bool,
        "whether masks are drawn where the encoding is weak",
        False,
        old="silent",
    ),
    Parameter("only_wrong", bool, "whether the table lists mistakes only", False, old="wrong"),
    Parameter(
        "sweep",
        str,
        "what gets worse on the page Robustness",
        "shift_jitter",
        options=tuple(SWEEPS),
    ),
    Parameter("slot", int, "the output whose classes are followed", None, 1, _MOST_SOURCES),
    Parameter("blocks", str, "the output of the blocks", "skip", options=("skip", "residual")),
    # Side B of the page Compare.
    Parameter("model_b", str, "the model of side B", old="other"),
    Parameter("step_b", int, "of its training", None, 0, _MOST_STEPS, old="otherat"),
    _field("noise_b", MixtureConfig, "noise", "othernoise"),
    _field("jitter_b", MixtureConfig, "shift_jitter", "otherjitter"),
    Parameter("unedited_b", bool, "whether side B is without the edits", False, old="otherplain"),
    # Lessons, quiz, presenter mode.
    Parameter("lesson", str, "the lesson that is open", pattern=r"[a-z]{1,20}"),
    Parameter("lesson_step", int, "of the lesson", 1, 1, 9, old="part"),
    Parameter("quiz_round", int, "of the quiz", 1, 1, MAX_SEED, old="round"),
    Parameter("presenter", bool, "whether type is large and controls hidden", False, old="present"),
    # The page Full scale.
    Parameter(
        "scale_library",
        str,
        "the library of the page Full scale",
        "synthetic",
        options=("synthetic", "metabolites", OWN),
        old="library",
    ),
    Parameter(
        "scale_mixture",
        str,
        "a mixture that is drawn, or a file",
        "drawn",
        options=("drawn", "file"),
        old="sample",
    ),
    Parameter("scale_compounds", int, "how many are in the mixture", 75, 1, 100, old="size"),
    _field("scale_jitter", PeakMixtureConfig, "jitter", "shift"),
    _field("scale_noise", PeakMixtureConfig, "noise", "hiss"),
    Parameter(
        "scale_unknown",
        int,
        "how many compounds are from outside the library",
        0,
        0,
        10,
        old="strangers",
    ),
    Parameter("scale_seed", int, "seed of the mixture", 1, 0, MAX_SEED, old="draw"),
    Parameter("compound", int, "the coloured compound, from 1", None, 1, 5_000),
    Parameter(
        "threshold", float, "the least probability that counts", None, 0.01, 0.99, old="sure"
    ),
    Parameter(
        "ppm_low", float, "right end of the axis", None, FULL_AXIS.low, FULL_AXIS.high, old="low"
    ),
    Parameter(
        "ppm_high", float, "left end of the axis", None, FULL_AXIS.low, FULL_AXIS.high, old="high"
    ),
)
MIXTURE = tuple(parameter.name for parameter in _MIXTURE)
PARAMETERS = {parameter.name: parameter for parameter in (*_MIXTURE, *_OTHERS)}
OLD_NAMES = {parameter.old: name for name, parameter in PARAMETERS.items() if parameter.old}


def _values() -> dict[str, Any]:
    return st.session_state.setdefault("link values", {})


def read(page: str) -> list[str]:
    """Bring the state up to date, from the widgets or from the URL.

    The links between pages carry the state, so a URL that this session did not write is somebody's
    link, or a step back in the browser's history, and replaces the state as a whole.

    Returns
    -------
    list of str
        A sentence for each bad value of a link.
    """
    state, url = st.session_state, st.query_params.to_dict()
    switched = state.get("link page", page) != page
    state["link page"] = page
    # To Streamlit the same element on another page is another one: all start from the values again.
    if switched:
        _forget_widgets()
    # A click can overtake the URL of the click before: what was set by a control of this page is
    # not a link that somebody opened.
    if _take_over_widgets() or state.pop("link put", False) or url == state.get("link written"):
        return []
    _values().clear()
    _forget_widgets()
    problems = []
    for key, text in url.items():
        name = OLD_NAMES.get(key, key)
        if name not in PARAMETERS or (name != key and name in url):
            continue
        try:
            _values()[name] = PARAMETERS[name].parse(text)
        except ValueError as error:
            # nothing that Markdown could take for a link
            shown = re.sub(r"[^\w.,+-]", "?", text[:30])
            problems.append(f"The link says `{key}={shown}`; {error}. The default is used.")
    return problems


def _take_over_widgets() -> bool:
    """Take over the values of this page's controls; return whether one was changed."""
    state, changed = st.session_state, False
    for key, default in state.get("link defaults", {}).items():
        if _widget(key) in state and state[_widget(key)] != get(key, default):
            _values()[key] = None if state[_widget(key)] == default else state[_widget(key)]
            changed = True
    return changed


def _forget_widgets() -> None:
    for key in PARAMETERS:
        st.session_state.pop(_widget(key), None)


def query() -> dict[str, str]:
    """Return the parameters that reproduce the present state."""
    return {key: link_text(value) for key, value in sorted(_values().items()) if value is not None}


def write() -> None:
    """Put the present state into the URL."""
    wanted = query()
    st.session_state["link written"] = wanted
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)


def write_from_fragment() -> None:
    """Put the present state into the URL without a `read` before; the next `read` ignores it."""
    write()
    st.session_state["link put"] = False


def _widget(key: str) -> str:
    return f"widget {key}"


def get(key: str, default: Any = None) -> Any:
    """Return a value of the state; where it has none, `default` or the default of the table."""
    value = _values().get(key)
    if value is not None:
        return value
    return PARAMETERS[key].default if default is None else default


def put(key: str, value: Any) -> None:
    """Set a value from a callback or before its widget is drawn; None stands for the default."""
    correct(key, value)
    st.session_state["link put"] = True


def correct(key: str, value: Any) -> None:
    """Replace a value that does not fit, while a page is drawn and before its widget is."""
    _values()[PARAMETERS[key].name] = value
    st.session_state.pop(_widget(key), None)


def replace_all(texts: dict[str, str]) -> None:
    """Replace the whole state by parameters of a link that are known to be good.

    Raises
    ------
    ValueError
        If one is not.
    """
    present = {OLD_NAMES.get(key, key): text for key, text in texts.items()}
    values = {key: PARAMETERS[key].parse(text) for key, text in present.items()}
    _values().clear()
    _values().update(values)
    st.session_state["link put"] = True
    _forget_widgets()


def put_mixture(spec: MixtureSpec) -> None:
    """Set everything in the state that says which mixture is looked at."""
    values = spec.link_values()
    for name in MIXTURE:
        put(name, values.get(name))


def forget(*keys: str) -> None:
    """Give values back to their defaults."""
    for key in keys:
        put(key, None)


def widget(make: Callable, label: str, key: str, default: Any = None, **options: Any) -> Any:
    """Draw an input element bound to a value of the state, and return its value.

    Default, bounds and options are those of the table where they are not passed. A value outside
    the element's bounds or options gives way to the nearest bound or the default.
    """
    parameter, name, state = PARAMETERS[key], _widget(key), st.session_state
    default = parameter.default if default is None else default
    if "options" not in options:
        if parameter.options:
            options["options"] = list(parameter.options)
        elif parameter.low is not None:
            options = {"min_value": parameter.low, "max_value": parameter.high} | options
    defaults = state.setdefault("link defaults", {})
    follows = _values().get(key) is None and defaults.get(key) != default
    defaults[key] = default
    if name not in state or follows:
        state[name] = get(key, default)
    choices = options.get("options")
    if choices is not None and state[name] not in list(choices):
        state[name] = default
    if options.get("min_value") is not None:
        state[name] = type(default)(
            min(max(state[name], options["min_value"]), options["max_value"])
        )
    value = make(label, key=name, **options)
    _values()[key] = None if value == default else value
    return value
