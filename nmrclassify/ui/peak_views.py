"""Tables and figures below the picture of the page *Full scale*."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from nmrclassify.evaluation import peak_threshold
from nmrclassify.evaluation.identify import Identification
from nmrclassify.mixtures import peak_files
from nmrclassify.plots import growth, spectrum
from nmrclassify.plots.report import report
from nmrclassify.ui import charts, export_panel, peak_amounts, peak_edits, url_state
from nmrclassify.ui.own_tables import plain
from nmrclassify.ui.peak_page import LIBRARY_SEED, UNKNOWN_SEED, PeakResult, PeakSelection
from nmrclassify.ui.peak_picture import show_compound
from nmrclassify.ui.peak_snippets import LIBRARIES, code


def _row_selected(key: str, rows: np.ndarray) -> None:
    chosen = st.session_state[key].selection.rows
    if chosen and chosen[0] < len(rows):
        show_compound(int(rows[chosen[0]]))


def compound_table(result: PeakResult) -> None:
    """Show the table of compounds; the compound of a selected row is coloured."""
    peak_amounts.control(result)
    table, number = peak_amounts.table(result), st.column_config.NumberColumn
    interval = "90% interval, from how well the multiplets agree."
    key = f"ranked {result.key} {st.session_state.get('ranked turn', 0)}"
    st.dataframe(
        table,
        hide_index=True,
        height=420,
        key=key,
        on_select=lambda: _row_selected(key, result.rows),
        selection_mode="single-row",
        column_config={
            "probability": st.column_config.ProgressColumn(
                min_value=0.0, max_value=1.0, format="percent", width=120
            ),
            # The concentrations say the same in a unit that can be read.
            "amount": None
            if "from" in table
            else number(
                format="%.3g",
                help=(
                    "Area of one proton, in the unit of the peaks. Empty where the compound was too"
                    " unlikely to be estimated."
                ),
            ),
            "mol %": number(format="%.3g", help="Of the sum of all named compounds."),
            "mM": number(format="%.3g"),
            "from": number(format="%.3g", help=interval),
            "to": number(format="%.3g", help=interval),
            "truth": st.column_config.TextColumn(help="The true amount."),
        },
        placeholder="",
        alt="Compounds, likeliest first, with outcome, probability and amount",
    )
    prediction, library = result.prediction, result.library
    names, groups = prediction.compounds.names, prediction.groups
    shared = [group for group in dict.fromkeys(groups[result.rows]) if (groups == group).sum() > 1]
    if shared:
        equivalent = "; ".join(
            " = ".join(plain(names[k]) for k in np.flatnonzero(groups == group)[:4])
            for group in shared[:6]
        )
        st.caption(f"Their multiplets are equal, so they count as one compound: {equivalent}.")
    if library.n_beyond:
        axis, many = prediction.peaks.axis, library.n_beyond > 1
        st.caption(
            f"{library.n_beyond:,} multiplet{'s' * many} of this library"
            f" {'lie' if many else 'lies'} beyond the axis ({axis.low:g} to {axis.high:g} ppm),"
            f" where the network does not look for {'them' if many else 'it'}."
        )
    if library.problem:
        st.caption(plain(library.problem))


def threshold_view(result: PeakResult) -> None:
    """Show the slider of the threshold, and the precision-recall curve if the truth is known."""
    default = round(result.library.detector.trained.threshold, 2)
    url_state.widget(
        st.slider,
        "Name compounds from this probability",
        "threshold",
        default,
        step=0.01,
        help=f"The network's own threshold is {default:.2f}.",
    )
    tally, prediction = result.tally, result.prediction
    if tally is None or result.mixture is None:
        st.info("No precision-recall curve: the truth about an uploaded mixture is not known.")
        return
    curve = peak_threshold.precision_recall(prediction, result.mixture.present)
    charts.chart(
        spectrum.precision_recall(curve, prediction.threshold, tally, charts.theme()),
        key="curve",
        alt=(
            f"Precision over recall of this mixture; at threshold {prediction.threshold:.2f}:"
            f" precision {tally.precision:.0%}, recall {tally.recall:.0%}"
        ),
    )
    named = f"{tally.right} of {tally.named} named are right" if tally.named else "nothing is named"
    st.caption(
        f"At {prediction.threshold:.2f}, {named}; {tally.right} of {tally.present} in the mixture"
        " are named."
    )


def _share_column(help: str | None = None) -> Any:
    return st.column_config.ProgressColumn(
        min_value=0.0, max_value=1.0, format="percent", help=help
    )


def compound_view(result: PeakResult, compound: int) -> None:
    """Show a compound's multiplets, the peaks around each, and the other compounds there."""
    prediction, compounds = result.prediction, result.prediction.compounds
    index = prediction.multiplets_of(compound)
    _multiplet_table(result, compound, index)
    has_share = prediction.separated(compound).any()
    first = prediction.first_of_group[compound]
    if first != compound:
        name = plain(compounds.names[first])
        st.info(
            f"This compound and {name} have equal multiplets. The network assigns the peaks of both"
            f" to {name}."
        )
    elif not has_share:
        st.info("The network gives this compound no share of any peak: it is too unlikely.")
    if not has_share and np.isnan(prediction.amounts[compound]):
        return  # without an amount there are no expected areas to draw
    charts.chart(
        spectrum.neighbourhoods(prediction, compound, index, charts.theme()),
        key="neighbourhoods",
        alt=(
            f"Peaks around each of {min(len(index), spectrum.N_PANELS)} multiplets, the part of"
            " this compound coloured"
        ),
    )
    cut = ""
    if len(index) > spectrum.N_PANELS:
        cut = f" The {spectrum.N_PANELS} largest of {len(index)} multiplets."
    st.caption(f"Sticks: peaks of the mixture. Rings: lines of the library.{cut}")
    _neighbour_table(prediction, compound)


