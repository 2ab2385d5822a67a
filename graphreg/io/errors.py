"""What is said about a file that cannot be used."""

from os import PathLike
from pathlib import Path

PathInput = str | PathLike[str]


class InputError(ValueError):
    """A file or folder given by the user is not what is needed; the message is one line that names it."""


def unsuitable(path: PathInput, need: str, found: str) -> InputError:
    """The error that names a file, what was needed and what was found."""
    return InputError(f"{path}: {need} needed, {found} found")


def exists(path: PathInput) -> bool:
    """Whether there is a file or folder. Raises InputError where that cannot be told, as in a closed folder."""
    try:
        return Path(path).exists()
    except OSError as error:
        raise unsuitable(path, "a file that can be read", str(error.strerror).lower()) from None
