"""An uploaded spectrum on the page *Full scale*: its processing, and the evidence in it."""

import pandas as pd
import streamlit as st

from nmrclassify.evaluation import evidence as evidence_
from nmrclassify.evaluation.evidence import Evidence
from nmrclassify.mixtures.peak_files import PeakSample
from nmrclassify.mixtures.spectrum import Spectrum
from nmrclassify.plots.processed_spectrum import processed_spectrum
from nmrclassify.ui import charts, spectrum_recipe
from nmrclassify.ui.own_tables import plain
from nmrclassify.ui.peak_page import PeakResult

N_UNEXPLAINED = 10


def show_spectrum(result: PeakResult, compound: int) -> None:
    """Show an uploaded spectrum with its steps, and what speaks for and against a compound.

    Without a spectrum, such as for a list of peaks, nothing is shown.
    """
    sample = result.sample
    measured = _measured(sample)
    if sample is None or measured is None:
        return
    prediction, done = result.prediction, sample.processed
    name = prediction.compounds.names[compound]
    found = evidence_.evidence(prediction, compound, () if done is None else done.regions)
    rest, _ = evidence_.unexplained_peaks(prediction, N_UNEXPLAINED)
    st.subheader(
        "The spectrum",
        help="Double-click to see all again. Grey areas are cut out. Below the curve: the lines"
        " that the compound in orange must have.",
    )
    st.markdown(spectrum_recipe.facts(sample))
    st.markdown(f"**{plain(name)}.** {plain(evidence_.sentence(prediction, compound, found))}")
    drag = "zoom" if done is None else spectrum_recipe.drag_control()
    figure = processed_spectrum(
        measured, done, prediction.peaks, found, rest, name, charts.theme(), drag != "zoom"
    )
    key = "spectrum"
    charts.chart(
        figure,
        key=key,
        on_select="ignore" if drag == "zoom" else lambda: spectrum_recipe.dragged(sample, key),
        selection_mode="box",
        alt=(
            f"Measured and processed spectrum with {len(prediction.peaks.areas):,} peaks;"
            f" {int(found.speaks_for.sum())} lines of {name} are found,"
            f" {int(found.speaks_against.sum())} are missing"
        ),
    )
    spectrum_recipe.show_steps(sample)
    _show_evidence(result, compound, found)


def _measured(sample: PeakSample | None) -> Spectrum | None:
    if sample is None:
        return None
    if sample.processed is not None and sample.processed.steps:
        return sample.processed.steps[0].before
    return sample.spectrum


def evidence_table(found: Evidence, whole: float) -> pd.DataFrame:
    """Return the evidence as a table: what speaks against the compound first.

    `whole` is the area of all peaks.
    """
    marks = {evidence_.FOUND: "✓"} | dict.fromkeys(evidence_.AGAINST, "✗")
    table = pd.DataFrame(
        {
            "outcome": [f"{marks.get(outcome, '–')} {outcome}" for outcome in found.outcomes],
            "ppm": found.ppm,
            "expected": found.expected / whole,
            "measured": found.measured / whole,
            "its share": found.separated / found.measured.clip(1e-30),
        }
    )
    return table.iloc[(~found.speaks_against).argsort(kind="stable")]


def _show_evidence(result: PeakResult, compound: int, found: Evidence) -> None:
    prediction = result.prediction
    left, right = st.columns([3, 2], gap="large")
    number = st.column_config.NumberColumn
    with left:
        st.markdown("**For and against the compound in orange**")
        st.dataframe(
            evidence_table(found, float(prediction.peaks.areas.sum())),
            hide_index=True,
            height=300,
            placeholder="",
            alt="Expected lines of the compound, with the area that is there",
            column_config={
                "ppm": number(format="%.4f"),
                "expected": number(
                    format="percent", help="By the estimated amount, of the whole area."
                ),
                "measured": number(
                    format="percent", help="Area of the peaks at this place, of the whole area."
                ),
                "its share": st.column_config.ProgressColumn(
                    min_value=0.0,
                    max_value=1.0,
                    format="percent",
                    help="Of the measured area, by the mask. The rest is of other compounds.",
                ),
            },
        )
        spectrum = result.sample.spectrum if result.sample else None
        solvent = spectrum.metadata.get("solvent", "") if spectrum else ""
        with st.popover("As a line of a report", icon=":material/content_copy:"):
            line = evidence_.found_line(prediction, compound, solvent)
            st.code(line, language=None, wrap_lines=True)
    with right:
        share = evidence_.unexplained_share(prediction)
        peaks, areas = evidence_.unexplained_peaks(prediction, N_UNEXPLAINED)
        st.markdown("**Peaks that no named compound explains**")
        st.caption(f"{share:.0%} of the area. The largest:")
        st.dataframe(
            pd.DataFrame(
                {
                    "ppm": prediction.peaks.ppm[peaks],
                    "of the whole area": areas / prediction.peaks.areas.sum(),
                }
            ),
            hide_index=True,
            height=300,
            alt="The largest peaks that no named compound explains",
            column_config={
                "ppm": number(format="%.4f"),
                "of the whole area": number(format="percent"),
            },
        )
