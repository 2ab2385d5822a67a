"""Settings of a whole registration: frozen records whose fields are roles, and overrides from TOML."""

from graphreg.config.names import ROLES
from graphreg.config.records import LevelConfig, RegistrationConfig, as_record
from graphreg.config.toml import filled, override

__all__ = ["ROLES", "LevelConfig", "RegistrationConfig", "as_record", "filled", "override"]
