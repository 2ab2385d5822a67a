"""Figures of a registration, whatever it was of."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields


@dataclass(frozen=True, eq=False)
class Quality:
    """What can be said of a registration without landmarks; shares are of the fixed region.

    ``anatomy`` holds what the anatomy adds, by name. Anatomies tell what of it should not be trusted.
    """

    similarity_before: float  # mean agreement of descriptors in [0, 1] after pre-alignment alone
    similarity_after: float
    ncc_before: float  # correlation of the intensities, likewise
    ncc_after: float
    local_ncc: float  # mean over the region of the correlation around each place; low where the images do not match
    matched_percent: float  # of the region where it is above a half
    seen_percent: float  # of the region that lies in the moving image
    mask_dice: float  # overlap of the fixed mask and the moving one seen through the motion
    folding_percent: float
    sdlogj: float  # standard deviation of the logarithm of the Jacobian
    mean_jacobian: float
    volume_ratio: float  # moving over fixed mask volume: what the mean Jacobian should be
    anatomy: Mapping[str, float] = field(default_factory=dict)
    inverse_consistency_mm: float | None = None  # mean |B(F(x)) - x| of the two motions that a symmetric one is made of

    def figures(self) -> dict[str, float | None]:
        """All figures by name, those of the anatomy among them."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "anatomy"}
        consistency = own.pop("inverse_consistency_mm")
        return {**own, **self.anatomy, "inverse_consistency_mm": consistency}
