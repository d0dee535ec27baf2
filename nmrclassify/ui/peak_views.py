"""What the page *Full scale* shows of a case: its picture, the ranked compounds, the threshold, one compound."""

import numpy as np
import pandas as pd
import streamlit as st

from nmrclassify.evaluation import peak_threshold
from nmrclassify.evaluation.identify import Identification
from nmrclassify.mixtures import peak_files
from nmrclassify.mixtures.peaks import PeakMixtureConfig
from nmrclassify.plots import growth, spectrum
from nmrclassify.plots.spectrum_layers import SpectrumLayers, drawable_range
from nmrclassify.ui import charts, export_panel, url_state
from nmrclassify.ui.peak_page import (
    LIBRARY_SEED,
    UNKNOWN_SEED,
    PeakResult,
    PeakSelection,
    layers_of,
    start_afresh,
)
from nmrclassify.ui.peak_snippets import LIBRARIES, code
from nmrclassify.ui.peak_uploads import plain

VIEW = 0.08  # ppm to either side of a multiplet at first


def _new_mixture(seed: int) -> None:
    url_state.put("scale_seed", (seed + 1) % url_state.MAX_SEED)
    url_state.put("scale_mixture", None)
    start_afresh()


def heading(case: PeakResult, seed: int) -> int:
    """Say which mixture is shown and what came of it; offer another, and return the compound that is to be coloured."""
    words, chosen, button = st.columns([4, 5, 2], vertical_alignment="bottom")
    words.markdown(
        f"**{plain(case.title)}:** {plain(case.note)}  \nLibrary: {plain(case.library.title)}"
    )
    with chosen:
        compound = _choose_compound(case)
    button.button(
        "New mixture",
        on_click=_new_mixture,
        args=(seed,),
        icon=":material/casino:",
        width="stretch",
    )
    found, score = case.found, case.score
    covered = float((found.explained * found.peaks.areas).sum() / found.peaks.areas.sum())
    if score is None:
        shown = [
            ("Peaks", f"{len(found.peaks.areas):,}"),
            ("Named", len(found.named)),
            ("Area explained", f"{covered:.0%}"),
        ]
    else:
        shown = [
            ("In the mixture", score.present),
            ("Named", score.named),
            ("Right", score.right),
            ("Missed", score.missed),
            ("False alarms", score.false_alarms),
            ("F1", f"{score.f1:.2f}"),
        ]
    with st.container(horizontal=True):
        for label, value in [*shown, ("Seconds", f"{found.seconds:.2f}")]:
            st.metric(label, value, width=106)
    return compound


def _choose_compound(case: PeakResult) -> int:
    """Let a compound be chosen; at first one that shows what a mask does."""
    compounds, probabilities = case.found.compounds, case.found.probabilities
    options = [int(k) + 1 for k in case.rows]
    usual = telling(case) + 1
    options += [
        k
        for k in {usual, url_state.get("compound", usual)}
        if k not in options and k <= compounds.n_compounds
    ]
    said = dict(zip(options, case.table["outcome"], strict=False))
    return (
        url_state.widget(
            st.selectbox,
            "Compound in orange",
            "compound",
            usual,
            options=options,
            on_change=_chosen_by_name,
            format_func=lambda k: (
                f"{compounds.names[k - 1]} · {probabilities[k - 1]:.0%} · {said.get(k, 'not named')}"
            ),
            help="Likeliest first. A row of the table below can be selected, too.",
        )
        - 1
    )


def telling(case: PeakResult) -> int:
    """Return the named compound whose clearest multiplet is large and yet overlapped, or the likeliest if none is named."""
    found = case.found
    # By the network's own threshold: moving the slider does not change what is looked at.
    named = np.flatnonzero(found.probabilities >= case.library.detector.trained.threshold)
    if not len(named):
        return int(found.probabilities.argmax())
    areas, starts = _areas(found), found.compounds.first_multiplet
    clearest = np.array([starts[k] + areas[starts[k] : starts[k + 1]].argmax() for k in named])
    shares = np.nan_to_num(found.shares[clearest])
    return int(
        named[np.argmax(areas[clearest] * shares * (1.02 - shares))]
    )  # where nothing overlaps, the largest


def _look_at_it() -> None:
    url_state.forget("ppm_low", "ppm_high")


