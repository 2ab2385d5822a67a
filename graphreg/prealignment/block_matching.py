"""stub"""

from dataclasses import dataclass
from typing import Any

from graphreg.core.settings import Settings


@dataclass(frozen=True, kw_only=True)
class BlockMatching(Settings):
    """stub"""

    sampler: Any
    features: Any
    matcher: Any

    def __call__(self, *a: Any) -> Any: ...
