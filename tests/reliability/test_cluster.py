"""Trainings and calls on a cluster of two workers of this machine: `dask.distributed`."""

import importlib
import math
import os
import signal
import socket
import sys
from dataclasses import replace

import pytest
import torch

from nmrclassify.bench._parallel import run_all
from nmrclassify.bench.cluster import started
from nmrclassify.training import checkpoints, cluster, run_states
from nmrclassify.training.checkpoints import Checkpoint
from nmrclassify.training.history import weights_of
from nmrclassify.training.job_queue import JobQueue, max_running
from nmrclassify.training.jobs import Job
from nmrclassify.training.recipes import recipe
from nmrclassify.training.trainer import Trainer

STEPS, ENDLESS = 100, 50_000
SECONDS = 300  # on a busy machine


@pytest.fixture(scope="module")
def data(quick):
    """The quick preset with few mixtures to calibrate on, so that trainings end soon."""
    return replace(quick, validation=quick.validation[:40])


@pytest.fixture
def until(wait_until):
    return lambda condition: wait_until(condition, seconds=SECONDS)


@pytest.fixture(scope="module")
def two_workers():
    """Two workers that have imported torch, so that both soon train; one test kills one."""
    with started(2) as scheduler:
        with cluster.connect(scheduler) as client:
            client.run(importlib.import_module, "nmrclassify.training.trainer")
        yield scheduler


@pytest.fixture
def make_job():
    """Make jobs that are stopped when the test ends, whether or not it passes."""
    jobs = []

    def make(trainer, **options):
        jobs.append(Job(trainer, JobQueue(max_running()), **options))
        return jobs[-1]

    yield make
    for job in jobs:
        job.stop(keep=False)


def trainer(data, steps=ENDLESS, seed=1):
    return Trainer(data, replace(recipe("modern"), steps=steps, batch_size=4), seed)


def same_as_straight(job, data, steps, seed=1):
    """Whether the job has the bytes of the same training in this process."""
    straight = trainer(data, steps, seed)
    *_, last = straight.snapshots(steps)
    expected = checkpoints.to_bytes(Checkpoint.from_trainer(straight, last.test))
    return (
        checkpoints.to_bytes(job.checkpoint()) == expected
        and job.training_history.to_bytes() == straight.training_history.to_bytes()
    )


@pytest.mark.usefixtures("two_workers")
def test_a_killed_worker_loses_no_training(data, make_job, until, monkeypatch):
    follow, begun = Job._follow, []

    def counting(job, kind, *content):
        if kind == "begun":
            begun.append(job)
        return follow(job, kind, *content)

    monkeypatch.setattr(Job, "_follow", counting)
    jobs = [make_job(trainer(data, STEPS, seed)) for seed in range(4)]
    for job in jobs:
        job.start()

    def running():
        return [job for job in jobs if job.state == "running"]

    until(lambda: len(running()) == 2)
    killed = min(running(), key=lambda job: job.latest.step)
    os.kill(killed.process_id, signal.SIGKILL)
    until(lambda: all(job.over for job in jobs))
    assert [(job.state, job.message) for job in jobs] == [("finished", "")] * 4
    assert begun.count(killed) == 2
    for seed, job in enumerate(jobs):
        assert same_as_straight(job, data, STEPS, seed)
        steps = [row["step"] for row in job.history]
        assert steps == sorted(set(steps))


@pytest.mark.usefixtures("two_workers")
def test_pause_go_on_and_stop_on_a_cluster(data, make_job, until):
    ended = []
    job = make_job(trainer(data), on_end=ended.append)
    job.start()
    until(lambda: job.latest.step > 0)
    assert job.process_id != os.getpid()
    job.pause()
    assert (job.state, job.process_id) == ("paused", None)
    step = job.latest.step
    job.step()
    assert (job.latest.step, job.state) == (step + 1, "paused")
    job.start()
    until(lambda: job.latest.step > step + 1)
    job.stop()
    assert (job.state, job.message, ended) == ("stopped", "", [job])
    assert job.latest.step == job.checkpoint().step == job.training_history.steps[-1]


@pytest.mark.usefixtures("two_workers")
def test_the_state_is_saved_while_a_worker_trains(data, make_job, until, monkeypatch, tmp_path):
    monkeypatch.setattr(cluster, "STATE_SECONDS", 0.1)
    folder = tmp_path / "run"
    job = make_job(trainer(data), folder=folder)
    job.start()
    until((folder / run_states.STATE).is_file)
    assert job.active
    resumed = run_states.resume(folder)  # as after a crash of the server
    assert resumed.step > 0
    straight = trainer(data)
    for _ in range(resumed.step):
        straight.advance()
    ours, expected = weights_of(resumed.model), weights_of(straight.model)
    assert torch.equal(ours, expected)


