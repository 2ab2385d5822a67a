"""Stage 6: displacements of keypoints to a dense field, each way by its name in TOML."""

from collections.abc import Callable

from graphreg.core.protocols import Interpolator
from graphreg.interpolation.b_spline import BSpline
from graphreg.interpolation.thin_plate import ThinPlate

__all__ = ["INTERPOLATORS", "BSpline", "ThinPlate"]

INTERPOLATORS: dict[str, Callable[[], Interpolator]] = {"thin-plate": ThinPlate, "b-spline": BSpline}
