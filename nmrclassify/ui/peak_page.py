"""The page *Full scale*: its controls, its caches, and the result that it shows."""

import hashlib
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np
import pandas as pd
import streamlit as st

from nmrclassify.evaluation import peak_threshold
from nmrclassify.evaluation.identify import Detector, Identification
from nmrclassify.evaluation.peak_metrics import Tally
from nmrclassify.mixtures.peak_files import PeakSample
from nmrclassify.mixtures.peaks import PeakMixture, PeakMixtureConfig, Peaks, draw_mixture
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compound_files import common_metabolites
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.spin_systems import second_order
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds
from nmrclassify.nmr.titration import TABLE_PH, at_ph
from nmrclassify.plots.spectrum_layers import SpectrumLayers, spectrum_layers
from nmrclassify.ui import peak_edits, peak_uploads, spectrum_recipe, url_parameters, url_state
from nmrclassify.ui.own_tables import plain
from nmrclassify.ui.peak_uploads import WORKERS, UploadedMixture

SIZES = {"synthetic": 877, "metabolites": 128}  # compounds of the packaged libraries
TITLES = {"synthetic": "877 invented compounds", "metabolites": "128 real metabolites"}
LIBRARY_SEED, UNKNOWN_SEED = 7, 8  # below 1,000: no training draws a library from them
SIZE, SEED = 75, 1


@dataclass(frozen=True)
class PeakLibrary:
    """A library with its detector.

    Attributes
    ----------
    key : str
        For caches.
    n_beyond : int
        Multiplets beyond the axis.
    problem : str
        Why equivalent compounds are not grouped, or "".
    """

    key: str
    title: str
    detector: Detector
    n_beyond: int
    problem: str = ""

    @property
    def is_invented(self) -> bool:
        """Whether no real sample can hold the compounds."""
        return self.key == "synthetic"


@dataclass(frozen=True)
class PeakSelection:
    """The values of the controls. `upload` replaces a drawn mixture."""

    library: str
    config: PeakMixtureConfig
    seed: int
    upload: UploadedMixture | None
    mhz: float = FULL_AXIS.mhz


@dataclass(frozen=True)
class PeakResult:
    """A mixture and the prediction for it, at the present threshold.

    `mixture` and `tally` are None where the truth is not known, and `sample` where the mixture
    was drawn. `source` identifies the file and its processing, without edits of its peaks.
    """

    library: PeakLibrary
    prediction: Identification
    mixture: PeakMixture | None
    tally: Tally | None
    rows: np.ndarray
    table: pd.DataFrame
    key: str
    title: str
    note: str
    sample: PeakSample | None = None
    source: str = ""


def _with_detector(
    key: str, title: str, compounds: Compounds, mhz: float, first_order: bool
) -> PeakLibrary:
    with WORKERS:
        if not first_order:
            compounds = second_order(compounds, mhz)
        detector = Detector(compounds, axis=replace(FULL_AXIS, mhz=mhz))
    n_beyond = int((detector.axis.positions(compounds.ppm) < 0).sum())
    problem = detector.problem and f"Equivalent compounds are not grouped: {detector.problem}"
    return PeakLibrary(key, title, detector, n_beyond, problem)


@st.cache_resource(max_entries=1, show_spinner=False)
def _synthetic() -> Compounds:
    return synthetic_compounds(SyntheticConfig(), np.random.default_rng(LIBRARY_SEED))


def _packaged(key: str) -> Compounds:
    return _synthetic() if key == "synthetic" else common_metabolites()


# All visitors share the caches. Uploads have their own caches, so that they displace nothing else.
@st.cache_resource(max_entries=len(TITLES), show_spinner=False)
def packaged_library(key: str) -> PeakLibrary:
    """Return a library that comes with the package, by its key in TITLES."""
    return _with_detector(key, TITLES[key], _packaged(key), FULL_AXIS.mhz, False)


@st.cache_resource(max_entries=4, show_spinner=False)
def library_of_upload(
    key: str,
    title: str,
    _compounds: Compounds,
    mhz: float = FULL_AXIS.mhz,
    first_order: bool = False,
    ph: float = TABLE_PH,
) -> PeakLibrary:
    """Return a library at the frequency and pH of a sample; `key` identifies its content.

    With `first_order`, strongly coupled protons are not simulated: for a mixture of multiplets that
    were split by the first-order rule.
    """
    return _with_detector(key, title, at_ph(_compounds, ph), mhz, first_order)


