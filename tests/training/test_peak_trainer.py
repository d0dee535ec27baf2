import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import nmrclassify
from nmrclassify import files
from nmrclassify.config import bounds
from nmrclassify.networks.peak_network import PeakNetwork, PeakNetworkConfig
from nmrclassify.networks.templates import TOLERANCE
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.synthetic import SyntheticConfig
from nmrclassify.training import peak_trainer
from nmrclassify.training.peak_trainer import (
    PeakTrainConfig,
    PeakTrainer,
    library,
    templates,
    training_example,
    training_examples,
)

TINY = PeakTrainConfig(steps=6, batch=4, compounds=40, libraries=2, n_low=5, n_high=10)
NET = PeakNetworkConfig(lines=4, places=6, hypotheses=8, rounds=2, judged=64, kept=32)
SHORT = replace(TINY, batch=2)


def same(one, other):
    """Whether two examples are the same bytes."""
    for a, b in ((one.hypotheses, other.hypotheses), (one.truth, other.truth)):
        for name, value in vars(a).items():
            if isinstance(value, torch.Tensor):
                if not torch.equal(value.nan_to_num(-7.0), getattr(b, name).nan_to_num(-7.0)):
                    return False
            elif name != "templates" and value != getattr(b, name):
                return False
    return True


def weights(trainer):
    return torch.cat([value.detach().flatten() for value in trainer.network.state_dict().values()])


def test_an_example_depends_on_the_seed_and_its_number_alone():
    number, one = training_example(TINY, 5)
    for config in (TINY, replace(TINY, steps=999, batch=16, learning_rate=1e-4)):
        again, other = training_example(config, 5)
        assert again == number
        assert same(one, other)
    assert not same(one, training_example(TINY, 6)[1])
    assert not same(one, training_example(replace(TINY, seed=8), 5)[1])


def test_examples_vary_within_the_options():
    clean = replace(TINY, disturbed=0.0)
    made = [training_example(clean, k) for k in range(30)]
    assert {number for number, _ in made} == {0, 1}
    counts = [int(one.truth.log_amounts.isfinite().sum()) for _, one in made]
    assert min(counts) >= 5
    assert max(counts) <= 10
    assert len(set(counts)) > 3
    assert len({one.hypotheses.spread for _, one in made}) > 3
    for number, one in made:
        assert len(one.truth.log_amounts) == 40
        assert one.hypotheses.templates.axis == FULL_AXIS
        assert torch.equal(one.hypotheses.templates.centres, templates(40, number).centres)


def test_disturbed_examples_have_other_frequencies_resolutions_and_fewer_compounds():
    disturbed = replace(TINY, disturbed=1.0)
    made = [training_example(disturbed, k)[1] for k in range(40)]
    used = [one.hypotheses.templates for one in made]
    assert len({t.axis.mhz for t in used}) > 4
    assert min(int(one.truth.log_amounts.isfinite().sum()) for one in made) < 5
    assert all(t.tolerance >= TOLERANCE for t in used)


def test_libraries_are_the_same_each_time_and_differ_from_one_another():
    first = library(40, 0)
    library.cache_clear()
    assert np.array_equal(library(40, 0).ppm, first.ppm)
    assert not np.array_equal(library(40, 1).ppm, first.ppm)


def test_some_compounds_that_a_library_does_not_hold_are_relatives_of_those_that_it_holds():
    held, others = peak_trainer.libraries(200, 0)
    assert (held.n_compounds, others.n_compounds) == (200, peak_trainer.N_UNKNOWN)
    assert not set(held.names) & set(others.names)

    def relatives(a, b):
        """Return how many of the second's compounds have two multiplets of one of the first."""
        of_one = Counter()
        for m, kind in enumerate(b.kinds):
            alike = np.array([kind == other for other in a.kinds])
            alike &= (np.abs(a.ppm - b.ppm[m]) < 0.05) & (a.protons == b.protons[m])
            of_one.update((b.compound[m], k) for k in set(a.compound[alike]))
        return len({k for (k, _), count in of_one.items() if count > 1})

    unrelated = peak_trainer.libraries(200, 3)[1]
    assert relatives(held, others) > relatives(held, unrelated) + 10


