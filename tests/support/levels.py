"""Levels and refinements so small that a registration of a coarse phantom takes seconds."""

from graphreg.anatomy.lung_ct import LungCT
from graphreg.config import LevelConfig, RegistrationConfig
from graphreg.core.protocols import Features
from graphreg.features import Intensities, MindSSC, NormalisedIntensities
from graphreg.interpolation import ThinPlate
from graphreg.matching import DisplacementSearch
from graphreg.presets.lung_ct import INHALE_EXHALE
from graphreg.refinement import DenseRefinement
from graphreg.refinement.feature_difference import Comparison
from graphreg.sampling import Foerstner

COARSE = LevelConfig(
    name="coarse",
    spacing_mm=3.0,
    sampler=Foerstner(count=500, sigma_mm=2.5, separation_mm=4.5),
    features=MindSSC(dilation_mm=3.0, radius_mm=3.0),
    matcher=DisplacementSearch(radius_mm=24.0, step_mm=3.0),
    regulariser=INHALE_EXHALE.levels[1].regulariser,
)
FINE = LevelConfig(
    name="fine",
    spacing_mm=2.0,
    sampler=Foerstner(count=800, sigma_mm=2.0, separation_mm=4.0),
    features=MindSSC(dilation_mm=2.0, radius_mm=2.0),
    matcher=DisplacementSearch(radius_mm=8.0, step_mm=2.0),
    regulariser=INHALE_EXHALE.levels[-1].regulariser,
    interpolator=ThinPlate(smoothness_mm=1.0),
)
QUICK = RegistrationConfig(anatomy=LungCT(), levels=(COARSE,), field_spacing_mm=4.0)
SMALL = RegistrationConfig(anatomy=LungCT(), levels=(COARSE, FINE), field_spacing_mm=4.0)
COMPARED: dict[str, Features] = {
    "ncc": NormalisedIntensities(window_mm=4.0),
    "mind": MindSSC(dilation_mm=2.0, radius_mm=2.0),
    "mse": Intensities(),
}


def dense(name: str) -> DenseRefinement:
    """A refinement at a spacing that the phantom's scans have."""
    comparison = Comparison(control_mm=6.0, points=40_000, smoothness=30.0)
    return DenseRefinement(name=name, features=COMPARED[name], spacing_mm=2.0, comparison=comparison)
