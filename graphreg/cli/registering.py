"""``graphreg register``: two scans to a folder with the result."""

from graphreg.cli import options
from graphreg.cli.console import say
from graphreg.cli.job import Job, perform
from graphreg.io.claim import claim


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
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Find the motion from FIXED to MOVING.

    The folder OUT gets: transform.h5, an ITK transform that maps points of FIXED to MOVING in LPS mm;
    warped.nii.gz, MOVING on the grid of FIXED; keypoints.csv, matching points in LPS mm with their confidence;
    registration.json, the settings, costs and quality figures; with --symmetric also inverse_transform.h5, from
    MOVING to FIXED.

    A finished result of the same images and settings in OUT is left alone.
    """
    masks = fixed_mask, moving_mask
    job = Job(fixed, moving, out, *masks, preset, config, regulariser, not no_refinement, symmetric, device, seed)
    job.check()
    with claim(out):
        if not force and job.is_done():
            say(f"nothing to do: {out} already holds the result of these images and settings")
            return
        finished = perform(job, quiet)
    if not quiet:
        say(finished.summary(out))
