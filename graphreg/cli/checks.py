"""Checks that verbs share: of the file to write to, of points beyond what a transform knows, of what an error names."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from graphreg.cli.console import warn
from graphreg.core.errors import InputError
from graphreg.core.records import DenseField
from graphreg.io.files import require_writable


def require_output(out: Path, *inputs: Path) -> None:
    """Raise InputError where a file cannot be written, or is one of the inputs."""
    for file in inputs:
        if out.exists() and file.exists() and out.samefile(file):
            raise InputError(f"{out}: another file to write to needed, found that of an input")
    require_writable(out)


def warn_of_strays(field: DenseField, fixed_mm: Tensor) -> None:
    """A warning where points (N, 3) lie beyond what the transform knows."""
    outside = int((~field.grid.contains(fixed_mm)).sum())
    if outside:
        warn(f"{outside} of {len(fixed_mm)} points lie outside the fixed image: moved as its border is")


@contextmanager
def naming(what: object) -> Iterator[None]:
    """The file that an InputError is about, in front of it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{what}: {error}") from error
