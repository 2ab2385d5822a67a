"""JSON, strict both ways."""

import json
import math
from collections.abc import Mapping
from typing import Any

from graphreg.core.errors import PathInput
from graphreg.io.files import write_text


def parse_json(text: str) -> Any:
    """What a text holds. Raises ValueError, also for one that is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def write_json(path: PathInput, content: Mapping[str, Any]) -> None:
    """Strict JSON, whole or not at all; numbers that are not finite become null."""
    write_text(path, json.dumps(plain(content), indent=2, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """A value as JSON gives it back: tuples are lists, NaN and infinity are None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
