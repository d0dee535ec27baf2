"""The network of the design document in plain layers, one operation a line: read this first.

It is a Conv-TasNet over ppm positions in place of time: an encoder, a separator that estimates one
mask for each source, a decoder, and a classifier of each separated source. The network that is
trained, `slots.Slots`, computes the same numbers with channels last, because that is faster.
`from_slots` and `to_slots` translate the weights, and a test compares values and gradients.

Y. Luo and N. Mesgarani, "Conv-TasNet: Surpassing Ideal Time-Frequency Magnitude Masking for Speech
Separation", IEEE/ACM TASLP 27(8), 2019, doi:10.1109/TASLP.2019.2915167. Its symbols stand in
brackets; figure 1C shows the block.
"""

import torch
from torch import Tensor, nn


class ReferenceBlock(nn.Module):
    """One dilated, depthwise separable convolution block (figure 1C).

    Parameters
    ----------
    n_bottleneck : int
        Channels of the input, the residual and the skip connection [B, Sc].
    n_hidden : int
        Channels inside the block [H].
    kernel : int
        Kernel of the depthwise convolution, odd [P].
    dilation : int
        Distance in positions between the taps of that kernel.
    has_residual : bool
        False in the last block: nothing follows that could use its residual.
    """

    def __init__(
        self, n_bottleneck: int, n_hidden: int, kernel: int, dilation: int, has_residual: bool
    ):
        super().__init__()
        padding = dilation * (kernel // 2)  # keeps the number of positions
        # Biases omitted: redundant before a norm.
        self.expand = nn.Conv1d(n_bottleneck, n_hidden, 1, bias=False)
        self.first = nn.PReLU()
        self.first_norm = nn.GroupNorm(1, n_hidden)  # one group: over channels and positions
        self.depthwise = nn.Conv1d(
            n_hidden, n_hidden, kernel, 1, padding, dilation, groups=n_hidden, bias=False
        )
        self.second = nn.PReLU()
        self.second_norm = nn.GroupNorm(1, n_hidden)
        self.residual = nn.Conv1d(n_hidden, n_bottleneck, 1) if has_residual else None
        self.skip = nn.Conv1d(n_hidden, n_bottleneck, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the input of the next block and the skip connection, both (batch, B, L)."""
        hidden = self.expand(x)  # (batch, H, L)
        hidden = self.first(hidden)  # (batch, H, L)
        hidden = self.first_norm(hidden)  # (batch, H, L)
        hidden = self.depthwise(hidden)  # (batch, H, L)
        hidden = self.second(hidden)  # (batch, H, L)
        hidden = self.second_norm(hidden)  # (batch, H, L)
        skip = self.skip(hidden)  # (batch, B, L)
        if self.residual is not None:
            x = x + self.residual(hidden)  # (batch, B, L)
        return x, skip


class ReferenceNetwork(nn.Module):
    """Separate a mixture of multiplets into sources, and classify each source.

    The defaults are the sizes of the design document.

    Parameters
    ----------
    n_compounds, n_positions, n_peaks, n_sources : int
        Classes K, positions L, peaks of a multiplet P, and compounds of a mixture [C].
    n_filters : int
        Filters of the encoder [N].
    n_bottleneck, n_hidden, kernel : int
        Sizes of a block [B, H, P].
    n_stacks, n_layers : int
        Repeats of the dilation pattern [R], and blocks in each, of dilation 1, 2, 4, ... [X].
    relu_before_classes : bool
        Whether a ReLU stands before the classifier, as in version 0.1, for weights of that version;
        otherwise each line is divided by its root mean square.
    """

    def __init__(
        self,
        n_compounds: int = 10,
        n_positions: int = 21,
        n_peaks: int = 6,
        n_sources: int = 3,
        n_filters: int = 64,
        n_bottleneck: int = 32,
        n_hidden: int = 64,
        kernel: int = 3,
        n_stacks: int = 3,
        n_layers: int = 4,
        relu_before_classes: bool = False,
    ):
        super().__init__()
        self.n_sources = n_sources
        self.relu_before_classes = relu_before_classes
        dilations = [2**layer for _ in range(n_stacks) for layer in range(n_layers)]
        last = len(dilations) - 1
        # Bias omitted: the encoding of a sum is then the sum of the encodings, as masks assume.
        self.encoder = nn.Conv1d(n_peaks, n_filters, 3, padding=1, bias=False)
        # Areas are never negative. With such weights the encodings are not negative either, so a
        # mask in 0..1 can separate exactly. Training sets negative weights to 0 after each step.
        self.encoder.weight.data.abs_()
        self.norm = nn.GroupNorm(1, n_filters)
        self.bottleneck = nn.Conv1d(n_filters, n_bottleneck, 1)
        self.blocks = nn.ModuleList(
            ReferenceBlock(n_bottleneck, n_hidden, kernel, dilation, has_residual=i < last)
            for i, dilation in enumerate(dilations)
        )
        self.prelu = nn.PReLU()
        self.masks = nn.Conv1d(n_bottleneck, n_sources * n_filters, 1)
        self.decoder = nn.Conv1d(n_filters, n_peaks, 3, padding=1, bias=False)
        # Bias omitted: a position without area then stays 0.
        self.to_line = nn.Conv1d(n_filters, 1, 1, bias=relu_before_classes)
        self.classifier = nn.Linear(n_positions, n_compounds)

    def forward(self, mixture: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Separate and classify.

        Parameters
        ----------
        mixture : Tensor, shape (batch, P, L), float32
            Peak areas.

        Returns
        -------
        logits : Tensor, shape (batch, C, K)
            A softmax over the last axis gives class probabilities; the loss applies its own.
        intermediates : dict of str to Tensor
            Every named result on the way, with the shapes below.
        """
        encoding = self.encoder(mixture)  # (batch, N, L)
        # The masks must not depend on the unit of the areas, as the small constant in a norm would
        # make them.
        scale = mixture.square().mean((1, 2), keepdim=True).sqrt()  # (batch, 1, 1)
        x = self.norm(encoding / scale)  # (batch, N, L)
        x = self.bottleneck(x)  # (batch, B, L)
        skips = torch.zeros_like(x)  # (batch, B, L)
        for block in self.blocks:
            x, skip = block(x)  # (batch, B, L), (batch, B, L)
            skips = skips + skip  # (batch, B, L)
        masks = self.masks(self.prelu(skips))  # (batch, C N, L)
        masks = masks.sigmoid().unflatten(1, (self.n_sources, -1))  # (batch, C, N, L)
        separated = masks * encoding[:, None]  # (batch, C, N, L)
        sources = separated.flatten(0, 1)  # (batch C, N, L)
        multiplets = self.decoder(sources)  # (batch C, P, L)
        multiplets = multiplets.unflatten(0, (-1, self.n_sources))  # (batch, C, P, L)
        line = self.to_line(sources)  # (batch C, 1, L)
        line = line.unflatten(0, (-1, self.n_sources)).squeeze(2)  # (batch, C, L)
        if self.relu_before_classes:
            line = line.relu()  # (batch, C, L)
        else:
            # A class must not depend on the amount: a weak compound is the same compound.
            line = line / scale
            line = line / (line.square().mean(-1, keepdim=True) + 1e-4).sqrt()  # (batch, C, L)
        logits = self.classifier(line)  # (batch, C, K)
        return logits, {
            "encoding": encoding,
            "masks": masks,
            "separated_encodings": separated,
            "multiplets": multiplets,
        }


def from_slots(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights of `slots.Slots`, or their gradients, as those of `ReferenceNetwork`.

    The temperature, where there is one, goes into the classifier. Weights of version 0.1 need a
    network with `relu_before_classes`.
    """
    width = len(weights["separator.bottleneck.weight"])  # B
    plain = {}
    for name, value in weights.items():
        name = name.removeprefix("separator.")
        if name == "encoder.weight":
            plain[name] = value.unflatten(1, (-1, 3))  # (N, P 3) -> (N, P, 3)
        elif name == "decoder.weight":
            plain[name] = value.unflatten(0, (3, -1)).permute(1, 2, 0)  # (3 P, N) -> (P, N, 3)
        elif name.endswith(".depthwise"):
            plain[f"{name}.weight"] = value.T[:, None]  # (kernel, H) -> (H, 1, kernel)
        elif ".project." in name:  # residual and skip connection in one product, but for the last
            value = value[..., None] if name.endswith("weight") else value
            plain[name.replace("project", "skip")] = value[-width:]
            if len(value) > width:
                plain[name.replace("project", "residual")] = value[:width]
        elif name.startswith("classifier."):
            plain[name] = value / weights.get("temperature", torch.ones(()))
        elif value.ndim == 2:
            plain[name] = value[..., None]  # a 1x1 convolution: (out, in) -> (out, in, 1)
        elif name not in ("temperature", "reference"):
            plain[name] = value
    return plain


def to_slots(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights of `ReferenceNetwork` as those of `slots.Slots`, at temperature 1.

    The unit of the areas, `Slots.reference`, is taken as 1.
    """
    fast = {"temperature": torch.ones(())}
    if "to_line.bias" in weights:  # of version 0.1
        fast["reference"] = torch.ones(())
    for name, value in weights.items():
        if name == "encoder.weight":
            fast[name] = value.flatten(1)
        elif name == "decoder.weight":
            fast[name] = value.permute(2, 0, 1).flatten(0, 1)
        elif name.endswith(".depthwise.weight"):
            fast["separator." + name.removesuffix(".weight")] = value[:, 0].T
        elif ".skip." in name:
            residual = weights.get(name.replace("skip", "residual"))
            both = value if residual is None else torch.cat([residual, value])
            fast["separator." + name.replace("skip", "project")] = (
                both.flatten(1) if both.ndim > 1 else both
            )
        elif ".residual." not in name:
            inside = name.split(".")[0] in ("norm", "bottleneck", "blocks", "prelu", "masks")
            key = "separator." * inside + name
            fast[key] = value.squeeze(-1) if value.ndim == 3 else value
    return fast
