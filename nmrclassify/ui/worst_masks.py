"""The list of the worst masks of a test set; each opens its mixture on the page Masks."""

import streamlit as st

from nmrclassify.evaluation.masks import DISAGREES, WorstMask
from nmrclassify.plots.map_rows import centre_label
from nmrclassify.ui import panels, results, url_state
from nmrclassify.ui.panels import View


def _open(worst: WorstMask) -> None:
    panels.drop_edits("mixture")
    url_state.put("number", worst.mixture + 1)
    url_state.put("output", worst.output + 1)
    url_state.put("filter", worst.filter)
    url_state.put("position", worst.position)


def show(view: View) -> None:
    """List the multiplets whose masks are farthest from the ideal ones, over all test mixtures."""
    st.subheader(
        "The worst masks of the test mixtures",
        help="What the mask and the ideal mask pass of a multiplet. Press one to show its mixture"
        " here, with a frame around the filter that differs most.",
    )
    if not view.checkpoint.step:
        st.caption("An untrained network has none.")
        return
    worst = results.worst_masks(view.checkpoint, view.dataset)
    if not worst:
        st.success(
            f"No mask passes a share of a multiplet that is wrong by more than {DISAGREES:g}."
        )
        return
    classes, axis = view.classes, view.library.axis
    with st.container(horizontal=True, gap="small"):
        for i, one in enumerate(worst):
            st.button(
                f"Mixture {one.mixture + 1}, {classes[one.compound]},"
                f" {centre_label(axis, one.position)}: mask {one.mask:.2f}, ideal {one.ideal:.2f}",
                key=f"worst mask {i}",
                on_click=_open,
                args=(one,),
            )
