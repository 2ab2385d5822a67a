"""What is said about a file that cannot be used, and whether memory was what an operation lacked."""

from os import PathLike
from pathlib import Path

PathInput = str | PathLike[str]

ALLOCATORS = ("can't allocate memory", "not enough memory", "Failed to allocate memory", "bad_alloc")  # torch, ITK, C++


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


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that there was not enough memory, which torch and ITK tell in words alone."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in ALLOCATORS)
    )
