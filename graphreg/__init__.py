"""Lung CT registration from sparse keypoints: two chest scans of one patient, a map from one to the other in mm.

The stages, in order; each works alone on records or plain tensors:

    anatomy.lung_ct.mask       0  Volume                     -> lung mask      air inside the body
    prealignment.masks         0  two masks                  -> Affine         surfaces
    sampling.foerstner         1  Volume, mask               -> Keypoints      Foerstner
    features.mind_ssc          2  Volume                     -> FeatureVolume  MIND-SSC
    matching.cost_volume       3  features, Keypoints        -> CostVolume     discrete displacements
    matching.graph             4  Keypoints                  -> KeypointGraph  k nearest neighbours
    regularisers               5  CostVolume, KeypointGraph  -> Displacements  mean field, graph network
    interpolation.thin_plate   6  Displacements              -> DenseField     thin-plate spline
    refinement                 7  features or costs          -> parameters     Adam for this pair
    analysis                   8  DenseField, Landmarks      -> figures        TRE, overlap, agreement

Points are (x, y, z) in LPS millimetres, arrays are (D, H, W) = (z, y, x), motion runs fixed -> moving.
"""

from graphreg.analysis.metrics import summarise, tre
from graphreg.config import RegistrationConfig
from graphreg.core.fields import jacobian_determinant
from graphreg.core.grid import Grid
from graphreg.core.records import DenseField, ImagePair, Landmarks, Volume
from graphreg.io import (
    InputError,
    read_landmarks,
    read_pair,
    read_transform,
    read_volume,
    write_transform,
    write_volume,
)
from graphreg.phantom import make_phantom
from graphreg.pipeline import Registration, register
from graphreg.presets import PRESETS

__version__ = "0.5.0"

__all__ = [
    "PRESETS",
    "DenseField",
    "Grid",
    "ImagePair",
    "InputError",
    "Landmarks",
    "Registration",
    "RegistrationConfig",
    "Volume",
    "jacobian_determinant",
    "make_phantom",
    "read_landmarks",
    "read_pair",
    "read_transform",
    "read_volume",
    "register",
    "summarise",
    "tre",
    "write_transform",
    "write_volume",
]
