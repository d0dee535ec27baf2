"""Lessons in the app: what the browser keeps, and computations in the background."""

import threading

import pytest

from nmrclassify.lessons import LESSONS
from nmrclassify.lessons.lesson import Computation
from nmrclassify.ui import browser_memory, lesson_facts, lesson_progress, quiz


@pytest.fixture(autouse=True)
def nothing_computed(monkeypatch):
    monkeypatch.setattr(lesson_facts, "_computed", {})
    monkeypatch.setattr(lesson_facts, "_running", {})


def test_progress_is_read_as_it_was_written():
    progress = {"mask": "1rn--", "mixture": "------"}
    assert lesson_progress.decode(lesson_progress.encode(progress)) == progress


@pytest.mark.parametrize("text", ["", "mask", "mask.", "mask.<b>", "alchemy.11", "~.~", "mask.0"])
def test_progress_that_does_not_fit_is_left_out(text):
    assert lesson_progress.decode(text) == {}


def test_progress_of_a_lesson_with_other_steps_fits_it():
    assert lesson_progress.decode("mask.1")["mask"] == "1----"
    assert lesson_progress.decode("mask.123456789") == {"mask": "12345"}


def test_all_lessons_done_and_all_rounds_of_a_quiz_fit_in_a_cookie():
    progress = {name: "1" * len(lesson.steps) for name, lesson in LESSONS.items()}
    rounds = {
        f"u.{2**31}.{n}.ffffffff": quiz.Played(2**11 - 1, True, True) for n in range(1000, 1100)
    }
    most = len("nmrclassify_lessons=")
    for text in (lesson_progress.encode(progress), quiz.encode(rounds)):
        assert len(text) + most < 3_500


def test_rounds_of_a_quiz_are_read_as_they_were_written():
    rounds = {"c.1.4.0a1b2c3d": quiz.Played(0b1011, True, False)}
    assert quiz.decode(quiz.encode(rounds)) == rounds
    assert quiz.decode("c.1.4.0a1b2c3d.b~x~c.1.4.zz.b.10~~") == {}


@pytest.mark.parametrize("text", ["a;b", "a b", "a" * 4000, "'", "</script>"])
def test_only_what_a_cookie_can_hold_is_kept(text):
    with pytest.raises(ValueError, match="expected at most"):
        browser_memory.remember("test", text)


def ended(job):
    job._thread.join(20)
    assert not job.is_running
    return job


def test_a_computation_is_not_started_twice():
    go_on, calls = threading.Event(), []

    def slow(report):
        calls.append(1)
        report(0.5, "half")
        go_on.wait(20)
        return {"fact": 1}

    computation = Computation(slow, 5.0)
    first = lesson_facts.start(computation)
    assert lesson_facts.start(computation) is first
    assert lesson_facts.facts_of(computation) is None
    go_on.set()
    ended(first)
    assert lesson_facts.facts_of(computation) == {"fact": 1}
    assert len(calls) == 1


def test_a_computation_that_nobody_watches_stops(monkeypatch):
    monkeypatch.setattr(lesson_facts, "UNSEEN", -1.0)

    def slow(report):
        report(0.5, "half")
        return {"fact": 1}

    computation = Computation(slow, 5.0)
    assert ended(lesson_facts.start(computation)).error
    assert lesson_facts.facts_of(computation) is None


def test_a_computation_that_fails_says_why_and_can_be_started_again():
    def bad(report):
        raise RuntimeError("no such data")

    computation = Computation(bad, 5.0)
    job = ended(lesson_facts.start(computation))
    assert job.error == "RuntimeError: no such data"
    assert ended(lesson_facts.start(computation)) is not job
