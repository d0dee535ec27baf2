"""The state that a link carries: every control's value lives in the URL where it differs from its default.

Streamlit forgets a widget's value when the page changes, so the values are kept in one dictionary
of the session; a widget starts from it and writes back to it. A value that comes with a link is
checked here, whatever a widget would do.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import streamlit as st

from nmrclassify.config import bounds
from nmrclassify.mixtures.edits import from_text
from nmrclassify.mixtures.grid import MixtureConfig
from nmrclassify.mixtures.peaks import PeakMixtureConfig
from nmrclassify.mixtures.presets import PRESETS
from nmrclassify.networks.conv_tasnet import NetworkConfig
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.library import LibraryConfig
from nmrclassify.training.trainer import MODELS, OPTIMISERS, RECIPES, TrainConfig

MAX_SEED = 2**31 - 1
LARGEST, MOST_STRANGERS, MAX_COMPOUNDS = 100, 10, 5_000  # of the page Full scale
SURE = (0.01, 0.99)


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,10}", text) or not low <= int(text) <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return int(text)

    return parse


def _real(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ValueError(f"expected a number from {low:g} to {high:g}")
        return value

    return parse


def _choice(*options: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in options:
            raise ValueError(f"expected one of {', '.join(options)}")
        return text

    return parse


def _flag(text: str) -> bool:
    return _choice("yes", "no")(text) == "yes"


def _model(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]{1,100}", text):
        raise ValueError("expected the name of a model")
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z]{1,20}", text):
        raise ValueError("expected the name of a lesson")
    return text


def _edits(text: str) -> str:
    from_text(text)
    return text


def _within(config: type, name: str) -> Callable[[str], Any]:
    limit = bounds(config, name)
    whole = isinstance(config.__dataclass_fields__[name].default, int)
    return _whole(int(limit.low), int(limit.high)) if whole else _real(limit.low, limit.high)


PARAMETERS: dict[str, Callable[[str], Any]] = {
    "preset": _choice(*PRESETS, "own"),
    "seed": _whole(0, MAX_SEED),
    "model": _model,
    "mixture": _choice("unseen", "choose", "file"),
    "n": _whole(1, 20_000),
    "sources": _within(MixtureConfig, "n_sources"),
    "repeat": _flag,
    "varies": _flag,
    "foreign": _flag,
    "spread": _real(1.0, 10.0),
    "jitter": _within(MixtureConfig, "shift_jitter"),
    "noise": _within(MixtureConfig, "noise"),
    **{f"c{i}": _whole(0, int(bounds(LibraryConfig, "n_compounds").high)) for i in range(1, 9)},
    **{f"a{i}": _within(MixtureConfig, "concentration_low") for i in range(1, 9)},
    "network": _choice(*MODELS),
    "recipe": _choice(*RECIPES),
    "optimiser": _choice(*OPTIMISERS),
    "rate": _within(TrainConfig, "learning_rate"),
    "steps": _within(TrainConfig, "steps"),
    "batch": _within(TrainConfig, "batch_size"),
    "weights": _whole(0, MAX_SEED),
    "decay": _within(TrainConfig, "weight_decay"),
    "balance": _within(TrainConfig, "reconstruction_weight"),
    "widen": _within(TrainConfig, "concentration_spread"),
    "twice": _within(TrainConfig, "repeats"),
    "grain": _within(TrainConfig, "added_noise"),
    "wobble": _within(TrainConfig, "added_jitter"),
    "remix": _within(TrainConfig, "remix"),
    "strange": _within(TrainConfig, "unknown"),
    "levels": _flag,
    "sweep": _choice("shift_jitter", "noise", "concentration", "number", "training"),
    "sort": _flag,
    "silent": _flag,
    "wrong": _flag,
    # A cell of the maps: outputs are counted from 1, filters and positions from 0, as the figures
    # have them.
    "output": _whole(1, int(bounds(NetworkConfig, "n_compounds").high) + 1),
    "filter": _whole(0, int(bounds(NetworkConfig, "n_filters").high) - 1),
    "position": _whole(0, int(bounds(NetworkConfig, "n_positions").high) - 1),
    "at": _whole(0, int(bounds(TrainConfig, "steps").high)),
    "edit": _edits,
    "slot": _within(NetworkConfig, "n_sources"),
    "blocks": _choice("skip", "residual"),
    # The other side of the page Compare.
    "other": _model,
    "otherat": _whole(0, int(bounds(TrainConfig, "steps").high)),
    "othernoise": _within(MixtureConfig, "noise"),
    "otherjitter": _within(MixtureConfig, "shift_jitter"),
    "otherplain": _flag,
    "lesson": _name,
    "part": _whole(1, 9),
    "round": _whole(1, MAX_SEED),
    "present": _flag,
    # The page Full scale.
    "library": _choice("synthetic", "metabolites", "own"),
    "sample": _choice("drawn", "file"),
    "size": _whole(1, LARGEST),
    "shift": _within(PeakMixtureConfig, "jitter"),
    "hiss": _within(PeakMixtureConfig, "noise"),
    "strangers": _whole(0, MOST_STRANGERS),
    "draw": _whole(0, MAX_SEED),
    "compound": _whole(1, MAX_COMPOUNDS),
    "sure": _real(*SURE),
    "low": _real(FULL_AXIS.low, FULL_AXIS.high),
    "high": _real(FULL_AXIS.low, FULL_AXIS.high),
}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _values() -> dict[str, Any]:
    return st.session_state.setdefault("link values", {})


def read(page: str) -> list[str]:
    """Bring the state up to date, from the widgets or from the URL; return a sentence for each bad value of a link.

    The links between pages carry the state, so a URL that this session did not write is somebody's
    link, or a step back in the browser's history, and replaces the state as a whole.
    """
    state, url = st.session_state, st.query_params.to_dict()
    switched = state.get("link page", page) != page
    state["link page"] = page
    # the same element on another page is another one to Streamlit: let all start from the values
    # again
    if switched:
        _forget_widgets()
    # A click can overtake the URL of the click before: what came by a control of this page is no
    # link of somebody's.
    if _take_over_widgets() or state.pop("link put", False) or url == state.get("link written"):
        return []
    _values().clear()
    _forget_widgets()
    problems = []
    for key, text in url.items():
        if key not in PARAMETERS:
            continue
        try:
            _values()[key] = PARAMETERS[key](text)
        except ValueError as error:
            shown = re.sub(
                r"[^\w.,+-]", "?", text[:30]
            )  # nothing that Markdown could take for a link
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
    return {key: _text(value) for key, value in sorted(_values().items()) if value is not None}


def write() -> None:
    """Put the present state into the URL."""
    wanted = query()
    st.session_state["link written"] = wanted
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)


def write_from_fragment() -> None:
    """Put the present state into the URL where no `read` came before; what was put is then nothing new to the next one."""
    write()
    st.session_state["link put"] = False


def _widget(key: str) -> str:
    return f"widget {key}"


def get(key: str, default: Any = None) -> Any:
    """Return a value of the state."""
    value = _values().get(key)
    return default if value is None else value


def put(key: str, value: Any) -> None:
    """Set a value from a callback or before its widget is drawn; None stands for the default."""
    _values()[key] = value
    st.session_state["link put"] = True
    st.session_state.pop(_widget(key), None)


def correct(key: str, value: Any) -> None:
    """Set a value while a page is drawn, before its widget: to one that there is. Unlike `put`, it is no act of the visitor."""
    _values()[key] = value
    st.session_state.pop(_widget(key), None)


def replace_all(texts: dict[str, str]) -> None:
    """Replace the whole state by parameters of a link that are known to be good.

    Raises
    ------
    ValueError
        If one is not.
    """
    values = {key: PARAMETERS[key](text) for key, text in texts.items()}
    _values().clear()
    _values().update(values)
    st.session_state["link put"] = True
    _forget_widgets()


def forget(*keys: str) -> None:
    """Give values back to their defaults."""
    for key in keys:
        put(key, None)


def widget(make: Callable, label: str, key: str, default: Any, **options) -> Any:
    """Draw an input element bound to a value of the state, and return its value.

    A value outside the element's present bounds or options gives way to the nearest bound or the
    default.
    """
    name, state = _widget(key), st.session_state
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
