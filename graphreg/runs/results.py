"""The folder of one result: transform, warped image, keypoints, and last the record that marks it as finished."""

import errno
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from graphreg.core.errors import PathInput
from graphreg.core.records import DenseField, Displacements, Volume
from graphreg.io.files import atomic_path
from graphreg.io.images import write_volume
from graphreg.io.json_text import parse_json, write_json
from graphreg.io.landmarks import write_keypoints
from graphreg.io.transforms import write_transform

TRANSFORM, WARPED, KEYPOINTS, RECORD = "transform.h5", "warped.nii.gz", "keypoints.csv", "registration.json"
INVERSE = "inverse_transform.h5"  # of symmetric registrations
NAMES = (TRANSFORM, INVERSE, WARPED, KEYPOINTS, RECORD)  # in the order in which they come to their place
VECTOR = 24  # bytes per voxel of a transform before it is packed
COMPLETE = ".complete"  # folder with a new result that is not yet in its place


def write_result(
    folder: PathInput,
    field: DenseField,
    warped: Volume,
    keypoints: Displacements,
    record: Mapping[str, Any],
    inverse: DenseField | None = None,
) -> None:
    """The files of a result, in place of an earlier one once all of them are complete."""
    motions = (field, inverse) if inverse else (field,)
    _require_room(folder, sum(VECTOR * motion.grid.voxels for motion in motions) + _image_bytes(warped))
    with atomic_path(Path(folder) / COMPLETE) as new:
        new.mkdir()
        with ThreadPoolExecutor() as pool:  # the image is packed while ITK writes the transforms
            writing = pool.submit(write_volume, warped, new / WARPED)
            for motion, name in zip(motions, (TRANSFORM, INVERSE), strict=False):
                write_transform(motion, new / name)
            writing.result()
        points_mm = keypoints.keypoints.points_mm.double()
        moved_mm = points_mm + keypoints.vectors_mm.double()
        write_keypoints(new / KEYPOINTS, points_mm, moved_mm, keypoints.confidence.double())
        write_json(new / RECORD, record)
    try:
        settle(folder)
    finally:  # Ctrl-C in between does not stop it
        settle(folder)


def _image_bytes(volume: Volume) -> int:
    """Of an image before it is packed, in the type that it is stored in."""
    return volume.grid.voxels * np.dtype(volume.stored or "float32").itemsize


def _require_room(folder: PathInput, size: int) -> None:
    """Raise OSError where a disk is too full; libraries that find it out by themselves say more than one line."""
    place = Path(folder)
    while not place.exists():
        place = place.parent
    if (free := shutil.disk_usage(place).free) < size:
        told = f"{os.strerror(errno.ENOSPC)} ({size / 1e6:.1f} MB needed, {free / 1e6:.1f} MB found)"
        raise OSError(errno.ENOSPC, told, str(folder))


def settle(folder: PathInput) -> None:
    """Puts a complete new result in its place, the record last; goes on where a process was killed as it did so."""
    out, new = Path(folder), Path(folder) / COMPLETE
    if not new.is_dir():
        return
    if (new / TRANSFORM).exists():  # nothing is in its place yet
        (out / RECORD).unlink(missing_ok=True)  # from here on the earlier result is no longer whole
        (out / INVERSE).unlink(missing_ok=True)
    for name in NAMES:
        if (new / name).exists():
            os.replace(new / name, out / name)
    new.rmdir()


def read_record(folder: PathInput) -> dict[str, Any] | None:
    """The record of the result in a folder; empty where it cannot be read, None where there is none."""
    path = Path(folder) / RECORD
    if not path.exists():
        return None
    try:
        record = parse_json(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def is_whole(folder: PathInput, symmetric: bool = False) -> bool:
    """Whether a folder holds all files of a result."""
    names = (TRANSFORM, WARPED, KEYPOINTS, RECORD, *([INVERSE] if symmetric else []))
    return all((Path(folder) / name).is_file() for name in names)
