"""Masks: the mask of each output, the ideal masks, where masks overlap, the area of each output."""

import numpy as np
import streamlit as st

from nmrclassify.evaluation import masks
from nmrclassify.plots import classes, maps, page_figures
from nmrclassify.ui import charts, page, panels, url_state

view = page.setup("pages/masks.py")
prediction, truth, axis = view.prediction, view.truth, view.library.axis

st.title("Masks")
st.markdown(
    "The encoder turns the mixture into **filters x positions**. Each output has a **mask** of the"
    " same shape, from 0 (blocks) to 1 (passes). Below it is the **ideal ratio mask**: the share of"
    " the true source in each cell of the encoding. **Click any cell** to follow it from the"
    " mixture to the class."
)
panels.mixture_heading(view)
left, right = st.columns(2)
with left:
    sort = url_state.widget(
        st.toggle,
        "Sort filters by similarity",
        "sort_filters",
        help="Filters with similar masks are next to each other, in the same order in all maps.",
    )
with right:
    show_weak = url_state.widget(
        st.toggle,
        "Show masks where the encoding is weak",
        "weak_cells",
        help="A mask has no effect there, so these cells are normally blank.",
    )

order, hidden = page_figures.shown_cells(prediction, sort, show_weak)
largest = max(float(np.abs(prediction.encoding).max()), 1e-9)
headings = classes.headings(prediction, view.library.names, truth)
ideal = masks.ideal_masks_of_outputs(view.checkpoint.model, view.sample, truth)
charts.chart(
    page_figures.masks(
        prediction, truth, ideal, view.library, view.theme, view.cell, sort, show_weak
    ),
    alt=(
        "Masks, ideal ratio masks and masked encodings of each output."
        f" {classes.alt_text(prediction, view.library.names)}"
    ),
    key="masks",
)
if ideal is not None:
    strong = ~masks.weak_cells(prediction.encoding)
    error = np.abs(prediction.masks - ideal)[:, strong].mean(axis=1)
    words = ", ".join(f"output {i + 1} {value:.2f}" for i, value in enumerate(error))
    st.caption(
        f"Mean distance from the ideal mask where the encoding is not weak: {words} (0: equal, 1:"
        " opposite). The network never gets the ideal masks. Its decoder is trained together with"
        " its masks, so very different masks can separate well, too. The page *Separation* shows"
        " the result."
    )

left, right = st.columns([1, 2])
with left:
    st.subheader("Encoding")
    charts.chart(
        maps.mask_maps(
            [
                (
                    "Strength, relative",
                    np.where(hidden, np.nan, np.abs(prediction.encoding[order]) / largest)[None],
                )
            ],
            axis,
            view.theme,
            outputs=False,
            ids=order,
            cell=view.cell,
        ),
        alt="Heatmap of the encoding of the mixture, filters by positions",
        key="encoding",
    )
with right:
    st.subheader("Do the masks overlap?")
    charts.chart(
        maps.sum_and_overlap(
            prediction.masks[:, order], hidden, axis, view.theme, order, view.cell
        ),
        alt="Sum of the masks, and second-highest mask, filters by positions",
        key="sum",
    )
st.caption(
    "Sum of the masks: ideal masks add up to 1 in each cell. The masks of the network need not,"
    " because its decoder learns the scale, too. Above 1, a cell is used more than once."
    " Second-highest mask: it is near 1 where at least two outputs use the same cell."
)

st.subheader("Which output has the most area at each position?")
charts.chart(
    maps.area_shares(
        prediction.multiplets,
        axis,
        view.theme,
        tuple(f"output {i + 1}: {h}" for i, h in enumerate(headings)),
    ),
    alt="Share of the separated area at each position, by output",
    key="owners",
)
dominant = masks.dominant_outputs(prediction.multiplets)
counts = ", ".join(
    f"output {i + 1} at {int((dominant == i).sum())}" for i in range(len(prediction.masks))
)
st.caption(
    f"Output with the largest share of the area: {counts} of {int((dominant >= 0).sum())} positions"
    " that are not empty."
)
