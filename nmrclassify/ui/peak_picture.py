"""The picture of the page *Full scale*: a mixture with one compound coloured in its spectrum."""

import numpy as np
import streamlit as st

from nmrclassify.mixtures.peaks import PeakMixtureConfig
from nmrclassify.nmr.axis import Axis
from nmrclassify.plots import spectrum
from nmrclassify.plots.spectrum_layers import SpectrumLayers, drawable_range
from nmrclassify.ui import charts, url_parameters, url_state
from nmrclassify.ui.own_tables import plain
from nmrclassify.ui.peak_page import PeakResult, forget_view, layers_of

_ALL_OFFERED = 1000  # compounds of a library that a selectbox lists
VIEW = 0.08  # ppm to either side of a multiplet at first


def _new_mixture(seed: int) -> None:
    url_state.put("scale_seed", (seed + 1) % url_parameters.MAX_SEED)
    url_state.put("scale_mixture", None)
    forget_view()


def heading(result: PeakResult, seed: int) -> int:
    """Show which mixture this is, its metrics and a button for another; return the compound."""
    words, chosen, button = st.columns([4, 5, 2], vertical_alignment="bottom")
    compared = "Library:" if result.mixture is not None else "Compared with"
    words.markdown(
        f"**{plain(result.title)}:** {plain(result.note)}  \n{compared}"
        f" **{plain(result.library.title)}**"
    )
    with chosen:
        compound = _choose_compound(result)
    button.button(
        "New mixture",
        on_click=_new_mixture,
        args=(seed,),
        icon=":material/casino:",
        width="stretch",
    )
    prediction, tally = result.prediction, result.tally
    areas = prediction.peaks.areas
    if tally is None:
        explained = float((prediction.explained * areas).sum() / areas.sum())
        shown = {
            "Peaks": f"{len(areas):,}",
            "Named": f"{len(prediction.named)}",
            "Area explained": f"{explained:.0%}",
        }
    else:
        shown = {
            "In the mixture": f"{tally.present}",
            "Named": f"{tally.named}",
            "Right": f"{tally.right}",
            "Missed": f"{tally.missed}",
            "False alarms": f"{tally.false_alarms}",
            "F1": f"{tally.f1:.2f}",
        }
    with st.container(horizontal=True):
        for label, value in (shown | {"Seconds": f"{prediction.seconds:.2f}"}).items():
            st.metric(label, value, width=106)
    return compound


def compare_with_metabolites() -> None:
    """Look for the real metabolites."""
    url_state.put("scale_library", "metabolites")
    forget_view()


def notes(result: PeakResult) -> None:
    """Say what keeps the prediction from meaning something: the library, the peaks, no name."""
    library, prediction = result.library, result.prediction
    if prediction.note:
        coloured = "" if len(prediction.named) else " The likeliest compound is coloured."
        st.warning(prediction.note + coloured, icon=":material/rule:")
    if result.mixture is None and library.is_invented:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.warning(
                f"The {library.title} are not real: no sample holds one of them.",
                icon=":material/science_off:",
            )
            st.button(
                "Compare with 128 real metabolites",
                on_click=compare_with_metabolites,
                icon=":material/biotech:",
            )


def _choose_compound(result: PeakResult) -> int:
    """Let the visitor choose a compound, with `default_compound` at first."""
    prediction = result.prediction
    names, probabilities = prediction.compounds.names, prediction.probabilities
    outcomes = dict(zip(result.rows.tolist(), result.table["outcome"], strict=True))
    default = default_compound(result) + 1
    options = [k + 1 for k in outcomes]
    if result.mixture is None and len(names) <= _ALL_OFFERED:
        # "Why not X?" is asked of any compound.
        options += [k + 1 for k in np.argsort(names).tolist() if k not in outcomes]
    for k in (default, url_state.get("compound", default)):
        if k not in options and k <= len(names):
            options.append(k)

    def label(k: int) -> str:
        outcome = outcomes.get(k - 1, "not named")
        return f"{names[k - 1]} · {probabilities[k - 1]:.0%} · {outcome}"

    return (
        url_state.widget(
            st.selectbox,
            "Compound in orange",
            "compound",
            default,
            options=options,
            on_change=_compound_chosen,
            format_func=label,
            help="Likeliest first. Type to search. You can also select a row of the table below.",
        )
        - 1
    )


