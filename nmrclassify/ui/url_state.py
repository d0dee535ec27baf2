"""The state that a link carries: the values of `url_parameters` that differ from their defaults.

Streamlit forgets a widget's value when the page changes, so the values are kept in one dictionary
of the session; a widget starts from it and writes back to it. Each value of a link is validated
here, before a widget gets it.
"""

import re
from collections.abc import Callable
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from nmrclassify.mixtures.spec import MixtureSpec, link_text
from nmrclassify.ui.url_parameters import MIXTURE, OLD_NAMES, PARAMETERS


def _values() -> dict[str, Any]:
    return st.session_state.setdefault("link values", {})


def is_step_in_history() -> bool:
    """Whether this run follows a press of Back or Forward in the browser."""
    context = get_script_run_ctx()
    return context is not None and context.is_history_navigation


def read(page: str) -> list[str]:
    """Bring the state up to date, from the widgets or from the URL.

    Each change of the state is an entry of the browser's history, which Streamlit writes. After a
    step in the history, and in a new session, the URL replaces the whole state, whatever the
    widgets hold. Otherwise the state is that of this session.

    Returns
    -------
    list of str
        A sentence for each bad value of a link.
    """
    state, url = st.session_state, st.query_params.to_dict()
    switched = state.get("link page", page) != page
    state["link page"] = page
    # Streamlit treats an element on another page as new, so all start from the values again.
    if switched:
        _forget_widgets()
    # Taken away in each run: left for a later run, it would hide a link.
    was_put = state.pop("link put", False)
    if not is_step_in_history():
        # The URL of the previous click can arrive late: after a change by a control of this page,
        # it is not read. A link to another page can be older than a change inside a fragment.
        changed = _take_over_widgets() or was_put or (switched and "link written" in state)
        if changed or url == state.get("link written"):
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
            # without characters that make a link in Markdown
            shown = re.sub(r"[^\w.,+-]", "?", text[:30])
            problems.append(f"The link has `{key}={shown}`; {error}. The default is used.")
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
    present = query()
    st.session_state["link written"] = present
    if st.query_params.to_dict() != present:
        st.query_params.from_dict(present)


def write_from_fragment() -> None:
    """Put the present state into the URL without a `read` before; the next `read` ignores it."""
    write()
    st.session_state["link put"] = False


def _widget(key: str) -> str:
    return f"widget {key}"


def get(key: str, default: Any = None) -> Any:
    """Return a value of the state; if it is not set, `default` or the default of the table."""
    value = _values().get(key)
    if value is not None:
        return value
    return PARAMETERS[key].default if default is None else default


def put(key: str, value: Any) -> None:
    """Set a value from a callback or before its widget is drawn; None stands for the default."""
    correct(key, value)
    st.session_state["link put"] = True


def correct(key: str, value: Any) -> None:
    """Replace an unsuitable value while a page is drawn, before its widget is drawn."""
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
    """Show another mixture: set all parameters of `MixtureSpec.link`."""
    values = spec.link_values()
    for name in MIXTURE:
        put(name, values.get(name))


def forget(*keys: str) -> None:
    """Reset values to their defaults."""
    for key in keys:
        put(key, None)


def widget(
    make: Callable,
    label: str,
    key: str,
    default: Any = None,
    shown: bool = True,
    **options: Any,
) -> Any:
    """Draw an input element bound to a value of the state, and return its value.

    Default, bounds and options are those of the table where they are not passed. A value outside
    the element's bounds or options is replaced by the nearest bound or the default. An element
    that is not `shown` is not drawn, and the state keeps its value for the pages that show it.
    """
    parameter, name, state = PARAMETERS[key], _widget(key), st.session_state
    default = parameter.default if default is None else default
    if "options" not in options:
        if parameter.options:
            options["options"] = list(parameter.options)
        elif parameter.is_number:
            options = {"min_value": parameter.low, "max_value": parameter.high} | options
    if not shown:
        return _within(get(key, default), default, options)
    defaults = state.setdefault("link defaults", {})
    follows = _values().get(key) is None and defaults.get(key) != default
    defaults[key] = default
    if name not in state or follows:
        state[name] = get(key, default)
    state[name] = _within(state[name], default, options)
    value = make(label, key=name, **options)
    _values()[key] = None if value == default else value
    return value


def _within(value: Any, default: Any, options: dict[str, Any]) -> Any:
    """Return a value, or the default or nearest bound if an element does not offer it."""
    if options.get("options") is not None and value not in list(options["options"]):
        value = default
    if options.get("min_value") is not None:
        value = type(default)(min(max(value, options["min_value"]), options["max_value"]))
    return value
