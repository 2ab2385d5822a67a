"""convexAdam in the settings of its lung task at Learn2Reg 2021 (Siebert et al. 2022)."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from peer_geometry import Pair, Settings, box_grid, on_grid, start_transform, vectors

CONVEX_ADAM: Settings = {
    "grid_mm": 1.5,  # the scans of the challenge: 192 x 192 x 208 voxels around both lungs
    "margin_mm": 6.0,
    "grid_sp": 4,
    "disp_hw": 6,
    "mind_r": 1,
    "mind_d": 2,
    "lambda_weight": 0.65,
    "selected_niter": 50,
    "selected_smooth": 3,
    "grid_sp_adam": 2,
    "ic": True,  # the challenge went without, but version 0.2.0 then forgets to scale the convex step's result
}


def convexadam(pair: Pair, settings: Settings, work: Path) -> sitk.Transform:
    """Coupled convex optimisation and Adam on one grid after the affine start, with replicated borders of the masks."""
    torch = import_module("torch")
    register = import_module("convexAdam.convex_adam_MIND").convex_adam_pt
    affine = start_transform(pair)
    options = {key: value for key, value in settings.items() if key not in ("grid_mm", "margin_mm")}
    grid = box_grid(pair.fixed, pair.fixed_mask, settings["grid_mm"], settings["margin_mm"], settings["grid_sp"])
    seen = on_grid(pair, grid, affine)
    for name, mask in (("path_fixed_mask", seen.fixed_mask), ("path_moving_mask", seen.moving_mask)):
        if mask is not None:
            options[name] = str(work / f"{name}.nii.gz")
            sitk.WriteImage(mask, options[name])
    options |= {"use_mask": seen.fixed_mask is not None, "dtype": torch.float32, "device": torch.device("cpu")}
    moved = register(*(torch.from_numpy(_xyz(image)) for image in (seen.fixed, seen.moving)), **options)
    shift_mm = moved.transpose(2, 1, 0, 3) * settings["grid_mm"]  # the grid lies along the LPS axes
    return sitk.CompositeTransform([affine, sitk.DisplacementFieldTransform(vectors(shift_mm, grid))])


def _xyz(image: sitk.Image) -> np.ndarray[Any, Any]:
    """Voxels with the axes x, y, z, as convexAdam takes and returns them."""
    return np.ascontiguousarray(sitk.GetArrayFromImage(image).T)
