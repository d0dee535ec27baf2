"""The quiz: the mixture of a round, the answer of the visitor, and the score of this browser."""

import re
import secrets
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
import streamlit as st

from nmrclassify.mixtures.edits import Amount
from nmrclassify.mixtures.grid import generator
from nmrclassify.mixtures.spec import MixtureSpec
from nmrclassify.networks.prediction import listing
from nmrclassify.nmr.axis import Axis
from nmrclassify.nmr.library import Library
from nmrclassify.plots.map_rows import position_label
from nmrclassify.ui import browser_memory, url_state
from nmrclassify.ui.panels import View

LEVELS = {"clean": "Clean", "noisy": "Noisy and shifted", "unlisted": "An unlisted compound"}
NOISE, JITTER = 0.1, 0.3  # of the level noisy, at least
UNLISTED = "an unlisted compound"
_MEMORY = "quiz"
_KEPT = 60  # rounds
_ROUND = re.compile(r"([cnu]\.\d{1,10}\.\d{1,10}\.[0-9a-f]{8})\.([0-9a-f]{1,64})\.([01])([01])")


@dataclass(frozen=True)
class QuizRound:
    """A round of the quiz: its number, counted from 1, its level, and the view of its mixture."""

    view: View
    number: int
    level: str
    seed: int

    @property
    def key(self) -> str:
        """A text that differs for each question: level, seed, number and data set."""
        data = self.view.spec
        data_set = crc32(f"{data.preset} {data.seed} {data.config}".encode())
        return f"{self.level[0]}.{self.seed}.{self.number}.{data_set:08x}"

    @property
    def areas(self) -> np.ndarray:
        """The mixture, shape (P, L)."""
        return self.view.areas

    @property
    def choices(self) -> list[str]:
        """The names that the visitor can choose."""
        names = list(self.view.library.names)
        return [*names, UNLISTED] if self.level == "unlisted" else names

    @property
    def names(self) -> set[str]:
        """The compounds in the mixture, as `choices` call them."""
        library, labels = self.view.library, self.view.labels
        if labels is None:
            return set()
        unlisted = {UNLISTED} if self.view.spec.unknown else set()
        return {library.names[k] for k in labels if k < library.n_compounds} | unlisted

    @property
    def network_right(self) -> bool:
        """Whether the network names all compounds of the mixture and no other."""
        truth = self.view.truth
        return truth is not None and self.view.prediction.all_right(truth)


@dataclass(frozen=True)
class Played:
    """A round that was answered: the choices as bits, and whether both sides were wholly right."""

    chosen: int
    visitor: bool
    network: bool


def current_round(view: View) -> QuizRound:
    """Return the round that the link names.

    The seed puts the test mixtures into an order, and the number counts them: the same link gives
    the same questions. At the level "unlisted" every second mixture, at random, has an unknown
    compound in place of one of its own, so that the number of compounds gives nothing away.
    """
    number, level = url_state.get("quiz_round"), url_state.get("quiz_level")
    seed, data = url_state.get("quiz_seed"), view.dataset
    order = generator(seed, "view", 2).permutation(len(data.test))
    i = int(order[(number - 1) % len(order)])
    config = data.config
    if level == "noisy":
        noise, jitter = max(config.noise, NOISE), max(config.shift_jitter, JITTER)
        config = replace(config, noise=noise, shift_jitter=jitter)
        data = replace(data, config=config)
    spec = MixtureSpec(view.spec.preset, data.seed, config, i + 1)
    if level == "unlisted":
        rng = generator(seed, "view", 3, number)
        present = [int(k) for k in np.unique(data.test[i]) if k < data.library.n_compounds]
        if rng.random() < 0.5:
            gone = tuple(Amount(k + 1, 0.0) for k in rng.permutation(present)[:1].tolist())
            spec = replace(spec, unknown=True, edits=gone)
    shown = replace(view.of_mixture(spec, data), title=f"Round {number}")
    return QuizRound(shown, number, level, seed)


