"""Uploads of the page *Full scale*: a visitor's mixture, and a visitor's library."""

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from nmrclassify.evaluation.choose_ph import ph_chooser
from nmrclassify.files.tables import TableError
from nmrclassify.mixtures import peak_files
from nmrclassify.mixtures.acid_base import PhCandidate
from nmrclassify.mixtures.peaks import Peaks
from nmrclassify.mixtures.processing_recipe import ProcessingRecipe
from nmrclassify.mixtures.pure_spectra import GAP, USUAL_PROTONS, LibraryReading, read_libraries
from nmrclassify.mixtures.spectrum import SpectrumError
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compound_files import common_metabolites
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.ui import spectrum_recipe, url_parameters, url_state
from nmrclassify.ui.own_tables import file_name, plain
from nmrclassify.ui.upload_limits import KEPT, SPECTRA, TABLES
from nmrclassify.ui.uploads import is_new

# Of an uploaded library, so that a prediction takes seconds.
MAX_COMPOUNDS = int(url_parameters.PARAMETERS["compound"].high)
MAX_PURE = 50  # files of a library at a time: a spectrum takes a second
SHOWN_PROBLEMS = 200
MAX_PASTED = 5_000  # characters
PASTED = "pasted text"
WORKERS = threading.Semaphore(2)  # identifications at a time, for all visitors together
LIBRARY_CHOSEN = "library chosen"  # in the session: the visitor has chosen a library himself
# Parameters of the link that mean nothing for another sample or library.
OF_SAMPLE = ("compound", "ppm_low", "ppm_high", "known_compound", "known_mm")


@dataclass(frozen=True)
class UploadedMixture:
    """A mixture from a file; `digest` identifies its content."""

    name: str
    digest: str
    content: bytes
    sample: peak_files.PeakSample

    def at(self, mhz: float, recipe: ProcessingRecipe) -> peak_files.PeakSample:
        """Return the mixture as read for a spectrometer of this frequency.

        Parameters
        ----------
        recipe : ProcessingRecipe
            How a spectrum is processed.

        Raises
        ------
        ValueError
            If no peak is left.
        """
        same = abs(mhz - self.sample.peaks.axis.mhz) < 1e-3
        if same and recipe == ProcessingRecipe():
            return self.sample
        return _read_at(self.digest, None if same else mhz, recipe.to_json(), self.content)


@dataclass(frozen=True)
class UploadedLibrary:
    """A library from one or more files; `digest` identifies their content."""

    name: str
    digest: str
    compounds: Compounds


def mixture() -> UploadedMixture | None:
    """Return the visitor's mixture, if there is one."""
    return st.session_state.get("own sample")


def library() -> UploadedLibrary | None:
    """Return the visitor's library, if there is one."""
    return st.session_state.get("own compounds")


@st.cache_resource(max_entries=4, show_spinner=False)
def _read_at(digest: str, mhz: float | None, recipe: str, _content: bytes) -> peak_files.PeakSample:
    return peak_files.read_sample(
        _content,
        FULL_AXIS,
        mhz,
        recipe=ProcessingRecipe.from_json(recipe),
        library=common_metabolites(),
        choose=_choose_ph,
    )


def _choose_ph(candidates: Sequence[PhCandidate], peaks: Sequence[Peaks]) -> tuple[int, float, str]:
    """Compare candidates for the pH, while at most one other mixture is identified."""
    with WORKERS:
        return ph_chooser(common_metabolites())(candidates, peaks)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def show_uploads() -> None:
    """Offer the upload of a mixture and of a library, with templates."""
    # Its key keeps it open while elements above it come and go.
    with st.expander(
        "Use your own mixture or library",
        icon=":material/upload:",
        key="own peaks",
    ):
        _offer_uploads()


def _offer_uploads() -> None:
    left, right = st.columns(2)
    with left:
        st.markdown("**Your own mixture**")
        st.markdown(
            "A **spectrum**: the folder of a Bruker or Varian experiment as zip, JCAMP-DX, nmrML or"
            " NMRPipe. Or a **table** with `ppm` and `area`: peaks, or a spectrum; or with `ppm`,"
            " `kind` (s, d, dd, …), `j_hz`, `protons` and, optionally, `amount`."
        )
        st.download_button(
            "Template for a mixture",
            peak_files.sample_template(),
            "mixture_template.csv",
            "text/csv",
            on_click="ignore",
        )
        file = st.file_uploader(
            "Mixture (spectrum or table)",
            type=[*SPECTRA, *TABLES],
            key="sample file",
            max_upload_size=8,
            on_change=_removed,
            args=("sample file", "own sample", "scale_mixture"),
        )
        pasted = st.text_area(
            "Or paste multiplets from a paper",
            key="sample text",
            placeholder="1H NMR (400 MHz, CDCl3) δ 7.26 (d, J = 8.1 Hz, 2H), 3.71 (s, 3H)",
            height=68,
            max_chars=MAX_PASTED,
            on_change=_pasted,
        )
        if file is not None and is_new("sample", file):
            _take_mixture(file_name(file), file.getvalue())
        elif st.session_state.pop("is pasted", False) and pasted.strip():
            _take_mixture(PASTED, pasted.encode())
        if file is not None or pasted.strip():
            _show_result("sample")
    with right:
        st.markdown("**Your own library**")
        st.markdown(
            "A **table** with `compound`, `ppm`, `kind`, `j_hz` (couplings in Hz with `;` between"
            " them) and `protons`: one multiplet a row. Or **text of papers**, *name*: 1H NMR (400"
            " MHz, …) δ …, a line for each compound. Or **pure compounds**: a spectrum or peak"
            f" list each, named as `alanine (4H).csv`, {MAX_PURE} at most, also as zip.",
            help=(
                "4H are the protons that the spectrum shows. With them, the amount is the"
                f" concentration; without, all lines count as {USUAL_PROTONS:g} protons. Lines"
                f" within {GAP:g} Hz of each other move together."
            ),
        )
        st.download_button(
            "Template for a library",
            peak_files.library_template(),
            "library_template.csv",
            "text/csv",
            on_click="ignore",
        )
        files = st.file_uploader(
            "Library (tables, pure compounds)",
            type=[*TABLES, *SPECTRA],
            accept_multiple_files=True,
            key="compounds file",
            max_upload_size=8,
            on_change=_library_changed,
        )
        if files:
            if st.session_state.pop("compounds changed", False):
                _take_library(files)
            _show_result("compounds")
            _show_problems()
    st.caption(KEPT)


