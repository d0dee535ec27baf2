"""The quiz: the mixture of a round, the answer of the visitor, and the score of the visit."""

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
class QuizRound:
    """A round of the quiz: its number, counted from 1, and the view of its mixture."""

    view: View
    number: int

    @property
    def key(self) -> str:
        """A text that differs for each round and each data set."""
        data = self.view.dataset
        return f"{data.preset} {data.seed} {data.config} {self.number}"

    @property
    def areas(self) -> np.ndarray:
        """The mixture, shape (P, L)."""
        return self.view.areas

    @property
    def names(self) -> set[str]:
        """The compounds in the mixture."""
        library, labels = self.view.library, self.view.labels
        if labels is None:
            return set()
        return {library.names[k] for k in labels if k < library.n_compounds}

    @property
    def network_right(self) -> bool:
        """Whether the network names all compounds of the mixture and no other."""
        truth = self.view.truth
        return truth is not None and self.view.prediction.all_right(truth)


def current_round(view: View) -> QuizRound:
    """Return the round that the link names: a test mixture, drawn by the number of the round."""
    number = url_state.get("quiz_round")
    i = int(generator(number, "view", 2).integers(len(view.dataset.test)))
    data = view.spec
    spec = MixtureSpec(data.preset, data.seed, data.config, i + 1)
    return QuizRound(replace(view.of_mixture(spec), title=f"Round {number}"), number)


def answer_form(current: QuizRound) -> list[str] | None:
    """Draw the question; return the compounds that the visitor has checked, and None before."""
    answer_key = f"checked {current.key}"
    answer = st.session_state.get(answer_key)
    with st.form(f"quiz {current.key}"):
        chosen = st.pills(
            f"**There are {len(current.names)} different compounds in it. Which?**",
            current.view.library.names,
            selection_mode="multi",
            default=answer or [],
            key=f"chosen {current.key}",
            disabled=answer is not None,
        )
        pressed = st.form_submit_button(
            "Check", disabled=answer is not None, icon=":material/check:"
        )
    if pressed and not chosen:
        st.info("Choose at least one compound.")
    elif pressed:
        answer = st.session_state[answer_key] = list(chosen)
        scores = st.session_state.setdefault("quiz scores", {})
        scores[current.key] = (set(answer) == current.names, current.network_right)
    return answer


def show_result(current: QuizRound, answer: list[str]) -> None:
    """Show which compounds of an answer are right, missed and wrong."""
    missed, wrong = sorted(current.names - set(answer)), sorted(set(answer) - current.names)
    if not missed and not wrong:
        names = listing(sorted(current.names))
        st.success(f"You: all right: {names}.", icon=":material/person:")
        return
    parts = [f"You: {len(current.names) - len(missed)} of {len(current.names)} right"]
    if missed:
        parts.append(f"missed: {listing(missed)}")
    if wrong:
        parts.append(f"not in the mixture: {listing(wrong)}")
    st.warning(f"{'; '.join(parts)}.", icon=":material/person:")


def show_score() -> None:
    """Show the score of the visit so far."""
    scores = st.session_state.get("quiz scores", {}).values()
    rounds, visitor, network = st.columns(3)
    rounds.metric("Rounds", len(scores))
    visitor.metric("You, wholly right", sum(pair[0] for pair in scores))
    network.metric("The network, wholly right", sum(pair[1] for pair in scores))


def mixture_in_words(areas: np.ndarray, axis: Axis) -> str:
    """Return the multiplets of a mixture in words, for a screen reader."""
    sizes = areas.sum(axis=0)
    return "; ".join(
        f"area {sizes[p]:.2g} at {position_label(axis, int(p))}"
        for p in np.flatnonzero(sizes > 0.02 * sizes.max())
    )


def library_in_words(library: Library) -> str:
    """Return the multiplets of each compound in words, for a screen reader."""
    return "; ".join(
        f"{name}: {mixture_in_words(areas, library.axis)}"
        for name, areas in zip(library.names, library.areas, strict=True)
    )
