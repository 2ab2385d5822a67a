"""What is said about a file that cannot be used."""

from os import PathLike

PathInput = str | PathLike[str]


class InputError(ValueError):
    """A file or folder given by the user is not what is needed; the message is one line that names it."""


def unsuitable(path: PathInput, need: str, found: str) -> InputError:
    """The error that names a file, what was needed and what was found."""
    return InputError(f"{path}: {need} needed, {found} found")
