"""Masks: what each output lets through, beside the ideal; where masks agree, quarrel, and who owns which position."""

import numpy as np
import streamlit as st

from nmrclassify.evaluation import masks
from nmrclassify.plots import classes, maps
from nmrclassify.ui import charts, page, panels, url_state

view = page.setup("pages/masks.py")
given, truth, axis = view.prediction, view.truth, view.library.axis

st.title("Masks")
st.markdown(
    "The encoder turns the mixture into **filters x positions**. Each output has a **mask** of the"
    " same shape, from 0 (blocks) to 1 (lets through). Beside it stands the **ideal ratio mask**:"
    " how the true sources would share each cell of the encoding. **Click any cell** to follow it"
    " from the mixture to the class."
)
panels.mixture_heading(view)
left, right = st.columns(2)
with left:
    sort = url_state.widget(
        st.toggle,
        "Sort filters by similarity",
        "sort",
        True,
        help="Filters with alike masks stand together; the same order in all maps.",
    )
with right:
    everywhere = url_state.widget(
        st.toggle,
        "Show masks where the mixture is silent",
        "silent",
        False,
        help="A mask there masks nothing, so it is left blank.",
    )

order = masks.similarity_order(given.masks) if sort else np.arange(len(given.encoding))
hidden = masks.weak_cells(given.encoding)[order] & (not everywhere)
largest = max(float(np.abs(given.encoding).max()), 1e-9)
headings = classes.headings(given, view.library.names, truth)
rows = [("Masks the network estimated", np.where(hidden, np.nan, given.masks[:, order]))]
if truth is not None:
    # What no shown output stands for has its share in each cell all the same.
    rest = view.parts.sum(axis=0) - truth.sources.sum(axis=0)
    ideal = masks.ideal_ratio_masks(
        view.checkpoint.model, np.concatenate([truth.sources, rest[None]])
    )[:-1]
    rows.append(
        ("Ideal ratio masks, from the true sources", np.where(hidden, np.nan, ideal[:, order]))
    )
strength = np.abs(given.separated_encodings[:, order]) / largest
rows.append(("Masked encodings, relative strength", np.where(hidden, np.nan, strength)))
charts.chart(
    maps.mask_maps(
        rows, axis, view.theme, headings=headings, indices=given.outputs, ids=order, cell=view.cell
    ),
    alt=(
        "Masks, ideal ratio masks and masked encodings of each output."
        f" {classes.alt_text(given, view.library.names)}"
    ),
    key="masks",
)
if truth is not None:
    loud = ~masks.weak_cells(given.encoding)
    error = np.abs(given.masks - ideal)[:, loud].mean(axis=1)
    words = ", ".join(f"output {i + 1} {value:.2f}" for i, value in enumerate(error))
    st.caption(
        f"Mean distance from the ideal mask where the encoding is not silent: {words} (0 is the"
        " same, 1 the opposite). The network is never shown the ideal masks. Its decoder learns"
        " along with it, so quite different masks can separate well: what counts is on the page"
        " *Separation and classes*."
    )

left, right = st.columns([1, 2])
with left:
    st.subheader("Encoding")
    charts.chart(
        maps.mask_maps(
            [
                (
                    "Strength, relative",
                    np.where(hidden, np.nan, np.abs(given.encoding[order]) / largest)[None],
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
    st.subheader("Do the masks share out, or quarrel?")
    charts.chart(
        maps.sum_and_overlap(given.masks[:, order], hidden, axis, view.theme, order, view.cell),
        alt="Sum of the masks, and second-highest mask, filters by positions",
        key="sum",
    )
st.caption(
    "Sum of the masks: ideal masks add up to 1 in each cell. The network's need not, because its"
    " decoder learns the scale as well; above 1 a cell is used more than once. Second-highest mask:"
    " near 1 where at least two outputs claim the same cell."
)

st.subheader("Who owns which position?")
charts.chart(
    maps.area_shares(
        given.multiplets,
        axis,
        view.theme,
        tuple(f"output {i + 1}: {h}" for i, h in enumerate(headings)),
    ),
    alt="Share of the separated area at each position, by output",
    key="owners",
)
owner = masks.dominant_outputs(given.multiplets)
counts = ", ".join(
    f"output {i + 1} owns {int((owner == i).sum())}" for i in range(len(given.masks))
)
st.caption(f"By the larger share of area: {counts} of {int((owner >= 0).sum())} filled positions.")