def test_an_uncertain_library_is_the_same_but_for_what_is_not_known_of_its_places():
    held, uncertain = library(40, 0), library(40, 0, True)
    assert np.array_equal(held.ppm, uncertain.ppm)
    assert not held.deviations.any()
    low, high = peak_trainer.DEVIATIONS
    some = uncertain.deviations[uncertain.deviations > 0]
    assert ((low <= some) & (some <= high)).all()
    assert 0.3 < len(some) / held.n_multiplets < 0.7


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("start", [0, 2])
def test_processes_divide_each_batch(world, start):
    parts = [peak_trainer._ExampleDataset(TINY, start, rank, world) for rank in range(world)]
    share = TINY.batch // world
    assert {len(part) for part in parts} == {share * (TINY.steps - start)}
    for step in range(TINY.steps - start):
        taken = [k for part in parts for k in part.indices[step * share : (step + 1) * share]]
        assert sorted(taken) == list(range((start + step) * 4, (start + step + 1) * 4))


@pytest.mark.parametrize("workers", [0, 1])
def test_the_stream_gives_the_examples_in_order(workers, monkeypatch):
    # A worker imports what the main module is, and Streamlit's page tests leave the app's entry
    # page there.
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    config = replace(TINY, steps=2)
    stream = list(training_examples(config, 1, rank=1, world=2, workers=workers))
    assert len(stream) == 2
    for made, index in zip(stream, (5, 7), strict=True):
        number, expected = training_example(config, index)
        assert same(made, expected)
        used = made.hypotheses.templates
        is_uncertain = bool(used.deviations.any())
        assert used is templates(40, number, used.axis.mhz, used.tolerance, is_uncertain)
        assert used.axis == expected.hypotheses.templates.axis


def test_a_training_can_start_from_a_network_without_the_inputs_on_the_whole_mixture():
    torch.manual_seed(1)
    old = PeakNetwork(replace(NET, context=0))
    trainer = PeakTrainer(SHORT, NET, workers=0, start=old)
    example = training_example(SHORT, 0)[1].hypotheses
    with torch.no_grad():
        assert torch.allclose(trainer.network(example).presence, old(example).presence, atol=1e-5)
    with pytest.raises(ValueError, match="choose one of the same sizes"):
        PeakTrainer(SHORT, NET, start=PeakNetwork(replace(NET, hypotheses=NET.hypotheses + 1)))


def test_further_rounds_start_as_the_last_one():
    torch.manual_seed(1)
    old = PeakNetwork(NET)
    more = PeakTrainer(SHORT, replace(NET, rounds=NET.rounds + 2), workers=0, start=old).network
    assert len(more.rounds) == NET.rounds + 2
    for number, step in enumerate(more.rounds):
        source = old.rounds[min(number, NET.rounds - 1)].state_dict()
        assert all(torch.equal(v, source[name]) for name, v in step.state_dict().items())
    with pytest.raises(ValueError, match="has 4 rounds; expected at most 2: choose one of the"):
        PeakTrainer(SHORT, NET, workers=0, start=more)
    # Training one does not change another.
    with torch.no_grad():
        more.rounds[-1].out.weight.add_(1.0)
    assert torch.equal(more.rounds[-2].out.weight, old.rounds[-1].out.weight)


def test_a_resumed_training_equals_one_without_interruption(tmp_path):
    whole, part = PeakTrainer(SHORT, NET, workers=0), PeakTrainer(SHORT, NET, workers=0)
    seen = []
    whole.run(lambda step, parts: seen.append((step, parts["loss"])))
    again = []
    part.run(lambda step, parts: again.append((step, parts["loss"])), halt=lambda: part.step == 3)
    assert part.step == 3
    assert not part.finished
    path = tmp_path / "training" / "state.safetensors"
    part.save(path)
    rest = PeakTrainer.resume(path, workers=0)
    assert (rest.step, rest.seconds, rest.config, rest.network.config) == (
        3,
        part.seconds,
        SHORT,
        NET,
    )
    rest.run(lambda step, parts: again.append((step, parts["loss"])))
    assert rest.finished
    assert [step for step, _ in seen] == [step for step, _ in again] == [1, 2, 3, 4, 5, 6]
    assert [loss for _, loss in again] == pytest.approx([loss for _, loss in seen], abs=1e-6)
    assert (weights(rest) - weights(whole)).abs().max() <= 1e-6
    assert rest.seconds > part.seconds > 0
    assert sorted(p.name for p in path.parent.iterdir()) == ["state.safetensors"]
    rest.run(lambda *_: pytest.fail("a training that is finished took a step"))


