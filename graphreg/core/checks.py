"""What every class of settings asks of its numbers, whatever they mean."""

from dataclasses import fields
from typing import Any

MOST = {"_mm": 1e3, "_hu": 1e5}  # by the unit in the name: longer than a chest, denser than metal
MOST_OF_ALL = 1e6
LEAST_SPACING_MM = 0.1  # finer than any scan
SEED = "seed"  # any number does


def require_numbers(settings: Any) -> None:
    """Raise ValueError where a number of a dataclass is NaN or of a size that must be a mistake."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        most = next((limit for unit, limit in MOST.items() if field.name.endswith(unit)), MOST_OF_ALL)
        for number in value if isinstance(value, tuple) else (value,):
            if not isinstance(number, int | float) or field.name == SEED:
                continue
            name = f"{type(settings).__name__}.{field.name}"
            if not abs(number) <= most:
                raise ValueError(f"{name} must be a number of at most {most:g}, got {number}")
            if field.name.endswith("spacing_mm") and 0 < number < LEAST_SPACING_MM:
                raise ValueError(f"{name} must be at least {LEAST_SPACING_MM}, got {number}")
