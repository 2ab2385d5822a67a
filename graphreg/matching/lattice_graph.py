"""stub"""

from dataclasses import dataclass
from typing import Any

from graphreg.core.settings import Settings


@dataclass(frozen=True, kw_only=True)
class SixNeighbours(Settings):
    """stub"""

    x: float = 1.0

    def __call__(self, *a: Any) -> Any: ...
