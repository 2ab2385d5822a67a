"""Settings as frozen records: their numbers are checked once, when they are made."""

from dataclasses import dataclass, fields

from graphreg.core.errors import InputError

MOST = {"_mm": 1e3}  # by the unit in the name: longer than a chest
MOST_OF_ALL = 1e6
LEAST_SPACING_MM = 0.1  # finer than any scan
SEED = "seed"  # any number does


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all settings have in common. Raises InputError where a value is out of range."""

    def __post_init__(self) -> None:
        self.check()
        for field in fields(self):
            value = getattr(self, field.name)
            for number in value if isinstance(value, tuple) else (value,):
                if isinstance(number, int | float) and field.name != SEED:
                    _require_plausible(f"{type(self).__name__}.{field.name}", number)

    def check(self) -> None:
        """Raise InputError where a value is out of the range that its meaning allows."""


def _require_plausible(name: str, number: float) -> None:
    """Raise InputError where a number is NaN or of a size that must be a mistake."""
    most = next((limit for unit, limit in MOST.items() if name.endswith(unit)), MOST_OF_ALL)
    if not abs(number) <= most:
        raise InputError(f"{name} must be a number of at most {most:g}, got {number}")
    if name.endswith("spacing_mm") and 0 < number < LEAST_SPACING_MM:
        raise InputError(f"{name} must be at least {LEAST_SPACING_MM}, got {number}")


def require(fine: bool, need: str, got: object) -> None:
    """Raise InputError that says what is needed of a setting and what it is, unless it is fine."""
    if not fine:
        raise InputError(f"{need}, got {got}")
