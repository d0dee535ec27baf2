"""Weights of a step come back to the last bit; frames are few, and early ones closer."""

import copy
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save as save_tensors

from nmrclassify.mixtures.grid import MixtureConfig
from nmrclassify.mixtures.presets import build
from nmrclassify.networks.conv_tasnet import NetworkConfig
from nmrclassify.networks.slots import Slots
from nmrclassify.training import history, run_states, trainer
from nmrclassify.training.history import TrainingHistory, first_decided
from nmrclassify.training.recipes import recipe
from nmrclassify.training.trainer import Trainer, model_for


@pytest.fixture(autouse=True)
def few_validation_mixtures(monkeypatch):
    """Calibrate on few mixtures: the fit takes longer than these trainings."""
    monkeypatch.setattr(trainer, "VALIDATION_MIXTURES", 40)


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return Slots(
        NetworkConfig(1, 4, 2, 1, n_filters=2, n_bottleneck=2, n_hidden=2, n_stacks=1, n_layers=1)
    )


def size_of(model):
    """Return the bytes of what training changes: the weights and the temperature."""
    return 4 * (model.n_parameters + 1)


def told(model, areas):
    """Return all that a network says of a mixture, one tensor after the other."""
    with torch.inference_mode():
        output, record = model.eval()(torch.from_numpy(areas)[None])
    return [*([output] if isinstance(output, torch.Tensor) else output), *record[:4]]


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("slots", MixtureConfig()),
        ("queries", MixtureConfig()),
        ("queries", MixtureConfig(repetition=True)),
    ],
)
def test_a_step_answers_as_it_did_to_the_last_bit(kind, config):
    data = build("quick", 3, config)
    trainer = Trainer(
        data,
        replace(recipe("queries" if kind == "queries" else "modern"), steps=7, batch_size=8),
        kind=kind,
    )
    # Frozen, as frames are: torch computes with weights that want gradients in another order.
    copies = {0: copy.deepcopy(trainer.model).requires_grad_(False)}
    while not trainer.finished:
        trainer.advance()
        copies[trainer.step] = copy.deepcopy(trainer.model).requires_grad_(False)
    areas = data.test_mixtures().areas[0]
    assert trainer.training_history.steps == tuple(range(8))
    for step, kept in copies.items():
        network = trainer.training_history.network(step)
        assert network.kind == kind
        assert not network.training
        assert all(
            torch.equal(a, b) for a, b in zip(told(network, areas), told(kept, areas), strict=True)
        ), f"step {step}"
        state = kept.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert (
        float(trainer.training_history.network(7).temperature)
        != 1
        == float(trainer.training_history.network(6).temperature)
    )


def test_a_network_of_a_step_is_a_copy(tiny):
    kept = TrainingHistory(tiny)
    kept.add(0, tiny)
    before = [p.clone() for p in tiny.parameters()]
    first = kept.network(0)
    assert not any(p.requires_grad for p in first.parameters())
    for p in first.parameters():
        p.fill_(7.0)
    assert all(
        torch.equal(a, b) for a, b in zip(kept.network(0).parameters(), before, strict=False)
    )
    assert all(torch.equal(a, b) for a, b in zip(tiny.parameters(), before, strict=False))
    assert all(p.requires_grad for p in tiny.parameters())
    changed = copy.deepcopy(tiny)
    with torch.no_grad():
        for p in changed.parameters():
            p.add_(1.0)
    kept.add(1, changed)
    for p in changed.parameters():
        p.data.zero_()
    assert all(
        torch.equal(a, b + 1) for a, b in zip(kept.network(1).parameters(), before, strict=False)
    )


@pytest.mark.parametrize("gated", [False, True], ids=["each step", "when due"])
@pytest.mark.parametrize(("max_frames", "last"), [(60, 4000), (12, 3000), (3, 500)])
def test_frames_stay_few_with_the_ends_kept_and_the_early_ones_closer(
    tiny, gated, max_frames, last
):
    kept = TrainingHistory(tiny, max_frames)
    for step in range(last + 1):
        if not gated or step == last or kept.due(step):
            kept.add(step, tiny)
            assert len(kept) <= max_frames
            assert kept.nbytes <= max_frames * size_of(tiny)
            assert kept.steps[0] == 0
            assert kept.steps[-1] == step
    steps = np.array(kept.steps)
    assert (np.diff(steps) > 0).all()
    assert len(steps) == len(kept) >= max_frames // 2
    if max_frames >= 12:
        gaps = np.diff(steps)
        third = len(gaps) // 3
        assert (
            gaps[:third].mean()
            < 0.7 * gaps[third : 2 * third].mean()
            < 0.7 * 0.9 * gaps[-third:].mean()
        )
        # Nowhere a hole of more than a few usual distances, on the root scale.
        assert np.diff(np.sqrt(steps + 1)).max() < 5 * math.sqrt(last + 1) / max_frames


