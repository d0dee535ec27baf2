"""The mask estimators of torchaudio and asteroid at our dimensions, if they are installed.

Only the files with the estimator are run: torchaudio as a whole loads a compiled extension that
needs one version of torch, and asteroid as a whole imports a training framework.
"""

import importlib
import sys
from collections.abc import Callable
from functools import partial
from importlib.machinery import PathFinder, SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from nmrclassify.networks.conv_tasnet import NetworkConfig, Separator

INSTALL = {
    "torchaudio": "pip install --no-deps torchaudio==2.11.0",
    "asteroid": "pip install --no-deps asteroid==0.7.0 asteroid-filterbanks==0.4.0 packaging",
}


def _package(name: str, path: list[str] | None = None) -> tuple[ModuleType, list[str]]:
    """Return a package, none of which has run, and its folders."""
    spec = PathFinder.find_spec(name, path)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"no package {name}")
    return module_from_spec(spec), spec.submodule_search_locations


def torchaudio(config: NetworkConfig, n_masks: int) -> nn.Module:
    """Return torchaudio's `MaskGenerator`, (B, N, L) -> (B, M, N, L)."""
    path = Path(_package("torchaudio")[1][0], "models", "conv_tasnet.py")
    loader = SourceFileLoader("torchaudio_conv_tasnet", str(path))
    module = ModuleType(loader.name)
    loader.exec_module(module)
    return module.MaskGenerator(
        config.n_filters,
        n_masks,
        config.kernel,
        config.n_bottleneck,
        config.n_hidden,
        config.n_layers,
        config.n_stacks,
        "sigmoid",
    )


def asteroid(config: NetworkConfig, n_masks: int) -> nn.Module:
    """Return asteroid's `TDConvNet`, (B, N, L) -> (B, M, N, L)."""
    before = set(sys.modules)
    try:
        path = None
        for name in ("asteroid", "asteroid.masknn"):  # without running their __init__.py
            sys.modules[name], path = _package(name, path)
        network = importlib.import_module("asteroid.masknn.convolutional").TDConvNet
    finally:
        for name in set(sys.modules) - before:  # a later import runs the whole package
            if name.split(".")[0] == "asteroid":
                del sys.modules[name]
    return network(
        config.n_filters,
        n_masks,
        n_blocks=config.n_layers,
        n_repeats=config.n_stacks,
        bn_chan=config.n_bottleneck,
        hid_chan=config.n_hidden,
        skip_chan=config.n_bottleneck,
        conv_kernel_size=config.kernel,
        norm_type="gLN",
        mask_act="sigmoid",
    )


PEERS: dict[str, Callable[[NetworkConfig, int], nn.Module]] = {
    "torchaudio": torchaudio,
    "asteroid": asteroid,
}


def available(config: NetworkConfig, n_masks: int) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """Return the installed peers, and what is missing for the others, with how to install it."""
    peers, missing = {}, {}
    for name, make in PEERS.items():
        try:
            peers[name] = make(config, n_masks)
        except (ImportError, OSError) as error:
            missing[name] = f"{error}; {INSTALL[name]}"
    return peers, missing


def _units(name: str, peer: Any) -> tuple[list, list[tuple], list]:
    """Return the start (norm, bottleneck), the blocks and the end (PReLU, masks) of a peer.

    A block is: expand, PReLU, norm, depthwise, PReLU, norm, residual, skip.
    """
    if name == "torchaudio":
        blocks = [(*block.conv_layers, block.res_out, block.skip_out) for block in peer.conv_layers]
        return [peer.input_norm, peer.input_conv], blocks, [peer.output_prelu, peer.output_conv]
    blocks = [(*block.shared_block, block.res_conv, block.skip_conv) for block in peer.TCN]
    return list(peer.bottleneck), blocks, list(peer.mask_net)


def _set(module: Any, weight: Tensor, bias: Tensor | None = None) -> None:
    """Copy a weight and a bias, 0 where we have none, to a layer of a peer."""
    # asteroid calls the gain and the bias of a norm gamma and beta.
    gain = module.gamma if hasattr(module, "gamma") else module.weight
    shift = module.beta if hasattr(module, "beta") else getattr(module, "bias", None)
    gain.copy_(weight.reshape(gain.shape))
    if shift is not None:
        shift.copy_(torch.zeros_like(shift) if bias is None else bias)


@torch.no_grad()
def copy_weights(separator: Separator, name: str, peer: nn.Module) -> None:
    """Copy our weights to a peer, and our epsilon to its norms (1e-5; theirs is 1e-8)."""
    begin, blocks, end = _units(name, peer)
    # `Any`: mypy takes the attributes of a module in a list for tensors.
    ours: Any
    block: Any
    module: Any
    for module, ours in (
        (begin[0], separator.norm),
        (begin[1], separator.bottleneck),
        (end[1], separator.masks),
    ):
        _set(module, ours.weight, ours.bias)
    _set(end[0], separator.prelu.weight)
    for block, layers in zip(separator.blocks, blocks, strict=True):
        expand, first, first_norm, depthwise, second, second_norm, residual, skip = layers
        _set(expand, block.expand.weight)
        _set(first, block.first.weight)
        _set(first_norm, block.first_norm.weight, block.first_norm.bias)
        _set(depthwise, block.depthwise.T)
        _set(second, block.second.weight)
        _set(second_norm, block.second_norm.weight, block.second_norm.bias)
        width = skip.weight.shape[0]
        weight, bias = block.project.weight, block.project.bias
        # Our product gives both, residual before skip; our last block has no residual.
        if len(weight) > width:
            _set(residual, weight[:width], bias[:width])
        _set(skip, weight[-width:], bias[-width:])
    for module in peer.modules():
        if isinstance(module, nn.GroupNorm):
            module.eps = 1e-5
        elif hasattr(module, "gamma"):
            module.forward = partial(module.forward, EPS=1e-5)
