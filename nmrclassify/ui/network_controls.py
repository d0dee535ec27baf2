"""Controls above the picture of the network: which network, and how the mixture is disturbed."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from nmrclassify.mixtures.spec import usual_config
from nmrclassify.plots.map_rows import positions_label
from nmrclassify.training.checkpoints import PACKAGED, PACKAGED_PRESETS
from nmrclassify.ui import url_state
from nmrclassify.ui.model_picker import TITLES, fits, packaged_model
from nmrclassify.ui.panels import View
from nmrclassify.ui.url_parameters import PARAMETERS

_HOW_TO_READ = """
- **Mixture.** Each column is a position on the ppm axis, with ppm decreasing to the right. Each row
  is one peak of the multiplet there: one bright cell is a singlet, two are a doublet, and so on.
- **1 Take apart.** The encoder compares each position with {filters} filters.
- **2 Mask.** Blocks combine positions at growing distances (dilation). For each filter
  and position, a mask says how much belongs to one output: from 0 (dark) to 1 (bright).
- **3 Put together.** Mask times encoding, decoded to multiplets. *True* is what was mixed; the
  network does not get it. ◆ marks the compounds in the mixture.

{order} Orange lines show one position in every map. The orange band shows which positions
convolutions carry into it; the norms also average over the whole axis.
"""
# The picture fits a screen of 1366 x 768, also below the offer of a first visit.
_CLOSE = (
    "<style>.stMainBlockContainer > div > [data-testid='stVerticalBlock'] { gap: .6rem; }"
    " .stMainBlockContainer h1 { padding: 0; } </style>"
)
_DIFFERENCES = {
    "reference": "Its three outputs have no order; a softmax over the library names each.",
    "queries": "One output for each compound of the library; it needs no number of compounds.",
}


def show(view: View) -> None:
    """Draw the choice of the packaged network, and the noise and shift jitter of the mixture."""
    with st.sidebar:  # an element without a size still gets a gap
        st.html(_CLOSE)
    which, noise, jitter = st.columns([5, 3, 3], vertical_alignment="bottom")
    preset = view.dataset.preset
    offered = [
        key
        for key in (PACKAGED if preset in PACKAGED_PRESETS else ())
        if fits(packaged_model(key, preset), view.dataset)
    ]
    if offered:
        _bound(
            which.segmented_control,
            "Network",
            "model",
            view.chosen.key if view.chosen.key in offered else None,
            options=offered,
            format_func=TITLES.get,
            help=" ".join(f"*{TITLES[key]}*: {_DIFFERENCES[key]}" for key in offered),
        )
    config, usual = view.dataset.config, usual_config(view.spec.preset)
    for column, label, name, value, default in (
        (noise, "Noise (peak area)", "noise", config.noise, usual.noise),
        (
            jitter,
            f"Shift jitter ({positions_label(view.library.axis)})",
            "jitter",
            config.shift_jitter,
            usual.shift_jitter,
        ),
    ):
        limit = PARAMETERS[name]
        _bound(
            column.slider,
            label,
            name,
            value,
            default,
            min_value=0.0,
            max_value=min(limit.high, 1.0),
            step=0.02,
        )


def _bound(
    make: Callable, label: str, name: str, value: Any, default: Any = None, **options: Any
) -> None:
    """Draw a second control of a value that the sidebar holds."""
    key = f"picture {name}"
    st.session_state[key] = value

    def changed() -> None:
        new = st.session_state[key]
        if new is not None:
            url_state.put(name, None if new == default else new)

    make(label, key=key, on_change=changed, **options)


def about(view: View) -> None:
    """Explain the picture, and say how accurate the model is."""
    with st.expander("How to read this picture", icon=":material/help:"):
        st.markdown(
            _HOW_TO_READ.format(
                filters=len(view.prediction.encoding), order=view.checkpoint.model.about_outputs
            )
        )
        if view.checkpoint.metrics and _on_its_own_data(view):
            _accuracy(view)
    if view.checkpoint.metrics and not _on_its_own_data(view):
        st.caption("The model was not trained on such mixtures: the page *Evaluate* measures it.")


def _on_its_own_data(view: View) -> bool:
    data, own = view.dataset, view.checkpoint.dataset
    return (data.config, data.seed) == (own.config, own.seed)


def _accuracy(view: View) -> None:
    metrics = view.checkpoint.metrics
    low, high = metrics["compound_accuracy_ci95"]
    distance = metrics.get("mask_distance")
    st.caption(
        f"{view.model_name}, {metrics['n_mixtures']} test mixtures: {low:.0%} to {high:.0%} of"
        f" the compounds right (95 % interval), {metrics['exact_match']:.1%} of the mixtures"
        " wholly right"
        + (f", masks {distance:.2f} from the ideal." if distance is not None else ".")
    )
