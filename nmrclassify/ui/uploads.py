"""Upload mixtures, libraries and checkpoints; their readers report what is wrong."""

import re
from typing import Any

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from nmrclassify.files import SUFFIX, TableError
from nmrclassify.mixtures import grid_files
from nmrclassify.nmr.library import PPM_AXIS
from nmrclassify.training import checkpoints
from nmrclassify.ui import page, panels, url_state
from nmrclassify.ui.panels import View
from nmrclassify.ui.upload_limits import KEPT


def is_new(kind: str, file: UploadedFile, *circumstances: Any) -> bool:
    """Return whether this upload is new or was last handled in other circumstances.

    An uploader returns the same file on every run of a page.
    """
    present = (file.file_id, *circumstances)
    handled = st.session_state.get(f"handled {kind}") == present
    st.session_state[f"handled {kind}"] = present
    return not handled


def own_tables(view: View) -> None:
    """Offer the upload of a mixture and of a library, with templates."""
    axis = view.library.axis
    left, right = st.columns(2)
    with left:
        st.markdown("**Your own mixture**")
        place = "`ppm`" if axis.unit == "ppm" else "`position` (from 0)"
        st.markdown(
            f"The file has the columns {place}, `multiplicity` (s, d, t, q, quint, sext, m) and"
            f" `area`; or {place} and `peak_1` to `peak_6`."
        )
        template = grid_files.mixture_template(axis)
        st.download_button(
            "Template for a mixture",
            template,
            "mixture_template.csv",
            "text/csv",
            on_click="ignore",
        )
        file = st.file_uploader("Mixture (CSV)", type="csv", key="mixture file", max_upload_size=2)
        if file is not None and is_new("mixture", file, axis, view.library.n_peaks):
            try:
                areas = grid_files.read_mixture(file.getvalue(), axis, view.library.n_peaks)
            except TableError as error:
                st.session_state["mixture problem"] = f"{file.name}: {error}."
            else:
                st.session_state["own mixture"] = (
                    re.sub(r"[^\w .,+-]", "?", file.name[:60]),
                    areas,
                    axis,
                )
                st.session_state.pop("mixture problem", None)
                panels.drop_edits()
                url_state.put("mixture", "file")
                st.rerun()
        if file is not None and "mixture problem" in st.session_state:
            st.error(st.session_state["mixture problem"])
    with right:
        st.markdown("**Your own library**")
        st.markdown(
            f"The file has the same columns, and `compound`. Positions are from {axis.low:g} to"
            f" {axis.high:g} {axis.unit}."
        )
        template = grid_files.library_template(axis)
        st.download_button(
            "Template for a library",
            template,
            "library_template.csv",
            "text/csv",
            on_click="ignore",
        )
        file = st.file_uploader("Library (CSV)", type="csv", key="library file", max_upload_size=2)
        if file is not None and is_new("library", file):
            try:
                # A table in ppm always goes on the ppm axis.
                in_ppm = b"ppm" in file.getvalue().split(b"\n", 1)[0].lower()
                library = grid_files.read_library(
                    file.getvalue(), PPM_AXIS if in_ppm else axis, view.library.n_peaks
                )
            except TableError as error:
                st.session_state["library problem"] = f"{file.name}: {error}."
            else:
                st.session_state["own library"] = library
                panels.drop_edits("step", "output", "filter", "position")
                st.session_state.pop("library problem", None)
                for key, value in (
                    ("preset", "own"),
                    ("model", None),
                    ("mixture", None),
                    ("number", None),
                ):
                    url_state.put(key, value)
                st.rerun()
        if file is not None and "library problem" in st.session_state:
            st.error(st.session_state["library problem"])
    st.caption(KEPT)


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
            page.show_checkpoint(checkpoint, "upload")
        except ValueError as error:
            st.session_state["checkpoint problem"] = f"{error}."
        else:
            st.session_state["upload"] = checkpoint
            st.session_state.pop("checkpoint problem", None)
            st.rerun()
    if "checkpoint problem" in st.session_state:
        st.error(st.session_state["checkpoint problem"])
