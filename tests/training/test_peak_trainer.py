import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import nmrclassify
from nmrclassify import files
from nmrclassify.networks.peak_network import PeakNetwork, PeakNetworkConfig
from nmrclassify.training import peak_trainer
from nmrclassify.training.peak_examples import PeakTrainConfig, training_example
from nmrclassify.training.peak_trainer import PeakTrainer

TINY = PeakTrainConfig(steps=6, batch=4, compounds=40, libraries=2, n_low=5, n_high=10)
NET = PeakNetworkConfig(lines=4, places=6, hypotheses=8, rounds=2, judged=64, kept=32)
SHORT = replace(TINY, batch=2)


def weights(trainer):
    return torch.cat([value.detach().flatten() for value in trainer.network.state_dict().values()])


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
