"""Stage 2: what is compared, each way by its name in TOML."""

from collections.abc import Callable

from graphreg.core.protocols import Features
from graphreg.features.gradients import Gradients
from graphreg.features.intensities import Intensities
from graphreg.features.mind_ssc import MindSSC
from graphreg.features.normalised import NormalisedIntensities

__all__ = ["FEATURES", "Gradients", "Intensities", "MindSSC", "NormalisedIntensities"]

FEATURES: dict[str, Callable[[], Features]] = {
    "mind-ssc": MindSSC,
    "normalised": NormalisedIntensities,
    "intensities": Intensities,
    "gradients": Gradients,
}
