"""One process at a time writes to a folder, and what a killed one has left there is put in order first."""

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from platform import node

from graphreg.core.errors import InputError, PathInput
from graphreg.io.files import require_writable, sweep
from graphreg.runs.results import settle
from graphreg.runtime.signals import uninterrupted

LOCK = ".graphreg.lock"
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)  # of file systems without them
PAUSE_S = 0.1


@contextmanager
def claim(folder: PathInput, patience_s: float = 0.0) -> Iterator[None]:
    """In the body, the folder is this process's alone; it is made, and removed again where it stays empty.

    The lock is one of the operating system, on a hidden file that goes with it: that of a process that died is no lock.
    File systems without locks go without.

    Raises:
        InputError: another process has the folder and keeps it for so many seconds, or it cannot be written.
    """
    require_writable(folder, folder=True)
    out = Path(folder)
    made = [place for place in (out, *out.parents) if not place.exists()]
    lock, deadline = None, time.monotonic() + patience_s
    try:
        while lock is None:
            with uninterrupted():  # when Ctrl-C is heard, the lock is known
                lock = _acquired(out / LOCK, time.monotonic() > deadline)
            if lock is None:
                time.sleep(PAUSE_S)
        sweep(out)
        settle(out)
        yield
    finally:
        with uninterrupted():
            if lock:
                _release(lock, out / LOCK)
            with suppress(OSError):  # one that holds something stays, and so do those above it
                for place in made:
                    place.rmdir()


def _acquired(path: Path, last: bool) -> TextIOWrapper | None:
    """The lock, or None where it is another's. Raises InputError where this was the last try."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = path.open("a+", encoding="utf-8")
    except FileNotFoundError:  # whoever had the folder has just removed it
        return None
    try:
        if _lock(lock) and _is(lock, path):
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {node()}")
            lock.flush()
            return lock
        lock.seek(0)
        holder = lock.read() or "another process"
    except BaseException:  # of a full disk: the lock may be ours already
        if _lock(lock) and _is(lock, path):
            _release(lock, path)
        lock.close()
        raise
    lock.close()
    if last:
        raise InputError(f"{path.parent}: a folder in which no other process works needed, found {holder}")
    return None


def _lock(file: TextIOWrapper) -> bool:
    """Whether the file is now locked by this process; locks of the operating system end with it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(1 << 20)  # what is locked cannot be read; this is beyond the text
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in NO_LOCKS
    return True


def _is(file: TextIOWrapper, path: Path) -> bool:
    """Whether an open file still has that name: its former owner may have removed it since it was opened."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _release(lock: TextIOWrapper, path: Path) -> None:
    if sys.platform == "win32":  # which removes no open file; another process may have opened it by now
        lock.close()
    with suppress(PermissionError):
        path.unlink(missing_ok=True)
    lock.close()
