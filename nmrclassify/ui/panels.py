"""The view of a page, a model and a mixture, and what several pages show of it."""

import html
import re
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import streamlit as st

from nmrclassify.evaluation.interpretation import Cell, example_cell, strongest_filter
from nmrclassify.evaluation.masks import DISAGREES, disagreements
from nmrclassify.evaluation.prediction import UNTRAINED, describe_prediction, match_mixture
from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.edits import Edit, Mixture
from nmrclassify.mixtures.presets import PRESETS
from nmrclassify.mixtures.spec import MixtureSpec
from nmrclassify.networks.prediction import Prediction, Truth
from nmrclassify.nmr.library import Library
from nmrclassify.plots.mask_maps import Division
from nmrclassify.plots.outputs import output_names
from nmrclassify.plots.style import Theme, compound_colour, text_on
from nmrclassify.training.checkpoints import Checkpoint
from nmrclassify.ui import results, url_state
from nmrclassify.ui.model_picker import Chosen


@dataclass(frozen=True)
class View:
    """What a page shows: a model, and a mixture before (`plain`) and after its edits (`sample`).

    The truth is None for a mixture from a file.
    """

    dataset: Dataset
    chosen: Chosen
    spec: MixtureSpec
    plain: Mixture
    sample: Mixture
    title: str
    theme: Theme

    def of_mixture(self, spec: MixtureSpec, dataset: Dataset | None = None) -> "View":
        """Return the same view with another mixture; `dataset` if that is of other data."""
        areas = self.plain.areas if spec.from_file else None
        data, plain, sample = spec.realise(dataset or self.dataset, areas=areas)
        return replace(self, dataset=data, spec=spec, plain=plain, sample=sample)

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The edits of the mixture."""
        return self.spec.edits

    @property
    def checkpoint(self) -> Checkpoint:
        """The model and its training."""
        return self.chosen.checkpoint

    @property
    def model_name(self) -> str:
        """The title of the model."""
        return self.chosen.title

    @property
    def library(self) -> Library:
        """The compounds of the data."""
        return self.dataset.library

    @property
    def areas(self) -> np.ndarray:
        """The mixture after its edits, shape (P, L)."""
        return self.sample.areas

    @property
    def labels(self) -> np.ndarray | None:
        """The compound of each source, shape (C,); None for a mixture from a file."""
        return self.sample.labels

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the compounds, and of the class after the last."""
        return self.checkpoint.model.class_names(self.library.names)

    @cached_property
    def prediction(self) -> Prediction:
        """The prediction of the model."""
        return results.prediction(self.checkpoint.model, self.areas)

    @cached_property
    def truth(self) -> Truth | None:
        """The sources matched to the outputs."""
        return self.truth_of(self.prediction)

    def truth_of(self, prediction: Prediction) -> Truth | None:
        """Return the sources matched to the outputs of a prediction of this mixture."""
        weight = self.checkpoint.training.reconstruction_weight
        return match_mixture(prediction, self.sample, weight)

    @cached_property
    def cell(self) -> Cell | None:
        """The chosen cell of the maps; None if none is chosen."""
        return None if url_state.get("position") is None else self.followed_cell

    @property
    def followed_output(self) -> int:
        """The chosen output of the network, from 0; by default the first that is shown."""
        output = url_state.get("output", int(self.prediction.outputs[0]) + 1) - 1
        return min(output, self.checkpoint.model.n_outputs - 1)

    @cached_property
    def followed_cell(self) -> Cell:
        """The cell that figures frame: the chosen one, completed by an example."""
        prediction, model, output = self.prediction, self.checkpoint.model, self.followed_output
        position = url_state.get("position")
        if position is None:
            if output not in prediction.outputs:
                prediction = model.predict(self.areas, np.array([output]))
            i = prediction.outputs.tolist().index(output)
            mask, multiplets = prediction.masks[i], prediction.multiplets[i]
            cell = example_cell(mask, prediction.encoding, multiplets, output)
        else:
            position = min(position, model.config.n_positions - 1)
            cell = Cell(output, strongest_filter(prediction.encoding, position), position)
        cell = replace(cell, filter=url_state.get("filter", cell.filter))
        return cell.within(model.config, model.n_outputs)

    def output_name(self, output: int) -> str:
        """Return what an output is called: the compound that it names, where it is shown."""
        shown = self.prediction.outputs.tolist()
        if output in shown:
            return output_names(self.prediction, self.library.names)[shown.index(output)]
        return self.checkpoint.model.output_name(output, self.library.names)

    @property
    def in_training(self) -> bool:
        """Whether the model was trained on this composition."""
        return self.labels is not None and bool(self.checkpoint.trained_on(self.labels[None])[0])

    @property
    def source_names(self) -> tuple[str, ...]:
        """The compounds in the mixture, with concentrations; empty where they are not known."""
        if self.sample.contents is None:
            return ()
        _, labels, concentrations = self.sample.contents
        names = [
            self.library.names[k] + (f" ({c:.2g}x)" if abs(c - 1) > 1e-6 else "")
            for k, c in zip(labels, concentrations, strict=True)
            if k < self.library.n_compounds
        ]
        if self.sample.unknown is not None and self.sample.unknown.any():
            by_edit = any(edit.word == "add" for edit in self.edits)
            names.append("added by hand" if by_edit else "an unknown compound")
        return tuple(names)

    @property
    def parts(self) -> np.ndarray | None:
        """The areas of each of `source_names`, shape (n, P, L); None where they are not known."""
        return self.sample.parts(self.library.n_compounds)

    @property
    def part_labels(self) -> np.ndarray:
        """The class of each of `source_names`, shape (n,): K for what is not in the library."""
        k = self.library.n_compounds
        labels = () if self.labels is None else self.labels
        known = [int(label) for label in labels if label < k]
        return np.array(known + [k] * (len(self.source_names) - len(known)))

    @property
    def part_colours(self) -> tuple[str, ...]:
        """The colour of each of `source_names`."""
        return tuple(compound_colour(k, self.library.n_compounds) for k in self.part_labels)

    @property
    def contents(self) -> str:
        """The compounds of the mixture in words."""
        return " + ".join(self.source_names) or (
            "contents not known" if self.labels is None else "no compound"
        )

    def at(self, step: int | None) -> "View":
        """Return the same view with the model at another step of its training."""
        return replace(self, chosen=self.chosen.at(step))


