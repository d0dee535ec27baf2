from dataclasses import replace

import pytest

from nmrclassify.training import run_states, runs
from nmrclassify.training.recipes import recipe
from nmrclassify.training.trainer import Trainer
from nmrclassify.training.visits import END_SECONDS, Visits

ONE, OTHER = "a" * 32, "b" * 32


class Clock:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def visits(clock):
    visits = Visits(clock)
    yield visits
    visits.end_unseen(0)


def trainer(quick):
    return Trainer(quick, replace(recipe("modern"), steps=9, batch_size=4))


def test_a_visit_is_found_by_its_key_alone(quick, visits):
    job = visits.find(ONE).replace(trainer(quick), keep=True)
    assert visits.find(ONE).job is job
    assert visits.find(OTHER).job is None


def test_an_unseen_visit_ends_and_keeps_the_state_of_its_training(quick, visits, clock):
    visits.find(OTHER)
    job = visits.find(ONE).replace(trainer(quick), keep=True)
    job.step()
    clock.now += END_SECONDS - 1
    visits.end_unseen()
    assert visits.find(ONE).job is job  # seen again, so that its time starts anew
    clock.now += END_SECONDS - 1
    visits.end_unseen()
    assert (job.state, len(visits)) == ("paused", 1)
    clock.now += 1
    visits.end_unseen()
    assert len(visits) == 0
    assert runs.listed() == []
    assert visits.find(OTHER).job is None
    found = visits.find(ONE).job
    assert found is not job
    assert (found.state, found.latest.step) == ("interrupted", 1)
    assert found.message.startswith("this training stopped at step 1 when the app ended, or when")
    found.step()
    found.stop()
    (run,) = runs.listed()
    assert (run.steps, run.folder) == (2, job.folder)
    assert not (job.folder / run_states.STATE).exists()


def test_another_training_takes_the_place_of_the_present_one(quick, visits):
    visit = visits.find(ONE)
    first = visit.replace(trainer(quick), keep=True)
    first.step()
    second = visit.replace(trainer(quick), keep=True)
    assert (first.state, visit.job, len(runs.listed())) == ("stopped", second, 1)
    second.step()
    visit.replace(trainer(quick), keep=False)
    assert (second.state, len(runs.listed())) == ("stopped", 1)
