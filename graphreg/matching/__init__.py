"""Stages 3 and 4: costs of displacements, and which keypoints are neighbours; each way by its name in TOML."""

from collections.abc import Callable

from graphreg.core.protocols import Connector, Matcher
from graphreg.matching.cost_volume import DisplacementSearch
from graphreg.matching.graph import NearestNeighbours
from graphreg.matching.lattice_graph import SixNeighbours

__all__ = ["GRAPHS", "MATCHERS", "DisplacementSearch", "NearestNeighbours", "SixNeighbours"]

MATCHERS: dict[str, Callable[[], Matcher]] = {"cost-volume": DisplacementSearch}
GRAPHS: dict[str, Callable[[], Connector]] = {"nearest": NearestNeighbours, "six-neighbours": SixNeighbours}
