"""Layers in the form that a processor likes: channels last, (B, L, C), so that a 1x1 convolution is one matrix product."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALL = 16  # examples


class DepthwiseShifts(torch.autograd.Function):
    """Depthwise dilated convolution over positions as multiply-adds of shifted views, with zeros past the ends.

    Called as ``DepthwiseShifts.apply(x, weight, dilation)`` with x of shape (B, L, C) and weight of
    shape (kernel, C). Written as a function with its own gradient because that of sliced sums would
    fill an array of zeros for every slice.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, dilation: int) -> Tensor:  # (B, L, C), (kernel, C)
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
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:
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
    """Return where a view shifted by `shift` positions lands, and where it comes from."""
    return slice(max(0, -shift), length - max(0, shift)), slice(
        max(0, shift), length - max(0, -shift)
    )


class GlobalNorm(nn.Module):
    """The paper's global layer norm: over channels and positions of one example, with a gain and bias a channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(torch.ones(channels)),
            nn.Parameter(torch.zeros(channels)),
        )

    def forward(self, x: Tensor) -> Tensor:  # (B, L, channels)
        shape = x.shape[1:]
        if (
            len(x) < SMALL
            # writing the gains out for every position costs more than a second pass over so few numbers
        ):
            return torch.addcmul(self.bias, F.layer_norm(x, shape), self.weight)
        return F.layer_norm(x, shape, self.weight.expand(shape), self.bias.expand(shape))
