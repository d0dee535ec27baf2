"""The training of a visit outlives its process, its server and its visit."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from nmrclassify.training import checkpoints, run_files, run_states, runs
from nmrclassify.training.recipes import recipe
from nmrclassify.training.trainer import Trainer
from nmrclassify.training.visits import Visits

ONE, OTHER = "a" * 32, "b" * 32
STEPS = 24
SECONDS = 300  # until a process has started on a busy machine
SERVER = """
import sys, time
from dataclasses import replace
from nmrclassify.mixtures.presets import build
from nmrclassify.training.recipes import recipe
from nmrclassify.training.trainer import Trainer
from nmrclassify.training.visits import Visits

data = build("quick", 3)
data = replace(data, validation=data.validation[:40])
config = replace(recipe("modern"), steps=50_000, batch_size=4)
job = Visits().find("a" * 32).replace(Trainer(data, config), keep=True)
job.start()
while not job.latest.step:
    time.sleep(0.01)
print(job.process_id, job.folder, flush=True)
time.sleep(3600)
"""
posix = pytest.mark.skipif(os.name != "posix", reason="signals and locks")


@pytest.fixture(scope="module")
def data(quick):
    """The quick preset with few mixtures to calibrate on, so that trainings end soon."""
    return replace(quick, validation=quick.validation[:40])


@pytest.fixture
def visits():
    visits = Visits()
    yield visits
    for key in (ONE, OTHER):
        visits.find(key).discard()


@pytest.fixture
def until(wait_until):
    """Wait for what a new process does."""
    return lambda condition: wait_until(condition, seconds=SECONDS)


def trainer(data, steps=50_000):
    return Trainer(data, replace(recipe("modern"), steps=steps, batch_size=4))


def advanced(data, steps, to):
    straight = trainer(data, steps)
    for _ in range(to):
        straight.advance()
    return straight


def assert_same_bytes(job, straight):
    """Compare model and steps with those of a training that nothing has interrupted."""
    expected = replace(job.checkpoint(), model=straight.model)
    assert checkpoints.to_bytes(job.checkpoint()) == checkpoints.to_bytes(expected)
    steps = job.training_history
    if job.run_id is not None:  # a saved training has its steps in its folder
        assert len(steps) == 1
        steps = runs.training_history(runs.find(job.run_id), straight.model)
    assert steps.to_bytes() == straight.training_history.to_bytes()


def kept(visits, data, key=ONE, n_steps=1, steps=50_000):
    """Leave a training of some steps as the end of a visit does; return its folder."""
    job = visits.find(key).replace(trainer(data, steps), keep=True)
    for _ in range(n_steps):
        job.step()
    visits.end_unseen(0)
    return job.folder


@posix
def test_a_training_outlives_its_server(data, visits, until, home):
    environment = os.environ | {"NMRCLASSIFY_HOME": str(home)}
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], env=environment, stdout=subprocess.PIPE, text=True
    )
    with server.stdout as said:
        worker, folder = said.readline().split()
        folder = runs.home() / os.path.basename(folder)
        os.kill(int(worker), signal.SIGSTOP)  # so that it still holds its folder afterwards
        server.kill()
        server.wait()
    visit = visits.find(ONE)
    assert (visit.job, visit.held) == (None, True)
    os.kill(int(worker), signal.SIGCONT)
    until(lambda: visits.find(ONE).job is not None)
    job = visit.job
    assert (job.state, job.folder, visit.held) == ("interrupted", folder, False)
    assert f"stopped at step {job.latest.step:,} when the app ended" in job.message
    assert job.latest.step > 0
    assert visits.find(OTHER).job is None
    step = job.latest.step
    job.step()
    assert (job.latest.step, job.state) == (step + 1, "paused")
    straight = advanced(data, 50_000, step + 1)
    states = straight.model.state_dict(), job.checkpoint().model.state_dict()
    assert all((states[0][name] == states[1][name]).all() for name in states[0])


@posix
def test_a_training_outlives_its_process(data, visits, until):
    job = visits.find(ONE).replace(trainer(data), keep=True)
    job.start()
    until(lambda: job.latest.step > 0)
    job.pause()  # which saves its state
    until(lambda: job.state == "paused")
    step = job.latest.step
    assert run_states.resume(job.folder).step == step
    job.start()
    until(lambda: job.state == "running" and job.latest.step > step)
    os.kill(job.process_id, signal.SIGKILL)
    until(lambda: job.state == "interrupted")
    assert job.latest.step == step or job.latest.step % run_states.SAVE_STEPS == step % 200
    assert "ended by SIGKILL from outside" in job.message
    assert f"Its state of step {job.latest.step:,} is kept" in job.message
    assert runs.listed() == []
    step = job.latest.step
    job.start()
    until(lambda: job.latest.step > step)
    job.stop()
    assert (job.state, job.message, [run.id for run in runs.listed()]) == (
        "stopped",
        "",
        [job.run_id],
    )
    assert not (job.folder / run_states.STATE).exists()


def test_a_training_goes_on_to_the_same_bytes_after_its_visit_has_ended(data, visits, until):
    kept(visits, data, n_steps=5, steps=STEPS)
    job = visits.find(ONE).job
    assert (job.state, job.latest.step) == ("interrupted", 5)
    job.start()
    until(lambda: job.over)
    assert (job.state, job.message) == ("finished", "")
    assert_same_bytes(job, advanced(data, STEPS, STEPS))
    assert [run.id for run in runs.listed()] == [job.run_id]
    assert sorted(path.name for path in job.folder.iterdir()) == [
        "config.json",
        "history.csv",
        "manifest.json",
        "model.safetensors",
        "timeline.safetensors",
        "visit.sha256",
    ]


@posix
def test_sigterm_halts_a_training_and_keeps_its_state(data, visits, until):
    job = visits.find(ONE).replace(trainer(data), keep=True)
    job.start()
    until(lambda: job.latest.step > 0)
    os.kill(job.process_id, signal.SIGTERM)
    until(lambda: job.state == "paused")
    assert run_states.resume(job.folder).step == job.latest.step


def test_the_key_is_not_on_the_disk(data, visits):
    folder = kept(visits, data)
    digest = visits.find(ONE).digest
    assert (folder / run_files.VISIT).read_text() == digest
    assert run_files.is_of_visit(folder, digest)
    assert not any(ONE.encode() in path.read_bytes() for path in folder.iterdir())
    for other in ("", digest[:-1], digest[:-1] + "x", digest + "0", visits.find(OTHER).digest):
        assert not run_files.is_of_visit(folder, other)
    (folder / run_files.VISIT).unlink()
    assert not run_files.is_of_visit(folder, digest)


def test_a_visit_finds_only_its_own_training_and_runs(data, visits):
    visits.find(ONE).replace(trainer(data), keep=True).step()
    visits.find(ONE).job.stop()
    (run,) = runs.listed()
    kept(visits, data)
    assert visits.find(OTHER).job is None
    assert run_files.is_of_visit(run.folder, visits.find(ONE).digest)
    assert not run_files.is_of_visit(run.folder, visits.find(OTHER).digest)
    assert visits.find(ONE).job.latest.step == 1


def test_a_discarded_or_replaced_training_is_not_found_again(data, visits):
    for leave in (
        lambda visit: visit.discard(),
        lambda visit: visit.replace(trainer(data), keep=False),
    ):
        folder = kept(visits, data)
        assert visits.find(ONE).job.state == "interrupted"
        leave(visits.find(ONE))
        assert not (folder / run_states.STATE).exists()
        visits.end_unseen(0)
        assert visits.find(ONE).job is None
    assert runs.listed() == []


def test_unfinished_trainings_do_not_pile_up(data, visits, monkeypatch):
    monkeypatch.setattr(runs, "MAX_APP_STATES", 2)
    folder = kept(visits, data)
    names = [f"2026010{day}-000000-quick" for day in range(1, 6)]
    for name in names:
        shutil.copytree(folder, runs.home() / name)
    shutil.rmtree(folder)
    (runs.home() / names[4] / run_files.VISIT).unlink()  # of the command line
    with run_files.locked(runs.home() / names[0]):  # it trains now
        runs.prune_app_runs()
    left = sorted(path.name for path in runs.home().iterdir())
    assert left == [names[0], *names[2:]]
    runs.prune_app_runs()
    assert sorted(path.name for path in runs.home().iterdir()) == names[2:]


def test_a_damaged_state_is_estimated_and_stops_nobody(data, visits):
    folder = kept(visits, data)
    (folder / run_states.STATE).write_bytes(b"x" * 300)
    visit = visits.find(ONE)
    assert visit.job is None
    assert visit.problem == "the saved state of your last training is damaged; start a new one"
    visit.replace(trainer(data), keep=True)
    assert visit.problem == ""


def test_a_training_goes_on_where_nothing_can_be_saved(data, visits, until, home, capfd):
    home.write_text("a file")
    job = visits.find(ONE).replace(trainer(data, 3), keep=True)
    job.start()
    until(lambda: job.over)
    assert (job.state, job.latest.step) == ("finished", 3)
    assert "the run could not be saved" in job.message
    assert "this training is not saved while it runs" in capfd.readouterr().err
