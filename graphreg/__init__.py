"""Registration of medical images from sparse keypoints: two scans, a map from one to the other in mm.

A folder is a role of the algorithm, a file one way to fill it; each works alone on records or plain tensors:

    anatomy         0  Volume                     -> mask, window     what is known of an organ
    prealignment    0  images, masks              -> Affine           surfaces, centres, blocks, landmarks
    sampling        1  Volume, mask               -> Keypoints        Foerstner, a lattice
    features        2  Volume                     -> FeatureVolume    MIND-SSC, normalised intensities, gradients
    matching        3  features, Keypoints        -> CostVolume       discrete displacements
    matching        4  Keypoints                  -> KeypointGraph    k nearest neighbours
    regularisers    5  CostVolume, KeypointGraph  -> Displacements    mean field, belief propagation, graph network
    interpolation   6  Displacements              -> DenseField       thin-plate spline, B-spline
    refinement      7  Estimate                   -> Estimate         Adam for this pair
    analysis        8  DenseField, Landmarks      -> figures          TRE, overlap, agreement

Points are (x, y, z) in LPS millimetres, arrays are (D, H, W) = (z, y, x), motion runs fixed -> moving.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from graphreg.core.former import install as install_former_modules

if TYPE_CHECKING:  # for those who read; a program gets each name when it asks for it
    from graphreg.analysis.metrics import summarise, tre
    from graphreg.config import RegistrationConfig
    from graphreg.core.errors import InputError
    from graphreg.core.fields import jacobian_determinant
    from graphreg.core.grid import Grid
    from graphreg.core.records import DenseField, ImagePair, Landmarks, Volume
    from graphreg.io.images import read_pair, read_volume, write_volume
    from graphreg.io.landmarks import read_landmarks
    from graphreg.io.transforms import read_transform, write_transform
    from graphreg.phantom import make_phantom
    from graphreg.pipeline import Registration, register
    from graphreg.presets import PRESETS

__version__ = "0.6.0"

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

_HOMES = {  # of the names above: torch and SimpleITK take seconds to load, and help or the version need neither
    "PRESETS": "presets",
    "DenseField": "core.records",
    "Grid": "core.grid",
    "ImagePair": "core.records",
    "InputError": "core.errors",
    "Landmarks": "core.records",
    "Registration": "pipeline",
    "RegistrationConfig": "config",
    "Volume": "core.records",
    "jacobian_determinant": "core.fields",
    "make_phantom": "phantom",
    "read_landmarks": "io.landmarks",
    "read_pair": "io.images",
    "read_transform": "io.transforms",
    "read_volume": "io.images",
    "register": "pipeline",
    "summarise": "analysis.metrics",
    "tre": "analysis.metrics",
    "write_transform": "io.transforms",
    "write_volume": "io.images",
}

if not TYPE_CHECKING:  # else any name would seem to be there

    def __getattr__(name: str) -> Any:
        """A public name, from its module (PEP 562), or a part of the package."""
        if name in _HOMES:
            globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
            return globals()[name]
        try:
            return import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as error:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from error


install_former_modules()


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