def first(dataset: Dataset) -> int:
    """Return the number of the test mixture that is shown first."""
    return min(PRESETS[dataset.preset].first if dataset.preset in PRESETS else 1, len(dataset.test))


def drop_edits(*keys: str) -> None:
    """Drop the edits, which belong to one mixture, and the values of `keys`."""
    url_state.forget("edits", *keys)
    st.session_state.pop("undone", None)


def go_to_neighbour(change: int, dataset: Dataset) -> None:
    """Show the next (1) or previous (-1) test mixture; the first follows the last."""
    drop_edits()
    url_state.put("mixture", None)
    number = url_state.get("number", first(dataset))
    url_state.put("number", (number - 1 + change) % len(dataset.test) + 1)


def mixture_heading(view: View, offer: bool = True, about_model: bool = True) -> None:
    """Write the title and the contents of the mixture; draw the buttons Previous and Next.

    Parameters
    ----------
    offer : bool
        Whether an untrained network is followed by `offer_training`.
    about_model : bool
        Whether the page is about the model, too: without it, neither its training is mentioned
        nor one offered.
    """
    note = "unseen in training"
    if view.in_training:
        note = "the model was trained on this composition"
        if view.checkpoint.training.remix:
            note = "the model may have been trained on this composition"
    has_note = about_model and view.labels is not None and view.checkpoint.step
    edited = f" · *{len(view.edits)} edit{'s' * (len(view.edits) > 1)}*" if view.edits else ""
    words, buttons = st.columns([5, 2], vertical_alignment="center")
    words.markdown(
        f"**{view.title}**: {view.contents}" + (f" · *{note}*" if has_note else "") + edited
    )
    with buttons.container(horizontal=True, horizontal_alignment="right"):
        st.button(
            "Previous",
            on_click=go_to_neighbour,
            args=(-1, view.dataset),
            icon=":material/chevron_left:",
        )
        st.button(
            "Next",
            on_click=go_to_neighbour,
            args=(1, view.dataset),
            icon=":material/chevron_right:",
            icon_position="right",
        )
    if offer and about_model and not view.checkpoint.step:
        offer_training(view)


def verdict(view: View) -> str:
    """Return the prediction in words."""
    return describe_prediction(view.prediction, view.library.names, view.truth)


