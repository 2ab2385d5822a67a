"""The peers, each in a published lung setting: two scans and their lung masks to a field.

Run by ``peers.py`` as a process of its own, ``peer_methods.py METHOD PAIR OUT [--no-masks]``; writes OUT/transform.h5.
Every package is imported in the one function that needs it, so that no method pays for the import of another.

    elastix      Staring et al., EMPIRE10 (2010): Par0011 of the elastix model zoo, two B-splines with correlation,
                 half the iterations
    ants-syn     Avants et al. (2008), symmetric normalisation with local cross-correlation
    convexadam   Siebert et al., Learn2Reg 2021 (2022): the settings of its lung task
    demons       Vercauteren et al. (2009), diffeomorphic demons of ITK, coarse to fine
"""

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from peer_geometry import (
    AIR_HU,
    IDENTITY,
    START,
    Pair,
    box_grid,
    onto,
    read_pair,
    start_transform,
    vectors,
    write_field,
)

Settings = dict[str, Any]
Register = Callable[[Pair, Settings, Path], sitk.Transform]  # pair, settings, a folder to work in


@dataclass(frozen=True)
class Method:
    """One way to register a pair."""

    package: str  # its name on PyPI
    settings: Settings
    register: Register | None = None  # None: graphreg's own command line
    starts: bool = True  # from the affine alignment of the masks

    @property
    def record(self) -> Settings:
        """All that decides the result, as JSON keeps it."""
        return {**self.settings, "start": START} if self.starts else self.settings


SHARED = {
    "FixedInternalImagePixelType": "float",
    "MovingInternalImagePixelType": "float",
    "Registration": "MultiMetricMultiResolutionRegistration",
    "FixedImagePyramid": "FixedRecursiveImagePyramid",
    "MovingImagePyramid": "MovingRecursiveImagePyramid",
    "Interpolator": "LinearInterpolator",
    "Metric": ("AdvancedNormalizedCorrelation", "TransformBendingEnergyPenalty"),
    "UseRelativeWeights": "true",
    "Metric0RelativeWeight": 1,
    "Metric1RelativeWeight": 0.05,
    "Optimizer": "AdaptiveStochasticGradientDescent",
    "AutomaticParameterEstimation": "true",
    "UseAdaptiveStepSizes": "true",
    "Transform": "BSplineTransform",
    "HowToCombineTransforms": "Compose",
    "ResampleInterpolator": "FinalBSplineInterpolator",
    "Resampler": "DefaultResampler",
    "ImageSampler": "RandomCoordinate",
    "NumberOfSpatialSamples": 2000,
    "NewSamplesEveryIteration": "true",
    "MaximumNumberOfSamplingAttempts": 50,
    "UseDirectionCosines": "true",
    "WriteResultImage": "false",
    "NumberOfResolutions": 5,
    "RandomSeed": 121212,
}
ELASTIX: Settings = {
    "window_hu": (-1000, 200),
    "stages": [
        {
            "ImagePyramidSchedule": [n for n in (16, 8, 4, 2, 1) for _ in range(3)],
            "FinalGridSpacingInPhysicalUnits": (10, 10, 10),
            "GridSpacingSchedule": [n for n in (8, 8, 4, 2, 1) for _ in range(3)],
            "MaximumNumberOfIterations": 500,  # half of the published number, for half of its minutes
            "ErodeMask": "false",
        },
        {
            "ImagePyramidSchedule": [n for n in (4, 3, 2, 1, 1) for _ in range(3)],
            "FinalGridSpacingInPhysicalUnits": (5, 5, 5),
            "GridSpacingSchedule": [n for n in (16, 8, 4, 2, 1) for _ in range(3)],
            "MaximumNumberOfIterations": 1000,  # half, too
            "ErodeMask": ("false", "false", "true", "true", "true"),
        },
    ],
    "shared": SHARED,
}


def elastix(pair: Pair, settings: Settings, work: Path) -> sitk.Transform:
    """Two B-splines, the finer on top of the coarser, with samples drawn in the fixed lungs."""
    itk = import_module("itk")
    fixed, moving = (_to_itk(itk, _window(image, settings)) for image in (pair.fixed, pair.moving))
    method = itk.ElastixRegistrationMethod.New(fixed, moving)
    method.SetInitialTransformParameterObject(_parameters(itk, [_affine_map(start_transform(pair), pair.fixed)]))
    method.SetParameterObject(_parameters(itk, [{**settings["shared"], **stage} for stage in settings["stages"]]))
    if pair.fixed_mask is not None:
        method.SetFixedMask(_to_itk(itk, pair.fixed_mask))
    method.SetOutputDirectory(str(work))
    method.SetLogToConsole(True)  # into the log of the run
    method.UpdateLargestPossibleRegion()
    field = itk.transformix_deformation_field(moving, method.GetTransformParameterObject(), output_directory=str(work))
    return sitk.DisplacementFieldTransform(vectors(itk.array_from_image(field), pair.fixed))