def test_memory_bounds_the_number_of_frames(tiny):
    kept = TrainingHistory(tiny, 60, 10 * size_of(tiny) + 3)
    for step in range(2500):
        kept.add(step, tiny)
    assert len(kept) == 10
    assert kept.nbytes <= 10 * size_of(tiny) + 3
    assert kept.steps[0] == 0
    assert kept.steps[-1] == 2499


def test_the_bounds_hold_for_the_networks_of_the_app():
    for kind in ("slots", "queries"):
        model = trainer.model_for(build("quick", 3), 3, kind)
        kept = TrainingHistory(model)
        assert history.MAX_FRAMES * size_of(model) > history.MAX_BYTES or kind == "slots"
        for step in range(70):
            kept.add(step, model)
        assert kept.nbytes <= history.MAX_BYTES
        assert len(kept) <= history.MAX_FRAMES
        assert len(kept) > 20


def test_a_step_that_is_added_again_replaces_what_was_there(tiny):
    kept, changed = TrainingHistory(tiny), copy.deepcopy(tiny)
    for p in changed.parameters():
        p.data.fill_(3.0)
    for step in (0, 1, 5):
        kept.add(step, tiny)
    kept.add(5, changed)
    assert kept.steps == (0, 1, 5)
    assert all((p == 3).all() for p in kept.network(5).parameters())


def test_the_nearest_step_is_given(tiny):
    kept = TrainingHistory(tiny)
    with pytest.raises(ValueError, match="empty"):
        kept.nearest(0)
    assert len(kept) == kept.nbytes == 0
    assert kept.steps == ()
    for step in (0, 1, 4, 10, 100):
        kept.add(step, tiny)
    for step in range(-3, 130):
        assert abs(kept.nearest(step) - step) == min(abs(own - step) for own in kept.steps)
    assert [kept.nearest(step) for step in kept.steps] == list(kept.steps)


def test_presences_are_those_of_the_networks(either, quick):
    kept, model = TrainingHistory(either.model), copy.deepcopy(either.model)
    areas = quick.test_mixtures().areas[0]
    for step in range(3):
        kept.add(step, model)
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.02 * torch.sin(torch.arange(p.numel(), dtype=torch.float32)).view_as(p))
    found, named = kept.presences(areas)
    assert found.shape == named.shape == (3, 11 if either.model.kind == "queries" else 10)
    for row, named_row, step in zip(found, named, kept.steps, strict=True):
        network = kept.network(step)
        predicted = network.predict(areas)
        assert np.flatnonzero(named_row[:10]).tolist() == np.flatnonzero(predicted.counts).tolist()
        if either.model.kind == "queries":
            assert named_row[10] == predicted.predicts_unknown
        output = told(network, areas)[0][0]
        expected = (
            output.sigmoid()
            if either.model.kind == "queries"
            else 1 - (1 - output.softmax(-1)).prod(dim=0)
        )
        assert row == pytest.approx(expected.numpy(), abs=1e-6)
    assert not np.array_equal(found[0], found[2])


def test_the_template_is_left_as_it_was(either, quick):
    kept = TrainingHistory(either.model)
    before = {name: value.clone() for name, value in either.model.state_dict().items()}
    other = copy.deepcopy(either.model)
    for p in other.parameters():
        p.data.zero_()
    kept.add(0, either.model)
    kept.add(1, other)
    kept.presences(quick.test_mixtures().areas[0])
    kept.network(1)
    assert all(
        torch.equal(value, before[name]) for name, value in either.model.state_dict().items()
    )
    # What training does not change, as a library or a reference, comes from the model, whatever the
    # step.
    fixed = [name for name, _ in either.model.named_buffers() if name != "temperature"]
    assert fixed or either.model.kind == "slots"
    assert all(torch.equal(kept.network(1).state_dict()[name], before[name]) for name in fixed)


def test_frames_come_back_from_disk(either, tmp_path):
    kept, other = TrainingHistory(either.model), copy.deepcopy(either.model)
    for p in other.parameters():
        p.data.mul_(0.5)
    kept.add(0, other)
    kept.add(12, either.model)
    path = tmp_path / history.FILE
    path.write_bytes(kept.to_bytes())
    again = history.load(path, either.model)
    assert again.steps == (0, 12)
    assert again.nbytes == kept.nbytes
    for step in kept.steps:
        states = kept.network(step).state_dict(), again.network(step).state_dict()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert again.to_bytes() == kept.to_bytes()
    again.add(13, other)
    assert again.steps == (0, 12, 13)