def test_one_seed_gives_the_same_weights_and_a_step_changes_all_of_them():
    clean = replace(SHORT, disturbed=0.0)  # of disturbed mixtures some have no line with a mask
    one, other = PeakTrainer(clean, NET, workers=0), PeakTrainer(clean, NET, workers=0)
    assert torch.equal(weights(one), weights(other))
    assert not torch.equal(weights(one), weights(PeakTrainer(replace(clean, seed=8), NET)))
    before = {name: value.detach().clone() for name, value in one.network.named_parameters()}
    one.run(halt=lambda: one.step == 2)
    assert all(
        not torch.equal(value, before[name]) for name, value in one.network.named_parameters()
    )
    assert float(one.network.temperature) == 1


def test_the_learning_rate_warms_up_and_falls():
    trainer = PeakTrainer(replace(SHORT, steps=1000), NET, workers=0)
    rates = []
    for trainer.step in range(1000):
        rates.append(trainer._rate())
    top = int(np.argmax(rates))
    assert 40 <= top <= 60
    assert rates[top] == pytest.approx(SHORT.learning_rate, rel=0.02)
    assert rates[0] < 0.03 * rates[top]
    assert (np.diff(rates[:top]) > 0).all()
    assert (np.diff(rates[top:]) < 0).all()
    assert 0 < rates[-1] < 0.02 * rates[top]


def test_a_crash_while_saving_leaves_the_old_file_whole(tmp_path, monkeypatch):
    trainer = PeakTrainer(SHORT, NET, workers=0)
    path = tmp_path / "state.safetensors"
    trainer.save(path)
    before = path.read_bytes()

    def crash(*_):
        raise OSError("disk full")

    monkeypatch.setattr(files.os, "replace", crash)
    trainer.step = 5
    with pytest.raises(OSError, match="disk full"):
        trainer.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    assert PeakTrainer.resume(path, workers=0).step == 0


def test_only_the_first_process_writes(tmp_path):
    trainer = PeakTrainer(SHORT, NET, workers=0)
    trainer.rank = 1
    trainer.save(tmp_path / "state.safetensors")
    assert not list(tmp_path.iterdir())


def test_there_must_be_something_to_go_on_from(tmp_path):
    with pytest.raises(ValueError, match="no interrupted training at .*start one without --resume"):
        PeakTrainer.resume(tmp_path / "state.safetensors")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_low": 11}, "n_low is 11, n_high 10 and compounds 40; expected"),
        ({"n_high": 41}, "n_low is 5, n_high 41 and compounds 40; expected"),
        ({"compounds": 9901}, "compounds is 9901; expected a whole number from 2 to 9900"),
        ({"batch": 0}, "batch is 0; expected a whole number from 1"),
        ({"steps": 2.5}, "steps is 2.5; expected a whole number"),
        ({"learning_rate": float("nan")}, "learning_rate is nan; expected"),
    ],
)
def test_trainings_that_cannot_be_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        replace(TINY, **values)


def test_a_batch_that_the_processes_cannot_share_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ValueError, match="batch is 4; expected a multiple of the 3 processes"):
        PeakTrainer(TINY, NET)


def test_unknown_compounds_never_come_from_the_library_of_the_mixture(monkeypatch):
    # With one library alone, the next one is the same: what is unknown would be there, and labelled
    # absent.
    drawn, draw = [], peak_trainer.draw_mixture

    def watched(compounds, recipe, rng, axis, unknown):
        drawn.append((recipe.n_unknown, unknown is compounds))
        return draw(compounds, recipe, rng, axis, unknown)

    monkeypatch.setattr(peak_trainer, "draw_mixture", watched)
    for index in range(12):
        training_example(replace(TINY, libraries=1), index)
    assert not any(n and own for n, own in drawn)


def test_every_example_of_a_tiny_library_can_be_drawn():
    config = replace(TINY, compounds=5, n_low=2, n_high=5)
    assert len([training_example(config, index) for index in range(25)]) == 25


def test_the_largest_library_of_a_training_can_be_drawn_with_its_unknown_compounds():
    most = bounds(PeakTrainConfig, "compounds").high
    assert most + peak_trainer.N_UNKNOWN == bounds(SyntheticConfig, "n_compounds").high


