"""Levels and refinements so small that a registration of a coarse phantom takes seconds."""

from graphreg.config import INHALE_EXHALE, LevelConfig, RefinementConfig, RegistrationConfig
from graphreg.features.mind_ssc import DescriptorConfig
from graphreg.features.normalised import NormalisationConfig
from graphreg.interpolation.thin_plate import SplineConfig
from graphreg.matching.cost_volume import CostConfig
from graphreg.refinement import FeatureConfig
from graphreg.sampling.foerstner import KeypointConfig

COARSE = LevelConfig(
    name="coarse",
    spacing_mm=3.0,
    keypoints=KeypointConfig(count=500, sigma_mm=2.5, separation_mm=4.5),
    descriptors=DescriptorConfig(dilation_mm=3.0, radius_mm=3.0),
    costs=CostConfig(radius_mm=24.0, step_mm=3.0),
    mean_field=INHALE_EXHALE.levels[1].mean_field,
)
FINE = LevelConfig(
    name="fine",
    spacing_mm=2.0,
    keypoints=KeypointConfig(count=800, sigma_mm=2.0, separation_mm=4.0),
    descriptors=DescriptorConfig(dilation_mm=2.0, radius_mm=2.0),
    costs=CostConfig(radius_mm=8.0, step_mm=2.0),
    mean_field=INHALE_EXHALE.levels[-1].mean_field,
    spline=SplineConfig(smoothness_mm=1.0),
)
QUICK = RegistrationConfig(levels=(COARSE,), field_spacing_mm=4.0)
SMALL = RegistrationConfig(levels=(COARSE, FINE), field_spacing_mm=4.0)


def dense(metric: str) -> RefinementConfig:
    """A refinement at a spacing that the phantom's scans have."""
    features = FeatureConfig(control_mm=6.0, points=40_000, smoothness=30.0)
    window, mind = NormalisationConfig(window_mm=4.0), DescriptorConfig(dilation_mm=2.0, radius_mm=2.0)
    return RefinementConfig(
        name=metric, metric=metric, spacing_mm=2.0, features=features, normalisation=window, descriptors=mind
    )
