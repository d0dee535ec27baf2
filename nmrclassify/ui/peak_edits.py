"""Edits of an uploaded mixture's peaks on the page *Full scale*."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import streamlit as st

from nmrclassify.mixtures import peak_files
from nmrclassify.mixtures.peak_files import PeakSample
from nmrclassify.mixtures.peaks import Peaks
from nmrclassify.nmr.axis import Axis
from nmrclassify.ui.own_tables import plain

_UNDONE = 10  # edits that can be undone


@dataclass(frozen=True, eq=False)
class PeakEdit:
    """Peaks by hand, in place of those of the mixture `of`; `digest` identifies them."""

    of: str
    peaks: Peaks
    digest: str


def _edits() -> list[PeakEdit]:
    return st.session_state.setdefault("peak edits", [])


def apply(key: str, sample: PeakSample) -> tuple[PeakSample, str]:
    """Return a mixture with its last edit, and the edit's digest or "".

    Parameters
    ----------
    key : str
        Identifies the mixture and its processing: after another processing the edits do not hold.
    """
    last = next((edit for edit in reversed(_edits()) if edit.of == key), None)
    if last is None:
        return sample, ""
    note = f"{sample.note.rstrip('.')}. The peaks were edited by hand."
    return replace(sample, peaks=last.peaks, note=note), last.digest


def edited_peaks(table: pd.DataFrame, axis: Axis) -> Peaks:
    """Return the peaks of a table of `ppm` and `area`; rows without a number are left out.

    Raises
    ------
    ValueError
        If an area is not above 0, a peak lies beyond the axis, or none is left.
    """
    table = table[["ppm", "area"]].astype(float).replace([np.inf, -np.inf], np.nan).dropna()
    ppm, areas = table["ppm"].to_numpy(), table["area"].to_numpy()
    if not len(table):
        raise ValueError("no peak is left; expected at least one")
    if areas.min() <= 0:
        raise ValueError(f"an area is {areas.min():g}; expected numbers above 0")
    beyond = ppm[(ppm < axis.low) | (ppm > axis.high)]
    if len(beyond):
        raise ValueError(
            f"a peak is at {beyond[0]:g} ppm; expected {axis.low:g} to {axis.high:g} ppm"
        )
    return Peaks.from_lines(ppm, areas, axis)


def _use(key: str, table: pd.DataFrame, axis: Axis) -> None:
    try:
        peaks = edited_peaks(table, axis)
    except ValueError as error:
        st.session_state["peak edit problem"] = str(error)
        return
    digest = hashlib.sha256(peaks.positions.tobytes() + peaks.areas.tobytes()).hexdigest()[:12]
    st.session_state["peak edits"] = [*_edits(), PeakEdit(key, peaks, digest)][-_UNDONE:]


def _undo(key: str) -> None:
    edits = _edits()
    last = max(i for i, edit in enumerate(edits) if edit.of == key)
    st.session_state["peak edits"] = edits[:last] + edits[last + 1 :]


def editor(key: str, peaks: Peaks) -> None:
    """Show the peaks as a table that can be edited; a button takes it."""
    with st.expander("Edit the peaks", icon=":material/edit:"):
        problem = st.session_state.pop("peak edit problem", "")
        if problem:
            st.error(f"The peaks are not changed: {plain(problem)}\\.")
        of_this = [edit for edit in _edits() if edit.of == key]
        table = st.data_editor(
            peak_files.peaks_table(peaks),
            num_rows="dynamic",
            height=300,
            width=420,
            alt="Peaks of the mixture, to edit",
            # The table starts anew from what was taken.
            key=f"peak editor {key} {of_this[-1].digest if of_this else ''}",
            column_config={
                "ppm": st.column_config.NumberColumn(format="%.4f"),
                "area": st.column_config.NumberColumn(format="%.4g"),
            },
        )
        with st.container(horizontal=True):
            st.button(
                "Use these peaks",
                icon=":material/check:",
                on_click=_use,
                args=(key, table, peaks.axis),
            )
            if of_this:
                st.button("Undo the edit", icon=":material/undo:", on_click=_undo, args=(key,))
        st.caption("They are yours alone: a link does not carry them.")
