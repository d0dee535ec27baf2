import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from torch.nn import functional as F

from nmrclassify.baselines.grid import nnls as baseline
from nmrclassify.mixtures.grid import MixtureConfig
from nmrclassify.mixtures.presets import build
from nmrclassify.networks import queries as queries_module
from nmrclassify.networks.conv_tasnet import NetworkConfig, Separator, rms
from nmrclassify.networks.layers import DepthwiseShifts, GlobalNorm
from nmrclassify.networks.queries import Queries
from nmrclassify.networks.slots import Slots
from nmrclassify.training.recipes import RECIPES
from nmrclassify.training.trainer import model_for

# Small ones: a wide kernel, dilations longer than the axis (8 on 5 positions), the least sizes.
SIZES = {
    "design": NetworkConfig(),
    "kernel 5": NetworkConfig(4, 40, 6, 2, n_filters=12, kernel=5, n_stacks=2, n_layers=3),
    "short axis": NetworkConfig(
        3, 5, 4, 2, n_filters=10, n_bottleneck=6, n_hidden=8, kernel=5, n_stacks=2, n_layers=4
    ),
    "least": NetworkConfig(
        1, 4, 2, 1, n_filters=2, n_bottleneck=2, n_hidden=2, n_stacks=1, n_layers=1
    ),
}


def disturbed(model, seed=1):
    """Move every weight away from the ones and zeros that norms and biases start with."""
    torch.manual_seed(seed)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Slots(NetworkConfig())


@pytest.fixture
def queries():
    torch.manual_seed(0)
    made = Queries(NetworkConfig(n_sources=3))
    made.set_library(torch.from_numpy(build("quick", 3).library.areas))
    return made


def test_shapes_of_the_design_table(model):
    logits, inside = model(torch.rand(4, 6, 21))
    assert logits.shape == (4, 3, 10)
    assert inside.encoding.shape == (4, 64, 21)
    assert inside.masks.shape == inside.separated_encodings.shape == (4, 3, 64, 21)
    assert inside.multiplets.shape == (4, 3, 6, 21)
    assert ((inside.masks > 0) & (inside.masks < 1)).all()


def test_queries_have_an_output_for_each_compound_and_one_for_the_unknown(queries):
    findings, inside = queries(torch.rand(4, 6, 21))
    assert findings.presence.shape == (4, 11)
    assert findings.counts.shape == (4, 10, 3)
    assert findings.amounts.shape == (4, 10)
    assert inside.encoding.shape == (4, 64, 21)
    assert inside.masks.shape == inside.separated_encodings.shape == (4, 11, 64, 21)
    assert inside.multiplets.shape == (4, 11, 6, 21)
    assert torch.equal(inside.separated_encodings, inside.masks * inside.encoding[:, None])


@pytest.mark.parametrize("relu", [False, True])
def test_slots_name_by_a_line_and_a_table(relu):
    torch.manual_seed(0)
    model = disturbed(Slots(NetworkConfig(relu_before_classes=relu)))
    x = torch.randn(4, 6, 21)
    logits, inside = model(x)
    line = F.conv1d(
        inside.separated_encodings.flatten(0, 1),
        model.to_line.weight[..., None],
        model.to_line.bias,
    )
    assert (line < 0).any()
    if relu:
        line = line.relu()
    else:
        size = rms(x).repeat_interleave(3, 0)
        line = line / size / ((line / size).square().mean(-1, keepdim=True) + 1e-4).sqrt()
    expected = line.squeeze(1) @ model.classifier.weight.T + model.classifier.bias
    assert torch.allclose(logits.flatten(0, 1), expected, atol=1e-5)