def offer_training(view: View) -> None:
    """Say that the network is untrained; offer the page that trains it, unless this is a step 0."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.info(UNTRAINED, icon=":material/casino:")
        if view.chosen.key == "untrained" and st.button(
            "Train on this library",
            icon=":material/model_training:",
            type="secondary" if view.theme.dark else "primary",
        ):
            url_state.put("network", view.checkpoint.model.kind)
            st.switch_page("pages/train.py", query_params=url_state.query())


def true_division(view: View) -> Division | None:
    """Return each compound's true share of the multiplets; None where it is not known."""
    if view.parts is None or view.sample.labels is None:
        return None
    area = view.parts.sum(axis=1)  # (m, L)
    total = area.sum(axis=0)
    shares = np.divide(area, total, out=np.zeros_like(area), where=total > 1e-9)
    k, labels = view.library.n_compounds, view.part_labels
    names = [view.library.names[i] if i < k else view.source_names[-1] for i in labels]
    return Division.of("truth", shares, labels, names, k)


def colour_key(*divisions: Division | None) -> None:
    """Write the names of all compounds on their colours."""
    colours = {
        name: colour
        for division in divisions
        if division is not None
        for name, colour in zip(division.names, division.colours, strict=True)
    }
    chips = [
        f'<span style="background:{colour};color:{text_on(colour)};padding:1px 8px;'
        f'border-radius:4px;margin-right:6px;white-space:nowrap">{html.escape(name)}</span>'
        for name, colour in colours.items()
    ]
    st.html(f'<div style="line-height:1.9">{"".join(chips)}</div>')


def count_wrong_cells(prediction: Prediction, ideal: np.ndarray, names: tuple[str, ...]) -> None:
    """Write how many cells of the masks, of all that matter, differ much from the ideal masks."""
    away = np.abs(disagreements(prediction.masks, ideal, prediction.encoding))  # (M, N, L)
    strong = ~np.isnan(away)
    wrong = (np.nan_to_num(away) > DISAGREES).sum(axis=(1, 2))
    each = ", ".join(f"{name} {n}" for name, n in zip(names, wrong, strict=True) if n)
    st.markdown(
        f"**{wrong.sum():,} of {strong.sum():,} cells** differ from the ideal mask by more than"
        f" {DISAGREES:g}" + (f": {each}." if each else "."),
        help=f"Of the cells where the encoding is not weak. Mean difference"
        f" {away[strong].mean():.2f}.",
    )


def show_prediction(view: View) -> None:
    """Write the prediction in words, green if it is right, blue if the truth is not known.

    The words have no probabilities: the page draws them below.
    An untrained network predicts nothing; `mixture_heading` says so.
    """
    if not view.checkpoint.step:
        return
    if view.truth is None:
        box = st.info
    else:
        box = st.success if view.prediction.all_right(view.truth) else st.warning
    text = describe_prediction(view.prediction, view.library.names, view.truth)
    box(
        re.sub(r" \((over )?[\d.]+ %\)", "", text),
        icon=":material/record_voice_over:",
    )


def accuracy(summary: dict) -> list[dict[str, str | None]]:
    """Return label, value, 95 % interval and help of each figure of `Evaluation.summary`."""
    figures = []
    for label, key, form, unit, text in (
        ("Compounds right", "compound_accuracy", ".1%", "", "Of all compounds mixed or named."),
        ("Mixtures wholly right", "exact_match", ".1%", "", "All compounds, and no other."),
        (
            "SI-SDR improvement",
            "si_sdr_improvement_db",
            ".1f",
            " dB",
            "How much closer to the true source the separated multiplets are than the mixture is.",
        ),
        (
            "Mask distance",
            "mask_distance",
            ".3f",
            "",
            "Mean absolute difference of the masks from the ideal ratio masks: 0 is ideal, 1 the"
            " most.",
        ),
    ):
        value, (low, high) = summary[key], summary[f"{key}_ci95"]
        figures.append(
            {
                "label": label,
                "value": "none" if value is None else f"{value:{form}}{unit}",
                "interval": None if low is None else f"{low:{form}} to {high:{form}}{unit}",
                "help": text,
            }
        )
    return figures


def amounts_table(view: View) -> pd.DataFrame:
    """Return count and amount of each predicted or true compound, and the truth."""
    prediction, truth = view.prediction, view.truth
    relevant = prediction.counts > 0
    if truth is not None:
        relevant |= truth.counts > 0
    rows = np.flatnonzero(relevant)
    table = pd.DataFrame(
        {
            "compound": [view.library.names[k] for k in rows],
            "count": prediction.counts[rows],
        }
    )
    if prediction.amounts is not None:
        table["amount"] = prediction.amounts[rows]
    if truth is not None:
        table["true count"] = truth.counts[rows]
        if truth.amounts is not None:
            table["true amount"] = truth.amounts[rows]
    return table
