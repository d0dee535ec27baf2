"""Upload mixtures, libraries and checkpoints; their readers report what is wrong."""

from collections.abc import Callable

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from nmrclassify.files import SUFFIX
from nmrclassify.files.tables import TableError
from nmrclassify.mixtures import grid_files
from nmrclassify.mixtures.spec import OWN
from nmrclassify.nmr.axis import PPM_AXIS
from nmrclassify.training import checkpoints
from nmrclassify.ui import own_tables, panels, url_state
from nmrclassify.ui.own_tables import OwnLibrary, OwnMixture, file_name, plain
from nmrclassify.ui.panels import View
from nmrclassify.ui.training_settings import show_loaded
from nmrclassify.ui.upload_limits import KEPT, TABLES


def is_new(kind: str, file: UploadedFile) -> bool:
    """Return whether this upload is new: an uploader returns its file on every run of a page."""
    handled = st.session_state.get(f"handled {kind}") == file.file_id
    st.session_state[f"handled {kind}"] = file.file_id
    return not handled


def own_data(view: View) -> None:
    """Say which files are used, and offer the upload of a mixture and of a library."""
    _files_in_use(view)
    # Its key keeps it open while elements above it come and go.
    with st.expander("Use your own mixture or library", icon=":material/upload:", key="own data"):
        _offer_uploads(view)


def _offer_uploads(view: View) -> None:
    axis = view.library.axis
    left, right = st.columns(2)
    with left:
        st.markdown("**Your own mixture**")
        place = "`ppm`" if axis.unit == "ppm" else "`position` (from 0)"
        st.markdown(
            f"The file has the columns {place}, `multiplicity` (s, d, t, q, quint, sext, m) and"
            f" `area`; or {place} and `peak_1` to `peak_6`."
        )
        st.download_button(
            "Template for a mixture",
            grid_files.mixture_template(axis),
            "mixture_template.csv",
            "text/csv",
            on_click="ignore",
        )
        file = _uploader("mixture", _remove_mixture)
        if file is not None and is_new("mixture", file):
            _take_mixture(view, file)
        _show_problem("mixture")
    with right:
        st.markdown("**Your own library**")
        st.markdown(
            f"The file has the same columns, and `compound`. Positions are from {axis.low:g} to"
            f" {axis.high:g} {axis.unit}."
        )
        st.download_button(
            "Template for a library",
            grid_files.library_template(axis),
            "library_template.csv",
            "text/csv",
            on_click="ignore",
        )
        file = _uploader("library", _remove_library)
        if file is not None and is_new("library", file):
            _take_library(view, file)
        _show_problem("library")
    st.caption(KEPT)


def _uploader(kind: str, remove: Callable[[], None]) -> UploadedFile | None:
    """Draw an uploader that calls `remove` when the visitor removes its file."""
    key = f"{kind} file {st.session_state.get(f'{kind} turn', 0)}"

    def changed() -> None:
        if st.session_state[key] is None:
            remove()

    return st.file_uploader(
        f"{kind.capitalize()} (CSV)", type=TABLES, key=key, max_upload_size=2, on_change=changed
    )


def _show_problem(kind: str) -> None:
    if problem := st.session_state.get(f"{kind} problem"):
        st.error(plain(problem))


def _files_in_use(view: View) -> None:
    """Say of each uploaded file whether it is used, beside a button that removes it."""
    mixture, library = own_tables.mixture(), own_tables.library()
    if mixture is not None:
        name = plain(mixture.name)
        if mixture.problem(view.library.axis, view.library.n_peaks) is not None:
            words = own_tables.not_in_use(mixture, view.library)
        elif view.spec.from_file:
            words = f"The mixture is your file **{name}**."
        else:
            words = f"Your mixture {name} is kept, but not used: choose *File* under *Mixture*."
        _file_in_use(words, "Remove the mixture", _remove_mixture)
    if library is not None:
        name, count = plain(library.name), library.library.n_compounds
        if view.library is library.library:
            words = f"The library is your file **{name}**, {count} compounds."
        else:
            words = f"Your library {name} is kept, but not used: choose *Own library* under *Data*."
        _file_in_use(words, "Remove the library", _remove_library)


def _file_in_use(words: str, label: str, remove: Callable[[], None]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(words)
        st.button(label, on_click=remove, icon=":material/close:")


def _empty(kind: str) -> None:
    """Empty an uploader, by a new key, and forget what was wrong with its file."""
    st.session_state[f"{kind} turn"] = st.session_state.get(f"{kind} turn", 0) + 1
    st.session_state.pop(f"{kind} problem", None)


def _remove_mixture() -> None:
    if st.session_state.pop("own mixture", None) and url_state.get("mixture") == "file":
        panels.drop_edits("mixture")
    _empty("mixture")


def _remove_library() -> None:
    if own_tables.library() is not None:
        del st.session_state["own library"], st.session_state["own library file"]
        if url_state.get("preset") == OWN:
            panels.drop_edits("preset", "model", "step", "output", "filter", "position")
            _drop_composition()
    _empty("library")


def _drop_composition() -> None:
    """Show the usual mixture of other data, unless the mixture is the visitor's file."""
    if url_state.get("mixture") != "file":
        url_state.forget("mixture", "number")


def _take_mixture(view: View, file: UploadedFile) -> None:
    mixture = OwnMixture(file_name(file), file.getvalue())
    try:
        mixture.check(view.library.axis, view.library.n_peaks)
    except TableError as error:
        st.session_state["mixture problem"] = f"{mixture.name}: {error}."
        return
    st.session_state["own mixture"] = mixture
    st.session_state.pop("mixture problem", None)
    panels.drop_edits()
    url_state.put("mixture", "file")
    st.rerun()


def _take_library(view: View, file: UploadedFile) -> None:
    try:
        # A table in ppm always goes on the ppm axis.
        axis = PPM_AXIS if grid_files.is_in_ppm(file.getvalue()) else view.library.axis
        library = grid_files.read_library(file.getvalue(), axis, view.library.n_peaks)
        if library.n_compounds < 2:
            raise TableError(
                "the library has 1 compound; expected at least 2, so that mixtures can be made"
            )
    except TableError as error:
        st.session_state["library problem"] = f"{file_name(file)}: {error}."
        return
    st.session_state["own library"] = library
    st.session_state["own library file"] = OwnLibrary(file_name(file), library)
    st.session_state.pop("library problem", None)
    panels.drop_edits("step", "output", "filter", "position", "model")
    _drop_composition()
    url_state.put("preset", OWN)
    st.rerun()


def checkpoint_file() -> None:
    """Offer the upload of a checkpoint."""
    file = st.file_uploader(
        "Checkpoint (.safetensors)",
        type=None,
        key="checkpoint file",
        max_upload_size=8,
        help=(
            "A file that you downloaded here, or that `python -m nmrclassify train` wrote. Other"
            " formats can run code and are refused."
        ),
    )
    if file is None:
        return
    if not file.name.endswith(SUFFIX):
        st.error(
            f"{file.name} is not a .safetensors file; other formats can run code and are refused."
        )
    elif is_new("checkpoint", file):
        try:
            checkpoint = checkpoints.from_bytes(file.getvalue(), file.name)
            show_loaded(checkpoint, "upload")
        except ValueError as error:
            st.session_state["checkpoint problem"] = f"{error}."
        else:
            st.session_state["upload"] = checkpoint
            st.session_state["uploaded as"] = file_name(file)
            st.session_state.pop("checkpoint problem", None)
            st.rerun()
    if "checkpoint problem" in st.session_state:
        st.error(st.session_state["checkpoint problem"])
