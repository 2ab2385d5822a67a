"""Signs that a registration should not be trusted, each with its reason.  Quality -> Doubts

Signs that any pair may show; an anatomy lists those that hold for it, with the limits that were found for it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from graphreg.core.figures import Quality

Sign = Callable[[Quality], str]  # the reason in words, empty where there is none

SEEN_PERCENT = 97.0


@dataclass(frozen=True)
class Doubt:
    """One reason for distrust."""

    sign: str  # the name of the sign
    reason: str


def collect(signs: Mapping[str, Sign], quality: Quality) -> tuple[Doubt, ...]:
    """What the signs say of a registration, in their order."""
    found = ((sign, reason(quality)) for sign, reason in signs.items())
    return tuple(Doubt(sign, text) for sign, text in found if text)


def not_seen(region: str, least_percent: float = SEEN_PERCENT) -> Sign:
    """The moving image does not show all of the fixed region."""

    def sign(quality: Quality) -> str:
        seen = quality.seen_percent
        return "" if seen >= least_percent else f"the moving image shows only {seen:.0f} % of the fixed {region}"

    return sign


def not_alike(region: str, least: float) -> Sign:
    """The images do not match, by their local correlation."""

    def sign(quality: Quality) -> str:
        if quality.local_ncc >= least:
            return ""
        return (
            f"the {region} do not look alike after registration (local correlation {quality.local_ncc:.2f}, at least "
            f"{least} needed): is it the same patient, is none mirrored, are the masks right?"
        )

    return sign


def partly_not_alike(region: str, least: float, least_percent: float) -> Sign:
    """Part of the fixed region has found nothing like it, where the whole has."""

    def sign(quality: Quality) -> str:
        matched = quality.matched_percent
        if matched >= least_percent or quality.local_ncc < least:
            return ""
        return f"{100 - matched:.0f} % of the fixed {region} have found nothing like them in the moving image"

    return sign


def masks_differ(region: str, masks: str, most_relative: float, least_dice: float) -> Sign:
    """The motion does not bring the masks onto each other."""

    def sign(quality: Quality) -> str:
        jacobian, ratio, dice = quality.mean_jacobian, quality.volume_ratio, quality.mask_dice
        if not abs(jacobian - ratio) <= most_relative * ratio:
            change = f"the motion changes the {region} to {jacobian:.2f} of their volume"
            return f"{change}, but the masks differ by {ratio:.2f}"
        if not dice >= least_dice:
            return f"the {masks} differ after registration: overlap {dice:.2f}, {least_dice} or more needed"
        return ""

    return sign


def no_better(quality: Quality) -> str:
    """The images agree no better than before."""
    before, after = quality.similarity_before, quality.similarity_after
    if after > before:
        return ""
    return f"the images agree no better after registration ({after:.3f}) than before ({before:.3f})"
