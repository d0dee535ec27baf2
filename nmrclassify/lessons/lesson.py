"""What a lesson is: short steps that set the app to a state, ask, and reveal; what they claim is computed when they run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from nmrclassify.plots.style import Theme

Facts = dict[str, Any]
# Called with the share that is done, from 0 to 1, and what is being done; may raise to stop the
# work.
Report = Callable[[float, str], None]


def nothing(report: Report) -> Facts:
    """Return no facts: for steps that need none."""
    return {}


@dataclass(frozen=True)
class Claim:
    """A sentence with its figures in it, and whether the facts bear it out."""

    text: Callable[[Facts], str]
    holds: Callable[[Facts], bool]


@dataclass(frozen=True)
class Step:
    """One step of a lesson.

    Attributes
    ----------
    title : str
    page : str
        The page that the step shows, as in "pages/masks.py"; "pages/lessons.py" where the step's
        own figure is all there is.
    state : dict
        The parameters of a link that set the app, as texts.
    look : callable
        Facts to Markdown: what this is and what to look at.
    question : str
    options : callable
        Facts to at least two answers, no two alike.
    right : callable
        Facts to the index of the right one, computed, where it can be, from the facts.
    reveal : callable
        Facts to Markdown: the answer and why.
    claims : tuple of Claim
        What the reveal rests on.
    facts : callable
        Computes what the rest of the step speaks of; steps that name the same function share its
        result.
    seconds : float
        Roughly how long `facts` takes on one core, for the estimate before it has begun.
    figure : callable, optional
        Facts and a theme to the step's own figure, drawn above the question.
    alt : callable, optional
        Facts to the figure in words; required with `figure`.
    """

    title: str
    page: str
    state: dict[str, str]
    look: Callable[[Facts], str]
    question: str
    options: Callable[[Facts], tuple[str, ...]]
    right: Callable[[Facts], int]
    reveal: Callable[[Facts], str]
    claims: tuple[Claim, ...]
    facts: Callable[[Report], Facts] = nothing
    seconds: float = 0.0
    figure: Callable[[Facts, Theme], go.Figure] | None = None
    alt: Callable[[Facts], str] | None = None


@dataclass(frozen=True)
class Lesson:
    """A name for links, a title, one sentence of what one will know afterwards, and 3 to 6 steps."""

    name: str
    title: str
    aim: str
    steps: tuple[Step, ...]
