"""Mixtures: the library, a mixture of its compounds, the true sources; tables in and out."""

import streamlit as st

from nmrclassify.lessons.glossary import term
from nmrclassify.mixtures import grid_files
from nmrclassify.networks.prediction import listing
from nmrclassify.nmr.library import metabolite_table
from nmrclassify.plots import maps, page_figures
from nmrclassify.ui import charts, page, panels, uploads

view = page.setup("pages/mixtures.py")
library, dataset, axis = view.library, view.dataset, view.library.axis

st.title("Mixtures")
st.markdown(
    f"A {term('mixture')} is the sum of its compounds: where their"
    f" {term('multiplet', 'multiplets')} overlap, areas add up."
)
panels.mixture_heading(view, about_model=False)

names = view.source_names
total = f"{view.areas.sum():.3g}"
st.subheader(
    "The mixture as a spectrum",
    help=f"Each multiplet is drawn at the centre of its {term('position')} as up to"
    f" {library.n_peaks} lines. Their spacing makes them easy to read; it is not a coupling"
    " constant."
    + (
        " The map below shows the noise; the lines do not."
        if dataset.config.noise or any(edit.word == "noise" for edit in view.edits)
        else ""
    ),
)
charts.chart(
    maps.line_spectrum(
        view.areas, axis, view.theme, view.parts, names or ("mixture",), view.part_colours
    ),
    alt=(
        f"Line spectrum of the mixture, total area {total}, coloured by source:"
        f" {listing(list(names)) if names else 'not known'}"
    ),
    key="spectrum",
)
st.caption("A colour is a compound. The network gets the areas, not the colours.")
st.subheader(
    "The input of the network",
    help="The same mixture as numbers: a column is a position, a row is one peak of the multiplet"
    " there.",
)
charts.chart(
    page_figures.mixture(view.sample, library, view.theme, view.cell),
    alt=(
        f"Heatmap of the mixture, {library.n_peaks} peaks by {axis.n_positions} positions, total"
        f" area {total}"
    ),
    key="mixture map",
)
if view.parts is not None and len(view.parts):
    st.subheader("The true sources")
    plain = tuple(
        name.split(" (")[0]
        .replace("an unknown compound", "unknown")
        .replace("added by hand", "by hand")
        for name in names
    )  # short headings: long ones would overlap
    charts.chart(
        maps.area_maps(
            [("True sources", view.parts)],
            axis,
            view.theme,
            outputs=False,
            headings=plain,
            colours=view.part_colours,
            shown=names,
            cell=view.cell,
        ),
        alt=f"Heatmaps of the true sources: {listing(list(names))}",
        key="sources",
    )

st.subheader(
    "The library",
    help=f"The compounds that mixtures are made of. On average, one has multiplets at"
    f" {library.occupancy.mean():.0%} of the positions.",
)
charts.chart(
    maps.library_map(library, view.theme),
    alt=f"Map of the library: {listing(list(library.names))}",
    key="library",
)
st.caption(
    f"{library.n_compounds} compounds; {len(dataset.train)}"
    f" {term('composition', 'compositions')} for training, {len(dataset.test)} others for the test."
)
if dataset.preset == "metabolites":
    with st.expander("Chemical shifts and their references", icon=":material/menu_book:"):
        st.dataframe(metabolite_table(), hide_index=True)

st.subheader("Tables")
one, two, three = st.columns(3)
with one:
    charts.download(
        "Mixture as CSV",
        grid_files.areas_table(view.areas, axis),
        "mixture.csv",
        "This page and the command `separate` read it.",
    )
with two:
    charts.download(
        "Library as CSV",
        grid_files.areas_table(library.areas, axis, "compound", library.names),
        "library.csv",
        "This page reads it.",
    )
with three:
    if view.parts is not None:
        charts.download(
            "Sources as CSV",
            grid_files.areas_table(view.parts, axis, "source", names),
            "sources.csv",
        )
uploads.own_data(view)
