"""Stage 6: displacements of keypoints to a dense field, each way by its name in TOML."""

from graphreg.interpolation.b_spline import BSpline
from graphreg.interpolation.thin_plate import ThinPlate

__all__ = ["INTERPOLATORS", "BSpline", "ThinPlate"]

INTERPOLATORS = {"thin-plate": ThinPlate, "b-spline": BSpline}
