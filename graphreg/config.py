"""Settings of a whole registration: presets, and overrides from a TOML file. All lengths are in mm."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, get_args

from graphreg.anatomy.lung_ct.mask import MaskConfig
from graphreg.core.errors import InputError
from graphreg.core.settings import Settings
from graphreg.features.mind_ssc import DescriptorConfig
from graphreg.features.normalised import NormalisationConfig
from graphreg.interpolation.thin_plate import SplineConfig
from graphreg.matching.cost_volume import CostConfig
from graphreg.matching.graph import GraphConfig
from graphreg.prealignment.masks import AlignmentConfig
from graphreg.refinement import CubeConfig, FeatureConfig
from graphreg.refinement.descent import DescentConfig
from graphreg.regularisers import BeliefPropagation, GraphRegNet, Independent, MeanField, Regulariser
from graphreg.sampling.foerstner import KeypointConfig

OBJECTIVES = ("features", "costs")
METRICS = ("ncc", "mind", "mse")
REGULARISERS = ("graphregnet", "belief-propagation", "mean-field", "none")


@dataclass(frozen=True, kw_only=True)
class LevelConfig(Settings):
    """One pass of stages 1 to 6 on a working grid of its own. Raises InputError where a number is out of range."""

    name: str
    spacing_mm: float  # of the working grid
    keypoints: KeypointConfig
    descriptors: DescriptorConfig
    costs: CostConfig
    graph: GraphConfig = GraphConfig()
    graphregnet: GraphRegNet = GraphRegNet()
    mean_field: MeanField = MeanField()
    belief_propagation: BeliefPropagation = BeliefPropagation()
    none: Independent = Independent()
    spline: SplineConfig = SplineConfig()

    def check(self) -> None:
        if not self.spacing_mm > 0:
            raise InputError(f"{self.name}.spacing_mm must be positive, got {self.spacing_mm}")

    def regulariser(self, name: str) -> Regulariser:
        """The level's regulariser of that name."""
        chosen: Regulariser = getattr(self, name.replace("-", "_"))
        return chosen


@dataclass(frozen=True, kw_only=True)
class RefinementConfig(Settings):
    """One pass of stage 7. Raises InputError where a setting is unknown or a number out of range."""

    name: str
    objective: str = "features"  # of the whole lung; or costs: of the keypoints of the last level, in their cubes
    metric: str = "ncc"  # of features: locally normalised intensities, mind, or mse of the intensities
    spacing_mm: float = 1.0  # of the features
    features: FeatureConfig = FeatureConfig()
    normalisation: NormalisationConfig = NormalisationConfig()
    descriptors: DescriptorConfig = DescriptorConfig()
    costs: CubeConfig = CubeConfig()
    descent: DescentConfig = DescentConfig()

    def check(self) -> None:
        for name, value, known in (("objective", self.objective, OBJECTIVES), ("metric", self.metric, METRICS)):
            if value not in known:
                raise InputError(f"{self.name}.{name} must be one of {', '.join(known)}, got {value!r}")
        if not self.spacing_mm > 0:
            raise InputError(f"{self.name}.spacing_mm must be positive, got {self.spacing_mm}")


@dataclass(frozen=True, kw_only=True)
class RegistrationConfig(Settings):
    """All settings of a registration. Raises InputError for an unknown regulariser or a number out of range."""

    levels: tuple[LevelConfig, ...]  # coarse to fine
    refinement: tuple[RefinementConfig, ...] = ()  # one pass after the other
    smallest_jacobian: float = 0.05  # allowed in the lungs: where it is less, the motion is smoothed
    symmetric: bool = False  # whether it is done both ways and the two motions made each other's inverse
    regulariser: str = "mean-field"
    mask: MaskConfig = field(default_factory=MaskConfig)
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    window_hu: tuple[float, float] = (
        -1000.0,
        200.0,
    )  # intensities are cut here: bone tells nothing of the lung
    field_spacing_mm: float = 2.0  # of the dense field

    def check(self) -> None:
        if self.regulariser not in REGULARISERS:
            raise InputError(f"regulariser must be one of {', '.join(REGULARISERS)}, got {self.regulariser!r}")
        if not self.levels:
            raise InputError("levels must hold at least one level, got none")
        for what, entries in (("levels", self.levels), ("refinement", self.refinement)):
            names = [entry.name for entry in entries]
            if len(set(names)) < len(names):
                raise InputError(f"{what} must have names of their own, got {', '.join(names)}")
        if not self.window_hu[0] < self.window_hu[1]:
            raise InputError(f"window_hu must rise, got {self.window_hu}")
        if not self.field_spacing_mm > 0:
            raise InputError(f"field_spacing_mm must be positive, got {self.field_spacing_mm}")


