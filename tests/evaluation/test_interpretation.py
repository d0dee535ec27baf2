"""Every number of the interpretation equals one that is computed in another way."""

import copy
import re
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nmrclassify.evaluation import interpretation
from nmrclassify.evaluation.interpretation import Cell
from nmrclassify.networks.conv_tasnet import NetworkConfig, rms
from nmrclassify.networks.layers import GlobalNorm
from nmrclassify.networks.queries import Queries
from nmrclassify.networks.slots import Slots
from nmrclassify.training import checkpoints

# A wide kernel, dilations longer than the axis (8 on 5 positions), a single block.
SIZES = {
    "design": NetworkConfig(),
    "kernel 5": NetworkConfig(4, 40, 6, 2, n_filters=12, kernel=5, n_stacks=2, n_layers=3),
    "short axis": NetworkConfig(
        3, 5, 4, 2, n_filters=10, n_bottleneck=6, n_hidden=8, kernel=5, n_stacks=2, n_layers=4
    ),
    "one block": NetworkConfig(
        2, 7, 3, 2, n_filters=4, n_bottleneck=3, n_hidden=5, n_stacks=1, n_layers=1
    ),
}


def untrained(kind, size):
    """Return a network with no weight left at 0 or 1, and a mixture for it."""
    torch.manual_seed(0)
    model = kind(SIZES[size])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    areas = (
        np.random.default_rng(1)
        .normal(size=(SIZES[size].n_peaks, SIZES[size].n_positions))
        .astype(np.float32)
    )
    return model, areas


@pytest.fixture(params=["slots", "queries"])
def looked_at(request, quick):
    """Both trained models, each with a test mixture."""
    model = request.getfixturevalue({"slots": "trained", "queries": "learned"}[request.param]).model
    return model, quick.test_mixtures().areas[0]


def run(model, areas):
    """Return what a network gives of one mixture."""
    with torch.inference_mode():
        return model.eval()(torch.from_numpy(areas)[None])


def presence(model, output):
    """Return the probability of each class from what a network gives, in double precision."""
    if model.kind == "queries":
        return 1 / (1 + np.exp(-output.presence[0].double().numpy()))
    logits = output[0].double().numpy()
    power = np.exp(logits - logits.max(axis=1, keepdims=True))
    return 1 - np.prod(
        1 - (power / power.sum(axis=1, keepdims=True))[:, : model.config.n_compounds], axis=0
    )


def with_masks(model, areas, where=(), value=0.0):
    """Return the presences with masks (M, L, N) that `change` has changed, by a hook."""

    def hook(_, __, out):
        masks = out.masks.clone()
        if where:
            masks[0][where] = value
        return out._replace(masks=masks)

    handle = model.separator.register_forward_hook(hook)
    try:
        return presence(model, run(model, areas)[0])
    finally:
        handle.remove()


def cells(model, n=6, seed=0):
    """Return cells at both ends of the axis and some between."""
    rng, (last, outputs) = (
        np.random.default_rng(seed),
        (model.config.n_positions - 1, model.n_outputs),
    )
    positions = [0, last, *rng.integers(last + 1, size=n - 2).tolist()]
    return [
        Cell(int(rng.integers(outputs)), int(rng.integers(model.config.n_filters)), p)
        for p in positions
    ]


def test_the_number_of_outputs_is_that_of_the_masks(looked_at):
    model, areas = looked_at
    assert (
        model.n_outputs
        == run(model, areas)[1].masks.shape[1]
        == {"slots": 3, "queries": 11}[model.kind]
    )


def test_the_encoding_is_the_window_times_the_filter(looked_at):
    model, areas = looked_at
    encoding = run(model, areas)[1].encoding[0].numpy()
    for cell in cells(model, 12):
        trace = interpretation.trace_cell(model, areas, cell)
        assert trace.encoding == encoding[cell.filter, cell.position]
        assert (trace.window * trace.encoder).sum() == pytest.approx(trace.encoding, abs=1e-5)
        for step in (-1, 0, 1):
            there = 0 <= cell.position + step < 21
            assert trace.window[:, step + 1].tolist() == (
                areas[:, cell.position + step].tolist() if there else [0] * 6
            )


