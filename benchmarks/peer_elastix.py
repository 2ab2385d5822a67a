"""elastix in its lung setting: Par0011 of the model zoo, with half the iterations.

Staring et al., EMPIRE10 (2010): two B-splines with correlation.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from peer_geometry import Pair, Settings, start_transform, vectors, windowed

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
    fixed, moving = (_to_itk(itk, windowed(image, settings)) for image in (pair.fixed, pair.moving))
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