def forged(tiny, steps, frames=None, **metadata):
    """Return a file of frames with other contents; `steps` is what stands in its metadata."""
    size = size_of(tiny) // 4
    frames = torch.zeros(2, size) if frames is None else frames
    return save_tensors({"frames": frames}, metadata={"steps": json.dumps(steps)} | metadata)


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [1],
        [1, 2, 3],
        [2, 1],
        [1, 1],
        [-1, 2],
        [0.5, 1.5],
        ["0", "1"],
        "ab",
        {"0": 1, "1": 2},
        [None, None],
        [[0], [1]],
        None,
        5,
        1.5,
        True,
    ],
    ids=str,
)
def test_forged_steps_are_refused(tiny, tmp_path, steps):
    path = tmp_path / history.FILE
    path.write_bytes(forged(tiny, steps))
    with pytest.raises(ValueError, match="train again"):
        history.load(path, tiny)


def test_damaged_files_are_refused(tiny, learned, tmp_path):
    size = size_of(tiny) // 4
    kept = TrainingHistory(tiny)
    kept.add(0, tiny)
    kept.add(1, tiny)
    good, path = kept.to_bytes(), tmp_path / history.FILE
    path.write_bytes(forged(tiny, [0, 1]))
    assert history.load(path, tiny).steps == (0, 1)
    undefined = torch.zeros(2, size)
    undefined[1, 3] = float("nan")
    bad = {
        "empty": b"",
        "cut off": good[:-5],
        "half": good[: len(good) // 2],
        "no safetensors": b"x" * 500,
        "longer": good + b"1",
        "other frames": forged(tiny, [0, 1], torch.zeros(2, size + 1)),
        "flat": forged(tiny, [0, 1], torch.zeros(2 * size)),
        "doubles": forged(tiny, [0, 1], torch.zeros(2, size, dtype=torch.float64)),
        "whole": forged(tiny, [0, 1], torch.zeros(2, size, dtype=torch.int32)),
        "undefined": forged(tiny, [0, 1], undefined),
        "infinite": forged(tiny, [0, 1], torch.full((2, size), float("inf"))),
        "no steps": save_tensors({"frames": torch.zeros(2, size)}),
        "no frames": save_tensors({"other": torch.zeros(2, size)}, metadata={"steps": "[0, 1]"}),
        "no JSON": save_tensors({"frames": torch.zeros(2, size)}, metadata={"steps": "[0, 1"}),
    }
    for content in bad.values():
        path.write_bytes(content)
        with pytest.raises(ValueError, match="train again"):
            history.load(path, tiny)
    path.write_bytes(good)
    with pytest.raises(ValueError, match="train again"):
        history.load(path, learned.model)
    with pytest.raises(ValueError, match="train again"):
        history.load(tmp_path / "nothing", tiny)


@pytest.mark.parametrize("kind", ["slots", "queries"])
def test_a_resumed_training_has_the_frames_of_one_never_interrupted(
    quick, tmp_path, monkeypatch, kind
):
    monkeypatch.setattr(
        history.TrainingHistory.__init__, "__defaults__", (8, history.MAX_BYTES)
    )  # so that frames are dropped
    config = replace(recipe("queries" if kind == "queries" else "modern"), steps=30, batch_size=4)
    straight, halted = (Trainer(quick, config, kind=kind) for _ in range(2))
    while not straight.finished:
        straight.advance()
    for _ in range(17):
        halted.advance()
    run_states.save_state(halted, tmp_path)
    resumed = run_states.resume(tmp_path)
    assert resumed.training_history.steps == halted.training_history.steps
    while not resumed.finished:
        resumed.advance()
    assert resumed.training_history.steps == straight.training_history.steps
    assert len(straight.training_history) <= 8
    assert straight.training_history.steps[0] == 0
    assert straight.training_history.steps[-1] == 30
    assert resumed.training_history.to_bytes() == straight.training_history.to_bytes()


def test_keeping_frames_changes_no_training(quick):
    config = replace(recipe("modern"), steps=5, batch_size=4)
    kept, plain = Trainer(quick, config), Trainer(quick, config)
    plain.training_history.due = lambda step: False
    for _ in range(4):
        kept.advance()
        plain.advance()
    assert plain.training_history.steps == (0,)
    assert kept.training_history.steps == (0, 1, 2, 3, 4)
    assert all(
        torch.equal(a, b)
        for a, b in zip(kept.model.parameters(), plain.model.parameters(), strict=False)
    )


def test_the_first_step_from_which_on_it_is_decided():
    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 9):
        steps = tuple(np.cumsum(rng.integers(1, 9, n)).tolist())
        for _ in range(60):
            named = rng.choice([False, True], n)
            expected = None
            for i in range(n):
                if all(named[i:]):
                    expected = steps[i]
                    break
            assert first_decided(steps, named) == expected, (steps, named)


def test_a_compound_that_no_output_names_is_not_named_however_probable(quick):
    model = model_for(quick, 3, "slots")
    logits = torch.full((1, 3, 10), -20.0)
    logits[..., 0], logits[..., 1] = np.log(0.4), np.log(0.6)
    assert model.presence(logits)[0, 0] == pytest.approx(1 - (1 - 0.4) ** 3, abs=1e-4)
    for slot in (None, 2):
        assert model.names(logits, slot)[0].tolist() == [k == 1 for k in range(10)]