def test_the_examples_are_those_of_their_version():
    # If this fails because examples have changed, raise EXAMPLES_VERSION and state the new ones.
    made = [training_example(TINY, index) for index in (0, 1, 2, 11)]
    hypotheses = [one.hypotheses for _, one in made]
    assert peak_trainer.EXAMPLES_VERSION == 2
    assert [number for number, _ in made] == [1, 1, 0, 1]
    assert [h.templates.axis.mhz for h in hypotheses] == [600, 400, 200, 60]
    areas = [float(h.areas.sum()) for h in hypotheses]
    assert areas == pytest.approx([197.85, 816.76, 571.91, 9897.09], rel=1e-4)
    occupied = [float(h.occupied) for h in hypotheses]
    assert occupied == pytest.approx([0.0481, 0.07187, 0.05703, 0.88134], rel=1e-3)
    votes = [float(h.votes.clamp(min=-60).sum()) for h in hypotheses]
    assert votes == pytest.approx([-5366.8, -5961.1, -5877.7, -5850.8], rel=1e-3)
    shifts = [float(one.truth.shifts.nansum()) for _, one in made]
    assert shifts == pytest.approx([-0.2886, 0.02713, 0.10705, -0.01228], rel=1e-3)


@pytest.mark.parametrize("version", [None, 0, 1, 3])
def test_a_state_whose_examples_have_changed_is_refused(tmp_path, monkeypatch, version):
    path = tmp_path / "state.safetensors"
    monkeypatch.setattr(peak_trainer, "EXAMPLES_VERSION", version)
    PeakTrainer(SHORT, NET, workers=0).save(path)
    monkeypatch.undo()
    with pytest.raises(
        ValueError, match=f"has examples of version {version}; expected 2: finish it .* start again"
    ):
        PeakTrainer.resume(path, workers=0)


SCRIPT = """
import json, sys
from pathlib import Path
from types import ModuleType

import torch
from torch import distributed

torch.set_num_threads(1)
from nmrclassify.networks.peak_network import PeakNetworkConfig
from nmrclassify.training.peak_trainer import PeakTrainConfig, PeakTrainer

config, network, folder = json.loads(sys.argv[1]), json.loads(sys.argv[2]), Path(sys.argv[3])
trainer = PeakTrainer(PeakTrainConfig(**config), PeakNetworkConfig(**network), workers=0)
losses = []
trainer.run(lambda step, parts: losses.append(parts["loss"]))
values = torch.cat([value.flatten() for value in trainer.network.state_dict().values()]).tolist()
result = {"world": trainer.world, "losses": losses, "weights": values}
(folder / f"rank{trainer.rank}.json").write_text(json.dumps(result))
trainer.save(folder / "state.safetensors")
distributed.destroy_process_group()
"""


def test_two_processes_train_as_one_does(tmp_path):
    config = replace(TINY, steps=4, batch=2)
    alone = PeakTrainer(config, NET, workers=0)
    losses = []
    alone.run(lambda step, parts: losses.append(parts["loss"]))
    (tmp_path / "script.py").write_text(SCRIPT)
    arguments = [json.dumps(vars(config)), json.dumps(vars(NET)), str(tmp_path)]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": str(Path(nmrclassify.__file__).parents[1]),
    }
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ]
    made = subprocess.run(
        [*launcher, str(tmp_path / "script.py"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert made.returncode == 0, made.stderr[-3000:]
    one, two = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert one["world"] == two["world"] == 2
    assert one["weights"] == two["weights"]
    assert one["losses"] != two["losses"]
    assert (np.array(one["losses"]) + two["losses"]) / 2 == pytest.approx(losses, rel=1e-5)
    assert np.abs(np.array(one["weights"]) - weights(alone).numpy()).max() <= 1e-5
    again = PeakTrainer.resume(tmp_path / "state.safetensors", workers=0)
    assert again.step == 4
    assert weights(again).tolist() == pytest.approx(one["weights"])


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[: len(b) // 2],
        lambda b: b"\x80\x04.",
        lambda b: b.replace(b'optimiser.0.exp_avg"', b'optimiser.0.exp_avx"'),
    ],
)
def test_a_damaged_state_is_refused_in_one_sentence(tmp_path, damage):
    trainer = PeakTrainer(SHORT, NET, workers=0)
    trainer.train_step([training_example(SHORT, i)[1] for i in range(4)])
    path = tmp_path / "training.safetensors"
    trainer.save(path)
    assert PeakTrainer.resume(path, workers=0).step == 1
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="damaged"):
        PeakTrainer.resume(path, workers=0)
