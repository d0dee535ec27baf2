"""The quiz: which mixture is asked, what the visitor says, and the score of the visit."""

from dataclasses import dataclass, replace

import numpy as np
import streamlit as st

from nmrclassify.mixtures.grid import generator
from nmrclassify.mixtures.spec import MixtureSpec
from nmrclassify.networks.prediction import listing
from nmrclassify.nmr.axis import Axis
from nmrclassify.nmr.library import Library
from nmrclassify.plots.map_rows import position_label
from nmrclassify.ui import url_state
from nmrclassify.ui.panels import View


@dataclass(frozen=True)
class Asked:
    """The mixture of a round, and the view of it."""

    view: View
    number: int

    @property
    def key(self) -> str:
        """Tells this mixture from that of any other round or data."""
        data = self.view.dataset
        return f"{data.preset} {data.seed} {data.config} {self.number}"

    @property
    def areas(self) -> np.ndarray:
        """The mixture, shape (P, L)."""
        return self.view.areas

    @property
    def names(self) -> set[str]:
        """The compounds in it."""
        library = self.view.library
        return {library.names[k] for k in self.view.labels if k < library.n_compounds}

    @property
    def n_compounds(self) -> int:
        """How many different ones."""
        return len(self.names)


def round_number() -> int:
    """Return the round that is played, from 1; a link names it."""
    return url_state.get("quiz_round")


def asked(view: View, number: int) -> Asked:
    """Return the mixture of a round: a test mixture, drawn by the round's number."""
    i = int(generator(number, "view", 2).integers(len(view.dataset.test)))
    data = view.spec
    spec = MixtureSpec(data.preset, data.seed, data.config, i + 1)
    return Asked(replace(view.of_mixture(spec), title=f"Round {number}"), number)


def ask(round_: Asked) -> list[str] | None:
    """Draw the question; return what the visitor says once it is checked, and None before."""
    held = f"checked {round_.key}"
    known = st.session_state.get(held)
    with st.form(f"quiz {round_.key}"):
        said = st.pills(
            f"**There are {round_.n_compounds} different compounds in it. Which?**",
            round_.view.library.names,
            selection_mode="multi",
            default=known or [],
            key=f"said {round_.key}",
            disabled=known is not None,
        )
        pressed = st.form_submit_button(
            "Check", disabled=known is not None, icon=":material/check:"
        )
    if pressed and not said:
        st.info("Choose at least one compound.")
    elif pressed:
        known = st.session_state[held] = list(said)
        its = round_.view.prediction.all_right(round_.view.truth)
        st.session_state.setdefault("quiz scores", {})[round_.key] = (
            set(known) == round_.names,
            its,
        )
    return known


def mark(round_: Asked, said: list[str]) -> None:
    """Say what is right about an answer."""
    right, missed, extra = (
        round_.names & set(said),
        sorted(round_.names - set(said)),
        sorted(set(said) - round_.names),
    )
    parts = ([f"missed: {listing(missed)}"] if missed else []) + (
        [f"not in it: {listing(extra)}"] if extra else []
    )
    if parts:
        st.warning(
            f"You: {len(right)} of {round_.n_compounds} right; {'; '.join(parts)}.",
            icon=":material/person:",
        )
    else:
        st.success(f"You: all right: {listing(sorted(round_.names))}.", icon=":material/person:")


def score_line() -> None:
    """Show the score of the visit so far."""
    scores = st.session_state.get("quiz scores", {})
    mine, its = (sum(pair[i] for pair in scores.values()) for i in (0, 1))
    one, two, three = st.columns(3)
    one.metric("Rounds", len(scores))
    two.metric("You, wholly right", mine)
    three.metric("The network, wholly right", its)


def in_words(areas: np.ndarray, axis: Axis) -> str:
    """Return the multiplets of a mixture in words, for a screen reader."""
    sizes = areas.sum(axis=0)
    return "; ".join(
        f"area {sizes[p]:.2g} at {position_label(axis, p)}"
        for p in np.flatnonzero(sizes > 0.02 * sizes.max())
    )


def library_in_words(library: Library) -> str:
    """Return where each compound has its multiplets, for a screen reader."""
    return "; ".join(
        f"{name}: {in_words(areas, library.axis)}"
        for name, areas in zip(library.names, library.areas, strict=False)
    )