def _areas(found: Identification) -> np.ndarray:
    row, peak, share = found.masks
    return np.bincount(row, share * found.peaks.areas[peak], found.compounds.n_multiplets)


def _chosen_by_name() -> None:
    _look_at_it()
    # A new table: the row that was selected in the old one is no longer what is looked at.
    st.session_state["ranked turn"] = st.session_state.get("ranked turn", 0) + 1


def multiplets_of(found: Identification, compound: int) -> np.ndarray:
    """Return a compound's multiplets, the one with the largest separated area first."""
    first = found.compounds.first_multiplet
    index = np.arange(first[compound], first[compound + 1])
    return index[np.lexsort((-found.compounds.protons[index], -_areas(found)[index]))]


def places(found: Identification, multiplets: np.ndarray) -> np.ndarray:
    """Return where multiplets were found, in ppm; where they were not looked for, their place in the library."""
    return found.compounds.ppm[multiplets] + np.nan_to_num(found.shifts[multiplets])


def _zoom(axis, low: float, high: float) -> None:
    low, high = drawable_range(axis, low, high)
    url_state.put("ppm_low", round(low, 4))
    url_state.put("ppm_high", round(high, 4))


def _boxed(axis, key: str) -> None:
    boxes = st.session_state[key].selection.box
    if boxes:
        _zoom(axis, *sorted(boxes[0]["x"]))


