"""Other people's mask estimators of the same dimensions, where their packages are there; the project depends on none.

Of each package only the files that hold the estimator are run. torchaudio's own start would load a
compiled extension, which is tied to one version of torch; asteroid's would import a whole training
framework.
"""

import importlib
import sys
from collections.abc import Callable
from functools import partial
from importlib.machinery import PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import torch
from torch import Tensor, nn

from nmrclassify.networks.conv_tasnet import NetworkConfig, Separator

INSTALL = {
    "torchaudio": "pip install --no-deps torchaudio==2.11.0",
    "asteroid": "pip install --no-deps asteroid==0.7.0 asteroid-filterbanks==0.4.0 packaging",
}


def _folder(package: str) -> str:
    """Return where a package lies, without running any of it."""
    spec = PathFinder.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"no package {package}")
    return spec.submodule_search_locations[0]


def torchaudio(config: NetworkConfig, n_masks: int) -> nn.Module:
    """Return torchaudio's `MaskGenerator`, (B, N, L) -> (B, M, N, L)."""
    path = Path(_folder("torchaudio"), "models", "conv_tasnet.py")
    spec = spec_from_file_location("torchaudio_conv_tasnet", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
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
        path = [str(Path(_folder("asteroid")).parent)]
        for name in ("asteroid", "asteroid.masknn"):  # known, but their __init__.py not run
            spec = PathFinder.find_spec(name, path)
            sys.modules[name] = module_from_spec(spec)
            path = spec.submodule_search_locations
        network = importlib.import_module("asteroid.masknn.convolutional").TDConvNet
    finally:
        for name in set(sys.modules) - before:  # a later import gets the package as it should be
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
    """Return each peer that is installed, and for each that is not what is missing and the line that installs it."""
    found, missing = {}, {}
    for name, make in PEERS.items():
        try:
            found[name] = make(config, n_masks)
        except (ImportError, OSError) as error:
            missing[name] = f"{error}; {INSTALL[name]}"
    return found, missing


def _units(name: str, peer: nn.Module) -> tuple[list, list[tuple], list]:
    """Return a peer's begin (norm, bottleneck), blocks and end (PReLU, masks).

    The parts of a block: expand, PReLU, norm, depthwise, PReLU, norm, residual, skip.
    """
    if name == "torchaudio":
        blocks = [(*block.conv_layers, block.res_out, block.skip_out) for block in peer.conv_layers]
        return [peer.input_norm, peer.input_conv], blocks, [peer.output_prelu, peer.output_conv]
    blocks = [(*block.shared_block, block.res_conv, block.skip_conv) for block in peer.TCN]
    return list(peer.bottleneck), blocks, list(peer.mask_net)


def _set(module: nn.Module, weight: Tensor, bias: Tensor | None = None) -> None:
    """Copy our weights; what we have no bias for gets 0. asteroid calls a norm's gain and bias gamma and beta."""
    theirs = [getattr(module, "gamma", None), getattr(module, "beta", None)]
    theirs = theirs if theirs[0] is not None else [module.weight, getattr(module, "bias", None)]
    theirs[0].copy_(weight.reshape(theirs[0].shape))
    if theirs[1] is not None:
        theirs[1].copy_(torch.zeros_like(theirs[1]) if bias is None else bias)


@torch.no_grad()
def copy_weights(separator: Separator, name: str, peer: nn.Module) -> None:
    """Give a peer our weights, and our small constant in its norms (ours is PyTorch's 1e-5, theirs 1e-8)."""
    begin, blocks, end = _units(name, peer)
    for module, ours in (
        (begin[0], separator.norm),
        (begin[1], separator.bottleneck),
        (end[1], separator.masks),
    ):
        _set(module, ours.weight, ours.bias)
    _set(end[0], separator.prelu.weight)
    for block, (expand, first, first_norm, depthwise, second, second_norm, residual, skip) in zip(
        separator.blocks, blocks, strict=False
    ):
        _set(expand, block.expand.weight)
        _set(first, block.first.weight)
        _set(first_norm, block.first_norm.weight, block.first_norm.bias)
        _set(depthwise, block.depthwise.T)
        _set(second, block.second.weight)
        _set(second_norm, block.second_norm.weight, block.second_norm.bias)
        width = skip.weight.shape[0]
        weight, bias = block.project.weight, block.project.bias
        if (
            len(weight) > width
        ):  # ours computes both at once; the last block's residual reaches nothing
            _set(residual, weight[:width], bias[:width])
        _set(skip, weight[-width:], bias[-width:])
    for module in peer.modules():
        if isinstance(module, nn.GroupNorm):
            module.eps = 1e-5
        elif hasattr(module, "gamma"):
            module.forward = partial(module.forward, EPS=1e-5)
