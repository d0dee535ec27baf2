import threading
from dataclasses import replace

import pytest

from nmrclassify.mixtures.presets import build
from nmrclassify.training.jobs import YIELD_SECONDS, Job, JobQueue, QueueFull
from nmrclassify.training.recipes import recipe
from nmrclassify.training.trainer import Trainer

ENDLESS = 50_000


@pytest.fixture(autouse=True)
def few_validation_mixtures(monkeypatch):
    """Calibrate on few mixtures: the fit takes longer than these trainings."""
    monkeypatch.setattr("nmrclassify.training.trainer.VALIDATION_MIXTURES", 40)


@pytest.fixture
def make_job(quick):
    """Make jobs that are stopped when the test ends, whether or not it passes."""
    jobs = []

    def make(trainer, queue=None, **options):
        jobs.append(Job(trainer, queue or JobQueue(), **options))
        return jobs[-1]

    yield make
    for job in jobs:
        job.stop(keep=False)


class Clock:
    """A clock that goes on only when somebody sleeps or a step is taken."""

    def __init__(self):
        self.now, self.pauses = 0.0, []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self.pauses.append(seconds)


def trainer(quick, steps=ENDLESS, kind="slots"):
    return Trainer(quick, replace(recipe("modern"), steps=steps, batch_size=4), kind=kind)


def before_each_step(trainer, action):
    """Call `action` before each step of a trainer."""
    advance = trainer.advance

    def acting():
        action()
        return advance()

    trainer.advance = acting
    return trainer


