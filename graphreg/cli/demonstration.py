"""What ``graphreg demo`` does: a phantom made, registered, measured against its truth and drawn."""

from pathlib import Path

import torch

from graphreg.analysis.metrics import summarise, tre
from graphreg.anatomy.lung_ct import PICTURE_WINDOW
from graphreg.cli.console import say
from graphreg.cli.job import perform, remark, run_of, summary
from graphreg.cli.phantom_files import CHUNK, require_own, write_phantom
from graphreg.cli.tables import tre_table
from graphreg.core.grid import mask_points_mm
from graphreg.core.records import DenseField, Landmarks
from graphreg.core.resampling import identity, resample
from graphreg.io import read_volume, write_comparison
from graphreg.phantom import Phantom, PhantomConfig, make_phantom
from graphreg.runs.claim import claim

TRUTH = 20000  # points of the lung at which the demo is measured


def demonstrate(out: Path, seed: int) -> None:
    """The phantom to OUT/phantom, its registration and pictures to OUT. Raises InputError for files of others there."""
    data = out / "phantom"
    require_own(out, data)
    with claim(out), claim(data):
        _demonstrate(out, data, seed)


def _demonstrate(out: Path, data: Path, seed: int) -> None:
    config = PhantomConfig()
    truth = make_phantom(seed, config)
    write_phantom(data, truth, seed, config)
    run = run_of({"fixed": data / "fixed.nii.gz", "moving": data / "moving.nii.gz"}, out)
    run.check()
    finished = perform(run, quiet=False)
    done, picture = finished.registration, out / "comparison.png"
    fixed, moving = read_volume(run.inputs["fixed"]), read_volume(run.inputs["moving"])
    before = resample(moving, fixed.grid, identity, outside=run.config.anatomy.value_outside(moving))
    write_comparison(picture, fixed, before, done.warp(moving), PICTURE_WINDOW, truth.pair.fixed_mask)
    say(_errors(done.field, truth))
    remark(out)
    say(summary(finished, run))
    say(f"pictures before (above) and after (below): {picture}")


def _errors(field: DenseField, truth: Phantom) -> str:
    """The table of errors at the landmarks and all over the lungs, before and after."""
    rows = {}
    for name, points in (("vessel branchings", truth.landmarks), ("whole lung", _spread(truth))):
        for when, motion in (("before", identity), ("after", field)):
            rows[f"{name}, {when}"] = summarise(tre(motion, points))
    return tre_table(rows)


def _spread(made: Phantom) -> Landmarks:
    """Points all over the fixed lungs with their exact motion."""
    assert made.pair.fixed_mask is not None
    points_mm = mask_points_mm(made.pair.fixed_mask, made.pair.fixed.grid)
    points_mm = points_mm[:: len(points_mm) // TRUTH + 1]
    return Landmarks(points_mm, torch.cat([made.motion(part) for part in points_mm.split(CHUNK)]))
