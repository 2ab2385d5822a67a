"""Files <-> records: images, landmarks, transforms, pictures, exchange formats."""

from graphreg.core.errors import InputError
from graphreg.io.files import atomic_path, write_text
from graphreg.io.images import read_mask, read_pair, read_volume, write_volume
from graphreg.io.landmarks import (
    read_landmark_lists,
    read_landmarks,
    read_points,
    write_keypoints,
    write_landmarks,
    write_points,
)
from graphreg.io.pictures import write_comparison, write_overlay
from graphreg.io.transforms import read_transform, write_transform

__all__ = [
    "InputError",
    "atomic_path",
    "read_landmark_lists",
    "read_landmarks",
    "read_mask",
    "read_pair",
    "read_points",
    "read_transform",
    "read_volume",
    "write_comparison",
    "write_keypoints",
    "write_landmarks",
    "write_overlay",
    "write_points",
    "write_text",
    "write_transform",
    "write_volume",
]