def test_a_trace_holds_what_the_network_computed(looked_at):
    model, areas = looked_at
    record = run(model, areas)[1]
    for cell in cells(model):
        trace = interpretation.trace_cell(model, areas, cell)
        assert trace.cell == cell
        assert trace.masks == pytest.approx(
            record.masks[0, :, cell.filter, cell.position].numpy(), abs=1e-6
        )
        assert trace.separated == pytest.approx(trace.masks[cell.output] * trace.encoding, abs=1e-6)
        assert np.array_equal(trace.added, trace.separated * trace.decoder)
        padded = np.pad(record.multiplets[0, cell.output].numpy(), ((0, 0), (1, 1)))
        assert trace.multiplets == pytest.approx(
            padded[:, cell.position : cell.position + 3], abs=1e-5
        )


def test_filters_are_the_encoder_and_the_decoder():
    for kind in (Slots, Queries):
        for size in SIZES:
            model, areas = untrained(kind, size)
            encoder, decoder = interpretation.filters(model)
            config = model.config
            assert encoder.shape == decoder.shape == (config.n_filters, config.n_peaks, 3)
            record = run(model, areas)[1]
            padded = np.pad(areas, ((0, 0), (1, 1)))
            encoding = np.array(
                [
                    [(padded[:, p : p + 3] * pattern).sum() for p in range(config.n_positions)]
                    for pattern in encoder
                ]
            )
            assert encoding == pytest.approx(record.encoding[0].numpy(), abs=1e-4)
            # What every cell writes, one after the other; what falls past an end is lost.
            separated = record.separated_encodings[0].numpy().astype(float)
            written = np.zeros((len(separated), config.n_peaks, config.n_positions + 2))
            for m, n, p in np.ndindex(*separated.shape):
                written[m, :, p : p + 3] += separated[m, n, p] * decoder[n]
            assert written[..., 1:-1] == pytest.approx(record.multiplets[0].numpy(), abs=1e-4)


def test_changed_masks_are_those_of_a_network_with_a_hook(looked_at):
    model, areas = looked_at
    for cell in cells(model, 8):
        trace = interpretation.trace_cell(model, areas, cell)
        one = (cell.output, cell.position, cell.filter)
        changes = {"presence": (), "closed": (one, 0.0), "opened": (one, 1.0)}
        changes["silenced"] = (one[:2], 0.0)
        for (name, change), log_odds in zip(changes.items(), trace.log_odds, strict=True):
            wanted = with_masks(model, areas, *change)
            assert getattr(trace, name) == pytest.approx(wanted, abs=2e-6), f"{name} of {cell}"
            clear = (wanted > 1e-4) & (wanted < 1 - 1e-4)
            assert log_odds[clear] == pytest.approx(
                np.log(wanted / (1 - wanted))[clear], abs=1e-2
            ), f"{name} of {cell}"


def test_closing_a_mask_where_a_compound_is_strong_changes_its_log_odds():
    shipped = checkpoints.shipped("queries", "original")
    mixtures = shipped.dataset.test_mixtures()
    areas, label = mixtures.areas[0], int(mixtures.labels[0, 0])
    record = run(shipped.model, areas)[1]
    cell = interpretation.example_cell(
        record.masks[0, label].numpy(),
        record.encoding[0].numpy(),
        record.multiplets[0, label].numpy(),
        label,
    )
    trace = interpretation.trace_cell(shipped.model, areas, cell)
    assert np.abs(trace.log_odds[3] - trace.log_odds[0]).max() > 0.1
    # Queries judge each compound from its own separated encoding.
    others = np.arange(11) != label
    assert trace.log_odds[3][others] == pytest.approx(trace.log_odds[0][others], abs=1e-4)