def test_presences_equal_those_of_a_loop_over_compounds(queries, monkeypatch):
    monkeypatch.setattr(queries_module, "FIT_STEPS", 5000)  # until nothing changes
    data = build("quick", 3)
    model = disturbed(queries).double()
    x = torch.from_numpy(data.test_mixtures().areas[:4]).double()
    x = x + 0.1 * torch.randn_like(x)
    with torch.no_grad():
        findings, inside = model(x)
    weights = {name: value.detach().numpy() for name, value in model.state_dict().items()}

    def prelu(v, slope):
        return np.where(v > 0, v, slope * v)

    library = data.library.areas.reshape(10, -1).astype(float)
    for b, mixture in enumerate(x.numpy()):
        scale = np.sqrt((mixture**2).mean())
        amounts = nnls(library.T, mixture.ravel())[0]
        rest = mixture.ravel() - amounts @ library
        left = np.sqrt((rest.reshape(6, 21) ** 2).sum(axis=0))
        noise = np.sqrt((rest**2).sum() / (126 - 10))
        std = noise * np.sqrt(np.diag(np.linalg.inv(library @ library.T)))
        sizes = amounts * np.sqrt((library**2).mean(axis=1))
        own = np.arcsinh(sizes[:, None] / scale / weights["asinh_scales"])
        significance = np.arcsinh((amounts / std)[:, None] / queries.significance_scales)
        own = np.vstack([np.hstack([own, significance]), np.zeros(5)])
        left = np.arcsinh(left[:, None] / scale / weights["asinh_scales"]).ravel()
        left = np.append(left, np.log(noise / scale))
        trunk = trunk_of(model, x[b : b + 1]).ravel()
        hidden = (
            weights["global_head.0.weight"] @ np.concatenate([trunk, own[:-1].ravel(), left])
            + weights["global_head.0.bias"]
        )
        global_head = (
            weights["global_head.2.weight"] @ prelu(hidden, weights["global_head.1.weight"])
            + weights["global_head.2.bias"]
        )
        for k in range(11):
            separated = inside.separated_encodings[b, k].numpy().T / scale  # (L, N)
            features = separated @ weights["to_features.weight"].T + weights["to_features.bias"]
            given = np.concatenate(
                [prelu(features, weights["features_prelu.weight"]).ravel(), own[k], left]
            )
            judged = prelu(
                given @ weights["class_heads"][k] + weights["class_heads_bias"][k, 0],
                weights["class_heads_prelu.weight"],
            )
            presence = judged @ weights["to_presence"][k, :, 0] + global_head[k]
            decided = prelu(
                weights["amount_weights.0.weight"] @ left + weights["amount_weights.0.bias"],
                weights["amount_weights.1.weight"],
            )
            presence += own[k] @ (
                weights["amount_weights.2.weight"] @ decided + weights["amount_weights.2.bias"]
            )
            assert findings.presence[b, k].item() == pytest.approx(presence, rel=1e-5, abs=1e-5)
        for k in range(10):
            amount = (inside.multiplets[b, k].numpy().T * weights["templates"][k]).sum()
            assert findings.amounts[b, k].item() == pytest.approx(amount)
            away = (np.clip(amount, 0, 4) - np.array([1, 2, 3])) ** 2
            counts = weights["count_bias"] - np.exp(weights["sharpness"]) * away
            assert findings.counts[b, k].numpy() == pytest.approx(counts)


def test_the_amounts_of_the_fit_are_nearly_those_of_an_exact_solver(queries):
    data = build("quick", 3)
    clean = data.test_mixtures().areas
    noisy = clean + np.random.default_rng(3).normal(0, 0.3, clean.shape).astype(np.float32)
    for areas, tolerance in ((clean, 1e-4), (noisy, 0.02)):
        cells = torch.from_numpy(areas).flatten(1)
        amounts = queries._non_negative(cells @ queries.unmixing, cells)
        np.testing.assert_allclose(amounts, baseline(areas, data.library), atol=tolerance)


