"""The graph networks by name, and back from their weights. Imported where needed: torch-geometric takes seconds."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from graphreg.core.errors import InputError
from graphreg.regularisers.published import PublishedNet
from graphreg.regularisers.unrolled import UnrolledNet
from graphreg.regularisers.weights_file import Weights, WeightsError, locate, read_weights

ARCHITECTURES: dict[str, type[nn.Module]] = {"unrolled": UnrolledNet, "published": PublishedNet}


def build(architecture: str, settings: Mapping[str, Any]) -> nn.Module:
    """A network before it has learned.

    Raises:
        InputError: an unknown architecture, or settings that it does not have.
    """
    if architecture not in ARCHITECTURES:
        raise InputError(f"architecture must be one of {', '.join(ARCHITECTURES)}, got {architecture!r}")
    try:
        return ARCHITECTURES[architecture](**settings)
    except (TypeError, ValueError, RuntimeError) as error:  # a size below zero, or one that no tensor can have
        raise InputError(f"architecture {architecture!r}: {error}") from error


def restore(weights: Weights) -> nn.Module:
    """The network that the weights are of.

    Raises:
        InputError: weights of another shape than the network of that name.
    """
    with torch.device("meta"):  # shapes alone: what a file asks for takes no memory before it is known to fit
        own = {n: tuple(t.shape) for n, t in build(weights.architecture, weights.settings).state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.tensors.items()}
    if own != found:
        wrong = sorted(name for name in own.keys() | found.keys() if own.get(name) != found.get(name))[0]
        raise InputError(f"{wrong} of shape {own.get(wrong)} needed, found {found.get(wrong)}")
    network = build(weights.architecture, weights.settings)
    network.load_state_dict(dict(weights.tensors))
    return network.eval()


@lru_cache(maxsize=8)
def load(name: str, device: torch.device) -> nn.Module:
    """The network of shipped weights or of a path, on a device.

    Raises:
        WeightsError: no such weights, or a file that is damaged or foreign.
    """
    path = locate(name)
    weights = read_weights(path)
    try:
        return restore(weights).to(device).requires_grad_(False)
    except InputError as error:
        raise WeightsError(f"{path}: weights of a network of this version needed: {error}") from error
