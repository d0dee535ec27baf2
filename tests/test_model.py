import pytest
import torch
from torch.nn import functional as F

from nmrclassify.model import Separator, Slots, SlotsConfig


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Slots(SlotsConfig())


def test_shapes_of_the_design_table(model):
    logits, inside = model(torch.rand(4, 6, 21))
    assert logits.shape == (4, 3, 10)
    assert inside.encoding.shape == (4, 64, 21)
    assert inside.masks.shape == inside.separated_encodings.shape == (4, 3, 64, 21)
    assert inside.multiplets.shape == (4, 3, 6, 21)
    assert ((inside.masks > 0) & (inside.masks < 1)).all()


def reference_separator(weights: dict[str, torch.Tensor], x: torch.Tensor, config: SlotsConfig) -> torch.Tensor:
    """Compute the masks from the weights with plain matrix algebra, as the paper's section II-C states them."""

    def norm(x, name):  # global layer norm: over channels and positions of one mixture
        centred = x - x.mean((1, 2), keepdim=True)
        scaled = centred / (centred.square().mean((1, 2), keepdim=True) + 1e-5).sqrt()
        return scaled * weights[f"{name}.weight"][None, :, None] + weights[f"{name}.bias"][None, :, None]

    def point(x, name):
        return torch.einsum("oi,bil->bol", weights[f"{name}.weight"][..., 0], x) + weights[f"{name}.bias"][None, :, None]

    def prelu(x, name):
        return torch.where(x > 0, x, weights[f"{name}.weight"] * x)

    def depthwise(x, name, dilation):
        out = torch.zeros_like(x)
        for tap in range(config.kernel):
            shift = (tap - config.kernel // 2) * dilation
            moved = torch.zeros_like(x)
            for place in range(x.shape[2]):
                if 0 <= place + shift < x.shape[2]:
                    moved[:, :, place] = x[:, :, place + shift]
            out = out + moved * weights[f"{name}.weight"][None, :, 0, tap, None]
        return out + weights[f"{name}.bias"][None, :, None]

    x = point(norm(x, "bottleneck.0"), "bottleneck.1")
    skips = 0
    for i in range(config.n_stacks * config.n_layers):
        block = f"blocks.{i}"
        hidden = norm(prelu(point(x, f"{block}.body.0"), f"{block}.body.1"), f"{block}.body.2")
        hidden = depthwise(hidden, f"{block}.body.3", 2 ** (i % config.n_layers))
        hidden = norm(prelu(hidden, f"{block}.body.4"), f"{block}.body.5")
        skips = skips + point(hidden, f"{block}.skip")
        if f"{block}.residual.weight" in weights:
            x = x + point(hidden, f"{block}.residual")
    masks = torch.sigmoid(point(prelu(skips, "masks.0"), "masks.1"))
    return masks.reshape(len(masks), config.n_sources, config.n_filters, -1)


@pytest.mark.parametrize("config", [SlotsConfig(), SlotsConfig(n_positions=40, n_sources=2, n_filters=12, kernel=5, n_stacks=2, n_layers=3)])
def test_separator_equals_an_independent_implementation(config):
    torch.manual_seed(1)
    separator = Separator(config).eval()
    for parameter in separator.parameters():  # away from the ones and zeros that norms start with
        parameter.data += 0.1 * torch.randn_like(parameter)
    x = torch.randn(3, config.n_filters, config.n_positions)
    with torch.no_grad():
        expected = reference_separator(dict(separator.state_dict()), x, config)
        assert torch.allclose(separator(x), expected, atol=1e-5)


def test_every_parameter_gets_a_gradient(model):
    logits, inside = model(torch.rand(8, 6, 21))
    (F.cross_entropy(logits.flatten(0, 1), torch.randint(10, (24,))) + inside.multiplets.square().mean()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_published_sizes(model):
    # Encoder 1152; bottleneck norm 128 + 1040; 12 blocks of 1088 + 1 + 128 + 256 + 1 + 128 + 1040 skip, 11 residuals of
    # 1040; masks 1 + 3264; decoder 1152; line 65; classifier 220.
    assert model.n_parameters == 1152 + 128 + 1040 + 12 * 2642 + 11 * 1040 + 1 + 3264 + 1152 + 65 + 220
    assert model.config.receptive_field == 91


def test_receptive_field_is_where_gradients_reach():
    config = SlotsConfig(n_positions=64, n_stacks=2, n_layers=3)
    separator = Separator(config).double()
    for module in separator.modules():  # a norm mixes all positions; without it only convolutions reach
        if isinstance(module, torch.nn.GroupNorm):
            module.forward = lambda x: x
    x = torch.randn(1, config.n_filters, 64, dtype=torch.double, requires_grad=True)
    separator(x)[0, :, :, 32].sum().backward()
    reached = x.grad.abs().sum((0, 1)).nonzero().flatten()
    assert reached.max() - reached.min() + 1 == config.receptive_field == 29


def test_the_encoding_is_additive(model):
    a, b = torch.rand(2, 1, 6, 21)
    assert torch.allclose(model.encoder(a + b), model.encoder(a) + model.encoder(b), atol=1e-5)


def test_relabelling_outputs_permutes_everything(model):
    x, order = torch.rand(2, 6, 21), [2, 0, 1]
    before_logits, before = model(x)
    head = model.separator.masks[1]
    head.weight.data = head.weight.data.unflatten(0, (3, 64))[order].flatten(0, 1)
    head.bias.data = head.bias.data.unflatten(0, (3, 64))[order].flatten()
    after_logits, after = model(x)
    assert torch.allclose(after_logits, before_logits[:, order], atol=1e-6)
    assert torch.allclose(after.multiplets, before.multiplets[:, order], atol=1e-6)


@pytest.mark.parametrize("shape", [(6, 21), (1, 5, 21), (1, 6, 22)])
def test_wrong_shapes_are_refused(model, shape):
    with pytest.raises(ValueError, match="expected \\(batch, 6 peaks, 21 positions\\)"):
        model(torch.rand(shape))


def test_even_kernels_are_refused():
    with pytest.raises(ValueError, match="kernel is 4"):
        SlotsConfig(kernel=4)