# Tuned on pairs of several kinds (benchmarks/README.md). Keypoints differ from level to level on purpose: the errors of
# one set are corrected by the next, and so are those of a wide lattice of the spline.
INHALE_EXHALE = RegistrationConfig(
    levels=(
        LevelConfig(
            name="wide",  # so far that no pre-alignment of two lungs is further off, so roughly that it costs little
            spacing_mm=2.0,
            keypoints=KeypointConfig(count=1024, sigma_mm=3.0, separation_mm=6.0),
            descriptors=DescriptorConfig(dilation_mm=2.0, radius_mm=2.0),
            costs=CostConfig(radius_mm=48.0, step_mm=6.0),
            graphregnet=GraphRegNet(weights="coarse"),
            mean_field=MeanField(couplings=(0.003, 0.01, 0.03, 0.03, 0.03)),
            spline=SplineConfig(smoothness_mm=20.0, lattice_mm=6.0),
        ),
        LevelConfig(
            name="coarse",
            spacing_mm=1.5,
            keypoints=KeypointConfig(count=2048, sigma_mm=1.4),
            descriptors=DescriptorConfig(dilation_mm=1.5, radius_mm=1.5),
            costs=CostConfig(radius_mm=18.0, step_mm=3.0),
            graphregnet=GraphRegNet(weights="coarse"),
            mean_field=MeanField(couplings=(0.01, 0.03, 0.1, 0.1, 0.1)),
            spline=SplineConfig(smoothness_mm=3.0, lattice_mm=6.0),
        ),
        LevelConfig(
            name="middle",
            spacing_mm=1.5,
            keypoints=KeypointConfig(count=3072, sigma_mm=1.2),
            descriptors=DescriptorConfig(dilation_mm=1.5, radius_mm=1.5),
            costs=CostConfig(radius_mm=9.0, step_mm=1.5),
            mean_field=MeanField(couplings=(0.03, 0.1, 0.1, 0.1)),
            belief_propagation=BeliefPropagation(slack_mm=2.0),
            spline=SplineConfig(smoothness_mm=1.0, lattice_mm=6.0),
        ),
        LevelConfig(
            name="fine",
            spacing_mm=1.25,
            keypoints=KeypointConfig(count=3072, sigma_mm=1.2),
            descriptors=DescriptorConfig(dilation_mm=1.25, radius_mm=1.25),
            costs=CostConfig(radius_mm=3.75, step_mm=1.25, symmetric=True),
            belief_propagation=BeliefPropagation(slack_mm=2.0),
            spline=SplineConfig(smoothness_mm=0.3, lattice_mm=6.0),
        ),
        LevelConfig(
            name="finest",
            spacing_mm=1.0,
            keypoints=KeypointConfig(count=4096, sigma_mm=1.0, separation_mm=1.5),
            descriptors=DescriptorConfig(dilation_mm=2.0, radius_mm=1.0),
            costs=CostConfig(radius_mm=3.0, step_mm=1.0, symmetric=True),
            belief_propagation=BeliefPropagation(slack_mm=2.0),
            spline=SplineConfig(smoothness_mm=0.3),
        ),
    ),
    refinement=(RefinementConfig(name="dense"),),
)
FAST = replace(
    INHALE_EXHALE,
    levels=INHALE_EXHALE.levels[:3],
    refinement=(RefinementConfig(name="dense", spacing_mm=1.5, descent=DescentConfig(iterations=30)),),
)
PRESETS = {"inhale-exhale": INHALE_EXHALE, "fast": FAST}


def preset(name: str) -> RegistrationConfig:
    """The settings of that name. Raises InputError where there are none."""
    if name not in PRESETS:
        raise InputError(f"preset must be one of {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name]


def override(config: RegistrationConfig, toml: str) -> RegistrationConfig:
    """Settings with those of a TOML text in place of their own; levels are tables of their name under ``levels``.

    Raises:
        InputError: not TOML, an unknown name, a value of another type, or one that is out of range.
    """
    try:
        values = tomllib.loads(toml)
    except RecursionError:
        raise InputError("nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(str(error)) from None
    return _override(config, values, "")


def _override(config: Any, values: Mapping[str, Any], path: str) -> Any:
    known = {f.name: f.type for f in fields(config)}
    changes = {}
    for name, value in values.items():
        if name not in known:
            raise InputError(f"unknown setting {path + name!r}; there are {', '.join(known)}")
        old = getattr(config, name)
        fixed_length = isinstance(old, tuple) and Ellipsis not in get_args(known[name])
        if fixed_length and isinstance(value, list) and len(value) != len(old):
            raise InputError(f"{path}{name} must hold {len(old)} values, got {value}")
        changes[name] = _converted(old, value, path + name)
    return replace(config, **changes)


def _converted(old: Any, new: Any, path: str) -> Any:
    """A value of TOML as the type of the one it takes the place of."""
    if is_dataclass(old) and isinstance(new, dict):
        return _override(old, new, path + ".")
    if isinstance(old, tuple) and old and is_dataclass(old[0]) and isinstance(new, dict):
        return _override_levels(old, new, path)
    if isinstance(old, tuple) and isinstance(new, list) and not is_dataclass(old[0]):
        return tuple(_converted(old[0], value, path) for value in new)
    if isinstance(old, float) and isinstance(new, int) and not isinstance(new, bool):
        return float(new)
    if type(old) is not type(new):
        raise InputError(f"{path} must be of type {type(old).__name__}, got {new!r}")
    if isinstance(new, float) and not math.isfinite(new):
        raise InputError(f"{path} must be finite, got {new}")
    return new


def _override_levels(levels: tuple[Any, ...], values: Mapping[str, Any], path: str) -> tuple[Any, ...]:
    names = [level.name for level in levels]
    for name, value in values.items():
        if name not in names or not isinstance(value, dict):
            raise InputError(f"{path} are the tables {', '.join(names)}, got {name} = {value!r}")
    return tuple(_override(level, values.get(level.name, {}), f"{path}.{level.name}.") for level in levels)
