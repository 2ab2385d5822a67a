"""Signs that a registration should not be trusted, each with its reason.  Quality -> Doubts

The limits lie between right pairs and pairs made wrong, of patients and of phantoms (``benchmarks/trust.py``).
"""

from collections.abc import Callable
from dataclasses import dataclass

from graphreg.core.records import Quality

LUNG_HU = (-980.0, -400.0)  # range of the median of a lung, breathed in or out
LUNG_ML = (300.0, 12000.0)  # one lung of a child breathed out, both of a giant
TISSUE_PERCENT = 25.0  # of a lung mask
LOCAL_NCC = 0.6
MATCHED_PERCENT = 90.0
SEEN_PERCENT = 97.0
LUNG_DICE = 0.95
VOLUME = 0.2  # relative difference of mean Jacobian and ratio of mask volumes
SWAPPED = 1.25  # ratio of the volumes of the moving and the fixed lungs


@dataclass(frozen=True)
class Doubt:
    """One reason for distrust."""

    sign: str  # one of SIGNS
    reason: str


def doubts(quality: Quality) -> tuple[Doubt, ...]:
    """What speaks against a result: images first, then what they show of each other, then the motion."""
    found = ((sign, reason(quality)) for sign, reason in SIGNS.items())
    return tuple(Doubt(sign, text) for sign, text in found if text)


def _not_lung(quality: Quality) -> str:
    """Not HU, not a chest, or a mask of something else."""
    for image in ("fixed", "moving"):
        median, ml, tissue = (getattr(quality, f"{image}_lung_{n}") for n in ("median_hu", "ml", "tissue_percent"))
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


def _unseen(quality: Quality) -> str:
    seen = quality.seen_percent
    return "" if seen >= SEEN_PERCENT else f"the moving image shows only {seen:.0f} % of the fixed lungs"


def _unlike(quality: Quality) -> str:
    if quality.local_ncc >= LOCAL_NCC:
        return ""
    return (
        f"the lungs do not look alike after registration (local correlation {quality.local_ncc:.2f}, at least "
        f"{LOCAL_NCC} needed): is it the same patient, is none mirrored, are the masks right?"
    )


def _unmatched(quality: Quality) -> str:
    if quality.matched_percent >= MATCHED_PERCENT or quality.local_ncc < LOCAL_NCC:
        return ""
    return f"{100 - quality.matched_percent:.0f} % of the fixed lungs have found nothing like them in the moving image"


def _masks_differ(quality: Quality) -> str:
    jacobian, ratio = quality.mean_jacobian, quality.volume_ratio
    if not abs(jacobian - ratio) <= VOLUME * ratio:
        return f"the motion changes the lungs to {jacobian:.2f} of their volume, but the masks differ by {ratio:.2f}"
    if not quality.lung_dice >= LUNG_DICE:
        return f"the lung masks differ after registration: overlap {quality.lung_dice:.2f}, {LUNG_DICE} or more needed"
    return ""


def _no_better(quality: Quality) -> str:
    before, after = quality.similarity_before, quality.similarity_after
    if after > before:
        return ""
    return f"the images agree no better after registration ({after:.3f}) than before ({before:.3f})"


def _swapped(quality: Quality) -> str:
    if quality.volume_ratio <= SWAPPED:
        return ""
    return (
        f"the moving lungs are {quality.volume_ratio:.2f} times as large as the fixed ones: "
        "was the fixed image to be the one breathed in?"
    )


SIGNS: dict[str, Callable[[Quality], str]] = {
    "not a lung": _not_lung,
    "not seen": _unseen,
    "not alike": _unlike,
    "partly not alike": _unmatched,
    "masks differ": _masks_differ,
    "no better": _no_better,
    "swapped": _swapped,
}
