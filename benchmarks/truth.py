"""Pairs whose motion is known: those of a folder at their landmarks, phantoms all over their lungs.

They are read, or made, when they are needed; masks are given where there are any.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from common import cases, images, masks

from graphreg import ImagePair, Landmarks, make_phantom, read_landmarks, read_pair
from graphreg.core.grid import mask_points_mm

POINTS = 2000  # of the lungs of a phantom, about


@dataclass(frozen=True)
class Case:
    """A pair and where it is measured."""

    name: str
    group: str  # that it is counted in: phantoms are one
    read: Callable[[], tuple[ImagePair, Landmarks]]


def known(folder: Path | None, seeds: int) -> list[Case]:
    """The pairs of a folder, then phantoms."""
    real = [Case(path.name, path.name, partial(read, path)) for path in (cases(folder) if folder else [])]
    return real + [Case(f"seed{seed}", "phantoms", partial(draw, seed)) for seed in range(seeds)]


@lru_cache(maxsize=1)
def read(folder: Path) -> tuple[ImagePair, Landmarks]:
    """A pair with the masks that it has."""
    pair = read_pair(*images(folder), *(mask if mask.exists() else None for mask in masks(folder)))
    return pair, read_landmarks(folder / "landmarks.csv")


@lru_cache(maxsize=1)
def draw(seed: int) -> tuple[ImagePair, Landmarks]:
    """A phantom, and points all over its fixed lungs with their exact motion."""
    made = make_phantom(seed)
    assert made.pair.fixed_mask is not None
    points_mm = mask_points_mm(made.pair.fixed_mask, made.pair.fixed.grid)
    points_mm = points_mm[:: len(points_mm) // POINTS + 1]
    return made.pair, Landmarks(points_mm, made.motion(points_mm))
