"""ANTs: symmetric normalisation with local cross-correlation (Avants et al. 2008)."""

from importlib import import_module
from pathlib import Path

import SimpleITK as sitk
from peer_geometry import IDENTITY, Pair, Settings, box_grid, onto, start_transform, windowed

ANTS: Settings = {
    "window_hu": (-1000, 200),
    "grid_mm": 2.0,  # a voxel at 1.5 costs 2.5 times as much, and minutes are spent at the finest level
    "margin_mm": 15.0,
    "transform": "SyN[0.2,3,0]",
    "radius": 2,
    "convergence": "[100x100x40x5,1e-6,10]",
    "shrink_factors": "8x4x2x1",
    "smoothing_sigmas": "3x2x1x0vox",
}


def ants_syn(pair: Pair, settings: Settings, work: Path) -> sitk.Transform:
    """antsRegistration itself: one SyN stage inside the masks after the affine start."""
    ants = import_module("ants")
    start = start_transform(pair)
    named = _write_ants_images(pair, settings, work)
    sitk.WriteTransform(start, str(work / "start.tfm"))
    ants.registration(_ants_arguments(named, settings, work), None)
    warp = sitk.ReadImage(str(work / "out_1Warp.nii.gz"), sitk.sitkVectorFloat64)
    affine = sitk.ReadTransform(str(work / "out_0GenericAffine.mat"))
    return sitk.CompositeTransform([affine, sitk.DisplacementFieldTransform(warp)])  # the last one moves a point first


def _write_ants_images(pair: Pair, settings: Settings, work: Path) -> dict[str, str]:
    """The scans and masks around the lungs as files; their names."""
    named = {}
    sides = {"fixed": (pair.fixed, pair.fixed_mask), "moving": (pair.moving, pair.moving_mask)}
    for side, (image, mask) in sides.items():
        grid = box_grid(image, mask, settings["grid_mm"], settings["margin_mm"], 1)
        parts = {side: windowed(image, settings)} | ({f"{side}_mask": mask} if mask is not None else {})
        for name, part in parts.items():
            named[name] = str(work / f"{name}.nii.gz")
            sitk.WriteImage(onto(part, grid, IDENTITY), named[name])
    return named


def _ants_arguments(named: dict[str, str], settings: Settings, work: Path) -> list[str]:
    """The command line of antsRegistration."""
    metric = f"CC[{named['fixed']},{named['moving']},1,{settings['radius']}]"
    masks = ["-x", f"[{named['fixed_mask']},{named['moving_mask']}]"] if "fixed_mask" in named else []
    return [
        *("-d", "3", "-v", "1", "--float", "1", "-r", str(work / "start.tfm"), "-o", str(work / "out_")),
        *("-t", settings["transform"], "-m", metric, "-c", settings["convergence"]),
        *("-f", settings["shrink_factors"], "-s", settings["smoothing_sigmas"], *masks),
    ]