def choose_level() -> None:
    """Draw the levels, a link to these questions, and a button for others."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        url_state.widget(
            st.radio,
            "Level",
            "quiz_level",
            format_func=LEVELS.get,
            horizontal=True,
            on_change=url_state.forget,
            args=("quiz_round", "position"),
        )
        st.button(
            "Other questions",
            on_click=_other_questions,
            icon=":material/shuffle:",
            help="The same level with the mixtures in another order",
        )
        with st.popover("Share", icon=":material/share:"):
            st.markdown("This link opens the same questions in the same order.")
            st.code(_link(), language=None, wrap_lines=True)


def _other_questions() -> None:
    url_state.put("quiz_seed", secrets.randbelow(1_000_000))
    url_state.forget("quiz_round", "position")


def _link() -> str:
    values = url_state.query() | {"quiz_seed": str(url_state.get("quiz_seed"))}
    for name in ("quiz_round", "position", "output", "filter", "lesson", "lesson_step"):
        values.pop(name, None)
    query = "&".join(f"{key}={value}" for key, value in sorted(values.items()))
    return f"{(st.context.url or '').split('?')[0]}?{query}"


def answer_form(current: QuizRound) -> list[str] | None:
    """Draw the question; return the compounds that the visitor has checked, and None before."""
    played = _rounds().get(current.key)
    choices, n = current.choices, len(current.names)
    answer = None
    if played is not None:
        answer = [name for i, name in enumerate(choices) if played.chosen >> i & 1]
    compounds = "one compound is" if n == 1 else f"{n} different compounds are"
    of_them = " One of them may be unlisted." if current.level == "unlisted" else ""
    with st.form(f"quiz {current.key}"):
        # Not as the label of the pills, which fades when they are closed.
        st.markdown(f"**{compounds.capitalize()} in it. Which?**{of_them}")
        chosen = st.pills(
            f"{compounds.capitalize()} in it. Which?",
            choices,
            label_visibility="collapsed",
            selection_mode="multi",
            default=answer or [],
            key=f"chosen {current.key}",
            disabled=answer is not None,
        )
        pressed = st.form_submit_button(
            "Check", disabled=answer is not None, icon=":material/check:", shortcut="Alt+A"
        )
    if answer is not None or not pressed:
        return answer
    if len(chosen) != n:
        st.info(f"Choose {n}. You have chosen {len(chosen) or 'none'}.")
        return None
    bits = sum(1 << choices.index(name) for name in chosen)
    _rounds()[current.key] = Played(bits, set(chosen) == current.names, current.network_right)
    st.rerun()  # so that the form is closed


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


def show_score(level: str) -> None:
    """Show the score at a level, and make the browser keep all rounds."""
    played = [one for key, one in _rounds().items() if key[0] == level[0]]
    if not played:
        st.caption("No round is played at this level yet.", help="This browser keeps the score.")
    else:
        rounds, visitor, network, button = st.columns(4, vertical_alignment="center")
        rounds.metric("Rounds", len(played))
        visitor.metric("You, wholly right", sum(one.visitor for one in played))
        network.metric("The network, wholly right", sum(one.network for one in played))
        button.button("Clear the score", on_click=_clear, args=(level,), icon=":material/delete:")
    browser_memory.remember(_MEMORY, encode(_rounds()))


def _clear(level: str) -> None:
    for key in [key for key in _rounds() if key[0] == level[0]]:
        del _rounds()[key]
        for widget in (f"chosen {key}", f"quiz {key}"):
            st.session_state.pop(widget, None)


def _rounds() -> dict[str, Played]:
    if "quiz rounds" not in st.session_state:
        st.session_state["quiz rounds"] = decode(browser_memory.recall(_MEMORY))
    return st.session_state["quiz rounds"]


def decode(text: str) -> dict[str, Played]:
    """Return the rounds in a text of the browser; what is not one is left out."""
    matches = (_ROUND.fullmatch(part) for part in text.split("~"))
    return {
        match[1]: Played(int(match[2], 16), match[3] == "1", match[4] == "1")
        for match in matches
        if match
    }


def encode(rounds: dict[str, Played]) -> str:
    """Return the text that `decode` reads, of the latest rounds."""
    return "~".join(
        f"{key}.{one.chosen:x}.{one.visitor:d}{one.network:d}"
        for key, one in list(rounds.items())[-_KEPT:]
    )


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
