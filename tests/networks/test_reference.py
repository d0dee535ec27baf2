"""The fast networks equal the readable one, in values and in gradients."""

from dataclasses import asdict, replace
from inspect import signature

import pytest
import torch

from nmrclassify.networks.conv_tasnet import NetworkConfig
from nmrclassify.networks.queries import Queries
from nmrclassify.networks.reference import ReferenceNetwork, from_slots, to_slots
from nmrclassify.networks.slots import Slots

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
    "version 0.1": NetworkConfig(non_negative_encoder=False, relu_before_classes=True),
}
SHARED = ("encoder", "separator", "decoder")
INTERMEDIATES = ("encoding", "masks", "separated_encodings", "multiplets")


def disturbed(model):
    """Move every weight away from the ones and zeros that norms and biases start with."""
    torch.manual_seed(1)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def reference(config, **sizes):
    values = asdict(config) | sizes
    # The others do not change what it computes.
    names = signature(ReferenceNetwork).parameters
    values = {name: values[name] for name in names}
    return ReferenceNetwork(**values)


def results(network, mixture, names):
    """Values of these names, and the gradients of a sum of them with random weights."""
    mixture = mixture.clone().requires_grad_()
    logits, inside = network(mixture)
    inside = inside if isinstance(inside, dict) else inside._asdict()
    values = {name: (inside | {"logits": logits})[name] for name in names}
    torch.manual_seed(2)
    sum(
        (part * torch.randn(part.shape, dtype=part.dtype)).sum() for part in values.values()
    ).backward()
    grads = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return values, grads, mixture.grad


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.double, 1e-9), (torch.float, 1e-5)])
@pytest.mark.parametrize("kind", [Slots, Queries])
@pytest.mark.parametrize("size", SIZES)
def test_the_fast_networks_equal_the_reference_in_values_and_gradients(
    size, kind, dtype, tolerance
):
    """Queries, which name compounds in their way, up to the separated multiplets."""
    config, names = SIZES[size], INTERMEDIATES + ("logits",) * (kind is Slots)
    if kind is Queries:
        config = replace(config, n_bottleneck=16)  # as `Queries.sizes_for`
    torch.manual_seed(0)
    fast = disturbed(kind(config)).to(dtype)
    plain = reference(
        config, n_sources=config.n_sources if kind is Slots else config.n_compounds + 1
    ).to(dtype)
    weights = from_slots(
        {n: v for n, v in fast.state_dict().items() if kind is Slots or n.startswith(SHARED)}
    )
    plain.load_state_dict(weights, strict=kind is Slots)
    mixture = torch.randn(3, config.n_peaks, config.n_positions, dtype=dtype)
    values, grads, grad_mixture = results(fast, mixture, names)
    expected, expected_grads, expected_grad_mixture = results(plain, mixture, names)
    for name in names:
        torch.testing.assert_close(
            values[name], expected[name], rtol=tolerance, atol=tolerance, msg=name
        )
    grads = from_slots(grads)
    assert grads.keys() == expected_grads.keys() == weights.keys()
    grads["mixture"], expected_grads["mixture"] = grad_mixture, expected_grad_mixture
    # A gradient is a sum over many places, whose terms may cancel, as in that of a PReLU: the
    # tolerance is relative to the largest gradient of the network.
    atol = tolerance * max(float(value.abs().max()) for value in expected_grads.values())
    for name, value in expected_grads.items():
        assert value.abs().sum() > 0, name
        torch.testing.assert_close(grads[name], value, rtol=tolerance, atol=atol, msg=name)


@pytest.mark.parametrize("relu", [False, True])
def test_weights_go_both_ways(relu):
    torch.manual_seed(0)
    plain = disturbed(ReferenceNetwork(relu_before_classes=relu))
    fast = Slots(NetworkConfig(relu_before_classes=relu))
    fast.load_state_dict(to_slots(plain.state_dict()))
    back = from_slots(fast.state_dict())
    assert back.keys() == plain.state_dict().keys()
    assert all(torch.equal(value, back[name]) for name, value in plain.state_dict().items())
    mixture = torch.rand(2, 6, 21)
    torch.testing.assert_close(fast(mixture)[0], plain(mixture)[0], rtol=1e-5, atol=1e-5)
    fast.temperature.fill_(2.0)
    plain.load_state_dict(from_slots(fast.state_dict()))
    torch.testing.assert_close(fast(mixture)[0], plain(mixture)[0], rtol=1e-5, atol=1e-5)


def test_the_relu_before_the_classifier_is_what_tells_the_versions_apart():
    torch.manual_seed(0)
    now, before = ReferenceNetwork(), ReferenceNetwork(relu_before_classes=True)
    before.load_state_dict(now.state_dict() | {"to_line.bias": torch.zeros(1)})
    mixture = torch.rand(4, 6, 21)
    assert not torch.allclose(now(mixture)[0], before(mixture)[0])
    # Only now, the classes do not depend on the unit.
    assert torch.allclose(now(100 * mixture)[0], now(mixture)[0], atol=1e-4)
    assert not torch.allclose(before(100 * mixture)[0], before(mixture)[0], atol=1e-4)


def test_an_untrained_network_encodes_no_negative_number():
    torch.manual_seed(0)
    for network in (ReferenceNetwork(), Slots(NetworkConfig()), Queries(NetworkConfig())):
        assert (network.encoder.weight >= 0).all()
        assert network.encoder.weight.std() > 0.01
    signed = Slots(NetworkConfig(non_negative_encoder=False))
    assert (signed.encoder.weight < 0).float().mean() == pytest.approx(0.5, abs=0.1)


def test_the_defaults_are_the_sizes_of_the_design_document():
    logits, inside = ReferenceNetwork()(torch.rand(4, 6, 21))
    assert logits.shape == (4, 3, 10)
    assert inside["encoding"].shape == (4, 64, 21)
    assert inside["masks"].shape == (4, 3, 64, 21)
    assert inside["multiplets"].shape == (4, 3, 6, 21)
    assert sum(p.numel() for p in ReferenceNetwork().parameters()) == 88_949
