"""``graphreg register``: two scans to a folder with the result."""

import typer

from graphreg.cli import options
from graphreg.cli.console import FAILED


def register(
    fixed: options.Fixed,
    moving: options.Moving,
    out: options.OutFolder,
    fixed_mask: options.FixedMask = None,
    moving_mask: options.MovingMask = None,
    preset: options.Preset = "inhale-exhale",
    config: options.Config = None,
    regulariser: options.Regulariser = None,
    no_refinement: options.NoRefinement = False,
    symmetric: options.Symmetric = False,
    device: options.Device = "auto",
    seed: options.Seed = 0,
    force: options.Force = False,
    strict: options.Strict = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Find the motion from FIXED to MOVING.

    The folder OUT gets: transform.h5, an ITK transform that maps points of FIXED to MOVING in LPS mm;
    warped.nii.gz, MOVING on the grid of FIXED; keypoints.csv, matching points in LPS mm with their confidence;
    registration.json, the settings, costs and quality figures; with --symmetric also inverse_transform.h5, from
    MOVING to FIXED.

    A finished result of the same images and settings in OUT is left alone. Where signs speak against the result (other
    patients, a wrong mask, half a lung) it is written all the same, with a warning each, here and in registration.json.
    """
    from graphreg.cli.job import Wanted, fulfil, run_of

    inputs = {"fixed": fixed, "moving": moving, "fixed_mask": fixed_mask, "moving_mask": moving_mask}
    wanted = Wanted(preset, config, regulariser, not no_refinement, symmetric)
    run = run_of(inputs, out, wanted, device, seed)
    if fulfil(run, force, quiet) and strict:
        raise typer.Exit(FAILED)
