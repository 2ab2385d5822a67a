"""Settings of a whole registration as frozen records whose fields are roles. All lengths are in mm."""

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Self

from graphreg.anatomy import Anatomy
from graphreg.config.names import ROLES, kind_of
from graphreg.core.errors import InputError
from graphreg.core.protocols import (
    Connector,
    Features,
    Interpolator,
    Matcher,
    Prealigner,
    Refinement,
    Regulariser,
    Sampler,
)
from graphreg.core.settings import Settings, require
from graphreg.features.mind_ssc import MindSSC
from graphreg.interpolation.thin_plate import ThinPlate
from graphreg.matching.cost_volume import DisplacementSearch
from graphreg.matching.graph import NearestNeighbours
from graphreg.prealignment.landmarks import LandmarkAlignment
from graphreg.prealignment.masks import MaskAlignment
from graphreg.regularisers import MeanField
from graphreg.sampling.foerstner import Foerstner


@dataclass(frozen=True, kw_only=True)
class LevelConfig(Settings):
    """One pass of stages 1 to 6 on a working grid of its own, each stage a role that any object may fill.

    Raises InputError where a number is out of range.
    """

    name: str
    spacing_mm: float  # of the working grid
    sampler: Sampler = Foerstner()
    features: Features = MindSSC()
    moving_features: Features | None = None  # where the moving image is of another kind
    matcher: Matcher = DisplacementSearch()
    graph: Connector = NearestNeighbours()
    regulariser: Regulariser = MeanField()
    interpolator: Interpolator = ThinPlate()
    alternatives: tuple[Regulariser, ...] = ()  # with their settings for this level, for when one of them is named

    def check(self) -> None:
        require(self.spacing_mm > 0, f"{self.name}.spacing_mm must be positive", self.spacing_mm)

    def with_regulariser(self, name: str) -> Self:
        """The level with the regulariser of that name, with its settings for this level. Raises InputError."""
        known = ROLES["regulariser"]
        if name not in known:
            raise InputError(f"regulariser must be one of {', '.join(known)}, got {name!r}")
        have = (self.regulariser, *self.alternatives)
        chosen = next((one for one in have if kind_of(one) == name), None)
        others = tuple(one for one in have if one is not chosen)
        return replace(self, regulariser=chosen or known[name](), alternatives=others)


@dataclass(frozen=True, kw_only=True)
class RegistrationConfig(Settings):
    """All settings of a registration. Raises InputError where a number is out of range."""

    anatomy: Anatomy
    prealignment: tuple[Prealigner, ...] = (MaskAlignment(),)  # one after the other
    levels: tuple[LevelConfig, ...]  # coarse to fine
    refinement: tuple[Refinement, ...] = ()  # one pass after the other
    smallest_jacobian: float = 0.05  # allowed in the region: where it is less, the motion is smoothed
    symmetric: bool = False  # whether it is done both ways and the two motions made each other's inverse
    field_spacing_mm: float = 2.0  # of the dense field

    def check(self) -> None:
        require(bool(self.levels), "levels must hold at least one level", "none")
        for what, entries in (("levels", self.levels), ("refinement", self.refinement)):
            names = [entry.name for entry in entries]
            require(len(set(names)) == len(names), f"{what} must have names of their own", ", ".join(names))
        require(self.field_spacing_mm > 0, "field_spacing_mm must be positive", self.field_spacing_mm)
        require(self.smallest_jacobian < 1, "smallest_jacobian must be below 1", self.smallest_jacobian)
        require(not (self.symmetric and self._sided()), "symmetric needs settings alike for both images", self._sided())

    def _sided(self) -> str:
        """What would have to be exchanged with the images, of which no way back can be made yet."""
        entries: list[Any] = [*self.levels, *self.refinement]
        featured = [entry.name for entry in entries if getattr(entry, "moving_features", None)]
        given = ["landmarks"] if any(isinstance(step, LandmarkAlignment) for step in self.prealignment) else []
        return ", ".join([f"moving_features of {name}" for name in featured] + given)

    def with_regulariser(self, name: str) -> Self:
        """The settings with the regulariser of that name in every level. Raises InputError."""
        return replace(self, levels=tuple(level.with_regulariser(name) for level in self.levels))


def as_record(value: Any) -> Any:
    """Settings as JSON can hold them; what fills a role tells its ``kind``, its name or that of the user's own class.

    Two settings that do the same have equal records, if objects of the user's own are dataclasses.
    """
    if isinstance(value, list | tuple):
        return [as_record(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    kind = kind_of(value)
    if is_dataclass(value):
        own = {f.name: as_record(getattr(value, f.name)) for f in fields(value) if f.name != "alternatives"}
        known = kind is None and type(value).__module__.startswith(f"{__name__.partition('.')[0]}.")
        return own if known else {"kind": kind or _qualified(value), **own}
    return {"kind": kind or _qualified(value)}


def _qualified(value: object) -> str:
    made = value if isinstance(value, type) or hasattr(value, "__qualname__") else type(value)
    return f"{made.__module__}.{made.__qualname__}"
