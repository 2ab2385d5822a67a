"""What programs written for version 0.5 import and call; it works for one version more, with a DeprecationWarning.

Modules of the former names are made when they are imported, empty; what is asked of one is looked up where it is now.
"""

import sys
import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

PACKAGE = __name__.partition(".")[0]

# former module -> modules that hold its names now
MODULES = {
    "grid": ("core.grid",),
    "records": ("core.records", "core.figures"),
    "filters": ("core.filters",),
    "lattice": ("core.lattice",),
    "devices": ("runtime.devices",),
    "monitor": ("runtime.monitor",),
    "chunks": ("runtime.chunks",),
    "memory": ("runtime.memory", "runs.requirements"),
    "io.errors": ("core.errors",),
    "stages": (),
    "stages.mask": ("anatomy.lung_ct.mask",),
    "stages.alignment": ("prealignment.masks", "core.affine"),
    "stages.resampling": ("core.resampling", "anatomy.lung_ct"),
    "stages.keypoints": ("sampling.foerstner", "sampling.spread"),
    "stages.descriptors": ("features.mind_ssc",),
    "stages.normalisation": ("features.normalised",),
    "stages.cost_volume": ("matching.cost_volume", "core.cubes"),
    "stages.graph": ("matching.graph",),
    "stages.spline": ("interpolation.thin_plate",),
    "stages.refinement": ("refinement.descent",),
    "objectives": ("refinement.feature_difference", "refinement.keypoints"),
    "objectives.features": ("refinement.feature_difference",),
    "objectives.cost_cubes": ("refinement.keypoints",),
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
OTHERS = {"descend": "minimise", "Descent": "Minimum", "meet": "inverse_consistent"}


class Former(ModuleType):
    """A module that knows where its names have gone."""

    def __getattr__(self, name: str) -> Any:
        """What had that name here; a warning comes the first time that it is asked for."""
        if name.startswith("__"):
            raise AttributeError(name)
        own = self.__name__.partition(".")[2]
        if f"{own}.{name}" in MODULES:
            return import_module(f"{self.__name__}.{name}")
        for home in MODULES[own]:
            module = import_module(f"{PACKAGE}.{home}")
            today = CLASSES.get(name) or OTHERS.get(name) or FUNCTIONS.get(name, (name,))[0]
            if hasattr(module, today):
                place = f"{PACKAGE}.{home}.{today}"
                warnings.warn(f"{self.__name__}.{name} is {place} now", DeprecationWarning, stacklevel=2)
                found = getattr(module, today)
                setattr(self, name, _as_function(found, FUNCTIONS[name][1]) if name in FUNCTIONS else found)
                return self.__dict__[name]
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


class Finder(MetaPathFinder, Loader):
    """Makes former modules where they are imported; the import itself makes each an attribute of its package."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """How to make a former module; None of any other."""
        package, _, name = fullname.partition(".")
        return ModuleSpec(fullname, self, is_package=True) if package == PACKAGE and name in MODULES else None

    def create_module(self, spec: ModuleSpec) -> Former:
        """The module, empty."""
        return Former(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: what it holds is looked up when it is asked for."""


def _as_function(role: Callable[..., Any], place: int) -> Callable[..., Any]:
    """A role as the function that it was, with its settings at a place among the arguments or named ``config``."""

    def function(*arguments: Any, config: Any = None, **named: Any) -> Any:
        settings = arguments[place] if len(arguments) > place else config
        others = (*arguments[:place], *arguments[place + 1 :])
        return (role() if settings is None else settings)(*others, **named)

    return function


def called_as_before(register: Callable[P, R]) -> Callable[P, R]:
    """``register``, also for those who call its first argument ``pair`` or give the preset as the second."""

    @wraps(register)
    def called(*arguments: Any, **named: Any) -> R:
        if "pair" in named:
            warnings.warn("give the pair first: register(pair, ...)", DeprecationWarning, stacklevel=2)
            arguments = (named.pop("pair"), *arguments)
        if len(arguments) > 1 and isinstance(arguments[1], str):
            warnings.warn("give the preset by its name: register(pair, preset=...)", DeprecationWarning, stacklevel=2)
            arguments, named = (arguments[0], *arguments[2:]), {**named, "preset": arguments[1]}
        return register(*arguments, **named)

    return called


def install() -> None:
    """Lets imports look here, first: a folder that an earlier version left behind would be taken for a package."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
