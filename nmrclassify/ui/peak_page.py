"""The page *Full scale*: its controls, its caches, and the case that they make."""

import hashlib
import re
import threading
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import streamlit as st

from nmrclassify.evaluation import peak_threshold
from nmrclassify.evaluation.identify import Detector, Identification
from nmrclassify.evaluation.peak_metrics import Tally
from nmrclassify.mixtures import peak_files
from nmrclassify.mixtures.peaks import PeakMixture, PeakMixtureConfig, Peaks, draw_mixture
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compound_files import common_metabolites
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds
from nmrclassify.plots.spectrum_layers import SpectrumLayers, spectrum_layers
from nmrclassify.ui import peak_uploads, url_state
from nmrclassify.ui.peak_uploads import plain

TITLES = {"synthetic": "Synthetic, 877 compounds", "metabolites": "128 metabolites"}
LIBRARY_SEED, UNKNOWN_SEED = 7, 8  # below 1,000: no training draws a library from them
SIZE, SEED = 75, 1
WORKERS = threading.Semaphore(
    2
)  # however many visitors come, two cores and their memory are all there is


@dataclass(frozen=True)
class PeakLibrary:
    """A library made ready, which of its compounds count as one answer, and how many multiplets lie beyond the axis."""

    key: str
    title: str
    detector: Detector
    groups: np.ndarray
    beyond: int
    problem: str = ""


@dataclass(frozen=True)
class PeakSelection:
    """What the controls ask for; `own` is the uploaded mixture, or None."""

    library: str
    config: PeakMixtureConfig
    seed: int
    own: tuple[str, peak_files.PeakSample, str] | None


@dataclass(frozen=True)
class PeakResult:
    """A mixture and what the network makes of it, at the present threshold; `mixture` and `score` need the truth."""

    library: PeakLibrary
    found: Identification
    mixture: PeakMixture | None
    score: Tally | None
    rows: np.ndarray
    table: pd.DataFrame
    key: str
    title: str
    note: str


def _ready(key: str, title: str, compounds: Compounds) -> PeakLibrary:
    with WORKERS:
        detector = Detector(compounds)
    beyond = int((detector.axis.positions(compounds.ppm) < 0).sum())
    said = (
        f"Compounds that look alike were not looked for: {detector.problem}"
        if detector.problem
        else ""
    )
    return PeakLibrary(key, title, detector, detector.groups, beyond, said)


# Caches are shared by all visitors. What belongs to uploads has caches of its own, so that it
# pushes out nothing else.
@st.cache_resource(max_entries=len(TITLES), show_spinner=False)
def _packaged(key: str) -> PeakLibrary:
    if key == "synthetic":
        compounds = synthetic_compounds(SyntheticConfig(), np.random.default_rng(LIBRARY_SEED))
    else:
        compounds = common_metabolites()
    return _ready(key, TITLES[key], compounds)


@st.cache_resource(max_entries=4, show_spinner=False)
def _uploaded(key: str, title: str, _compounds: Compounds) -> PeakLibrary:
    return _ready(key, title, _compounds)


@st.cache_resource(max_entries=1, show_spinner=False)
def _unknown() -> Compounds:
    return synthetic_compounds(
        SyntheticConfig(n_compounds=200), np.random.default_rng(UNKNOWN_SEED)
    )


@st.cache_resource(max_entries=16, show_spinner=False)
def _drawn(key: str, config: PeakMixtureConfig, seed: int, _compounds: Compounds) -> PeakMixture:
    unknown = _unknown() if config.n_unknown else None
    return draw_mixture(_compounds, config, np.random.default_rng([seed, 0]), FULL_AXIS, unknown)


def _identify(detector: Detector, peaks: Peaks) -> Identification:
    with WORKERS:
        return detector.identify(peaks)


@st.cache_resource(max_entries=16, show_spinner=False)
def _identified(library: str, mixture: str, _detector: Detector, _peaks: Peaks) -> Identification:
    return _identify(_detector, _peaks)


# An answer holds on to its library and its mixture, which may be large in these.
@st.cache_resource(max_entries=4, show_spinner=False)
def _identified_upload(
    library: str, mixture: str, _detector: Detector, _peaks: Peaks
) -> Identification:
    return _identify(_detector, _peaks)


@st.cache_resource(max_entries=16, show_spinner=False)
def _layers(
    case: str, threshold: float, compound: int, _found: Identification, _mixture: PeakMixture | None
) -> SpectrumLayers:
    return spectrum_layers(_found, compound, _mixture)


def layers_of(case: PeakResult, compound: int) -> SpectrumLayers:
    """Return the spectra of a case with one compound in them."""
    return _layers(case.key, case.found.threshold, compound, case.found, case.mixture)


def start_afresh() -> None:
    """Forget what belongs to the mixture that was shown."""
    url_state.forget("compound", "ppm_low", "ppm_high")


def _size_of(library: str, own: tuple | None) -> int:
    return own[1].n_compounds if library == "own" else int(re.search(r"\d+", TITLES[library])[0])