def test_a_trace_leaves_the_model_and_the_mixture_alone(looked_at):
    model, areas = looked_at
    before, mixture = (
        {name: value.clone() for name, value in model.state_dict().items()},
        areas.copy(),
    )
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    answers = run(model, areas)[1]
    interpretation.trace_cell(model, areas, Cell(0, 5, 3))
    interpretation.activations(model, areas)
    interpretation.receptive_field(model, areas, 3)
    assert np.array_equal(areas, mixture)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(
        torch.equal(getattr(run(model, areas)[1], name), getattr(answers, name))
        for name in ("encoding", "skip_sum", "masks", "multiplets")
    )
    assert all(
        p.grad is None if grad is None else torch.equal(p.grad, grad)
        for p, grad in zip(model.parameters(), grads, strict=False)
    )
    assert not any(block._forward_hooks for block in model.separator.blocks)


@pytest.mark.parametrize(
    "cell", [Cell(-1, 0, 0), Cell(0, 64, 0), Cell(0, 0, 21), Cell(11, 0, 0), Cell(0, -1, 0)]
)
def test_a_cell_that_is_not_there_is_refused(learned, quick, cell):
    said = (
        f"cell is output {cell.output}, filter {cell.filter}, position {cell.position}; expected"
        " below 11, 64 and 21"
    )
    with pytest.raises(ValueError, match=re.escape(said)):
        interpretation.trace_cell(learned.model, quick.test_mixtures().areas[0], cell)
    nearest = cell.within(learned.model.config, 11)
    assert nearest.within(learned.model.config, 11) == nearest
    interpretation.trace_cell(learned.model, quick.test_mixtures().areas[0], nearest)


def test_a_cell_within_is_the_nearest_there_is():
    config = NetworkConfig()
    for output, filter_, position in (
        (0, 0, 0),
        (2, 63, 20),
        (-5, 100, 7),
        (99, 3, -1),
        (1, -9, 99),
    ):
        found = Cell(output, filter_, position).within(config, 3)
        distances = [
            [abs(value - other) for other in range(limit)]
            for value, limit in ((output, 3), (filter_, 64), (position, 21))
        ]
        assert [found.output, found.filter, found.position] == [
            int(np.argmin(d)) for d in distances
        ]


def test_the_strongest_filter_and_the_example_cell():
    rng = np.random.default_rng(2)
    encoding, mask, multiplets = (
        rng.normal(size=(9, 7)),
        rng.random((9, 7)),
        rng.normal(size=(4, 7)),
    )
    for position in range(7):
        loud = interpretation.strongest_filter(encoding, position)
        assert all(abs(encoding[loud, position]) >= abs(value) for value in encoding[:, position])
    cell = interpretation.example_cell(mask, encoding, multiplets, 5)
    sizes = [np.abs(multiplets[:, p]).sum() for p in range(7)]
    assert cell.output == 5
    assert sizes[cell.position] == max(sizes)
    strengths = [abs(mask[n, cell.position] * encoding[n, cell.position]) for n in range(9)]
    assert strengths[cell.filter] == max(strengths)