def trunk_of(model, x):
    """Return what the masks are made of, shape (1, L, W)."""
    with torch.no_grad():
        return model.separator(model.encode(x).transpose(1, 2) / rms(x)).trunk.numpy()


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("dilation", [1, 2, 3, 8])
def test_the_depthwise_convolution_is_its_own_derivative(kernel, dilation):
    torch.manual_seed(kernel)
    x = torch.randn(2, 7, 3, dtype=torch.double, requires_grad=True)
    weight = torch.randn(kernel, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: DepthwiseShifts.apply(a, b, dilation), (x, weight))
    expected = F.conv1d(
        x.transpose(1, 2),
        weight.T[:, None],
        padding=dilation * (kernel // 2),
        dilation=dilation,
        groups=3,
    )
    assert torch.allclose(DepthwiseShifts.apply(x, weight, dilation), expected.transpose(1, 2))


def test_every_parameter_of_slots_gets_a_gradient(model):
    logits, inside = model(torch.rand(8, 6, 21))
    (
        F.cross_entropy(logits.flatten(0, 1), torch.randint(10, (24,)))
        + inside.multiplets.square().mean()
    ).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("repetition", [False, True])
def test_every_parameter_of_queries_gets_a_gradient(repetition):
    data = build("quick", 3, MixtureConfig(repetition=repetition))
    model = model_for(data, 3, "queries")
    batch = data.training_batch(0, 64, RECIPES["queries"].augmented(data, any_number=True))
    objective = model.objective(batch, 1.0)
    (objective.classification + objective.reconstruction).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
        else:
            assert not repetition
            assert name in ("sharpness", "count_bias")


def test_published_sizes(model):
    # Encoder 1152; norm 128, bottleneck 2080; 12 blocks of 2048 + 1 + 128 + 192 + 1 + 128, their
    # skips of 2080 and 11 residuals of 2080; PReLU 1; decoder 1152.
    trunk = 1152 + 128 + 2080 + 12 * (2498 + 2080) + 11 * 2080 + 1 + 1152
    # Masks 6336; line 64; classifier 220.
    assert model.n_parameters == trunk + 6336 + 64 + 220 == 88_949
    assert model.config.receptive_field == 91


def test_sizes_of_queries():
    data = build("quick", 3)
    trunk = 1152 + 128 + 1040 + 12 * (1474 + 1040) + 11 * 1040 + 1 + 1152  # bottleneck 16
    # Masks; templates; features; class heads of 126 + 5 + 64 inputs;
    # the global head of 336 + 50 + 64; the weights of the amounts; PReLUs.
    heads = 11 * 17 * 64 + 1260 + 390 + 11 * 24 * (195 + 1 + 1) + 450 * 96 + 96 + 96 * 11 + 11 + 3
    heads += 32 * 64 + 32 + 1 + 5 * 32 + 5
    counting = {False: 0, True: 6}  # sharpness and bias of each number of portions
    for repetition, more in counting.items():
        config = MixtureConfig(repetition=repetition)
        model = model_for(build("quick", 3, config), 3, "queries")
        assert model.n_parameters == trunk + heads + more
        assert model.config.receptive_field == 91
    assert model_for(data, 3, "queries").n_parameters == 157_319


def test_receptive_field_is_where_gradients_reach():
    config = NetworkConfig(n_positions=64, n_stacks=2, n_layers=3)
    separator = Separator(config, 3).double()
    for (
        module
    ) in separator.modules():  # a norm mixes all positions; without it only convolutions reach
        if isinstance(module, GlobalNorm):
            module.forward = lambda x: x
    x = torch.randn(1, 64, config.n_filters, dtype=torch.double, requires_grad=True)
    separator(x).masks[0, :, 32].sum().backward()
    reached = x.grad.abs().sum((0, 2)).nonzero().flatten()
    assert reached.max() - reached.min() + 1 == config.receptive_field == 29


def test_the_encoding_is_additive(model, queries):
    a, b = torch.rand(2, 1, 6, 21)
    for network in (model, queries):
        assert torch.allclose(
            network.encode(a + b), network.encode(a) + network.encode(b), atol=1e-5
        )
        assert torch.equal(network.encode(a), network(a)[1].encoding)


def test_relabelling_outputs_permutes_everything(model):
    x, order = torch.rand(2, 6, 21), [2, 0, 1]
    before_logits, before = model(x)
    head = model.separator.masks
    head.weight.data = head.weight.data.unflatten(0, (3, 64))[order].flatten(0, 1)
    head.bias.data = head.bias.data.unflatten(0, (3, 64))[order].flatten()
    after_logits, after = model(x)
    assert torch.allclose(after_logits, before_logits[:, order], atol=1e-6)
    assert torch.allclose(after.multiplets, before.multiplets[:, order], atol=1e-6)


@pytest.mark.parametrize("factor", [1e6, 1e-6])
@pytest.mark.parametrize("kind", ["slots", "queries"])
def test_masks_do_not_depend_on_the_unit_and_separated_areas_follow_it(
    model, queries, kind, factor
):
    network = disturbed({"slots": model, "queries": queries}[kind])
    x = torch.from_numpy(build("quick", 3).test_mixtures().areas)
    before, after = network(x)[1], network(factor * x)[1]
    assert torch.allclose(after.masks, before.masks, atol=1e-3)
    assert torch.allclose(after.multiplets / factor, before.multiplets, atol=1e-3)


@pytest.mark.parametrize("factor", [1e6, 1e-6])
def test_queries_find_the_same_in_any_unit_and_amounts_follow_it(queries, factor):
    network = disturbed(queries)
    x = torch.from_numpy(build("quick", 3).test_mixtures().areas)
    before, after = network(x)[0], network(factor * x)[0]
    assert torch.allclose(after.presence.sigmoid(), before.presence.sigmoid(), atol=1e-3)
    assert torch.allclose(after.amounts / factor, before.amounts, atol=1e-3)


@pytest.mark.parametrize("factor", [1e6, 1e-6])
def test_slots_name_the_same_in_any_unit(trained, factor):
    x = torch.from_numpy(trained.dataset.test_mixtures().areas)
    before, after = trained.model(x)[0], trained.model(factor * x)[0]
    assert torch.allclose(after, before, atol=1e-3)


@pytest.fixture(scope="module")
def model_0_1():
    network = Slots(NetworkConfig(non_negative_encoder=False, relu_before_classes=True))
    network.set_data(build("quick", 3))
    return disturbed(network)


@pytest.mark.parametrize("factor", [1e6, 1e-6])
def test_slots_of_version_0_1_bring_a_distant_unit_back(model_0_1, trained, factor):
    x = torch.from_numpy(trained.dataset.test_mixtures().areas)
    brought_back = x * (model_0_1.reference / rms(x))
    assert torch.allclose(model_0_1(factor * x)[0], model_0_1(brought_back)[0], atol=1e-2)


@pytest.mark.parametrize("factor", [0.1, 1.0, 10.0])
def test_slots_of_version_0_1_leave_amounts_within_reach_alone(model_0_1, trained, factor):
    model = copy.deepcopy(model_0_1)
    x = factor * torch.from_numpy(trained.dataset.test_mixtures().areas)
    before = model(x)[0]
    model.reference.mul_(1.01)
    assert torch.equal(model(x)[0], before)


def test_least_squares_features_of_a_clean_mixture_are_exact(queries):
    data = build("quick", 3, MixtureConfig(concentration_low=0.5, concentration_high=2.0))
    made = data.test_mixtures()
    amounts, left = queries._least_squares_features(torch.from_numpy(made.areas))
    areas = data.library.areas
    sizes = np.sqrt((areas**2).mean((1, 2))) / np.sqrt((made.areas**2).mean((1, 2)))[:, None]
    expected = made.by_compound(made.concentrations) * sizes
    assert np.sinh(amounts[..., 2].numpy()) * 0.3 == pytest.approx(expected, abs=1e-3)
    assert left[:, :-1].abs().max() < 1e-3
    assert left[:, -1].exp().numpy() == pytest.approx(1e-3)  # the least noise
    other = torch.from_numpy(np.roll(made.areas, 1, axis=2))
    assert queries._least_squares_features(other)[1][:, :-1].abs().amax(1).min() > 1


def test_queries_without_least_squares_do_not_read_it(queries):
    config = replace(queries.config, least_squares_features=False)
    blind = type(queries)(config)
    blind.load_state_dict(queries.state_dict())
    x = torch.rand(3, 6, 21)
    before = blind(x)[0].presence
    blind.unmixing.normal_()
    assert torch.equal(before, blind(x)[0].presence)
    assert not torch.allclose(before, queries(x)[0].presence)


def test_a_template_measures_its_own_compound(queries):
    areas = torch.from_numpy(build("quick", 3).library.areas)
    amounts = torch.einsum("kpl,klp->k", 2.5 * areas, queries.templates)
    assert amounts.tolist() == pytest.approx([2.5] * 10, abs=1e-5)


def test_the_temperature_divides_logits_and_nothing_else(model, queries):
    x = torch.rand(3, 6, 21)
    (logits, _), (findings, _) = model(x), queries(x)
    for network in (model, queries):
        network.temperature.fill_(4.0)
    assert torch.allclose(model(x)[0], logits / 4)
    assert torch.allclose(queries(x)[0].presence, findings.presence / 4)
    assert torch.allclose(queries(x)[0].counts, findings.counts / 4)
    assert torch.equal(queries(x)[0].amounts, findings.amounts)


@pytest.mark.parametrize("kind", ["slots", "queries"])
@pytest.mark.parametrize("shape", [(6, 21), (1, 5, 21), (1, 6, 22)])
def test_wrong_shapes_are_refused(model, queries, kind, shape):
    with pytest.raises(ValueError, match="expected \\(batch, 6 peaks, 21 positions\\)"):
        {"slots": model, "queries": queries}[kind](torch.rand(shape))


def test_even_kernels_are_refused():
    with pytest.raises(ValueError, match="kernel is 4"):
        NetworkConfig(kernel=4)


@pytest.mark.parametrize("kind", [Slots, Queries])
@pytest.mark.parametrize("size", SIZES)
def test_changed_masks_are_applied(kind, size):
    torch.manual_seed(0)
    model, config = disturbed(kind(SIZES[size])).double().eval(), SIZES[size]
    x, seen = torch.randn(2, config.n_peaks, config.n_positions, dtype=torch.double), []
    n_outputs = config.n_sources if kind is Slots else config.n_compounds + 1
    new = torch.rand(2, n_outputs, config.n_filters, config.n_positions, dtype=torch.double)

    def mask_hook(masks):
        seen.append(masks.clone())
        return new

    with torch.no_grad():
        plain, changed = model(x), model(x, mask_hook)
    assert len(seen) == 1
    assert torch.equal(seen[0], plain[1].masks)
    assert torch.equal(changed[1].masks, new)
    assert torch.equal(changed[1].encoding, plain[1].encoding)
    assert torch.allclose(changed[1].separated_encodings, new * plain[1].encoding[:, None])
    # By another way: the separator itself gives the new masks.
    hook = model.separator.register_forward_hook(lambda _, __, out: out._replace(masks=new.mT))
    with torch.no_grad():
        forced = model(x)
    hook.remove()
    assert all(
        torch.allclose(a, b, rtol=1e-9, atol=1e-9)
        for a, b in zip(flat(changed), flat(forced), strict=True)
    )
    assert not all(torch.allclose(a, b) for a, b in zip(flat(changed), flat(plain), strict=False))


def flat(result):
    """Return the output of a network, and its encodings, masks and multiplets."""
    output, inner = result
    return [*([output] if isinstance(output, torch.Tensor) else output), *inner[:4]]


@pytest.mark.parametrize("kind", [Slots, Queries])
def test_a_hook_that_changes_nothing_has_no_effect(kind):
    torch.manual_seed(0)
    model, x = disturbed(kind(NetworkConfig())).eval(), torch.randn(2, 6, 21)
    with torch.no_grad():
        for a, b in zip(flat(model(x)), flat(model(x, lambda masks: masks.clone())), strict=True):
            assert torch.allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("kind", [Slots, Queries])
def test_gradients_pass_through_changed_masks(kind):
    torch.manual_seed(0)
    model, x = disturbed(kind(NetworkConfig())), torch.randn(2, 6, 21)
    factor = torch.ones((), requires_grad=True)
    _, record = model(x, lambda masks: masks * factor)
    record.multiplets.square().sum().backward()
    # Half of the slope of a square at 1 is its value.
    assert factor.grad.item() / 2 == pytest.approx(
        record.multiplets.square().sum().item(), rel=1e-4
    )


@pytest.mark.parametrize("kind", [Slots, Queries])
def test_intermediates_add_up(kind):
    torch.manual_seed(0)
    model, x = disturbed(kind(NetworkConfig())).eval(), torch.rand(2, 6, 21)
    with torch.no_grad():
        _, inner = model(x)
        stream, masks = inner.bottleneck, model.separator.masks
        assert stream.shape == (2, 32, 21)
        assert len(inner.skips) == len(inner.residuals) + 1 == 12
        for residual, following in zip(inner.residuals, inner.streams, strict=True):
            stream = stream + residual
            assert torch.allclose(stream, following, atol=1e-5)
        assert torch.allclose(sum(inner.skips), inner.skip_sum, atol=1e-5)
        trunk = model.separator.prelu(inner.skip_sum).mT
        expected = masks(trunk).sigmoid().unflatten(-1, (model.n_outputs, 64)).permute(0, 2, 3, 1)
    assert torch.allclose(expected, inner.masks, atol=1e-6)
    assert torch.equal(inner.separated_encodings, inner.masks * inner.encoding[:, None])
