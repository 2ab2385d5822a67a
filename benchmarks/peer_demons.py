"""Diffeomorphic demons of ITK, coarse to fine (Vercauteren et al. 2009)."""

from pathlib import Path

import SimpleITK as sitk
from peer_geometry import AIR_HU, IDENTITY, Pair, Settings, box_grid, on_grid, onto, start_transform, windowed

DEMONS: Settings = {
    "window_hu": (-1000, 0),
    "grid_mm": 1.5,
    "margin_mm": 15.0,
    "shrink_factors": (8, 4, 2, 1),
    "iterations": (200, 150, 100, 40),
    "field_sd_voxels": 1.5,
    "maximum_step_voxels": 2.0,
}


def demons(pair: Pair, settings: Settings, work: Path) -> sitk.Transform:
    """Diffeomorphic demons on one grid after the affine start, lungs alone, brought to the same mean and spread."""
    affine = start_transform(pair)
    grid = box_grid(pair.fixed, pair.fixed_mask, settings["grid_mm"], settings["margin_mm"], 1)
    seen = on_grid(pair, grid, affine)
    fixed, moving = _lungs(seen.fixed, seen.fixed_mask, settings), _lungs(seen.moving, seen.moving_mask, settings)
    field = None
    for shrink, iterations in zip(settings["shrink_factors"], settings["iterations"], strict=True):
        level = box_grid(grid, None, settings["grid_mm"] * shrink, 0.0, 1)
        blurred = (_blurred(image, settings["grid_mm"], shrink) for image in (fixed, moving))
        ends = [onto(image, level, IDENTITY, 0.0) for image in blurred]
        field = _demons_level(ends[0], ends[1], field, iterations, settings)
    return sitk.CompositeTransform([affine, sitk.DisplacementFieldTransform(field)])


def _demons_level(
    fixed: sitk.Image, moving: sitk.Image, field: sitk.Image | None, iterations: int, settings: Settings
) -> sitk.Image:
    """One level of the pyramid, from the field of the coarser one."""
    method = sitk.DiffeomorphicDemonsRegistrationFilter()
    method.SetNumberOfIterations(iterations)
    method.SetStandardDeviations(settings["field_sd_voxels"])
    method.SetMaximumUpdateStepLength(settings["maximum_step_voxels"])
    if field is None:
        return method.Execute(fixed, moving)
    return method.Execute(fixed, moving, sitk.Resample(field, fixed, IDENTITY, sitk.sitkLinear))


def _lungs(image: sitk.Image, mask: sitk.Image | None, settings: Settings) -> sitk.Image:
    """A scan in units of its lungs' spread around their mean; what lies around them is soft tissue.

    Demons take equal intensities for equal tissue, which air breathed out does not leave them.
    """
    clipped = windowed(image, settings)
    if mask is None:
        return (clipped - AIR_HU) / 100.0
    inside = sitk.GetArrayViewFromImage(clipped)[sitk.GetArrayViewFromImage(mask) != 0]
    masked = sitk.Mask(clipped, mask, settings["window_hu"][1])
    return (masked - float(inside.mean())) / float(inside.std())


def _blurred(image: sitk.Image, spacing_mm: float, shrink: int) -> sitk.Image:
    return sitk.SmoothingRecursiveGaussian(image, spacing_mm * shrink / 2) if shrink > 1 else image