@st.cache_resource(max_entries=1, show_spinner=False)
def _unknown() -> Compounds:
    return synthetic_compounds(
        SyntheticConfig(n_compounds=200), np.random.default_rng(UNKNOWN_SEED)
    )


@st.cache_resource(max_entries=16, show_spinner=False)
def _drawn(key: str, config: PeakMixtureConfig, seed: int, _compounds: Compounds) -> PeakMixture:
    unknown = _unknown() if config.n_unknown else None
    return draw_mixture(_compounds, config, np.random.default_rng([seed, 0]), FULL_AXIS, unknown)


def identify(detector: Detector, peaks: Peaks) -> Identification:
    """Identify the compounds of a mixture, while at most one other mixture is identified."""
    with WORKERS:
        return detector.identify(peaks)


@st.cache_resource(max_entries=16, show_spinner=False)
def _identified(library: str, mixture: str, _detector: Detector, _peaks: Peaks) -> Identification:
    return identify(_detector, _peaks)


# Few entries: a prediction refers to its library and its mixture, which may be large.
@st.cache_resource(max_entries=4, show_spinner=False)
def _identified_upload(
    library: str, mixture: str, _detector: Detector, _peaks: Peaks
) -> Identification:
    return identify(_detector, _peaks)


@st.cache_resource(max_entries=16, show_spinner=False)
def _layers(
    key: str,
    threshold: float,
    compound: int,
    _prediction: Identification,
    _mixture: PeakMixture | None,
) -> SpectrumLayers:
    return spectrum_layers(_prediction, compound, _mixture)


def layers_of(result: PeakResult, compound: int) -> SpectrumLayers:
    """Return the spectra of a result with one compound in them."""
    prediction = result.prediction
    return _layers(result.key, prediction.threshold, compound, prediction, result.mixture)


def forget_view() -> None:
    """Forget the compound and the range that were shown."""
    url_state.forget("compound", "ppm_low", "ppm_high")


def _library_chosen() -> None:
    st.session_state[peak_uploads.LIBRARY_CHOSEN] = True
    url_state.forget(*peak_uploads.OF_SAMPLE)


