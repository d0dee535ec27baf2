"""Fast layers: channels last, (B, L, C), so that a 1x1 convolution is one matrix product."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALL = 16  # examples


class DepthwiseShifts(torch.autograd.Function):
    """Depthwise dilated convolution as multiply-adds of shifted views, with zeros past the ends.

    Called as ``DepthwiseShifts.apply(x, weight, dilation)`` with x of shape (B, L, C) and weight of
    shape (kernel, C). It has a gradient of its own, because that of sliced sums would fill an array
    of zeros for every slice.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, dilation: int) -> Tensor:
        """Convolve x (B, L, C) with weight (kernel, C)."""
        ctx.save_for_backward(x, weight)
        ctx.dilation = dilation
        taps, length = weight.unbind(0), x.shape[1]
        middle = len(taps) // 2
        y = x * taps[middle]
        for tap, w in enumerate(taps):
            shift = (tap - middle) * dilation
            if shift and abs(shift) < length:
                # `narrow` for slices: on one mixture the slicing costs as much as the sums.
                size = length - abs(shift)
                y.narrow(1, max(0, -shift), size).addcmul_(x.narrow(1, max(0, shift), size), w)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """Return the gradients of x and weight."""
        x, weight = ctx.saved_tensors
        middle = len(weight) // 2
        grad_x, grad_weight = grad * weight[middle], torch.zeros_like(weight)
        for tap, w in enumerate(weight):
            shift = (tap - middle) * ctx.dilation
            if abs(shift) < x.shape[1]:
                to, source = _windows(x.shape[1], shift)
                grad_weight[tap] = (x[:, source] * grad[:, to]).sum((0, 1))
                if shift:
                    grad_x[:, source].addcmul_(grad[:, to], w)
        return grad_x, grad_weight, None


def _windows(length: int, shift: int) -> tuple[slice, slice]:
    """Return the target and the source of a view that is shifted by `shift` positions."""
    first, last = max(0, shift), max(0, -shift)
    return slice(last, length - first), slice(first, length - last)


class GlobalNorm(nn.Module):
    """The paper's global layer norm: over channels and positions; gain and bias of each channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (B, L, channels)."""
        shape = x.shape[1:]
        # Gains written out for every position cost more than a second pass over few numbers.
        if len(x) < SMALL:
            return torch.addcmul(self.bias, F.layer_norm(x, shape), self.weight)
        return F.layer_norm(x, shape, self.weight.expand(shape), self.bias.expand(shape))