def picture(case: PeakResult, compound: int, shown: SpectrumLayers) -> None:
    """Draw the chosen range, the buttons that move it, and the whole axis: a fragment, so that a zoom draws only this."""
    axis, found, theme = shown.axis, case.found, charts.theme()
    where = places(found, multiplets_of(found, compound))
    usual = [round(value, 3) for value in drawable_range(axis, where[0] - VIEW, where[0] + VIEW)]
    low, high = drawable_range(
        axis, url_state.get("ppm_low", usual[0]), url_state.get("ppm_high", usual[1])
    )
    name = found.compounds.names[compound]
    inside = np.flatnonzero((found.peaks.ppm >= low) & (found.peaks.ppm <= high))
    area, own = found.peaks.areas[inside].sum(), found.separated(compound)[inside].sum()
    part = f"{own / area:.0%} of the area is its own" if len(inside) else "no peak is there"
    charts.chart(
        spectrum.detail(shown, low, high, name, theme),
        key="detail",
        alt=f"Spectrum from {high:.3f} to {low:.3f} ppm with the part of {name} coloured: {part}",
    )
    width = high - low
    moves = (
        ("Left", "arrow_back", low + width / 2, high + width / 2),
        ("Right", "arrow_forward", low - width / 2, high - width / 2),
        ("In", "zoom_in", low + width / 4, high - width / 4),
        ("Out", "zoom_out", low - width / 2, high + width / 2),
        ("Whole", "width_full", axis.low, axis.high),
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for label, symbol, *ends in moves:
            st.button(
                label,
                key=f"zoom {label}",
                icon=f":material/{symbol}:",
                on_click=_zoom,
                args=(axis, *ends),
            )
        for label, key, default in (
            ("From (ppm)", "ppm_high", usual[1]),
            ("To (ppm)", "ppm_low", usual[0]),
        ):
            url_state.widget(
                st.number_input,
                label,
                key,
                default,
                min_value=axis.low,
                max_value=axis.high,
                step=0.05,
                format="%.3f",
                width=140,
            )
    key = "whole axis"
    charts.chart(
        spectrum.overview(shown, where, low, high, theme),
        key=key,
        on_select=lambda: _boxed(axis, key),
        selection_mode="box",
        alt=(
            f"Spectrum over the whole axis, {len(found.peaks.areas):,} peaks; {name} has"
            " multiplets at "
        )
        + ", ".join(f"{value:.2f}" for value in where[:12])
        + " ppm",
    )
    st.caption(
        "The whole axis: drag across it to look closer. ▲ marks where the compound was found;"
        " heights are square roots, so that small peaks show."
    )
    url_state.write_from_fragment()


def draw_picture(case: PeakResult, compound: int) -> None:
    """Draw the spectrum with one compound coloured in it."""
    st.fragment(picture)(case, compound, layers_of(case, compound))
    merged = (
        ""
        if case.mixture is None
        else f"; lines in one cell of {PeakMixtureConfig.resolution:g} Hz are one peak"
    )
    st.caption(
        "The network sees no curve but a list of picked peaks, each a position and an"
        f" area{merged}. The grey curve is drawn from that list."
    )


def _picked(key: str, rows: np.ndarray) -> None:
    chosen = st.session_state[key].selection.rows
    if chosen and chosen[0] < len(rows):
        url_state.put("compound", int(rows[chosen[0]]) + 1)
        _look_at_it()


def ranked(case: PeakResult) -> None:
    """Draw the table of compounds; a selected row is the compound that is coloured."""
    key = f"ranked {case.key} {st.session_state.get('ranked turn', 0)}"
    st.dataframe(
        case.table,
        hide_index=True,
        height=420,
        key=key,
        on_select=lambda: _picked(key, case.rows),
        selection_mode="single-row",
        column_config={
            "probability": st.column_config.ProgressColumn(
                min_value=0.0, max_value=1.0, format="percent", width=120
            ),
            "amount": st.column_config.NumberColumn(
                format="%.3g",
                help=(
                    "Area of one proton, in the unit of the peaks; empty where the network did not"
                    " look closer."
                ),
            ),
            "truth": st.column_config.TextColumn(help="The true amount."),
        },
        placeholder="",
        alt="Compounds, likeliest first, with outcome, probability and amount",
    )
    st.caption(
        "Select a row to see it in orange; click a heading to sort."
        + (" ✗ marks the mistakes." if case.score is not None else "")
    )
    members = np.bincount(case.library.groups)
    same = [k for k in case.rows if members[case.library.groups[k]] > 1]
    if same:
        names, groups = case.found.compounds.names, case.library.groups
        twins = [
            " = ".join(plain(names[j]) for j in np.flatnonzero(groups == group)[:4])
            for group in dict.fromkeys(groups[same])
        ]
        st.caption(
            f"Nothing tells these apart, so they count as one answer: {'; '.join(twins[:6])}."
        )
    if case.library.beyond:
        axis, many = case.found.peaks.axis, case.library.beyond > 1
        st.caption(
            f"{case.library.beyond:,} multiplet{'s' * many} of this library"
            f" {'lie' if many else 'lies'} beyond the axis ({axis.low:g} to {axis.high:g} ppm),"
            f" where {'they are' if many else 'it is'} not looked for."
        )
    if case.library.problem:
        st.caption(plain(case.library.problem))


def threshold(case: PeakResult) -> None:
    """Draw the slider of the threshold, and the precision-recall curve where the truth is known."""
    usual = round(case.library.detector.trained.threshold, 2)
    url_state.widget(
        st.slider,
        "Name compounds from this probability",
        "threshold",
        usual,
        step=0.01,
        help=f"The network's own threshold is {usual:.2f}.",
    )
    score, found = case.score, case.found
    if score is None:
        st.info(
            "What is in an uploaded mixture is not known, so there is no precision-recall curve"
            " for it."
        )
        return
    curve = peak_threshold.precision_recall(found, case.mixture.present)
    charts.chart(
        spectrum.precision_recall(curve, found.threshold, score, charts.theme()),
        key="curve",
        alt=(
            f"Precision over recall of this mixture; at threshold {found.threshold:.2f}: precision"
            f" {score.precision:.0%}, recall {score.recall:.0%}"
        ),
    )
    said = f"{score.right} of {score.named} named are right" if score.named else "nothing is named"
    st.caption(
        f"At {found.threshold:.2f}, {said}, and {score.right} of {score.present} in the mixture are"
        " found."
    )


def compound_view(case: PeakResult, compound: int) -> None:
    """Draw a compound's multiplets, the peaks around each, and what it shares with others."""
    found, compounds = case.found, case.found.compounds
    index = multiplets_of(found, compound)
    table = pd.DataFrame(
        {
            "library (ppm)": compounds.ppm[index],
            "kind": [compounds.kinds[m] for m in index],
            "J (Hz)": ["; ".join(f"{value:g}" for value in compounds.couplings[m]) for m in index],
            "protons": compounds.protons[index],
            "found (ppm)": np.where(
                np.isnan(found.shifts[index]), np.nan, compounds.ppm[index] + found.shifts[index]
            ),
            "shift (ppm)": found.shifts[index],
        }
    )
    if case.mixture is not None and compound in case.mixture.present:
        truth = dict(zip(case.mixture.multiplets.tolist(), case.mixture.shifts, strict=False))
        table["true shift (ppm)"] = [truth[m] for m in index.tolist()]
    table["its own share"] = found.shares[index]
    number = st.column_config.NumberColumn
    st.dataframe(
        table,
        hide_index=True,
        placeholder="",
        alt="The compound's multiplets, the clearest first",
        column_config={
            **{name: number(format="%.4f") for name in table.columns if "ppm" in name},
            "protons": number(format="%g"),
            "its own share": st.column_config.ProgressColumn(
                min_value=0.0, max_value=1.0, format="percent", help="Of the area at its peaks."
            ),
        },
    )
    share = found.separated(compound).any()
    like = np.flatnonzero(case.library.groups == case.library.groups[compound])[0]
    if like != compound:
        st.info(
            f"Nothing tells this compound from {plain(compounds.names[like])}, which was looked for"
            " in its stead: the peaks are given to that one."
        )
    elif not share:
        st.info(
            "The network gives this compound no share of any peak: it is too unlikely to be here."
        )
    if not share and np.isnan(found.amounts[compound]):
        return  # there is no amount to draw its lines with
    charts.chart(
        spectrum.neighbourhoods(found, compound, index, charts.theme()),
        key="neighbourhoods",
        alt=(
            f"Peaks around each of {min(len(index), spectrum.N_PANELS)} multiplets, the compound's"
            " own part coloured"
        ),
    )
    cut = (
        f"The {spectrum.N_PANELS} clearest of {len(index)} multiplets. "
        if len(index) > spectrum.N_PANELS
        else ""
    )
    st.caption(
        f"{cut}Each stick is a peak of the mixture, its coloured part is what the mask gives to"
        " this compound. Rings: where the library's lines would be, moved to the place that was"
        " found. Neighbours that are much higher are cut off."
    )
    shares = found.neighbours(compound)
    if not shares:
        st.markdown("**Neighbours.** No other named compound has a share of its peaks.")
        return
    st.markdown(
        f"**Neighbours.** {len(shares)} other named"
        f" compound{'s have' if len(shares) > 1 else ' has'} a share of its peaks."
    )
    st.dataframe(
        pd.DataFrame(
            {
                "compound": [compounds.names[k] for k, _ in shares],
                "share of the area": [min(share, 1.0) for _, share in shares],
            }
        ).head(50),
        hide_index=True,
        alt="Compounds that share peaks with it",
        column_config={
            "share of the area": st.column_config.ProgressColumn(
                min_value=0.0, max_value=1.0, format="percent"
            ),
        },
    )


def tables(case: PeakResult) -> None:
    """Offer the answer and the mixture as CSV."""
    with st.container(horizontal=True):
        charts.download("Answer as CSV", case.table, "answer.csv", "The table of compounds above.")
        charts.download(
            "Peaks as CSV",
            peak_files.peaks_table(case.found.peaks),
            "peaks.csv",
            "Opens again here.",
        )


def program(wish: PeakSelection, compound: int) -> None:
    """Offer the program that reproduces a drawn mixture; of an upload there is none."""
    if wish.own is None and wish.library in LIBRARIES:
        export_panel.show_program(
            code(wish.library, LIBRARY_SEED, UNKNOWN_SEED, wish.config, wish.seed, compound)
        )


def growing() -> None:
    """Show how time and memory grow with the sizes, as measured when the package was made."""
    with st.expander("How time and memory grow with the size", icon=":material/trending_up:"):
        table = growth.measured()
        charts.chart(
            growth.growth(table, charts.theme()),
            key="growth",
            alt=(
                "Seconds and memory of one answer over positions, compounds in the library and"
                " compounds in the mixture"
            ),
        )
        low = table.loc[table["f1"].idxmin()]
        st.caption(
            "One mixture, from the library's table to the answer, on 2 CPU cores (`python -m"
            " nmrclassify bench growth`). Dashed: linear growth. The network looks closely at as"
            f" many hypotheses however large the library: F1 falls to {low['f1']:.2f} at"
            f" {low['value']:,.0f} {growth.SWEEPS[low['sweep']]}."
        )
