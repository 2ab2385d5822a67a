"""Signs that a registration of lungs should not be trusted, each with its reason.  Quality -> Doubts

The limits lie between right pairs and pairs made wrong, of patients and of phantoms (``benchmarks/trust.py``).
"""

from collections.abc import Mapping

from graphreg.anatomy.doubts import Sign, masks_differ, no_better, not_alike, not_seen, partly_not_alike
from graphreg.core.figures import Quality

LUNG_HU = (-980.0, -400.0)  # range of the median of a lung, breathed in or out
LUNG_ML = (300.0, 12000.0)  # one lung of a child breathed out, both of a giant
TISSUE_PERCENT = 25.0  # of a lung mask
LOCAL_NCC = 0.6
MATCHED_PERCENT = 90.0
LUNG_DICE = 0.95
VOLUME = 0.2  # relative difference of mean Jacobian and ratio of mask volumes
SWAPPED = 1.25  # ratio of the volumes of the moving and the fixed lungs


def _not_lung(quality: Quality) -> str:
    """Not HU, not a chest, or a mask of something else."""
    for image in ("fixed", "moving"):
        median, ml, tissue = (quality.anatomy[f"{image}_lung_{n}"] for n in ("median_hu", "ml", "tissue_percent"))
        if not LUNG_HU[0] <= median <= LUNG_HU[1]:
            return (
                f"the {image} lungs have a median of {median:.0f} HU, lungs {LUNG_HU[0]:.0f} to {LUNG_HU[1]:.0f}: "
                "is the image in HU, and the mask its own?"
            )
        if not LUNG_ML[0] <= ml <= LUNG_ML[1]:
            return f"the {image} lungs measure {ml:.0f} ml: are spacing and mask right?"
        if not tissue <= TISSUE_PERCENT:
            return f"{tissue:.0f} % of the {image} lung mask is dense tissue: is it the mask of this image?"
    return ""


def _swapped(quality: Quality) -> str:
    if quality.volume_ratio <= SWAPPED:
        return ""
    return (
        f"the moving lungs are {quality.volume_ratio:.2f} times as large as the fixed ones: "
        "was the fixed image to be the one breathed in?"
    )


SIGNS: Mapping[str, Sign] = {
    "not a lung": _not_lung,
    "not seen": not_seen("lungs"),
    "not alike": not_alike("lungs", LOCAL_NCC),
    "partly not alike": partly_not_alike("lungs", LOCAL_NCC, MATCHED_PERCENT),
    "masks differ": masks_differ("lungs", "lung masks", VOLUME, LUNG_DICE),
    "no better": no_better,
    "swapped": _swapped,
}
