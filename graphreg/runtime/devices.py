"""Where the work is done."""

import re
from dataclasses import replace

import torch

from graphreg.core.errors import InputError
from graphreg.core.records import ImagePair

NAME = re.compile(r"cpu|cuda(:\d{1,3})?", re.ASCII)


def choose_device(name: str) -> torch.device:
    """The device of that name; ``auto`` is CUDA where there is one, else the CPU, ``cuda:1`` the second GPU.

    Raises:
        InputError: an unknown name, or a device that this machine lacks.
    """
    if name == "mps":
        raise InputError("device 'mps' lacks the float64 that the spline needs; use cpu")
    gpus = torch.cuda.device_count()
    if name == "auto":
        return torch.device("cuda" if gpus else "cpu")
    if not NAME.fullmatch(name):
        raise InputError(f"device must be one of auto, cpu, cuda, cuda:N, got {name!r}")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= gpus:
        raise InputError(f"device {name!r} is not available on this machine")
    return device


def to_device(pair: ImagePair, device: torch.device) -> ImagePair:
    """The pair on a device, its images as float32."""
    fixed, moving = (replace(v, data=v.data.to(device, torch.float32)) for v in (pair.fixed, pair.moving))
    masks = (None if m is None else m.to(device) for m in (pair.fixed_mask, pair.moving_mask))
    return ImagePair(fixed, moving, *masks)
