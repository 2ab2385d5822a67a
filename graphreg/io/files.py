"""Writing without half files: under a temporary name first, then renamed."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from graphreg.io.errors import PathInput, unsuitable

TEMPORARY = re.compile(r"\.[0-9a-f]{8}\..+")


@contextmanager
def atomic_path(target: PathInput) -> Iterator[Path]:
    """A temporary path beside the target with the same suffixes, renamed to it if the body succeeds, else removed.

    The body makes a file or a folder there. Folders that are missing above the target are made.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{uuid4().hex[:8]}.{target.name}")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        _remove(temporary)


def sweep(folder: PathInput) -> None:
    """Removes what processes that were killed as they wrote have left in a folder, in which nobody else may write."""
    for path in list(Path(folder).glob(".*")):
        if TEMPORARY.fullmatch(path.name):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: PathInput, text: str) -> None:
    """A text file in UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def require_suffix(path: PathInput, suffixes: Sequence[str]) -> str:
    """The one of these suffixes that the name of a file to be written ends in; InputError if none."""
    for suffix in suffixes:
        if Path(path).name.lower().endswith(suffix):
            return suffix
    raise unsuitable(path, f"a name ending in {', '.join(suffixes)}", f"'{Path(path).name}'")