@pytest.mark.usefixtures("two_workers")
def test_a_training_in_two_turns_gives_the_same_bytes(data, make_job, until):
    job = make_job(trainer(data, STEPS))
    job.start()
    until(lambda: job.latest.step > 0)
    job.pause()  # the rest is another task
    job.start()
    until(lambda: job.over)
    assert (job.state, job.message) == ("finished", "")
    assert same_as_straight(job, data, STEPS)


@pytest.mark.usefixtures("two_workers")
def test_a_training_that_waits_for_a_worker_can_be_stopped(data, make_job, until):
    jobs = [make_job(trainer(data)) for _ in range(3)]
    for job in jobs:
        job.start()
    until(lambda: "running" in [job.state for job in jobs])
    waiting = next(job for job in jobs if job.state == "waiting")
    waiting.pause()
    assert (waiting.state, waiting.message) == ("paused", "")
    waiting.start()
    assert waiting.state == "waiting"
    for job in jobs:
        if job is not waiting:
            job.stop()
    until(lambda: waiting.state == "running")


@pytest.mark.usefixtures("two_workers")
def test_the_time_limit_holds_on_a_cluster(data, make_job, until):
    job = make_job(trainer(data), max_seconds=60.0)
    job._trainer.seconds = 59.999  # a step takes longer than a millisecond
    job.start()
    until(lambda: job.over)
    assert job.message == "stopped after 1 minutes, the limit for one training"
    assert (job.state, job.latest.step) == ("stopped", 1)


@pytest.mark.usefixtures("two_workers")
def test_an_error_on_a_worker_is_reported(data, make_job, until):
    broken = trainer(data)
    broken.optimiser = None
    job = make_job(broken)
    job.start()
    until(lambda: job.over)
    assert job.state == "failed"
    assert "training failed: 'NoneType' object has no attribute" in job.message


@pytest.mark.usefixtures("two_workers")
def test_a_worker_of_another_version_is_refused(data, make_job, until, monkeypatch):
    monkeypatch.setattr(cluster, "__version__", "9.9")
    job = make_job(trainer(data))
    job.start()
    until(lambda: job.over)
    assert job.state == "failed"
    assert "expected 9.9, that of the server: install the same version" in job.message


@pytest.mark.usefixtures("two_workers")
def test_a_measurement_gives_the_same_on_a_cluster(monkeypatch):
    calls = [(math.factorial, (n,)) for n in (5, 3, 4, 2)]
    # What has the form of a call stays what it is.
    calls += [(os.path.join, ("a", "b")), (str, ((math.factorial, 3),)), (os.getpid, ())]
    *there, process = run_all(calls, "call")
    with pytest.raises(ValueError, match="factorial"):
        run_all([(math.factorial, (-1,)), (math.factorial, (3,))], "call")
    monkeypatch.delenv("NMRCLASSIFY_SCHEDULER")
    *here, _ = run_all(calls, "call")
    assert there == here
    assert process != os.getpid()


def test_a_lost_scheduler_is_reported(data, make_job, until, monkeypatch):
    with started(1):
        job = make_job(trainer(data))
        job.start()
        until(lambda: job.latest.step > 0)
    until(lambda: job.over)
    assert job.state == "failed"
    assert "the scheduler of the cluster was lost. Its model of step " in job.message
    assert job.checkpoint().step == job.latest.step > 0


def test_a_missing_scheduler_is_reported(data, make_job, until, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nothing listens
        monkeypatch.setenv("NMRCLASSIFY_SCHEDULER", f"127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
        job = make_job(trainer(data))
        job.start()
        until(lambda: job.over)
    assert job.state == "failed"
    assert "no scheduler answers at 127.0.0.1:" in job.message
    assert "start one with `dask scheduler`, or correct NMRCLASSIFY_SCHEDULER" in job.message


def test_missing_dask_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"`pip install \.\[cluster\]` installs it"):
        cluster.connect("127.0.0.1:8786")


@pytest.mark.parametrize("text", ["tcp://192.0.2.1:8786", "tls://a-b.example.org:1", "[::1]:8786"])
def test_addresses_of_schedulers(monkeypatch, text):
    monkeypatch.setenv("NMRCLASSIFY_SCHEDULER", text)
    assert (cluster.address(), max_running()) == (text, math.inf)


@pytest.mark.parametrize("text", ["", "192.0.2.1", "http://192.0.2.1:80", "a b:1", "inproc://1:2"])
def test_what_is_no_address_is_refused(monkeypatch, text):
    monkeypatch.setenv("NMRCLASSIFY_SCHEDULER", text)
    with pytest.raises(ValueError, match="expected the address that `dask scheduler` prints"):
        max_running()
