"""Which intensities of an image tell something, and on what scale they are worked with."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class IntensityWindow:
    """Intensities from ``low`` to ``high``; those beyond count as the nearer end.

    Where ``span`` is given, the window is brought to 0 to ``span``: images in arbitrary units so share one scale.
    """

    low: float
    high: float
    span: float | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """Lowest and highest of the intensities that it gives."""
        return (self.low, self.high) if self.span is None else (0.0, self.span)

    def __call__(self, data: Tensor) -> Tensor:
        """Intensities of any shape, cut to the window."""
        data = data.clamp(self.low, self.high)
        return data if self.span is None else (data - self.low) * (self.span / (self.high - self.low))
