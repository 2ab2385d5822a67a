"""Modules by the names that they had until version 0.5; they work for one version more, with a DeprecationWarning.

Empty modules stand under the former names; what is asked of one is looked up where it is now.
"""

import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

PACKAGE = __name__.partition(".")[0]

# former module -> modules that hold its names now
MODULES = {
    "grid": ("core.grid",),
    "records": ("core.records",),
    "filters": ("core.filters",),
    "lattice": ("core.lattice",),
    "stages": (),
    "stages.mask": ("anatomy.lung_ct.mask",),
    "stages.alignment": ("prealignment.masks", "core.affine"),
    "stages.resampling": ("core.resampling",),
    "stages.keypoints": ("sampling.foerstner", "sampling.spread"),
    "stages.descriptors": ("features.mind_ssc",),
    "stages.normalisation": ("features.normalised",),
    "stages.cost_volume": ("matching.cost_volume", "core.cubes"),
    "stages.graph": ("matching.graph",),
    "stages.spline": ("interpolation.thin_plate",),
    "stages.refinement": ("refinement.descent",),
    "objectives": ("refinement.feature_difference", "refinement.keypoints"),
    "analysis.field": ("core.fields",),
    "analysis.inversion": ("core.inversion",),
    "analysis.unfolding": ("core.unfolding",),
    "analysis.doubts": ("anatomy.lung_ct.doubts", "anatomy.doubts"),
    "analysis.ventilation": ("anatomy.lung_ct.ventilation",),
}
# former name of a class, or of a function whose settings came as its last argument -> the class, and their place
CLASSES = {
    "MaskConfig": "LungFinder",
    "AlignmentConfig": "MaskAlignment",
    "KeypointConfig": "Foerstner",
    "DescriptorConfig": "MindSSC",
    "NormalisationConfig": "NormalisedIntensities",
    "CostConfig": "DisplacementSearch",
    "GraphConfig": "NearestNeighbours",
    "SplineConfig": "ThinPlate",
    "DescentConfig": "Descent",
    "FeatureConfig": "Comparison",
}
FUNCTIONS = {
    "detect": ("Foerstner", 2),
    "describe": ("MindSSC", 1),
    "normalise": ("NormalisedIntensities", 2),
    "compare": ("DisplacementSearch", 3),
    "connect": ("NearestNeighbours", 1),
    "interpolate": ("ThinPlate", 2),
}
OTHERS = {"descend": "minimise", "meet": "inverse_consistent"}


class Former(ModuleType):
    """A module that knows where its names have gone."""

    def __getattr__(self, name: str) -> Any:
        """What had that name here."""
        if name.startswith("__"):
            raise AttributeError(name)
        for home in MODULES[self.__name__.partition(".")[2]]:
            module = import_module(f"{PACKAGE}.{home}")
            today = CLASSES.get(name) or OTHERS.get(name) or FUNCTIONS.get(name, (name,))[0]
            if hasattr(module, today):
                place = f"{PACKAGE}.{home}.{today}"
                warnings.warn(f"{self.__name__}.{name} is {place} now", DeprecationWarning, stacklevel=2)
                found = getattr(module, today)
                return _as_function(found, FUNCTIONS[name][1]) if name in FUNCTIONS else found
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


def _as_function(role: Callable[..., Any], place: int) -> Callable[..., Any]:
    """A role as the function that it was, with its settings at a place among the arguments or named ``config``."""

    def function(*arguments: Any, config: Any = None, **named: Any) -> Any:
        settings = arguments[place] if len(arguments) > place else config
        others = (*arguments[:place], *arguments[place + 1 :])
        return (role() if settings is None else settings)(*others, **named)

    return function


def install() -> None:
    """Puts the former modules where imports look for them."""
    for name in MODULES:
        sys.modules.setdefault(f"{PACKAGE}.{name}", Former(f"{PACKAGE}.{name}"))
