"""What is said about input that cannot be used, and whether memory was what an operation lacked."""

from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOMEM
from os import PathLike

PathInput = str | PathLike[str]

ALLOCATORS = ("can't allocate memory", "not enough memory", "Failed to allocate memory", "bad_alloc")  # torch, ITK, C++
SPEECHLESS = "error return without exception set"  # of CPython, where not even the error found room
LOADER = "failed to map segment"  # of a library that does not fit, which ends in ImportError, of torch's in OSError


class InputError(ValueError):
    """What a user gave (a file, an image, a setting) is not what is needed; the message is one line that says so.

    ``image`` is "fixed" or "moving" where the error is about one image of a pair, else None.
    """

    def __init__(self, reason: str, image: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.image = reason, image

    def __str__(self) -> str:
        return f"{self.image} image: {self.reason}" if self.image else self.reason

    def __reduce__(self) -> tuple[type["InputError"], tuple[str, str | None]]:
        return type(self), (self.reason, self.image)  # errors travel between processes


@contextmanager
def blaming(image: str) -> Iterator[None]:
    """Input errors in the block are about that image of the pair, "fixed" or "moving"."""
    try:
        yield
    except InputError as error:
        error.image = error.image or image
        raise


@contextmanager
def exchanged() -> Iterator[None]:
    """In the block the images of the pair have changed places: input errors about one are about the other outside."""
    try:
        yield
    except InputError as error:
        error.image = {"fixed": "moving", "moving": "fixed"}.get(error.image or "")
        raise


def unsuitable(path: PathInput, need: str, found: str) -> InputError:
    """The error that names a file, what was needed and what was found."""
    return InputError(f"{path}: {need} needed, {found} found")


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that there was not enough memory, which torch, ITK and Python tell in words alone."""
    if isinstance(error, ImportError | OSError):
        return LOADER in str(error) or getattr(error, "errno", None) == ENOMEM
    if isinstance(error, SystemError):
        return SPEECHLESS in str(error)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in ALLOCATORS)
    )
