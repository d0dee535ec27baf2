import os
import pickle
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nmrclassify.mixtures.presets import build
from nmrclassify.training import checkpoints
from nmrclassify.training.checkpoints import Checkpoint
from nmrclassify.training.history import weights_of
from nmrclassify.training.job_queue import JobQueue, QueueFull, max_running
from nmrclassify.training.jobs import MAX_MEMORY, MAX_SECONDS, Job
from nmrclassify.training.recipes import recipe
from nmrclassify.training.trainer import Trainer

ENDLESS = 50_000
SECONDS = 300  # until a process has started on a busy machine


@pytest.fixture(scope="module")
def data(quick):
    """The quick preset with few mixtures to calibrate on, so that trainings end soon."""
    return replace(quick, validation=quick.validation[:40])


@pytest.fixture
def until(wait_until):
    """Wait for what a new process does."""
    return lambda condition: wait_until(condition, seconds=SECONDS)


@pytest.fixture
def make_job():
    """Make jobs that are stopped when the test ends, whether or not it passes."""
    jobs = []

    def make(trainer, queue=None, **options):
        jobs.append(Job(trainer, queue or JobQueue(), **options))
        return jobs[-1]

    yield make
    for job in jobs:
        job.stop(keep=False)


def trainer(data, steps=ENDLESS, kind="slots", **settings):
    config = replace(recipe("modern"), steps=steps, batch_size=4, **settings)
    return Trainer(data, config, kind=kind)


class BrokenTrainer(Trainer):
    """A trainer that cannot take a step, in this process or in another one."""

    def advance(self):
        raise RuntimeError("out of luck")


class GreedyTrainer(Trainer):
    """A trainer whose first step needs 8 GiB of memory."""

    def advance(self):
        torch.zeros(2**31)


