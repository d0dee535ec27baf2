"""A visitor's mixture and library, in the session: each is kept until it is removed or replaced."""

import re
from dataclasses import dataclass, field

import numpy as np
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from nmrclassify.files.tables import TableError
from nmrclassify.mixtures import grid_files
from nmrclassify.nmr.axis import PPM_AXIS, Axis
from nmrclassify.nmr.library import Library


def plain(text: str) -> str:
    """Return text in which nothing is Markdown."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|~$:<>&=])", r"\\\1", text)


def file_name(file: UploadedFile) -> str:
    """Return the name of a file as a page may show it, at most 60 characters."""
    return re.sub(r"[^\w .,+-]", "?", file.name[:60])


@dataclass
class OwnMixture:
    """A mixture from a file, which is read again when the data change."""

    name: str
    content: bytes
    _readings: dict[tuple[Axis, int], np.ndarray | TableError] = field(default_factory=dict)

    def _reading(self, axis: Axis, n_peaks: int) -> np.ndarray | TableError:
        key = (axis, n_peaks)
        if key not in self._readings:
            try:
                reading = grid_files.read_mixture(self.content, axis, n_peaks)
            except TableError as error:
                self._readings[key] = error
            else:
                self._readings[key] = reading
        return self._readings[key]

    def check(self, axis: Axis, n_peaks: int) -> None:
        """Check that the mixture can be used with data on an axis, or with data in ppm.

        Raises
        ------
        TableError
            If it cannot be used with either.
        """
        problem = self.problem(axis, n_peaks)
        if problem is not None and self.problem(PPM_AXIS, n_peaks) is not None:
            raise problem

    def problem(self, axis: Axis, n_peaks: int) -> TableError | None:
        """Return why the mixture cannot be used with data on an axis; None if it can."""
        reading = self._reading(axis, n_peaks)
        return reading if isinstance(reading, TableError) else None

    def areas(self, axis: Axis, n_peaks: int) -> np.ndarray | None:
        """Return the areas on an axis, shape (P, L); None if there is a `problem`."""
        reading = self._reading(axis, n_peaks)
        return None if isinstance(reading, TableError) else reading


@dataclass(frozen=True)
class OwnLibrary:
    """A library from a file."""

    name: str
    library: Library


def mixture() -> OwnMixture | None:
    """Return the visitor's mixture, if there is one."""
    return st.session_state.get("own mixture")


def library() -> OwnLibrary | None:
    """Return the visitor's library, if it is from a file and not from a model that was loaded."""
    own: OwnLibrary | None = st.session_state.get("own library file")
    return own if own and own.library is st.session_state.get("own library") else None


def not_in_use(upload: OwnMixture, library: Library) -> str:
    """Return a sentence on why a mixture is not used with the data of a library, as Markdown."""
    problem = upload.problem(library.axis, library.n_peaks)
    return f"{plain(upload.name)} is kept, but not used with these data: {plain(str(problem))}\\."
