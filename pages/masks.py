"""Masks: each compound's share of each multiplet, the masks beside the ideal ones, the worst."""

import numpy as np
import streamlit as st

from nmrclassify.evaluation import filters, masks
from nmrclassify.lessons.glossary import term
from nmrclassify.plots import classes, mask_maps, page_figures
from nmrclassify.plots.map_rows import centre_label
from nmrclassify.plots.outputs import output_names
from nmrclassify.ui import charts, page, panels, url_state, worst_masks

view = page.setup("pages/masks.py")
prediction, truth, axis = view.prediction, view.truth, view.library.axis
names, model = view.library.names, view.checkpoint.model
called = output_names(prediction, names)
ideal = masks.ideal_masks_of_outputs(model, view.sample, truth)

st.title("Masks")
st.markdown(f"The {term('mask', 'masks')} divide the mixture among its compounds.")
panels.mixture_heading(view)

st.subheader(
    "Which compound does each multiplet belong to?",
    help="A bar is a multiplet; its height is its area. Grey: passed by no mask. Click a multiplet"
    " to follow it through the network.",
)
read = masks.shares_from_masks(prediction.masks, masks.multiplet_encodings(model, view.areas))
true = masks.true_shares(view.sample, truth)
judged = true is not None and prediction.trained
wrong = masks.wrong_owners(read, true) if judged else np.zeros(axis.n_positions, bool)
by_masks = mask_maps.Division.of("masks", read, prediction.output_classes, called, len(names))
by_truth = panels.true_division(view)
panels.colour_key(by_masks, by_truth)
charts.chart(
    mask_maps.multiplet_shares(
        view.areas,
        by_masks,
        by_truth,
        wrong,
        axis,
        view.theme,
        None if view.cell is None else view.cell.position,
    ),
    alt="Multiplets of the mixture, divided by the masks"
    + ("" if by_truth is None else " and, below, by the truth"),
    key="shares",
)
if true is not None:
    n_multiplets = int((~np.isnan(true[0])).sum())
    at = ", ".join(centre_label(axis, p) for p in np.flatnonzero(wrong))
    if judged:
        st.markdown(
            f"The masks give **{n_multiplets - wrong.sum()} of {n_multiplets}** multiplets to the"
            " right output." + (f" Wrong (✗): {at}." if at else "")
        )
    st.caption("Above the line: how the masks divide each multiplet. Below: the truth.")

st.subheader(
    "Each mask, filter by filter",
    help=f"From 0 (blocks) to 1 (passes) for each {term('filter')} (row) and {term('position')}."
    f" The {term('ideal ratio mask', 'ideal mask')} is the share of the true compound in a cell."
    " Filters in the rows *own* respond most to a multiplet at their position, the others to one at"
    " the *left* or *right*. Click a cell to follow it from the mixture to the class.",
)
patterns = filters.patterns_of(model)
one, two, three = st.columns(3)
with one:
    sort = url_state.widget(
        st.toggle,
        "Sort by pattern",
        "sort_filters",
        help="Of a filter: the multiplet to which it responds most, singlet to sextet. Its"
        " place is the filter's own position, the left (higher ppm) or the right.",
    )
with two:
    only_wrong = ideal is not None and url_state.widget(
        st.toggle,
        f"Only differences above {masks.DISAGREES:g}",
        "wrong_cells",
        help="Shows where to look for a mistake. Click such a cell to follow it.",
    )
with three:
    show_weak = url_state.widget(
        st.toggle,
        "Show weak cells",
        "weak_cells",
        help=f"Where the {term('encoding')} is weak, a mask has no effect: these cells are blank.",
    )
if ideal is not None:
    panels.count_wrong_cells(prediction, ideal, called)
charts.chart(
    page_figures.masks(
        prediction,
        truth,
        ideal,
        patterns,
        view.library,
        view.theme,
        view.cell,
        sort,
        show_weak,
        only_wrong,
    ),
    alt=(
        "Mask, ideal mask and difference of each output."
        f" {classes.alt_text(prediction, view.library.names)}"
    ),
    key="masks",
)

worst_masks.show(view)

sums = st.container(key="sums")
with sums.expander("Encoding, sum and overlap of the masks", icon=":material/layers:"):
    st.markdown(
        "**Encoding**: what the masks multiply. **Sum**: ideal masks add up to 1 in each cell."
        " **Second-highest mask**: near 1 where two outputs pass the same cell."
    )
    charts.chart(
        mask_maps.encoding_and_sums(
            prediction, patterns, axis, view.theme, view.cell, sort, show_weak
        ),
        alt="Encoding, sum of the masks and second-highest mask, filters by positions",
        key="sum",
    )
