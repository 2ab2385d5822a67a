"""Where the work is done."""

import torch

from graphreg.records import ImagePair, Volume


def choose_device(name: str) -> torch.device:
    """The device of that name; ``auto`` is CUDA where there is one, else the CPU.

    Raises:
        ValueError: an unknown name, or a device that this machine lacks.
    """
    if name == "mps":
        raise ValueError("device 'mps' lacks the float64 that the spline needs; use cpu")
    present = {"cpu": True, "cuda": torch.cuda.is_available()}
    if name == "auto":
        return torch.device("cuda" if present["cuda"] else "cpu")
    if name not in present:
        raise ValueError(f"device must be one of auto, {', '.join(present)}, mps, got {name!r}")
    if not present[name]:
        raise ValueError(f"device {name!r} is not available on this machine")
    return torch.device(name)


def to_device(pair: ImagePair, device: torch.device) -> ImagePair:
    """The pair on a device, its images as float32."""
    fixed, moving = (Volume(v.grid, v.data.to(device, torch.float32)) for v in (pair.fixed, pair.moving))
    masks = (None if m is None else m.to(device) for m in (pair.fixed_mask, pair.moving_mask))
    return ImagePair(fixed, moving, *masks)
