"""What a lesson is: a text with gaps, and functions that compute the facts that fill the gaps.

A text is a template: "{right:.0%} of the compounds" holds the fact `right`. A list of facts is
written as "1, 2 and 3". Line breaks in a text are spaces.
"""

import inspect
import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import plotly.graph_objects as go

from nmrclassify.networks.prediction import listing
from nmrclassify.plots.style import Theme

Facts = dict[str, Any]
# Is called with the share of the work that is done, from 0 to 1, and the name of what is computed.
# It may raise an exception to stop the work.
Report = Callable[[float, str], None]


@dataclass(frozen=True)
class Computation:
    """A function that computes facts, and about how many seconds it takes on one core.

    Facts are numbers, texts, arrays, and lists and dicts of these, so that a file can hold them.

    Where facts depend on a seed, the function takes it as `seed`, with that of the lesson as its
    default: `bench lessons` tries others. `trains`: whether it trains a network.
    """

    compute: Callable[..., Facts]
    seconds: float
    trains: bool = False

    @property
    def name(self) -> str:
        """The name of the function, by which its facts are packaged."""
        return self.compute.__name__

    @property
    def seed(self) -> int | None:
        """The seed of the lesson; None where no fact depends on one."""
        parameter = inspect.signature(self.compute).parameters.get("seed")
        return None if parameter is None else parameter.default


def computation(
    seconds: float, trains: bool = False
) -> Callable[[Callable[..., Facts]], Computation]:
    """Decorate a function that computes facts with the time that it takes."""
    return lambda compute: Computation(compute, seconds, trains)


class _Template(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, (list, tuple, np.ndarray)):
            return listing([self.format_field(one, format_spec) for one in value])
        text = format(value, format_spec)
        return text.replace("%", " %") if format_spec.endswith("%") else text


def fill(template: str, facts: Facts) -> str:
    """Return a template with the facts in its gaps, on one line.

    Raises
    ------
    KeyError
        If the template names a fact that is not in `facts`.
    """
    return _Template().vformat(re.sub(r"\s*\n\s*", " ", template), (), facts)


def nearest(options: Sequence[float], value: float) -> int:
    """Return the index of the option that is nearest to a value."""
    return int(np.argmin(np.abs(np.array(options) - value)))


@dataclass(frozen=True)
class StepText:
    """The texts of a step with its facts; `claims` are sentences and whether they are true."""

    text: str
    question: str
    options: tuple[str, ...]
    answer: int
    reveal: str
    claims: tuple[tuple[str, bool], ...]
    alt: str


@dataclass(frozen=True)
class Step:
    """One step of a lesson. All texts except the title are templates.

    Attributes
    ----------
    page : str
        The page that the step opens, as in "pages/masks.py". "pages/lessons.py" shows nothing but
        the step.
    facts : Computation
        Computes the facts of the step. Steps with the same computation share its facts.
    text : str
        Markdown: what the page shows, and what to look at.
    options : tuple of str
        Two answers or more, all different.
    answer : str or int
        Index of the right option, or the fact that holds this index.
    reveal : str
        Markdown: the right answer and its reason.
    claims : dict
        The fact that says whether a sentence is true, and this sentence.
    state : dict
        Parameters of the link to the page, as texts.
    figure : callable, optional
        Draws the step's own figure from the facts.
    alt : str
        The figure in words; required with `figure`.
    target : str
        The key of the figure or element that the step speaks of, on its page. The page frames it
        and scrolls to it.
    """

    title: str
    page: str
    facts: Computation
    text: str
    question: str
    options: tuple[str, ...]
    answer: str | int
    reveal: str
    claims: dict[str, str]
    state: dict[str, str] = field(default_factory=dict)
    figure: Callable[[Facts, Theme], go.Figure] | None = None
    alt: str = ""
    target: str = ""

    def filled(self, facts: Facts) -> StepText:
        """Return the texts of the step with the facts in them.

        Raises
        ------
        KeyError
            If a fact is missing.
        """
        return StepText(
            fill(self.text, facts),
            fill(self.question, facts),
            tuple(fill(option, facts) for option in self.options),
            self.answer if isinstance(self.answer, int) else int(facts[self.answer]),
            fill(self.reveal, facts),
            tuple((fill(claim, facts), bool(facts[name])) for name, claim in self.claims.items()),
            fill(self.alt, facts),
        )


@dataclass(frozen=True)
class Lesson:
    """A lesson of 3 to 6 steps.

    Attributes
    ----------
    name : str
        Stands in links: it must not change.
    aim : str
        One sentence: what the visitor knows afterwards.
    """

    name: str
    title: str
    aim: str
    steps: tuple[Step, ...]
