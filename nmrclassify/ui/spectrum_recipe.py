"""How an uploaded spectrum is processed: the controls of its steps, and their values in a link."""

import streamlit as st

from nmrclassify.mixtures import spectrum_regions
from nmrclassify.mixtures.acid_base import PhEstimate
from nmrclassify.mixtures.peak_files import PeakSample
from nmrclassify.mixtures.processing_recipe import (
    REFERENCE_REGION,
    REFERENCES,
    SOLVENTS,
    ProcessingRecipe,
    solvent_of,
)
from nmrclassify.mixtures.spectrum_processing import ProcessedSpectrum
from nmrclassify.mixtures.spectrum_regions import Regions
from nmrclassify.ui import url_state
from nmrclassify.ui.own_tables import plain

PARAMETERS = (
    "spectrum_baseline",
    "spectrum_reference",
    "spectrum_shift",
    "spectrum_ph_from",
    "spectrum_ph",
    "spectrum_cut",
    "spectrum_regions",
    "spectrum_threshold",
    "spectrum_fit",
)
_REFERENCES = {
    "auto": "Automatic",
    "standard": "DSS, TSP or TMS at 0",
    "library": "Best fit to the library",
    "by hand": "By hand",
    "off": "Off",
}
_UNDONE = 20  # changes of the regions that can be undone
_PH_FROM = {"auto": "Estimate", "by hand": "By hand"}
_MARGIN = 0.5  # ppm to either side of a region that its slider offers


def recipe() -> ProcessingRecipe:
    """Return the recipe that the link and the controls state."""
    text = url_state.get("spectrum_regions")
    regions = None
    if text:
        regions = tuple((low, high) for low, high in spectrum_regions.from_text(text) if low < high)
    default = ProcessingRecipe()
    return ProcessingRecipe(
        baseline=url_state.get("spectrum_baseline"),
        reference=url_state.get("spectrum_reference"),
        shift=url_state.get("spectrum_shift", default.shift),
        ph_from=url_state.get("spectrum_ph_from"),
        ph=url_state.get("spectrum_ph", default.ph),
        cut=url_state.get("spectrum_cut"),
        regions=regions,
        threshold=url_state.get("spectrum_threshold", default.threshold),
        fit=url_state.get("spectrum_fit"),
    )


def forget() -> None:
    """Process the next spectrum as usual."""
    url_state.forget(*PARAMETERS)
    st.session_state.pop("regions before", None)


def reset_button() -> None:
    """Offer the usual processing, where it was changed."""
    if recipe() != ProcessingRecipe():
        st.button("Reset the processing", icon=":material/restart_alt:", on_click=forget)


def facts(sample: PeakSample) -> str:
    """Return what the file states of the experiment, as one line of Markdown."""
    stated = {} if sample.spectrum is None else sample.spectrum.metadata
    parts = [f"{sample.peaks.axis.mhz:.2f} MHz"]
    parts += [
        plain(stated[key]) for key in ("solvent", "pulse program", "temperature") if key in stated
    ]
    scans = stated.get("scans")
    parts += [f"{plain(scans)} scans"] if scans else []
    return " · ".join(parts + ([sample.acid_base.fact] if sample.acid_base else []))


def show_steps(sample: PeakSample) -> None:
    """Show each step with its switch, and the sentence on what it did."""
    done = sample.processed
    if done is None:
        return
    sentences = {step.name: step.sentence for step in done.steps}

    def say(name: str) -> None:
        st.caption(plain(sentences.get(name, "Off.")))

    left, right = st.columns(2, gap="large")
    with left:
        url_state.widget(st.toggle, "Baseline", "spectrum_baseline")
        say("baseline")
        _threshold()
        say("noise")
        url_state.widget(st.toggle, "Fit lines", "spectrum_fit")
        say("peaks")
    with right:
        _reference(done)
        say("reference")
        if done.acid_base is not None:
            _ph(done.acid_base)
            say("pH")
        url_state.widget(st.toggle, "Cut regions", "spectrum_cut")
        if done.recipe.cut:
            _regions(sample)
        say("cut")
    reset_button()


def _threshold() -> None:
    url_state.widget(
        st.number_input,
        "Least height of a line (times the noise)",
        "spectrum_threshold",
        ProcessingRecipe().threshold,
        step=0.5,
        format="%.1f",
        width=300,
    )