def same_weights(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all((a == b).all() for a, b in pairs)


def test_a_job_runs_to_its_end_and_calls_on_end_once(quick, make_job, wait_until):
    ended = []
    job = make_job(trainer(quick, 8), on_end=ended.append)
    assert job.state == "ready"
    assert job.latest.step == 0
    job.start()
    wait_until(lambda: job.state == "finished")
    assert job.latest.step == 8
    assert ended == [job]
    assert job.history[-1]["step"] == 8
    job.start()
    assert job.state == "finished"


def test_pause_go_on_step_and_stop(quick, make_job, wait_until):
    ended = []
    job = make_job(trainer(quick), on_end=ended.append)
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
    assert job.state == "stopped"
    assert job.latest.step == step


def test_pausing_changes_no_number(quick, make_job, wait_until):
    straight, halted = trainer(quick, 16), trainer(quick, 16)
    list(straight.snapshots(16))
    job = make_job(halted)
    pauses = [4, 8, 12]

    def pause_at_some_steps():
        if halted.step in pauses:
            pauses.remove(halted.step)
            job.pause()

    before_each_step(halted, pause_at_some_steps)
    while pauses:
        job.start()
        wait_until(lambda: job.state == "paused")
    job.start()
    wait_until(lambda: job.state == "finished")
    assert (
        job.latest.pinned.probabilities.tolist()
        == straight.snapshot().pinned.probabilities.tolist()
    )


def test_a_job_trains_queries_to_a_calibrated_model(quick, make_job, wait_until):
    kept = []
    job = make_job(trainer(quick, 8, "queries"), on_end=lambda job: kept.append(job.checkpoint()))
    assert job.kind == "queries"
    assert job.pinned_truth.counts.sum() == 3
    job.start()
    wait_until(lambda: job.state == "finished")
    assert kept[0].model.kind == "queries"
    assert float(kept[0].model.temperature) != 1
    assert kept[0].metrics["compound_accuracy"] == job.latest.test["compound_accuracy"]
    assert job.pinned_truth.present.tolist() == sorted(job.pinned.labels[0].tolist())


def test_a_job_matches_only_what_it_trains(quick, make_job):
    job = make_job(trainer(quick, 8, "queries"))
    config = replace(recipe("modern"), steps=8, batch_size=4)
    assert job.matches(quick, config, 3, "queries")
    assert job.matches(build("quick", 3), config, 3, "queries")
    for other in (
        (quick, config, 3, "slots"),
        (quick, config, 4, "queries"),
        (quick, replace(config, steps=9), 3, "queries"),
    ):
        assert not job.matches(*other)
    assert not job.matches(build("quick", 4), config, 3, "queries")
    assert not job.matches(quick, config, 3, "queries", n_filters=16)


def test_only_so_many_run_and_the_rest_queue_in_order(quick, make_job, wait_until):
    queue = JobQueue(max_running=1, max_waiting=2)
    jobs = [make_job(trainer(quick), queue) for _ in range(4)]
    jobs[0].start()
    wait_until(lambda: jobs[0].state == "running")
    jobs[1].start()
    jobs[2].start()
    assert (jobs[1].state, jobs[1].n_ahead, jobs[2].n_ahead) == ("waiting", 0, 1)
    with pytest.raises(QueueFull, match="2 trainings are waiting"):
        jobs[3].start()
    assert jobs[3].state == "ready"
    jobs[1].stop()
    assert jobs[2].n_ahead == 0
    jobs[0].stop()
    wait_until(lambda: jobs[2].state == "running")


def test_a_job_has_a_time_limit(quick, make_job, wait_until):
    clock = Clock()
    endless = before_each_step(trainer(quick), lambda: clock.sleep(6.0))
    job = make_job(endless, JobQueue(clock=clock, sleep=clock.sleep), max_seconds=60.0)
    job.start()
    wait_until(lambda: job.state == "stopped")
    assert job.message == "stopped after 1 minutes, the limit for one training"
    assert job.latest.step == 10


def test_the_time_limit_counts_all_turns(quick, make_job, wait_until):
    clock = Clock()
    endless = before_each_step(trainer(quick), lambda: clock.sleep(6.0))
    job = make_job(endless, JobQueue(clock=clock, sleep=clock.sleep), max_seconds=60.0)
    for _ in range(7):
        job.step()
    clock.sleep(1000.0)  # a pause is not computing time
    job.start()
    wait_until(lambda: job.state == "stopped")
    assert job.latest.step == 10


def test_a_failure_is_reported_and_frees_the_place(quick, make_job, wait_until):
    queue = JobQueue(max_running=1)
    broken = trainer(quick)
    job = make_job(broken, queue)
    broken.advance = lambda: (_ for _ in ()).throw(RuntimeError("out of luck"))
    job.start()
    wait_until(lambda: job.state == "failed")
    assert job.message == "training failed: out of luck"
    other = make_job(trainer(quick, 2), queue)
    other.start()
    wait_until(lambda: other.state == "finished")


def test_a_checkpoint_is_a_copy_and_comes_while_training(quick, make_job, wait_until):
    job = make_job(trainer(quick))
    job.start()
    wait_until(lambda: job.latest.step > 0)
    checkpoint = job.checkpoint()
    assert job.state == "running"
    weights = [p.clone() for p in checkpoint.model.parameters()]
    step = job.latest.step
    wait_until(lambda: job.latest.step > step)
    now = checkpoint.model.parameters()
    assert all((a == b).all() for a, b in zip(weights, now, strict=True))


def test_a_full_disk_is_reported(quick, make_job, wait_until):
    def full(_):
        raise OSError("disk full")

    job = make_job(trainer(quick, 2), on_end=full)
    job.start()
    wait_until(lambda: job.state == "finished")
    assert "could not be written" in job.message


def test_no_thread_is_left(quick, make_job):
    job = make_job(trainer(quick))
    job.start()
    assert [t for t in threading.enumerate() if t.name == "training"]
    job.stop()
    assert not [t for t in threading.enumerate() if t.name == "training"]


@pytest.mark.parametrize("visited", [True, False])
def test_a_training_yields_to_visitors_at_most_half_of_the_time(
    quick, make_job, wait_until, visited
):
    clock, step_seconds, steps = Clock(), 0.05, 60
    queue = JobQueue(clock=clock, sleep=clock.sleep)

    def take_time():
        clock.now += step_seconds
        if visited:
            queue.yield_to_visitors()

    job = make_job(before_each_step(trainer(quick, steps), take_time), queue)
    job.start()
    wait_until(lambda: job.state == "finished")
    assert len(clock.pauses) == steps
    yielded = [seconds for seconds in clock.pauses if seconds > 0.01]
    if visited:
        assert yielded == pytest.approx([YIELD_SECONDS] * len(yielded))
        computed = steps * step_seconds
        assert computed - 2 * YIELD_SECONDS < sum(yielded) < computed + YIELD_SECONDS
    else:
        assert not yielded


def test_a_job_keeps_the_steps_that_it_went_through(quick, make_job, wait_until):
    kept = []
    job = make_job(trainer(quick, 8), on_end=lambda job: kept.append(job.training_history.steps))
    assert job.training_history.steps == (0,)
    job.start()
    wait_until(lambda: job.state == "finished")
    assert job.training_history.steps == tuple(range(9))
    assert kept == [job.training_history.steps]
    assert same_weights(job.checkpoint().model, job.training_history.network(8))


def test_a_stopped_job_keeps_its_last_step_before_its_state_changes(quick, make_job):
    kept = []
    halted = trainer(quick)
    job = make_job(halted, on_end=lambda job: kept.append((job.state, *job.training_history.steps)))
    due = halted.training_history.due
    halted.training_history.due = lambda step: step % 7 == 0 and due(step)
    for _ in range(9):
        job.step()
    assert job.training_history.steps == (0, 7)
    job.stop()
    assert job.training_history.steps == (0, 7, 9)
    assert kept == [("paused", 0, 7, 9)]
    assert same_weights(job.checkpoint().model, job.training_history.network(9))


def test_the_steps_can_be_read_while_a_job_runs(quick, make_job, wait_until):
    job = make_job(trainer(quick))
    areas, last_steps = quick.test_mixtures().areas[0], []

    def read():
        steps = job.training_history.steps
        rows, _ = job.training_history.presences(areas)
        assert len(rows) >= len(steps)
        assert list(steps) == sorted(set(steps))
        assert steps[0] == 0
        job.training_history.network(steps[-1])
        last_steps.append(steps[-1])
        return len(last_steps) > 10 and last_steps[-1] > last_steps[0]

    job.start()
    wait_until(read)