def _multiplet_table(result: PeakResult, compound: int, index: np.ndarray) -> None:
    prediction, compounds = result.prediction, result.prediction.compounds
    shifts = prediction.shifts[index]
    columns = {
        "library (ppm)": compounds.ppm[index],
        "kind": [compounds.kinds[m] for m in index],
        "J (Hz)": ["; ".join(f"{value:g}" for value in compounds.couplings[m]) for m in index],
        "protons": compounds.protons[index],
        "estimated (ppm)": compounds.ppm[index] + shifts,
        "shift (ppm)": shifts,
    }
    mixture = result.mixture
    if mixture is not None and compound in mixture.present:
        truth = dict(zip(mixture.multiplets.tolist(), mixture.shifts, strict=True))
        columns["true shift (ppm)"] = [truth[m] for m in index.tolist()]
    columns["share of its peaks"] = prediction.shares[index]
    number = st.column_config.NumberColumn
    st.dataframe(
        pd.DataFrame(columns),
        hide_index=True,
        placeholder="",
        alt="The compound's multiplets, the largest first",
        column_config={
            **{name: number(format="%.4f") for name in columns if "ppm" in name},
            "protons": number(format="%.3g"),
            "share of its peaks": _share_column("By area."),
        },
    )


def _neighbour_table(prediction: Identification, compound: int) -> None:
    neighbours = prediction.neighbours(compound)
    if not neighbours:
        st.markdown("**Neighbours.** No other named compound has a share of its peaks.")
        return
    many = len(neighbours) > 1
    st.markdown(
        f"**Neighbours.** {len(neighbours)} other named compound{'s have' if many else ' has'} a"
        " share of its peaks."
    )
    rows = [(prediction.compounds.names[k], min(share, 1.0)) for k, share in neighbours[:50]]
    st.dataframe(
        pd.DataFrame(rows, columns=["compound", "share of the area"]),
        hide_index=True,
        alt="Compounds that share peaks with it",
        column_config={"share of the area": _share_column()},
    )


def downloads(result: PeakResult) -> None:
    """Offer the prediction and the mixture as CSV."""
    with st.container(horizontal=True):
        charts.download(
            "Prediction as CSV",
            peak_amounts.table(result),
            "prediction.csv",
            "The table of compounds above.",
        )
        peaks = peak_files.peaks_table(result.prediction.peaks)
        charts.download("Peaks as CSV", peaks, "peaks.csv", "You can upload it here again.")
        if result.sample is not None:
            sample = result.sample
            st.download_button(
                "Report as HTML",
                lambda: report(
                    result.prediction,
                    sample,
                    result.title,
                    result.library.title,
                    peak_amounts.known(result),
                ),
                "report.html",
                "text/html",
                icon=":material/description:",
                help="One file: picture, compounds, processing, settings and versions.",
                on_click="ignore",
            )
    if result.sample is not None:
        peak_edits.editor(result.source, result.prediction.peaks)


def program(selection: PeakSelection, compound: int) -> None:
    """Show the program that reproduces a drawn mixture; an upload has none."""
    if selection.upload is None and selection.library in LIBRARIES:
        export_panel.show_program(
            code(
                selection.library,
                LIBRARY_SEED,
                UNKNOWN_SEED,
                selection.config,
                selection.seed,
                compound,
            )
        )


def growth_view() -> None:
    """Show how time and memory grow with the sizes, as `bench growth` measured them."""
    with st.expander("How time and memory grow with the size", icon=":material/trending_up:"):
        table = growth.measured()
        charts.chart(
            growth.growth(table, charts.theme()),
            key="growth",
            alt=(
                "Seconds and memory of one prediction over positions, compounds in the library and"
                " compounds in the mixture"
            ),
        )
        low = table.iloc[int(table["f1"].argmin())]
        st.caption(
            "One mixture, from the library's table to the prediction, on 2 CPU cores (`python -m"
            " nmrclassify bench growth`). Dashed: linear growth. However large the library is, the"
            " network has the same number of candidates: F1 falls to"
            f" {low['f1']:.2f} at {low['value']:,.0f} {growth.SWEEPS[low['sweep']]}."
        )
