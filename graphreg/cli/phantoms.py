"""``graphreg phantom`` and ``graphreg demo``: a pair with known truth, and the whole program shown on it."""

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
import typer

from graphreg import __version__
from graphreg.analysis.metrics import summarise, tre
from graphreg.anatomy.lung_ct import PICTURE_WINDOW
from graphreg.cli import options
from graphreg.cli.console import say
from graphreg.cli.evaluate import table
from graphreg.cli.job import Job, perform, remark
from graphreg.core.errors import InputError
from graphreg.core.grid import mask_points_mm
from graphreg.core.records import Landmarks
from graphreg.core.resampling import AIR_HU, identity, resample
from graphreg.io import atomic_path, read_volume, write_comparison, write_landmarks, write_text, write_volume
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
TRUTH = 20000  # points of the lung at which the demo is measured

OutPhantom = Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for the files.")]
OutDemo = Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for the result and the pictures.")]
Spacing = Annotated[
    tuple[float, float] | None,
    typer.Option(metavar="PLANE SLICES", help="Of both images, in mm; else 1.4 2.5 fixed and 1.5 2.0 moving."),
]


Many = Annotated[
    int | None, typer.Option("--study", metavar="N", min=1, help="N phantoms in folders, and their table manifest.csv.")
]


def phantom(
    out: OutPhantom,
    seed: options.PhantomSeed = 0,
    spacing: Spacing = None,
    many: Many = None,
    debug: options.Debug = False,
) -> None:
    """Make a breathing phantom with known motion.

    An inhale (fixed) and an exhale (moving) chest CT of nobody, and the exact motion between their lungs.

    Writes fixed.nii.gz and moving.nii.gz in HU, their lung masks fixed_mask.nii.gz and moving_mask.nii.gz,
    landmarks.csv (fixed and moving, LPS mm), jacobian.nii.gz (exact determinant of the motion in the fixed lungs, 1
    elsewhere) and phantom.json. With --study, N phantoms from seed on in folders seedK of OUT, and manifest.csv, the
    data set that 'graphreg study' reads.
    """
    seeds = range(seed, seed + (many or 1))
    folders = {number: out if many is None else out / f"seed{number}" for number in seeds}
    for folder in folders.values():
        _require_own(folder, folder)
    config = PhantomConfig(fixed_spacing_mm=spacing, moving_spacing_mm=spacing) if spacing else PhantomConfig()
    for number, folder in folders.items():
        with claim(folder):
            moved_mm = write_phantom(folder, make_phantom(number, config), number, config)
        say(f"phantom of seed {number}, whose lungs move by {moved_mm:.1f} mm on average: {folder}")
    if many is not None:
        write_text(out / MANIFEST, _manifest([folder.name for folder in folders.values()]))


def demo(out: OutDemo = Path("graphreg-demo"), seed: options.PhantomSeed = 0, debug: options.Debug = False) -> None:
    """Register a phantom and measure the result.

    Makes a breathing phantom pair, registers it, measures the error against the exact motion, and draws both.

    Writes the phantom to OUT/phantom, the result to OUT as 'graphreg register' does, and overlays to OUT as
    comparison.png: fixed image red, moving image cyan, above before and below after registration.
    """
    data = out / "phantom"
    _require_own(out, data)
    with claim(out), claim(data):
        _demonstrate(out, data, seed)


def _demonstrate(out: Path, data: Path, seed: int) -> None:
    config = PhantomConfig()
    truth = make_phantom(seed, config)
    write_phantom(data, truth, seed, config)
    job = Job(data / "fixed.nii.gz", data / "moving.nii.gz", out)
    job.check()
    finished = perform(job, quiet=False)
    done = finished.registration
    fixed, moving = read_volume(job.fixed), read_volume(job.moving)
    rows = {}
    for name, points in (("vessel branchings", truth.landmarks), ("whole lung", _spread(truth))):
        for when, motion in (("before", identity), ("after", done.field)):
            rows[f"{name}, {when}"] = summarise(tre(motion, points))
    before = resample(moving, fixed.grid, identity, outside=AIR_HU)
    write_comparison(out / "comparison.png", fixed, before, done.warp(moving), PICTURE_WINDOW, truth.pair.fixed_mask)
    say(table(rows))
    remark(out)
    say(finished.summary(out))
    say(f"pictures before (above) and after (below): {out / 'comparison.png'}")


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


def _manifest(names: list[str]) -> str:
    """The table of a data set of phantoms in folders of these names."""
    files = {Path(file).name.partition(".")[0]: file for file in FILES if file != JACOBIAN}
    rows = [["case", *files], *([name, *(f"{name}/{file}" for file in files.values())] for name in names)]
    return "".join(",".join(row) + "\n" for row in rows)


def _spread(made: Phantom) -> Landmarks:
    """Points all over the fixed lungs with their exact motion."""
    assert made.pair.fixed_mask is not None
    points_mm = mask_points_mm(made.pair.fixed_mask, made.pair.fixed.grid)
    points_mm = points_mm[:: len(points_mm) // TRUTH + 1]
    return Landmarks(points_mm, torch.cat([made.motion(part) for part in points_mm.split(CHUNK)]))


def _require_own(out: Path, data: Path) -> None:
    """Raise InputError where a folder cannot be written or holds files that are not those of an earlier phantom."""
    require_writable(data, folder=True)
    if (data / MARK).exists():
        return
    taken = [out / RECORD, *(data / name for name in FILES)]
    for path in taken:
        if path.exists():
            raise InputError(f"{out}: a folder without {path.name}, or an earlier phantom's, needed, found one in it")
