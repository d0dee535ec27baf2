"""Which steps of which lessons a visitor has done, and the answers; the browser keeps it.

A step has one letter: "-" is not done, "n" was passed without an answer, "r" was revealed without
a choice, and a digit is the chosen option, counted from 1. As a cookie: "mask.1r--~mixture.n2----".
"""

import re

import streamlit as st

from nmrclassify.lessons import LESSONS
from nmrclassify.lessons.lesson import Lesson
from nmrclassify.ui import browser_memory

_NAME = "lessons"
OPEN, PASSED, REVEALED = "-", "n", "r"


def _progress() -> dict[str, str]:
    if "lesson progress" not in st.session_state:
        st.session_state["lesson progress"] = decode(browser_memory.recall(_NAME))
    return st.session_state["lesson progress"]


def decode(text: str) -> dict[str, str]:
    """Return the letters of each lesson in a text of the browser; what does not fit is left out."""
    found = {}
    for part in text.split("~"):
        name, _, letters = part.partition(".")
        if name in LESSONS and re.fullmatch(r"[-nr1-9]+", letters, re.ASCII):
            n = len(LESSONS[name].steps)
            found[name] = letters[:n].ljust(n, OPEN)
    return found


def encode(progress: dict[str, str]) -> str:
    """Return the text that `decode` reads."""
    return "~".join(f"{name}.{letters}" for name, letters in sorted(progress.items()))


def keep() -> None:
    """Make the browser keep the progress."""
    browser_memory.remember(_NAME, encode(_progress()))


def of(lesson: Lesson) -> str:
    """Return the letters of a lesson, one a step."""
    return _progress().get(lesson.name, OPEN * len(lesson.steps))


def mark(lesson: Lesson, part: int, letter: str) -> None:
    """Give a step, counted from 1, its letter; an answer stays if the step is passed again."""
    letters = of(lesson)
    if letter != PASSED or letters[part - 1] == OPEN:
        _progress()[lesson.name] = letters[: part - 1] + letter + letters[part:]


def forget(lesson: Lesson) -> None:
    """Open all steps of a lesson again."""
    _progress().pop(lesson.name, None)


def n_done(lesson: Lesson) -> int:
    """Return how many steps are done."""
    return len(of(lesson)) - of(lesson).count(OPEN)


def next_part(lesson: Lesson) -> int | None:
    """Return the first step that is not done, counted from 1; None if all are."""
    place = of(lesson).find(OPEN)
    return None if place < 0 else place + 1


def choice(lesson: Lesson, part: int) -> int | None:
    """Return the option that was chosen when the answer was revealed, from 0; None if none was."""
    letter = of(lesson)[part - 1]
    return int(letter) - 1 if letter.isdigit() else None


def is_revealed(lesson: Lesson, part: int) -> bool:
    """Return whether the answer of a step was revealed."""
    return of(lesson)[part - 1] not in (OPEN, PASSED)
