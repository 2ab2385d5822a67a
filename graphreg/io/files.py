"""Files and folders: whether they are there and can be written, and writing without half files."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from graphreg.core.errors import PathInput, unsuitable

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


def require_writable(path: PathInput, folder: bool = False) -> None:
    """Raise InputError where a file, or files in a folder, cannot be written. Leaves nothing behind."""
    target = Path(path)
    if target.exists() and target.is_dir() != folder:
        wanted, found = ("folder", "file") if folder else ("file", "folder")
        raise unsuitable(path, f"a {wanted} to write to", f"a {found}")
    place = target if folder else target.parent
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise unsuitable(path, "a place in a folder", f"the file {place}")
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        if not place.exists():  # another process that was done with the folder has just removed it
            return require_writable(path, folder)
        raise unsuitable(path, "a place that can be written", f"{place}: {error.strerror}") from None


def exists(path: PathInput) -> bool:
    """Whether there is a file or folder. Raises InputError where that cannot be told, as in a closed folder."""
    try:
        return Path(path).exists()
    except OSError as error:
        raise unsuitable(path, "a file that can be read", str(error.strerror).lower()) from None