def default_compound(result: PeakResult) -> int:
    """Return a compound that shows well what a mask does.

    It is the named compound whose largest multiplet is large but overlapped; if none is named, the
    likeliest. The network's threshold counts, so that the slider does not change the picture.
    """
    prediction = result.prediction
    threshold = result.library.detector.trained.threshold
    named = np.flatnonzero(prediction.probabilities >= threshold)
    if not len(named):
        return int(prediction.probabilities.argmax())
    areas, first = prediction.multiplet_areas, prediction.compounds.first_multiplet
    largest = np.array([first[k] + areas[first[k] : first[k + 1]].argmax() for k in named])
    shares = np.nan_to_num(prediction.shares[largest])
    # 1.02, not 1: if nothing overlaps, the compound with the largest multiplet.
    return int(named[np.argmax(areas[largest] * shares * (1.02 - shares))])


def show_compound(compound: int) -> None:
    """Colour another compound, at its own place."""
    url_state.put("compound", compound + 1)
    url_state.forget("ppm_low", "ppm_high")


def _compound_chosen() -> None:
    url_state.forget("ppm_low", "ppm_high")
    # A new key for the table: the row that was selected there is another compound.
    st.session_state["ranked turn"] = st.session_state.get("ranked turn", 0) + 1


def _zoom(axis: Axis, low: float, high: float) -> None:
    low, high = drawable_range(axis, low, high)
    url_state.put("ppm_low", round(low, 4))
    url_state.put("ppm_high", round(high, 4))


def _range_selected(axis: Axis, key: str) -> None:
    boxes = st.session_state[key].selection.box
    if boxes:
        low, high = sorted(boxes[0]["x"])
        _zoom(axis, low, high)


def _picture(result: PeakResult, compound: int, layers: SpectrumLayers) -> None:
    """Show the chosen range, the buttons that move it, and the whole axis."""
    axis, prediction, theme = layers.axis, result.prediction, charts.theme()
    places = prediction.places(prediction.multiplets_of(compound))
    first, last = drawable_range(axis, places[0] - VIEW, places[0] + VIEW)
    default = round(first, 3), round(last, 3)
    low, high = drawable_range(
        axis, url_state.get("ppm_low", default[0]), url_state.get("ppm_high", default[1])
    )
    name, peaks = prediction.compounds.names[compound], prediction.peaks
    inside = (peaks.ppm >= low) & (peaks.ppm <= high)
    part = "no peak is there"
    if inside.any():
        share = prediction.separated(compound)[inside].sum() / peaks.areas[inside].sum()
        part = f"{share:.0%} of the area is of this compound"
    charts.chart(
        spectrum.detail(layers, low, high, name, theme),
        key="detail",
        alt=f"Spectrum from {high:.3f} to {low:.3f} ppm with the part of {name} coloured: {part}",
    )
    _range_controls(axis, low, high, default)
    key = "whole axis"
    charts.chart(
        spectrum.overview(layers, places, low, high, theme),
        key=key,
        on_select=lambda: _range_selected(axis, key),
        selection_mode="box",
        alt=(
            f"Spectrum over the whole axis, {len(peaks.areas):,} peaks; {name} has multiplets at "
            + ", ".join(f"{value:.2f}" for value in places[:12])
            + " ppm"
        ),
    )
    merged = ""
    if result.mixture is not None:
        merged = f" Lines in one cell of {PeakMixtureConfig.resolution:g} Hz are one peak."
    st.caption(
        "The whole axis: drag across it to see a range. ▲ marks the compound.",
        help=f"Heights are square roots, so that small peaks are visible.{merged}",
    )
    url_state.write_from_fragment()


def _range_controls(axis: Axis, low: float, high: float, default: tuple[float, float]) -> None:
    width = high - low
    moves = (
        ("Left", "arrow_back", low + width / 2, high + width / 2),
        ("Right", "arrow_forward", low - width / 2, high - width / 2),
        ("In", "zoom_in", low + width / 4, high - width / 4),
        ("Out", "zoom_out", low - width / 2, high + width / 2),
        ("Whole", "width_full", axis.low, axis.high),
    )
    ends = (("From (ppm)", "ppm_high", default[1]), ("To (ppm)", "ppm_low", default[0]))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for label, symbol, new_low, new_high in moves:
            st.button(
                label,
                key=f"zoom {label}",
                icon=f":material/{symbol}:",
                on_click=_zoom,
                args=(axis, new_low, new_high),
            )
        for label, key, value in ends:
            url_state.widget(
                st.number_input,
                label,
                key,
                value,
                min_value=axis.low,
                max_value=axis.high,
                step=0.05,
                format="%.3f",
                width=140,
            )


def show_picture(result: PeakResult, compound: int) -> None:
    """Show the spectrum with one compound coloured in it; a zoom redraws only this."""
    st.fragment(_picture)(result, compound, layers_of(result, compound))
