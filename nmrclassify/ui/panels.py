"""What a page of the toy looks at, and what all of them say about it: the mixture, the verdict, the amounts."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from nmrclassify.evaluation.interpretation import Cell, example_cell, n_outputs, strongest_filter
from nmrclassify.evaluation.prediction import (
    Prediction,
    Truth,
    all_right,
    class_names,
    describe_prediction,
    match_truth,
    predict,
)
from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.edits import Edit, Mixture, to_text
from nmrclassify.mixtures.presets import PRESETS
from nmrclassify.nmr.library import Library
from nmrclassify.plots.style import Theme
from nmrclassify.training.checkpoints import Checkpoint
from nmrclassify.ui import url_state
from nmrclassify.ui.model_picker import Chosen
from nmrclassify.ui.snippets import Recipe


@dataclass(frozen=True)
class View:
    """What a page shows: a model, and a mixture as it is after the edits; `plain` is the mixture before them.

    `made` says how the mixture came about, as `Recipe` has it. The truth is None for a mixture from
    a file, and where slots are fewer than the compounds that edits have put in.
    """

    dataset: Dataset
    chosen: Chosen
    plain: Mixture
    sample: Mixture
    edits: tuple[Edit, ...]
    title: str
    theme: Theme
    made: dict[str, Any] = field(default_factory=dict)

    @property
    def checkpoint(self) -> Checkpoint:
        """The model, and what it was trained on."""
        return self.chosen.checkpoint

    @property
    def model_name(self) -> str:
        """The model's name for people."""
        return self.chosen.title

    @property
    def library(self) -> Library:
        """The compounds that are mixed and looked for."""
        return self.dataset.library

    @property
    def areas(self) -> np.ndarray:
        """The mixture that is looked at, shape (P, L)."""
        return self.sample.areas

    @property
    def labels(self) -> np.ndarray | None:
        """The compounds behind its sources."""
        return self.sample.labels

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the compounds, and of what one past the last stands for."""
        return class_names(self.checkpoint.model.kind, self.library.names)

    @cached_property
    def prediction(self) -> Prediction:
        """What the model makes of the mixture."""
        return predict(self.checkpoint.model, self.areas)

    @cached_property
    def truth(self) -> Truth | None:
        """The sources matched to the outputs."""
        return self.peak_truth(self.prediction)

    def peak_truth(self, given: Prediction) -> Truth | None:
        """Return the sources matched to the outputs of an answer to this mixture."""
        own, checkpoint = self.sample, self.checkpoint
        if own.labels is None:
            return None
        n_classes = given.probabilities.shape[1]
        if given.kind == "slots" and (
            len(own.labels) != len(given.named) or (own.labels >= n_classes).any()
        ):
            return None
        weight = checkpoint.training.reconstruction_weight
        return match_truth(
            given, own.areas, own.sources, own.labels, weight, own.unknown, own.concentrations
        )

    @cached_property
    def cell(self) -> Cell | None:
        """The chosen cell of the maps; None while none is chosen."""
        return None if url_state.get("position") is None else self.some_cell

    @cached_property
    def some_cell(self) -> Cell:
        """The chosen cell; what was not chosen is where there is most to see."""
        given, model = self.prediction, self.checkpoint.model
        output = url_state.get("output", int(given.outputs[0]) + 1) - 1
        output = min(output, n_outputs(model) - 1)
        if url_state.get("position") is None:
            i, shown = (
                (0, predict(model, self.areas, np.array([output])))
                if given.kind == "queries"
                else (output, given)
            )
            telling = example_cell(shown.masks[i], given.encoding, shown.multiplets[i], output)
            return replace(telling, filter=url_state.get("filter", telling.filter)).within(
                model.config, n_outputs(model)
            )
        position = min(url_state.get("position"), model.config.n_positions - 1)
        return Cell(
            output, url_state.get("filter", strongest_filter(given.encoding, position)), position
        ).within(model.config, n_outputs(model))

    @property
    def seen(self) -> bool:
        """Whether the model was trained on this composition."""
        return self.labels is not None and bool(self.checkpoint.trained_on(self.labels[None])[0])

    @property
    def source_names(self) -> tuple[str, ...]:
        """What is really in the mixture, with amounts; empty where that is not known."""
        if self.labels is None:
            return ()
        parts = [
            (self.library.names[k], c)
            for k, c in zip(self.labels, self.sample.concentrations, strict=False)
            if k < self.library.n_compounds
        ]
        by_hand = (
            "added by hand"
            if any(edit.word == "add" for edit in self.edits)
            else "a compound from outside the library"
        )
        foreign = (
            (by_hand,) if self.sample.unknown is not None and self.sample.unknown.any() else ()
        )
        return (
            tuple(f"{name} ({c:.2g}x)" if abs(c - 1) > 1e-6 else name for name, c in parts)
            + foreign
        )

    @property
    def parts(self) -> np.ndarray | None:
        """The sources that `source_names` names, shape (n, P, L); None where they are not known."""
        own = self.sample
        if own.sources is None:
            return None
        real = own.sources[own.labels < self.library.n_compounds]
        return (
            real
            if own.unknown is None or not own.unknown.any()
            else np.concatenate([real, own.unknown[None]])
        )

    @property
    def contents(self) -> str:
        """The true compounds in words."""
        return " + ".join(self.source_names) or (
            "contents not known" if self.labels is None else "no compound"
        )

    @property
    def recipe(self) -> Recipe:
        """How all this came about, for a program that does it again."""
        own, checkpoint, cell = self.dataset, self.checkpoint, self.some_cell
        return Recipe(
            own.preset if own.preset in PRESETS else "own",
            own.seed,
            own.config,
            self.chosen.key,
            checkpoint.model.kind,
            checkpoint.training,
            checkpoint.seed,
            checkpoint.step,
            self.chosen.last,
            edits=to_text(self.edits),
            axis=own.library.axis,
            n_peaks=own.library.n_peaks,
            output=cell.output,
            filter=cell.filter,
            position=cell.position,
            truth=self.truth is not None,
            own_seed=checkpoint.dataset.seed,
            own_mixture=checkpoint.dataset.config,
            **({"number": None} | self.made),
        )

    def at(self, step: int | None) -> "View":
        """Return the same view with the model at another step of its training."""
        return replace(self, chosen=self.chosen.at(step))


def first(dataset: Dataset) -> int:
    """Return the number of the test mixture that is shown first."""
    return min(PRESETS[dataset.preset].first if dataset.preset in PRESETS else 1, len(dataset.test))


def forget_edits(*also: str) -> None:
    """Drop the edits, and those that could be redone, because another mixture is chosen; and `also` these values of the link."""
    url_state.forget("edit", *also)
    st.session_state.pop("undone", None)


def turn(change: int, dataset: Dataset) -> None:
    """Go to the next or previous test mixture, round and round; edits belong to the mixture that they were made in."""
    forget_edits()
    url_state.put("mixture", None)
    url_state.put("n", (url_state.get("n", first(dataset)) - 1 + change) % len(dataset.test) + 1)


def mixture_heading(view: View) -> None:
    """Say which mixture is shown, what is in it, and offer the neighbours."""
    may = (
        "this composition may have come up in training"
        if view.checkpoint.training.remix
        else "the model was trained on this composition"
    )
    note = may if view.seen else "never seen in training"
    known = view.labels is not None and view.checkpoint.step
    edited = f" · *{len(view.edits)} edit{'s' * (len(view.edits) > 1)}*" if view.edits else ""
    words, buttons = st.columns([5, 2], vertical_alignment="center")
    words.markdown(
        f"**{view.title}**: {view.contents}" + (f" · *{note}*" if known else "") + edited
    )
    with buttons.container(horizontal=True, horizontal_alignment="right"):
        st.button(
            "Previous", on_click=turn, args=(-1, view.dataset), icon=":material/chevron_left:"
        )
        st.button(
            "Next",
            on_click=turn,
            args=(1, view.dataset),
            icon=":material/chevron_right:",
            icon_position="right",
        )
    if not view.checkpoint.step:
        st.info(
            "This network is untrained: its masks are the weights it was born with. Train it on the"
            " page *Train or load*."
        )


def say_verdict(view: View) -> None:
    """Say in words what the network found, coloured by whether it is right, where that is known."""
    known = view.truth is not None
    right = known and all_right(view.prediction, view.truth)
    show = st.success if right else st.warning if known else st.info
    show(
        describe_prediction(view.prediction, view.library.names, view.truth),
        icon=":material/record_voice_over:",
    )


def amounts_table(view: View) -> pd.DataFrame:
    """Return what queries say of each compound that they find or that is there, beside the truth where that is known."""
    given, truth = view.prediction, view.truth
    rows = np.flatnonzero((given.counts > 0) | (truth is not None and truth.counts > 0))
    table = pd.DataFrame(
        {
            "compound": [view.library.names[k] for k in rows],
            "probability": given.probabilities[0, rows],
            "count": given.counts[rows],
            "amount": given.amounts[rows],
        }
    )
    if truth is not None:
        table["true count"], table["true amount"] = truth.counts[rows], truth.amounts[rows]
    return table