def choose(problems: list[str]) -> PeakSelection:
    """Draw the controls of the sidebar."""
    own, sample = st.session_state.get("own compounds"), st.session_state.get("own sample")
    titles = TITLES | ({"own": f"Own: {own[0]}"} if own else {})
    for key, value, there in (("scale_library", "own", own), ("scale_mixture", "file", sample)):
        if url_state.get(key) == value and not there:
            problems.append(
                f"The link asks for an uploaded {'library' if value == 'own' else 'mixture'}, which"
                " a link cannot carry; upload it on this page."
            )
    library = url_state.widget(
        st.selectbox,
        "Library",
        "scale_library",
        options=list(titles),
        format_func=titles.get,
        on_change=start_afresh,
        help=(
            "The compounds that are looked for. The network was trained on none of these libraries."
        ),
    )
    kind = "drawn"
    if sample:
        kind = url_state.widget(
            st.radio,
            "Mixture",
            "scale_mixture",
            format_func={"drawn": "Drawn", "file": "File"}.get,
            horizontal=True,
            on_change=start_afresh,
        )
    held = min(_size_of(library, own), int(url_state.PARAMETERS["scale_compounds"].high))
    size, shift, noise, unknown_test_compounds, seed = (
        min(SIZE, held),
        PeakMixtureConfig.jitter,
        PeakMixtureConfig.noise,
        0,
        SEED,
    )
    if kind == "drawn":
        if held > 1:
            size = url_state.widget(
                st.slider,
                "Compounds in the mixture",
                "scale_compounds",
                size,
                min_value=min(5, held - 1),
                max_value=held,
                step=1,
                on_change=start_afresh,
            )
        shift = url_state.widget(
            st.slider,
            "Shift jitter (ppm)",
            "scale_jitter",
            shift,
            step=0.001,
            format="%.3f",
            on_change=start_afresh,
            help=(
                "Standard deviation by which each multiplet moves from its place in the library:"
                " 0.003 is careful work, 0.01 usual, 0.03 between two laboratories."
            ),
        )
        with st.expander("More about the mixture", icon=":material/tune:"):
            noise = url_state.widget(
                st.number_input,
                "Noise (peak area)",
                "scale_noise",
                noise,
                step=1e-4,
                format="%.4f",
                on_change=start_afresh,
                help="In protons of a compound of amount 1; peaks below twice this are lost.",
            )
            unknown_test_compounds = url_state.widget(
                st.slider,
                "Compounds from outside the library",
                "scale_unknown",
                step=1,
                on_change=start_afresh,
            )
            seed = url_state.widget(
                st.number_input,
                "Seed",
                "scale_seed",
                step=1,
                on_change=start_afresh,
                help="The same seed gives the same mixture.",
            )
    config = PeakMixtureConfig(
        n_low=size, n_high=size, jitter=shift, noise=noise, n_unknown=unknown_test_compounds
    )
    return PeakSelection(library, config, seed, sample if kind == "file" else None)


def peak_result(wish: PeakSelection) -> PeakResult:
    """Return the mixture and the answer; says what is being done, and stops the page in words if it cannot be."""
    own = st.session_state.get("own compounds")
    with st.spinner("Reading the library …"):
        library = (
            _uploaded(f"own {own[2]}", own[0], own[1])
            if wish.library == "own"
            else _packaged(wish.library)
        )
    key, uploads = library.key, wish.library == "own" or wish.own is not None
    try:
        if wish.own is None:
            with st.spinner(f"Drawing a mixture of {wish.config.n_low} compounds …"):
                mixture = _drawn(key, wish.config, wish.seed, library.detector.compounds)
            peaks, name = mixture.peaks, f"{wish.config} {wish.seed}"
            title, note = (
                f"Mixture {wish.seed}",
                f"{wish.config.n_low} compounds, {len(peaks.areas):,} peaks",
            )
        else:
            mixture, peaks, name = None, wish.own[1].peaks, wish.own[2]
            title, note = f"File {wish.own[0]}", wish.own[1].note
        with st.spinner(
            f"Separating it, with {library.detector.compounds.n_compounds:,} compounds to choose"
            " from …"
        ):
            found = (_identified_upload if uploads else _identified)(
                key, name, library.detector, peaks
            )
    except ValueError as error:
        st.info(f"There is nothing to separate: {plain(str(error))}\\.")
        peak_uploads.own_files()
        st.stop()
    usual = round(found.threshold, 2)
    # The slider shows two decimals of the network's own threshold; it counts in full.
    chosen = url_state.get("threshold", usual)
    found = found if chosen == usual else replace(found, threshold=chosen)
    truth = score = None
    present = np.zeros(0, dtype=int)
    if mixture is not None:
        present = mixture.present
        score = peak_threshold.tally(found, present)
        truth = dict(zip(present.tolist(), mixture.amounts.tolist(), strict=True))
    rows = peak_threshold.listed_compounds(found, present)
    table = peak_threshold.outcome_table(found, rows, truth)
    return PeakResult(
        library,
        found,
        mixture,
        score,
        rows,
        table,
        hashlib.sha256(f"{key} {name}".encode()).hexdigest()[:12],
        title,
        note,
    )