def _library_changed() -> None:
    """Note that the visitor has added or taken out a file of the library."""
    st.session_state["compounds changed"] = True
    _removed("compounds file", "own compounds", "scale_library")


def _removed(key: str, own: str, parameter: str) -> None:
    """Forget what was uploaded, where the visitor has taken the file out of its uploader."""
    if not st.session_state[key]:
        _forget(own, parameter)


def _forget(own: str, parameter: str) -> None:
    st.session_state.pop(own, None)
    if url_state.get(parameter) in ("file", "own"):
        url_state.forget(parameter, *OF_SAMPLE)
        if parameter == "scale_library" and url_state.get("scale_mixture") == "file":
            url_state.put("scale_library", "metabolites")


def _pasted() -> None:
    """Note that the text has changed; forget what it gave where it has been emptied."""
    st.session_state["is pasted"] = True
    own = mixture()
    if own is not None and own.name == PASTED and not st.session_state["sample text"].strip():
        _forget("own sample", "scale_mixture")


def _show_result(kind: str) -> None:
    """Show what was read from a file, or why it cannot be used."""
    problem, note = st.session_state.get(f"{kind} problem"), st.session_state.get(f"{kind} note")
    if problem:
        st.error(plain(problem))
    elif note:
        st.success(plain(note))


def _show_problems() -> None:
    """Show how pure compounds were read, and the rows and files that were left out or changed."""
    reading: LibraryReading | None = st.session_state.get("own reading")
    if reading is None:
        return
    if reading.notes:
        st.dataframe(
            pd.DataFrame(reading.notes.items(), columns=["compound", "how it was read"]),
            hide_index=True,
            alt="How each pure compound was read",
        )
    if reading.problems:
        rows = [
            (p.file, "" if p.row is None else p.row, p.text, "left out" if p.dropped else "changed")
            for p in reading.problems[:SHOWN_PROBLEMS]
        ]
        table = pd.DataFrame(rows, columns=["file", "row", "problem", "what was done"])
        st.dataframe(
            table if table["file"].nunique() > 1 or reading.notes else table.drop(columns="file"),
            hide_index=True,
            alt="Problems of the files, row by row",
        )


def _take_mixture(name: str, content: bytes) -> None:
    state = st.session_state
    state["sample problem"] = state["sample note"] = None
    try:
        with st.spinner("Reading the mixture …"):
            sample = peak_files.read_sample(
                content, FULL_AXIS, library=common_metabolites(), choose=_choose_ph
            )
    except (TableError, SpectrumError) as error:
        state["sample problem"] = f"{name}: {error}."
        return
    state["own sample"] = UploadedMixture(name, _digest(content), content, sample)
    state["sample note"] = sample.note
    if sample.processed is not None:
        # What was done to it can change, and is said beside the spectrum.
        points = len(sample.processed.spectrum.ppm)
        state["sample note"] = f"A spectrum of {points:,} points is read."
    url_state.forget("scale_mhz", *OF_SAMPLE)
    spectrum_recipe.forget()
    url_state.put("scale_mixture", "file")
    # A measured mixture holds none of the invented compounds of the usual library.
    if url_state.get("scale_library") == "synthetic" and not state.get(LIBRARY_CHOSEN):
        url_state.put("scale_library", "metabolites")
    st.rerun()


def _take_library(files: list[UploadedFile]) -> None:
    state = st.session_state
    state["compounds problem"] = state["compounds note"] = state["own reading"] = None
    newest = {file.name[:200]: file for file in files}  # of files with one name
    first, more = file_name(files[0]), len(newest) - 1
    title = f"{first} and {more} more" if more else first
    bar = st.progress(0.0, "Reading the library …")

    def show(done: int, total: int) -> None:
        bar.progress(done / total, f"Reading the library: {done} of {total} …")

    try:
        sources = [(name, file.getvalue()) for name, file in newest.items()]
        reading = read_libraries(sources, progress=show, max_files=MAX_PURE)
        count = reading.compounds.n_compounds
        if count > MAX_COMPOUNDS:
            raise ValueError(
                f"the library has {count:,} compounds; this page takes at most {MAX_COMPOUNDS:,}"
            )
    except ValueError as error:
        state["compounds problem"] = f"{error}." if more else f"{first}: {error}."
        return
    finally:
        bar.empty()
    digest = hashlib.sha256(
        repr([(n, _digest(f.getvalue())) for n, f in newest.items()]).encode()
    ).hexdigest()
    state["own compounds"] = UploadedLibrary(title, digest, reading.compounds)
    state["own reading"] = reading
    dropped = sum(problem.dropped for problem in reading.problems)
    state["compounds note"] = f"{count:,} compounds are read" + (
        f"; left out: {dropped:,} (see below)." if dropped else "."
    )
    url_state.forget("scale_compounds", *OF_SAMPLE)
    url_state.put("scale_library", "own")
    st.rerun()
