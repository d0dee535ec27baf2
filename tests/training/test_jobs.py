import threading
import time
from dataclasses import replace

import pytest

from nmrclassify.mixtures.presets import build
from nmrclassify.training import jobs
from nmrclassify.training.jobs import Job, JobQueue, QueueFull
from nmrclassify.training.trainer import Trainer, recipe


@pytest.fixture(autouse=True)
def few_validation_mixtures(monkeypatch):
    """Calibrate on few mixtures: the fit takes longer than these trainings."""
    monkeypatch.setattr("nmrclassify.training.trainer.VALIDATION_MIXTURES", 40)


def trainer(quick, steps=400, kind="slots"):
    return Trainer(quick, replace(recipe("modern"), steps=steps, batch_size=4), kind=kind)


def wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def test_a_job_runs_to_its_end_and_tells(quick):
    ended = []
    job = Job(trainer(quick, 8), JobQueue(), on_end=ended.append)
    assert job.state == "ready"
    assert job.latest.step == 0
    job.start()
    wait_until(lambda: job.state == "finished")
    assert job.latest.step == 8
    assert ended == [job]
    assert job.history[-1]["step"] == 8
    job.start()
    assert job.state == "finished"


def test_pause_go_on_step_and_stop(quick):
    ended = []
    job = Job(trainer(quick), JobQueue(), on_end=ended.append)
    job.start()
    wait_until(lambda: job.latest.step > 0)
    job.pause()
    assert job.state == "paused"
    step = job.latest.step
    job.step()
    assert (job.latest.step, job.state) == (step + 1, "paused")
    job.start()
    wait_until(lambda: job.latest.step > step + 1)
    job.stop()
    assert job.state == "stopped"
    assert ended == [job]
    step = job.latest.step
    job.start()
    job.step()
    time.sleep(0.1)
    assert job.latest.step == step


def test_pausing_changes_no_number(quick):
    straight, halted = trainer(quick, 16), trainer(quick, 16)
    list(straight.snapshots(16))
    job = Job(halted, JobQueue())
    for _ in range(3):
        job.start()
        time.sleep(0.05)
        job.pause()
    job.start()
    wait_until(lambda: job.state == "finished")
    assert (
        job.latest.pinned.probabilities.tolist()
        == straight.snapshot().pinned.probabilities.tolist()
    )


def test_a_job_trains_queries_to_a_calibrated_model(quick):
    taken = []
    job = Job(
        trainer(quick, 8, "queries"), JobQueue(), on_end=lambda job: taken.append(job.checkpoint())
    )
    assert job.kind == "queries"
    assert job.pinned_truth.counts.sum() == 3
    job.start()
    wait_until(lambda: job.state == "finished")
    assert taken[0].model.kind == "queries"
    assert float(taken[0].model.temperature) != 1
    assert taken[0].metrics["compound_accuracy"] == job.latest.test["compound_accuracy"]
    assert job.pinned_truth.present.tolist() == sorted(job.pinned.labels[0].tolist())


def test_a_job_knows_what_it_trains(quick):
    job = Job(trainer(quick, 8, "queries"), JobQueue())
    config = replace(recipe("modern"), steps=8, batch_size=4)
    assert job.describes(quick, config, 3, "queries")
    assert job.describes(build("quick", 3), config, 3, "queries")
    for other in (
        (quick, config, 3, "slots"),
        (quick, config, 4, "queries"),
        (quick, replace(config, steps=9), 3, "queries"),
    ):
        assert not job.describes(*other)
    assert not job.describes(build("quick", 4), config, 3, "queries")


def test_only_so_many_run_and_the_rest_queue_in_order(quick):
    places = JobQueue(n=1, waiting=2)
    queued = [Job(trainer(quick), places) for _ in range(4)]
    queued[0].start()
    wait_until(lambda: queued[0].state == "running")
    queued[1].start()
    queued[2].start()
    assert (queued[1].state, queued[1].ahead, queued[2].ahead) == ("waiting", 0, 1)
    with pytest.raises(QueueFull, match="2 trainings are waiting"):
        queued[3].start()
    assert queued[3].state == "ready"
    queued[1].stop()
    assert queued[2].ahead == 0
    queued[0].stop()
    wait_until(lambda: queued[2].state == "running")
    queued[2].stop()