def same_weights(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all((a == b).all() for a, b in pairs)


@pytest.mark.parametrize("kind", ["slots", "queries"])
def test_a_job_gives_the_bytes_of_a_training_in_this_process(data, make_job, until, kind):
    ended = []
    job = make_job(trainer(data, 12, kind), on_end=ended.append)
    assert (job.state, job.latest.step, job.kind) == ("ready", 0, kind)
    assert job.training_history.steps == (0,)
    job.start()
    until(lambda: job.latest.step > 0)
    job.pause()  # the rest runs in another process
    until(lambda: job.over or job.state == "paused")
    job.start()
    until(lambda: job.over)
    assert (job.state, job.message, ended) == ("finished", "", [job])
    straight = trainer(data, 12, kind)
    *_, last = straight.snapshots(12)
    expected = checkpoints.to_bytes(Checkpoint.from_trainer(straight, last.test))
    assert checkpoints.to_bytes(job.checkpoint()) == expected
    assert job.training_history.to_bytes() == straight.training_history.to_bytes()
    assert pickle.dumps(job.latest.pinned.masks) == pickle.dumps(last.pinned.masks)
    assert job.history[-1]["step"] == 12
    assert job.history[-1]["test_mask_distance"] == straight.history[-1]["test_mask_distance"]
    assert float(job.checkpoint().model.temperature) != 1  # calibrated
    until(lambda: job.process_id is None)
    job.start()
    assert job.state == "finished"


def test_pause_go_on_step_and_stop(data, make_job, until):
    ended = []
    job = make_job(trainer(data), on_end=ended.append)
    job.start()
    until(lambda: job.latest.step > 0)
    model = job.checkpoint()
    assert job.state == "running"  # a checkpoint does not halt it
    before = weights_of(model.model)
    job.pause()
    until(lambda: job.state == "paused")
    assert (weights_of(model.model) == before).all()
    step = job.latest.step
    job.step()
    assert (job.latest.step, job.state) == (step + 1, "paused")
    job.start()
    until(lambda: job.latest.step > step + 1)
    steps = job.training_history.steps
    job.training_history.network(steps[-1])
    assert list(steps) == sorted(set(steps))
    job.stop()
    assert job.state == "stopped"
    assert ended == [job]
    step = job.latest.step
    assert job.training_history.steps[-1] == step
    assert same_weights(job.checkpoint().model, job.training_history.network(step))
    job.start()
    job.step()
    assert (job.state, job.latest.step) == ("stopped", step)


def test_single_steps_are_those_of_a_training(data, make_job):
    job, straight = make_job(trainer(data, 3)), trainer(data, 3)
    for _ in range(3):
        job.step()
        straight.advance()
    assert job.state == "finished"
    assert same_weights(job.checkpoint().model, straight.model)


def test_a_stopped_job_keeps_its_last_step_before_its_state_changes(data, make_job):
    kept = []
    halted = trainer(data)
    job = make_job(halted, on_end=lambda job: kept.append((job.state, *job.training_history.steps)))
    due = halted.training_history.due
    halted.training_history.due = lambda step: step % 7 == 0 and due(step)
    for _ in range(9):
        job.step()
    assert job.training_history.steps == (0, 7)
    job.stop()
    assert job.training_history.steps == (0, 7, 9)
    assert kept == [("paused", 0, 7, 9)]


def test_a_job_matches_only_what_it_trains(data, make_job):
    job = make_job(trainer(data, 8, "queries"))
    config = replace(recipe("modern"), steps=8, batch_size=4)
    assert job.matches(data, config, 3, "queries")
    assert job.matches(build("quick", 3), config, 3, "queries")
    for other in (
        (data, config, 3, "slots"),
        (data, config, 4, "queries"),
        (data, replace(config, steps=9), 3, "queries"),
    ):
        assert not job.matches(*other)
    assert not job.matches(build("quick", 4), config, 3, "queries")
    assert not job.matches(data, config, 3, "queries", n_filters=16)


def test_only_so_many_run_and_the_rest_queue_in_order(data, make_job, until):
    queue = JobQueue(max_running=1, max_waiting=2)
    jobs = [make_job(trainer(data), queue) for _ in range(4)]
    jobs[0].start()
    until(lambda: jobs[0].state in ("starting", "running"))
    jobs[1].start()
    jobs[2].start()
    assert (jobs[1].state, jobs[1].n_ahead, jobs[2].n_ahead) == ("waiting", 0, 1)
    with pytest.raises(QueueFull, match="2 trainings are waiting"):
        jobs[3].start()
    assert jobs[3].state == "ready"
    jobs[1].stop()
    assert jobs[2].n_ahead == 0
    assert jobs[2].state == "waiting"
    jobs[0].stop()
    until(lambda: jobs[2].state == "starting")


def test_a_halt_while_the_process_starts_loses_nothing(data, make_job, until):
    job = make_job(trainer(data))
    job.step()
    job.start()
    until(lambda: job.state != "waiting")
    job.pause()
    assert (job.state, job.message, job.process_id) == ("paused", "", None)
    job.step()
    straight = trainer(data)
    for _ in range(job.latest.step):
        straight.advance()
    assert same_weights(job.checkpoint().model, straight.model)


@pytest.mark.parametrize(("text", "number"), [(None, 2), ("5", 5)])
def test_the_number_of_places_is_a_setting(monkeypatch, text, number):
    monkeypatch.delenv("NMRCLASSIFY_TRAININGS", raising=False)
    if text:
        monkeypatch.setenv("NMRCLASSIFY_TRAININGS", text)
    assert max_running() == number


@pytest.mark.parametrize("text", ["", "0", "65", "-1", "two", "1e3"])
def test_a_bad_number_of_places_is_refused(monkeypatch, text):
    monkeypatch.setenv("NMRCLASSIFY_TRAININGS", text)
    with pytest.raises(ValueError, match="expected a whole number from 1 to 64"):
        max_running()


def test_the_time_limit_counts_all_turns(data, make_job, until):
    job = make_job(trainer(data), max_seconds=60.0)
    job._trainer.seconds = 59.999  # of earlier turns; a step takes longer than a millisecond
    job.start()
    until(lambda: job.over)
    assert job.state == "stopped"
    assert job.message == "stopped after 1 minutes, the limit for one training"
    assert job.latest.step == 1


def test_a_failure_is_reported_and_frees_the_place(data, make_job, until):
    queue = JobQueue(max_running=1)
    job = make_job(BrokenTrainer(data, recipe("modern")), queue)
    other = make_job(trainer(data), queue)
    job.start()
    other.start()
    until(lambda: job.over)
    assert (job.state, job.message) == ("failed", "training failed: out of luck")
    until(lambda: other.state == "starting")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems lack this limit")
def test_too_much_memory_is_reported(data, make_job, until):
    job = make_job(GreedyTrainer(data, recipe("modern")))
    job.start()
    until(lambda: job.over)
    assert job.state == "failed"
    assert "more than 3,072 MiB of memory" in job.message


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_killed_process_is_reported_and_its_model_is_kept(data, make_job, until):
    ended = []
    job = make_job(trainer(data), on_end=ended.append)
    job.start()
    until(lambda: job.latest.step > 0)
    os.kill(job.process_id, signal.SIGKILL)
    until(lambda: job.over)
    step = job.latest.step
    assert job.state == "failed"
    assert "ended by SIGKILL" in job.message
    assert f"model of step {step:,} is kept: download it, or start again" in job.message
    assert step == job.checkpoint().step == job.training_history.steps[-1]
    straight = trainer(data)
    for _ in range(step):
        straight.advance()
    assert same_weights(job.checkpoint().model, straight.model)
    assert ended == [job]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_is_modest_and_ends_with_its_parent(data, tmp_path):
    (tmp_path / "input").write_bytes(
        pickle.dumps((MAX_SECONDS, MAX_MEMORY)) + pickle.dumps(trainer(data))
    )
    program = textwrap.dedent("""
        import subprocess, sys, time
        worker = [sys.executable, "-m", "nmrclassify.training.worker"]
        worker = subprocess.Popen(worker, stdin=subprocess.PIPE)
        print(worker.pid, flush=True)
        worker.stdin.write(open("input", "rb").read())
        worker.stdin.flush()
        time.sleep(3600)
    """)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, stdout=subprocess.PIPE
    )
    with parent.stdout as messages:  # of the worker, after the line with its number
        worker = int(messages.readline())
        assert pickle.load(messages)[0] == "frame"
        assert os.getpriority(os.PRIO_PROCESS, worker) == 19
        limits = Path(f"/proc/{worker}/limits").read_text().splitlines()
        assert [line.split()[3] for line in limits if "data size" in line] == [str(MAX_MEMORY)]
        parent.kill()
        parent.wait()
        *_, last = iter(lambda: next_message(messages), None)  # until nobody can write any more
    assert last[0] == "halted"


def next_message(messages):
    try:
        return pickle.load(messages)
    except EOFError:
        return None


def test_a_full_disk_is_reported(data, make_job):
    def full(_):
        raise OSError("disk full")

    job = make_job(trainer(data), on_end=full)
    job.step()
    job.stop()
    assert job.state == "stopped"
    assert "could not be saved (disk full); download the model" in job.message