def _to_itk(itk: Any, image: sitk.Image) -> Any:
    """An image of SimpleITK for the other wrapping of ITK."""
    out = itk.image_from_array(sitk.GetArrayFromImage(image))
    out.SetOrigin(image.GetOrigin())
    out.SetSpacing(image.GetSpacing())
    out.SetDirection(itk.matrix_from_array(np.array(image.GetDirection()).reshape(3, 3)))
    return out


def _parameters(itk: Any, maps: list[Settings]) -> Any:
    """Parameter maps as elastix wants them: lists of text."""
    out = itk.ParameterObject.New()
    for values in maps:
        out.AddParameterMap({key: _texts(value) for key, value in values.items()})
    return out


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, tuple | list) else [str(value)]


def _affine_map(affine: sitk.AffineTransform, fixed: sitk.Image) -> Settings:
    """An affine transform as a transform of elastix; the grid is asked for but decides nothing."""
    return {
        "Transform": "AffineTransform",
        "NumberOfParameters": 12,
        "TransformParameters": affine.GetParameters(),  # matrix by rows, translation: as in elastix
        "CenterOfRotationPoint": affine.GetCenter(),
        "InitialTransformParameterFileName": "NoInitialTransform",
        "HowToCombineTransforms": "Compose",
        "FixedImageDimension": 3,
        "MovingImageDimension": 3,
        "FixedInternalImagePixelType": "float",
        "MovingInternalImagePixelType": "float",
        "Size": fixed.GetSize(),
        "Index": (0, 0, 0),
        "Spacing": fixed.GetSpacing(),
        "Origin": fixed.GetOrigin(),
        "Direction": np.array(fixed.GetDirection()).reshape(3, 3).T.ravel().tolist(),  # elastix writes columns
        "UseDirectionCosines": "true",
        "ResampleInterpolator": "FinalLinearInterpolator",
        "Resampler": "DefaultResampler",
    }


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
        parts = {side: _window(image, settings)} | ({f"{side}_mask": mask} if mask is not None else {})
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
    seen = _on_grid(pair, grid, affine)
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


def _on_grid(pair: Pair, grid: sitk.Image, affine: sitk.Transform) -> Pair:
    """The pair on one grid, the moving side seen through the start."""
    fixed, moving = onto(pair.fixed, grid, IDENTITY), onto(pair.moving, grid, affine)
    if pair.fixed_mask is None or pair.moving_mask is None:
        return Pair(fixed, moving, None, None)
    return Pair(fixed, moving, onto(pair.fixed_mask, grid, IDENTITY), onto(pair.moving_mask, grid, affine))


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
    seen = _on_grid(pair, grid, affine)
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
    clipped = _window(image, settings)
    if mask is None:
        return (clipped - AIR_HU) / 100.0
    inside = sitk.GetArrayViewFromImage(clipped)[sitk.GetArrayViewFromImage(mask) != 0]
    masked = sitk.Mask(clipped, mask, settings["window_hu"][1])
    return (masked - float(inside.mean())) / float(inside.std())


def _blurred(image: sitk.Image, spacing_mm: float, shrink: int) -> sitk.Image:
    return sitk.SmoothingRecursiveGaussian(image, spacing_mm * shrink / 2) if shrink > 1 else image


def _window(image: sitk.Image, settings: Settings) -> sitk.Image:
    """A scan with its intensities cut to a window."""
    return sitk.Clamp(image, sitk.sitkFloat32, *settings["window_hu"])


def identity(pair: Pair, settings: Settings, work: Path) -> sitk.Transform:
    """No motion."""
    return IDENTITY


def start_only(pair: Pair, settings: Settings, work: Path) -> sitk.Transform:
    """The affine start of the peers alone."""
    return start_transform(pair)


METHODS = {
    "identity": Method("SimpleITK", {}, identity, starts=False),
    "affine-start": Method("SimpleITK", {}, start_only),
    "graphreg": Method("graphreg", {"preset": "inhale-exhale"}, starts=False),
    "graphreg-fast": Method("graphreg", {"preset": "fast"}, starts=False),
    "elastix": Method("itk-elastix", ELASTIX, elastix),
    "ants-syn": Method("antspyx", ANTS, ants_syn),
    "convexadam": Method("convexAdam", CONVEX_ADAM, convexadam),
    "demons": Method("SimpleITK", DEMONS, demons),
}


def main(name: str, folder: str, out: str, *options: str) -> None:
    """One registration."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(int(os.environ.get("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")))
    method = METHODS[name]
    if method.register is None:
        raise ValueError(f"'{name}' has a command line of its own")
    pair = read_pair(Path(folder), "--no-masks" not in options)
    with tempfile.TemporaryDirectory() as work:
        write_field(method.register(pair, method.settings, Path(work)), pair.fixed, Path(out) / "transform.h5")


if __name__ == "__main__":
    main(*sys.argv[1:])