def choose_mixture(problems: list[str]) -> PeakSelection:
    """Show the controls of the sidebar."""
    own_library, upload = peak_uploads.library(), peak_uploads.mixture()
    titles = TITLES | ({"own": f"Own: {own_library.name}"} if own_library else {})
    missing = []
    if url_state.get("scale_library") == "own" and not own_library:
        missing.append("library")
    if url_state.get("scale_mixture") == "file" and not upload:
        missing.append("mixture")
    problems += [
        f"The link asks for an uploaded {what}, which a link cannot carry; upload it on this page."
        for what in missing
    ]
    library = url_state.widget(
        st.selectbox,
        "Library",
        "scale_library",
        options=list(titles),
        format_func=titles.get,
        on_change=_library_chosen,
        help=(
            "The compounds that the network looks for. It was trained on none of these libraries."
        ),
    )
    kind = "drawn"
    if upload:
        kind = url_state.widget(
            st.radio,
            "Mixture",
            "scale_mixture",
            format_func={"drawn": "Drawn", "file": "File"}.get,
            horizontal=True,
            on_change=forget_view,
        )
    n_compounds = (
        own_library.compounds.n_compounds if own_library and library == "own" else SIZES[library]
    )
    most = min(n_compounds, int(url_parameters.PARAMETERS["scale_compounds"].high))
    size, n_unknown, seed = min(SIZE, most), 0, SEED
    jitter, noise = PeakMixtureConfig.jitter, PeakMixtureConfig.noise
    if kind == "drawn":
        if most > 1:
            size = url_state.widget(
                st.slider,
                "Compounds in the mixture",
                "scale_compounds",
                size,
                min_value=min(5, most - 1),
                max_value=most,
                step=1,
                on_change=forget_view,
            )
        jitter = url_state.widget(
            st.slider,
            "Shift jitter (ppm)",
            "scale_jitter",
            jitter,
            step=0.001,
            format="%.3f",
            on_change=forget_view,
            help=(
                "Standard deviation of each multiplet's shift from its place in the library: 0.003"
                " after careful work, usually 0.01, and 0.03 between two laboratories."
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
                on_change=forget_view,
                help="In protons of a compound of amount 1; peaks below twice this are not picked.",
            )
            n_unknown = url_state.widget(
                st.slider,
                "Compounds from outside the library",
                "scale_unknown",
                step=1,
                on_change=forget_view,
            )
            seed = url_state.widget(
                st.number_input,
                "Seed",
                "scale_seed",
                step=1,
                on_change=forget_view,
                help="The same seed gives the same mixture.",
            )
    mhz = FULL_AXIS.mhz
    if upload and kind == "file":
        stated = upload.sample.spectrum is not None and upload.sample.spectrum.mhz is not None
        mhz = url_state.widget(
            st.number_input,
            "Spectrometer (MHz)",
            "scale_mhz",
            round(upload.sample.peaks.axis.mhz, 4),
            format="%.2f",
            on_change=forget_view,
            help=(
                f"Couplings split a multiplet by their Hz over this frequency. "
                f"{'The file states it.' if stated else 'The file does not state it.'}"
            ),
        )
    config = PeakMixtureConfig(
        n_low=size, n_high=size, jitter=jitter, noise=noise, n_unknown=n_unknown
    )
    return PeakSelection(library, config, seed, upload if kind == "file" else None, mhz)


def _nothing(error: ValueError) -> NoReturn:
    """End the page with the reason why there is no result."""
    st.info(f"There is nothing to separate: {plain(str(error))}\\.")
    spectrum_recipe.reset_button()
    peak_uploads.show_uploads()
    st.stop()


def peak_result(selection: PeakSelection) -> PeakResult:
    """Return the mixture and the prediction; end the page with a message if there is none."""
    own_library, upload = peak_uploads.library(), selection.upload
    recipe, sample, source = spectrum_recipe.recipe(), None, ""
    try:
        if upload is not None:
            with st.spinner("Processing the spectrum …"):
                sample = upload.at(selection.mhz, recipe)
    except ValueError as error:
        _nothing(error)
    mhz = FULL_AXIS.mhz if sample is None else sample.peaks.axis.mhz
    first_order = sample is not None and sample.first_order
    ph = TABLE_PH if sample is None else sample.ph
    with st.spinner("Reading the library …"):
        if own_library is not None and selection.library == "own":
            library = library_of_upload(
                f"own {own_library.digest}",
                f"{own_library.compounds.n_compounds:,} compounds of {own_library.name}",
                own_library.compounds,
                mhz,
                first_order,
                ph,
            )
        elif sample is None:
            library = packaged_library(selection.library)
        else:
            # No pH moves the invented compounds.
            ph = TABLE_PH if selection.library == "synthetic" else ph
            key = selection.library
            library = library_of_upload(key, TITLES[key], _packaged(key), mhz, first_order, ph)
    detector, mixture = library.detector, None
    try:
        if upload is not None and sample is not None:
            source = f"{upload.digest} {mhz} {recipe}"
            sample, edit = peak_edits.apply(source, sample)
            peaks, name = sample.peaks, source + edit
            title, note = f"File {upload.name}", sample.note
        else:
            size, seed = selection.config.n_low, selection.seed
            with st.spinner(f"Drawing a mixture of {size} compounds …"):
                mixture = _drawn(library.key, selection.config, seed, detector.compounds)
            peaks, name = mixture.peaks, f"{selection.config} {seed}"
            title, note = f"Mixture {seed}", f"{size} compounds, {len(peaks.areas):,} peaks"
        uploads = selection.library == "own" or upload is not None
        identify = _identified_upload if uploads else _identified
        with st.spinner(
            f"Separating it, with a library of {detector.compounds.n_compounds:,} compounds …"
        ):
            prediction = identify(library.key, name, detector, peaks)
    except ValueError as error:
        _nothing(error)
    # The slider has two decimals. If it is not moved, the exact threshold of the network is used.
    default = round(prediction.threshold, 2)
    threshold = url_state.get("threshold", default)
    if threshold != default:
        prediction = replace(prediction, threshold=threshold)
    truth = tally = None
    present = np.zeros(0, dtype=int)
    if mixture is not None:
        present = mixture.present
        tally = peak_threshold.tally(prediction, present)
        truth = dict(zip(present.tolist(), mixture.amounts.tolist(), strict=True))
    rows = peak_threshold.listed_compounds(prediction, present)
    return PeakResult(
        library=library,
        prediction=prediction,
        mixture=mixture,
        tally=tally,
        rows=rows,
        table=peak_threshold.outcome_table(prediction, rows, truth),
        key=hashlib.sha256(f"{library.key} {name}".encode()).hexdigest()[:12],
        title=title,
        note=note,
        sample=sample,
        source=source,
    )
