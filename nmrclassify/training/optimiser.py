"""Optimisers: by name, one step of training, and their state as the tensors of a file."""

import sys
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from nmrclassify.files import described

OPTIMISERS: dict[str, Callable[[Iterable[nn.Parameter], Any], Optimizer]] = {
    "adamw": lambda parameters, c: AdamW(
        parameters, lr=c.learning_rate, weight_decay=c.weight_decay
    ),
    "adam": lambda parameters, c: Adam(parameters, lr=c.learning_rate, weight_decay=c.weight_decay),
    "sgd": lambda parameters, c: SGD(
        parameters, lr=c.learning_rate, momentum=c.momentum, weight_decay=c.weight_decay
    ),
}


def without_compiler() -> None:
    """Put two empty functions in place of torch's compiler, in a process that compiles nothing.

    An optimiser imports it only to keep it away: 800 modules, 2 s in which a server answers nobody,
    and 80 MB.
    """
    compiler = types.ModuleType("torch._dynamo")
    compiler.graph_break = lambda: None  # type: ignore[attr-defined]
    compiler.disable = lambda function, *_, **__: function  # type: ignore[attr-defined]
    sys.modules["torch._dynamo"] = torch._dynamo = compiler


def _parameters(optimiser: Optimizer) -> list[Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def take_step(
    optimiser: Optimizer, loss: Tensor, rate: float, clip_norm: float, finite: bool = False
) -> Tensor:
    """Take one step of training, and return the length of the gradient before clipping.

    Parameters
    ----------
    loss : Tensor, shape ()
    rate : float
        Learning rate of this step.
    clip_norm : float
        A longer gradient is shortened to this length, so that one batch cannot undo the others.
    finite : bool
        Whether to refuse a gradient that is not finite.

    Raises
    ------
    ValueError
        If a refused gradient is not finite; the weights stay as they were.
    """
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad()
    loss.backward()
    length = nn.utils.clip_grad_norm_(_parameters(optimiser), clip_norm)
    if finite and not length.isfinite():
        raise ValueError(
            f"the loss is {loss.item()}, without a finite gradient; continue with a lower rate"
            " from the last saved state"
        )
    optimiser.step()
    return length


def training_tensors(network: nn.Module, optimiser: Optimizer, prefix: str) -> dict[str, Tensor]:
    """Return weights ("`prefix`.NAME") and state of the optimiser ("optimiser.INDEX.NAME")."""
    tensors = {f"{prefix}.{name}": value for name, value in network.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": v for name, v in state.items() if v is not None}
    return tensors


def expected_tensors(
    names: Iterable[str], network: nn.Module, optimiser: Optimizer, prefix: str
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return what a file with these names has to hold: all of the optimiser's state, or none."""
    tensors: dict[str, Tensor] = {
        f"{prefix}.{name}": value for name, value in network.state_dict().items()
    }
    if any(name.startswith("optimiser.") for name in names):
        is_sgd = isinstance(optimiser, SGD)
        kinds = ["momentum_buffer"] if is_sgd else ["step", "exp_avg", "exp_avg_sq"]
        for index, parameter in enumerate(_parameters(optimiser)):
            for kind in kinds:
                tensors[f"optimiser.{index}.{kind}"] = (
                    torch.zeros(()) if kind == "step" else parameter
                )
    return described(tensors)


def load_training_tensors(
    tensors: Mapping[str, Tensor], network: nn.Module, optimiser: Optimizer, prefix: str
) -> None:
    """Continue from what `training_tensors` returned."""
    network.load_state_dict(
        {n.removeprefix(f"{prefix}."): v for n, v in tensors.items() if n.startswith(f"{prefix}.")}
    )
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, index, kind = name.split(".")
            state.setdefault(int(index), {})[kind] = value.clone()
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