def _reference(done: ProcessedSpectrum) -> None:
    shift = round(done.shift, 4)

    def chosen() -> None:
        # By hand starts from what was found.
        if st.session_state["widget spectrum_reference"] == "by hand":
            url_state.put("spectrum_shift", shift)

    url_state.widget(
        st.selectbox,
        "Reference",
        "spectrum_reference",
        options=list(REFERENCES),
        format_func=_REFERENCES.get,
        on_change=chosen,
        width=300,
    )
    if done.recipe.reference == "by hand":
        url_state.widget(
            st.number_input,
            "Shift of the axis (ppm)",
            "spectrum_shift",
            ProcessingRecipe().shift,
            step=0.005,
            format="%.4f",
            width=300,
        )


def _ph(found: PhEstimate) -> None:
    def chosen() -> None:
        # By hand starts from what was found.
        if st.session_state["widget spectrum_ph_from"] == "by hand":
            url_state.put("spectrum_ph", round(found.ph, 1))

    url_state.widget(
        st.radio,
        "pH of the sample",
        "spectrum_ph_from",
        format_func=_PH_FROM.get,
        horizontal=True,
        on_change=chosen,
        help="Carboxylates, amines and imidazoles take up protons, which moves their multiplets by"
        " up to 1 ppm. The library was measured at pH 7.4, and is moved to the pH of the sample.",
    )
    if url_state.get("spectrum_ph_from") == "by hand":
        url_state.widget(
            st.number_input,
            "pH",
            "spectrum_ph",
            ProcessingRecipe().ph,
            step=0.1,
            format="%.1f",
            width=300,
        )


def default_regions(sample: PeakSample) -> dict[str, tuple[float, float]]:
    """Return the regions that are cut at first, by their labels."""
    stated = {} if sample.spectrum is None else sample.spectrum.metadata
    solvent = solvent_of(stated.get("solvent", ""))
    names = [f"Solvent: {solvent} (ppm)", "Water (ppm)"]
    return {"Reference (ppm)": REFERENCE_REGION} | dict(zip(names, SOLVENTS[solvent], strict=False))


def regions(sample: PeakSample) -> Regions:
    """Return the regions that are cut where cutting is on, also those without width."""
    text = url_state.get("spectrum_regions")
    return spectrum_regions.from_text(text) if text else tuple(default_regions(sample).values())


def _labels(sample: PeakSample) -> list[tuple[str, tuple[float, float]]]:
    """Return a label for each region, and the default region that it stands for, or itself."""
    labels, defaults = [], default_regions(sample)
    for i, (low, high) in enumerate(regions(sample)):
        names = [name for name, (a, b) in defaults.items() if a <= high and b >= low]
        if names:
            labels.append((names[0], defaults.pop(names[0])))
        else:
            labels.append((f"Region {i + 1} (ppm)", (low, high)))
    return labels


def _regions(sample: PeakSample) -> None:
    present = regions(sample)
    for i, (label, (low_end, high_end)) in enumerate(_labels(sample)):
        low, high = present[i]
        key = f"region {i}"
        st.session_state[key] = (low, high)
        st.slider(
            label,
            min_value=round(min(low, low_end - _MARGIN), 2),
            max_value=round(max(high, high_end + _MARGIN), 2),
            step=0.01,
            key=key,
            on_change=_region_moved,
            args=(present, i, key),
        )


def _region_moved(present: Regions, i: int, key: str) -> None:
    moved = list(present)
    moved[i] = st.session_state[key]
    _put(present, tuple(moved))


def _put(before: Regions, after: Regions) -> None:
    """Cut other regions, and remember the former ones for `undo_button`."""
    st.session_state["regions before"] = [*_before(), spectrum_regions.to_text(before)][-_UNDONE:]
    url_state.put("spectrum_cut", None)
    url_state.put("spectrum_regions", spectrum_regions.to_text(after))


def _before() -> list[str]:
    return st.session_state.get("regions before", [])


def _undo() -> None:
    url_state.put("spectrum_regions", st.session_state["regions before"].pop())


def drag_control() -> str:
    """Offer what a drag across the spectrum does; return it: "zoom", "cut" or "keep"."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.segmented_control(
            "Drag across the spectrum to",
            ["zoom", "cut", "keep"],
            default="zoom",
            required=True,
            key="spectrum drag",
            help="cut: a range that touches a grey region takes its place; another is a new"
            " region. keep: the range is cut no more.",
        )
        if _before():
            st.button("Undo", key="undo region", icon=":material/undo:", on_click=_undo)
    return chosen or "zoom"


def dragged(sample: PeakSample, key: str) -> None:
    """Cut, or keep, the range that was dragged on the chart with this key."""
    boxes, mode = st.session_state[key].selection.box, st.session_state.get("spectrum drag")
    if not boxes or mode not in ("cut", "keep"):
        return
    change = spectrum_regions.cut if mode == "cut" else spectrum_regions.keep
    low, high = boxes[-1]["x"]
    present = regions(sample)
    _put(present, change(present, low, high))