def test_a_job_has_a_time_limit(quick):
    job = Job(trainer(quick, 50_000), JobQueue(), max_seconds=0.3)
    job.start()
    wait_until(lambda: job.state == "stopped")
    assert "minutes, the limit" in job.message
    assert 0 < job.latest.step < 50_000


def test_a_failure_is_told_and_frees_the_place(quick):
    places = JobQueue(n=1)
    broken = trainer(quick)
    job = Job(broken, places)
    broken.advance = lambda: (_ for _ in ()).throw(RuntimeError("out of luck"))
    job.start()
    wait_until(lambda: job.state == "failed")
    assert job.message == "training failed: out of luck"
    other = Job(trainer(quick, 2), places)
    other.start()
    wait_until(lambda: other.state == "finished")


def test_a_checkpoint_is_a_copy_and_comes_while_training(quick):
    job = Job(trainer(quick), JobQueue())
    job.start()
    wait_until(lambda: job.latest.step > 0)
    began = time.monotonic()
    taken = job.checkpoint()
    assert time.monotonic() - began < 5
    weights = [p.clone() for p in taken.model.parameters()]
    step = job.latest.step
    wait_until(lambda: job.latest.step > step)
    assert all((a == b).all() for a, b in zip(weights, taken.model.parameters(), strict=False))
    job.stop()


def test_a_full_disk_is_told(quick):
    def full(_):
        raise OSError("disk full")

    job = Job(trainer(quick, 2), JobQueue(), on_end=full)
    job.start()
    wait_until(lambda: job.state == "finished")
    assert "could not be written" in job.message


def test_no_thread_is_left(quick):
    job = Job(trainer(quick), JobQueue())
    job.start()
    job.stop()
    assert not [t for t in threading.enumerate() if t.name == "training" and t.is_alive()]


def test_a_training_makes_way_for_a_page_but_never_stands_still(quick, monkeypatch):
    monkeypatch.setattr(jobs, "YIELD_SECONDS", 2.5)
    job = Job(trainer(quick, 50_000), JobQueue())
    job.start()
    wait_until(lambda: job.latest.step > 0)
    jobs.yield_to_visitors()
    time.sleep(1.0)  # the step that is being taken ends, on a busy machine too
    before = job._trainer.step
    time.sleep(0.7)
    assert job._trainer.step == before
    for _ in range(50):
        jobs.yield_to_visitors()
        time.sleep(0.1)
    assert job._trainer.step > before
    job.stop()


def test_a_job_keeps_the_steps_that_it_went_through(quick):
    taken = []
    job = Job(
        trainer(quick, 8), JobQueue(), on_end=lambda job: taken.append(job.training_history.steps)
    )
    assert job.training_history.steps == (0,)
    job.start()
    wait_until(lambda: job.state == "finished")
    assert job.training_history.steps == tuple(range(9))
    assert taken == [job.training_history.steps]
    kept = job.checkpoint().model.state_dict()
    assert all(
        (value == kept[name]).all()
        for name, value in job.training_history.network(8).state_dict().items()
    )


def test_a_stopped_job_keeps_its_last_step_before_it_tells_its_end(quick):
    taken = []
    halted = trainer(quick, 50_000)
    job = Job(halted, JobQueue(), on_end=lambda job: taken.append(job.training_history.steps[-1]))
    due = halted.training_history.due
    halted.training_history.due = lambda step: step % 7 == 0 and due(step)
    for _ in range(9):
        job.step()
    assert job.training_history.steps == (0, 7)
    job.stop()
    assert job.training_history.steps == (0, 7, 9)
    assert taken == [9]
    kept = job.checkpoint().model.state_dict()
    assert all(
        (value == kept[name]).all()
        for name, value in job.training_history.network(9).state_dict().items()
    )


def test_the_steps_can_be_looked_at_while_a_job_runs(quick):
    job = Job(trainer(quick, 50_000), JobQueue())
    job.start()
    areas, seen = quick.test_mixtures().areas[0], []
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        steps = job.training_history.steps
        rows = job.training_history.presences(areas)
        assert len(rows) >= len(steps)
        assert list(steps) == sorted(set(steps))
        assert steps[0] == 0
        job.training_history.network(steps[-1])
        seen.append(steps[-1])
    job.stop()
    assert seen[-1] > seen[0]
