"""Two chest CTs of one patient, breathed in and out.

Tuned on pairs of several kinds (benchmarks/README.md). Keypoints differ from level to level on purpose: the errors of
one set are corrected by the next, and so are those of a wide lattice of the spline.
"""

from dataclasses import replace

from graphreg.anatomy.lung_ct import LungCT
from graphreg.config import LevelConfig, RegistrationConfig
from graphreg.features.mind_ssc import MindSSC
from graphreg.features.normalised import NormalisedIntensities
from graphreg.interpolation.thin_plate import ThinPlate
from graphreg.matching.cost_volume import DisplacementSearch
from graphreg.refinement import DenseRefinement
from graphreg.refinement.descent import Descent
from graphreg.regularisers import BeliefPropagation, GraphRegNet, MeanField
from graphreg.sampling.foerstner import Foerstner

INHALE_EXHALE = RegistrationConfig(
    anatomy=LungCT(),
    levels=(
        LevelConfig(
            name="wide",  # so far that no pre-alignment of two lungs is further off, so roughly that it costs little
            spacing_mm=2.0,
            sampler=Foerstner(count=1024, sigma_mm=3.0, separation_mm=6.0),
            features=MindSSC(dilation_mm=2.0, radius_mm=2.0),
            matcher=DisplacementSearch(radius_mm=48.0, step_mm=6.0),
            regulariser=MeanField(couplings=(0.003, 0.01, 0.03, 0.03, 0.03)),
            alternatives=(GraphRegNet(weights="coarse"),),
            interpolator=ThinPlate(smoothness_mm=20.0, lattice_mm=6.0),
        ),
        LevelConfig(
            name="coarse",
            spacing_mm=1.5,
            sampler=Foerstner(count=2048, sigma_mm=1.4),
            features=MindSSC(dilation_mm=1.5, radius_mm=1.5),
            matcher=DisplacementSearch(radius_mm=18.0, step_mm=3.0),
            regulariser=MeanField(couplings=(0.01, 0.03, 0.1, 0.1, 0.1)),
            alternatives=(GraphRegNet(weights="coarse"),),
            interpolator=ThinPlate(smoothness_mm=3.0, lattice_mm=6.0),
        ),
        LevelConfig(
            name="middle",
            spacing_mm=1.5,
            sampler=Foerstner(count=3072, sigma_mm=1.2),
            features=MindSSC(dilation_mm=1.5, radius_mm=1.5),
            matcher=DisplacementSearch(radius_mm=9.0, step_mm=1.5),
            regulariser=MeanField(couplings=(0.03, 0.1, 0.1, 0.1)),
            alternatives=(BeliefPropagation(slack_mm=2.0),),
            interpolator=ThinPlate(smoothness_mm=1.0, lattice_mm=6.0),
        ),
        LevelConfig(
            name="fine",
            spacing_mm=1.25,
            sampler=Foerstner(count=3072, sigma_mm=1.2),
            features=MindSSC(dilation_mm=1.25, radius_mm=1.25),
            matcher=DisplacementSearch(radius_mm=3.75, step_mm=1.25, symmetric=True),
            alternatives=(BeliefPropagation(slack_mm=2.0),),
            interpolator=ThinPlate(smoothness_mm=0.3, lattice_mm=6.0),
        ),
        LevelConfig(
            name="finest",
            spacing_mm=1.0,
            sampler=Foerstner(count=4096, sigma_mm=1.0, separation_mm=1.5),
            features=MindSSC(dilation_mm=2.0, radius_mm=1.0),
            matcher=DisplacementSearch(radius_mm=3.0, step_mm=1.0, symmetric=True),
            alternatives=(BeliefPropagation(slack_mm=2.0),),
            interpolator=ThinPlate(smoothness_mm=0.3),
        ),
    ),
    refinement=(DenseRefinement(features=NormalisedIntensities()),),
)
FAST = replace(
    INHALE_EXHALE,
    levels=INHALE_EXHALE.levels[:3],
    refinement=(DenseRefinement(features=NormalisedIntensities(), spacing_mm=1.5, descent=Descent(iterations=30)),),
)