@pytest.mark.parametrize("kind", [Slots, Queries])
@pytest.mark.parametrize("size", SIZES)
def test_activations_are_those_of_blocks_run_one_after_the_other(kind, size):
    model, areas = untrained(kind, size)
    found, config = interpretation.activations(model, areas), model.config
    weights = {name: value.detach() for name, value in model.separator.named_parameters()}

    def norm(x, part):  # (channels, L)
        return (x - x.mean()) / (x.var(unbiased=False) + 1e-5).sqrt() * weights[f"{part}.weight"][
            :, None
        ] + weights[f"{part}.bias"][:, None]

    mixture = torch.from_numpy(areas)
    encoder = torch.from_numpy(interpretation.filters(model)[0].copy())
    encoding = F.conv1d(mixture[None], encoder, padding=1)[0] / mixture.square().mean().sqrt()
    x = weights["bottleneck.weight"] @ norm(encoding, "norm") + weights["bottleneck.bias"][:, None]
    assert found.dilations == config.dilations
    assert len(found.skip) == len(config.dilations) == len(found.residual) + 1
    for i, dilation in enumerate(config.dilations):
        part = f"blocks.{i}"
        hidden = norm(
            F.prelu((weights[f"{part}.expand.weight"] @ x)[None], weights[f"{part}.first.weight"])[
                0
            ],
            f"{part}.first_norm",
        )
        taps = weights[f"{part}.depthwise"].T[:, None]
        hidden = F.conv1d(
            hidden[None],
            taps,
            padding=dilation * (config.kernel // 2),
            dilation=dilation,
            groups=len(taps),
        )
        hidden = norm(F.prelu(hidden, weights[f"{part}.second.weight"])[0], f"{part}.second_norm")
        out = (
            weights[f"{part}.project.weight"] @ hidden + weights[f"{part}.project.bias"][:, None]
        ).numpy()
        width = config.n_bottleneck
        assert found.skip[i] == pytest.approx(out[-width:], abs=2e-4), f"block {i + 1}"
        if i < len(config.dilations) - 1:
            assert found.residual[i] == pytest.approx(out[:width], abs=2e-4), f"block {i + 1}"
            x = x + torch.from_numpy(out[:width])


@pytest.mark.parametrize("size", SIZES)
def test_the_nominal_reach_is_how_far_convolutions_carry_a_single_mark(size):
    model, areas = untrained(Slots, size)
    config = model.config
    reach = interpretation.receptive_field(model, areas, config.n_positions // 2).reach
    mark = np.zeros(2 * 200 + 1, bool)
    mark[200] = True
    widths = []
    for kernel, dilation in ((3, 1), *((config.kernel, dilation) for dilation in config.dilations)):
        taps = (np.arange(kernel) - kernel // 2) * dilation
        mark = np.any([np.roll(mark, tap) for tap in taps], axis=0)
        widths.append(int(np.ptp(np.flatnonzero(mark)) // 2))
    assert reach.tolist() == widths
    assert (
        2 * reach[-1] + 1 == config.receptive_field + 2
    )  # the encoder looks one further to either side


def jacobian(model, areas, position):
    """Return the length of the gradient of every stage, (stages, L), by central differences."""
    model = copy.deepcopy(model).double().eval()
    x, step = torch.from_numpy(areas).double(), 1e-7
    scale = rms(x[None])
    moved = step * torch.eye(x.numel(), dtype=torch.double).view(-1, *x.shape)
    caught = []
    hooks = [
        part.register_forward_hook(lambda _, __, out: caught.append(out))
        for part in (model.separator.bottleneck, *model.separator.blocks)
    ]
    ends = []
    with torch.no_grad():
        for sign in (1, -1):
            caught.clear()
            encoding = model.encode(x + sign * moved).mT
            model.separator(encoding / scale)
            width, (stream, *blocks) = model.config.n_bottleneck, caught
            stages, skips = [encoding], sum(out[..., -width:] for out in blocks)
            for out in blocks[:-1]:
                stream = stream + out[..., :width]
                stages.append(stream)
            ends.append([stage[:, position] for stage in (*stages, skips)])
    for hook in hooks:
        hook.remove()
    slopes = [
        ((high - low) / (2 * step)).view(*x.shape, -1) for high, low in zip(*ends, strict=False)
    ]  # (P, L, channels)
    return np.stack([slope.square().sum((0, 2)).sqrt().numpy() for slope in slopes])


@pytest.mark.parametrize(
    ("size", "position"),
    [("design", 0), ("design", 9), ("kernel 5", 39), ("short axis", 2), ("one block", 3)],
)
def test_the_measured_field_is_the_length_of_the_gradient(size, position):
    model, areas = untrained(Slots, size)
    found, expected = (
        interpretation.receptive_field(model, areas, position),
        jacobian(model, areas, position),
    )
    expected = expected / expected.max(axis=1, keepdims=True)
    assert found.position == position
    assert found.strength.shape == (len(found.stages), model.config.n_positions)
    assert found.strength == pytest.approx(expected, abs=2e-4)
    assert found.strength.max(axis=1) == pytest.approx(1)
    assert len(found.stages) == len(model.config.dilations) + 1
    assert found.stages[0] == "encoding"
    assert found.stages[-1] == "to the masks"


def test_the_field_of_trained_models_is_measured_too(looked_at):
    model, areas = looked_at
    found, expected = interpretation.receptive_field(model, areas, 4), jacobian(model, areas, 4)
    assert found.strength == pytest.approx(expected / expected.max(axis=1, keepdims=True), abs=5e-4)


def without_norms(model):
    """Return a copy whose norms do nothing."""
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, GlobalNorm):
                setattr(module, name, nn.Identity())
    return model


@pytest.mark.parametrize("kind", [Slots, Queries])
@pytest.mark.parametrize("size", SIZES)
def test_without_norms_nothing_leaks(kind, size):
    model, areas = untrained(kind, size)
    for position in (0, model.config.n_positions // 2, model.config.n_positions - 1):
        with_norms = interpretation.receptive_field(model, areas, position)
        assert with_norms.leak[0] == 0  # no norm comes before the encoding
        found = interpretation.receptive_field(without_norms(model), areas, position)
        assert found.leak.tolist() == [0.0] * len(found.stages)
        assert not found.strength[~found.inside].any()
        if size == "kernel 5" and position == 20:
            assert (with_norms.leak[1:3] > 0.001).all()


def test_the_leak_is_the_share_outside():
    strength = np.array([[0.5, 1.0, 0.5, 0.0], [0.25, 1.0, 0.25, 0.5]])
    field = interpretation.ReceptiveField(1, ("a", "b"), np.array([1, 0]), strength)
    assert field.inside.tolist() == [[True, True, True, False], [False, True, False, False]]
    assert field.leak == pytest.approx([0.0, 0.5])


def test_the_table_of_parameters_adds_up(looked_at):
    model, _ = looked_at
    table = interpretation.parameter_table(model)
    values = dict(model.named_parameters())
    assert table["values"].sum() == model.n_parameters == sum(p.numel() for p in values.values())
    assert table["name"].tolist() == list(values)
    assert set(table["part"]) == {"encoder", "separator", "decoder", "heads"}
    for row in table.to_dict("records"):
        value = values[row["name"]].detach().double().numpy()
        assert eval(row["shape"].replace(" x ", "*")) == row["values"] == value.size
        assert row["root mean square"] == pytest.approx(np.sqrt((value**2).mean()))
        assert row["largest"] == pytest.approx(np.abs(value).max())
        if row["part"] != "heads":
            assert row["name"].startswith(row["part"])


def test_activations_of_a_shared_network_are_those_of_one_pass(learned):
    """Visitors share one network: another's pass at the same time must not be caught."""
    areas = learned.dataset.test_mixtures().areas[0]
    alone, seen = interpretation.activations(learned.model, areas), []
    threads = [
        threading.Thread(
            target=lambda: seen.extend(
                interpretation.activations(learned.model, areas) for _ in range(10)
            )
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 40
    assert all(np.array_equal(alone.skip, found.skip) for found in seen)


def test_a_network_too_large_to_differentiate_is_refused():
    config = NetworkConfig(n_positions=512, n_bottleneck=256, n_hidden=256, n_stacks=6, n_layers=8)
    assert "too many to measure" in interpretation.too_large(config)
    assert interpretation.too_large(NetworkConfig()) is None
