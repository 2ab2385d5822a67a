"""What ``graphreg phantom`` writes: pairs with known motion, a folder each, and the table of many."""

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import torch

from graphreg import __version__
from graphreg.cli.console import say
from graphreg.core.errors import InputError
from graphreg.core.grid import mask_points_mm
from graphreg.io import atomic_path, write_landmarks, write_text, write_volume
from graphreg.io.files import require_writable
from graphreg.io.json_text import write_json
from graphreg.phantom import Phantom, PhantomConfig, make_phantom
from graphreg.runs.claim import claim
from graphreg.runs.results import RECORD

MARK = "phantom.json"
MANIFEST = "manifest.csv"
JACOBIAN = "jacobian.nii.gz"
FILES = ("fixed.nii.gz", "moving.nii.gz", "fixed_mask.nii.gz", "moving_mask.nii.gz", "landmarks.csv", JACOBIAN)
CHUNK = 1 << 16  # points whose truth is worked out at once


def make_phantoms(out: Path, seed: int, many: int | None, spacing_mm: tuple[float, float] | None) -> None:
    """The phantom of a seed to a folder, or those of so many seeds to folders in it, with their table."""
    seeds = range(seed, seed + (many or 1))
    folders = {number: out if many is None else out / f"seed{number}" for number in seeds}
    for folder in folders.values():
        require_own(folder, folder)
    config = PhantomConfig(fixed_spacing_mm=spacing_mm, moving_spacing_mm=spacing_mm) if spacing_mm else PhantomConfig()
    for number, folder in folders.items():
        with claim(folder):
            moved_mm = write_phantom(folder, make_phantom(number, config), number, config)
        say(f"phantom of seed {number}, whose lungs move by {moved_mm:.1f} mm on average: {folder}")
    if many is not None:
        write_text(out / MANIFEST, _manifest([folder.name for folder in folders.values()]))


def write_phantom(folder: Path, made: Phantom, seed: int, config: PhantomConfig) -> float:
    """The files of a phantom; returns the mean motion in the fixed lungs in mm."""
    pair = made.pair
    assert pair.fixed_mask is not None and pair.moving_mask is not None
    points_mm = mask_points_mm(pair.fixed_mask, pair.fixed.grid)
    jacobian = torch.ones(pair.fixed.grid.shape)
    jacobian[pair.fixed_mask] = torch.cat([made.jacobian(part) for part in points_mm.split(CHUNK)]).float()
    moved_mm = torch.cat([(made.motion(part) - part).norm(dim=1) for part in points_mm.split(CHUNK)]).mean().item()
    record = {"graphreg": __version__, "seed": seed, "configuration": asdict(config), "mean_displacement_mm": moved_mm}
    with ExitStack() as stack:  # all are renamed together, the mark of our files before the files
        paths = {name: stack.enter_context(atomic_path(folder / name)) for name in (*FILES, MARK)}
        for role, volume, mask in (("fixed", pair.fixed, pair.fixed_mask), ("moving", pair.moving, pair.moving_mask)):
            write_volume(volume, paths[f"{role}.nii.gz"])
            write_volume((volume.grid, mask), paths[f"{role}_mask.nii.gz"])
        write_landmarks(paths["landmarks.csv"], made.landmarks)
        write_volume((pair.fixed.grid, jacobian), paths[JACOBIAN], as_float=True)
        write_json(paths[MARK], record)
    return moved_mm


def require_own(out: Path, data: Path) -> None:
    """Raise InputError where a folder cannot be written or holds files that are not those of an earlier phantom."""
    require_writable(data, folder=True)
    if (data / MARK).exists():
        return
    taken = [out / RECORD, *(data / name for name in FILES)]
    for path in taken:
        if path.exists():
            raise InputError(f"{out}: a folder without {path.name}, or an earlier phantom's, needed, found one in it")


def _manifest(names: list[str]) -> str:
    """The table of a data set of phantoms in folders of these names."""
    files = {Path(file).name.partition(".")[0]: file for file in FILES if file != JACOBIAN}
    rows = [["case", *files], *([name, *(f"{name}/{file}" for file in files.values())] for name in names)]
    return "".join(",".join(row) + "\n" for row in rows)
