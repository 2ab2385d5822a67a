"""What the user sees: lines, a progress bar, errors with their exit codes."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from errno import EACCES, EISDIR, ELOOP, ENAMETOOLONG, ENOTDIR, EPERM
from typing import TYPE_CHECKING

import typer

from graphreg.core.errors import InputError, lacks_memory
from graphreg.runtime.signals import answering

if TYPE_CHECKING:
    from graphreg.runtime.monitor import Progress

DONE, FAILED, WRONG, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
# errors of a path rather than of the machine
ABOUT_PATHS = (EACCES, EPERM, ENAMETOOLONG, ELOOP, ENOTDIR, EISDIR)


class Terminated(BaseException):
    """The system asked the program to end (SIGTERM)."""


def ending_in_order() -> AbstractContextManager[None]:
    """SIGTERM ends the body as an error does, so that half files are removed and workers stopped."""

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once, however often it is asked
        raise Terminated

    return answering(signal.SIGTERM, end)


@dataclass
class State:
    """What the error handling must know of the options of a verb."""

    debug: bool = False


def note_debug(context: typer.Context, value: bool) -> bool:
    """Callback of --debug."""
    if isinstance(context.obj, State):
        context.obj.debug = value
    return value


def say(line: str) -> None:
    """A line of the result, on stdout."""
    encoding = sys.stdout.encoding or "utf-8"
    print(_visible(line).encode(encoding, "backslashreplace").decode(encoding))


def warn(line: str) -> None:
    """A line on stderr that the user should not miss."""
    print(f"warning: {_visible(line)}", file=sys.stderr)


def failure(error: BaseException, debug: bool) -> int:
    """One line about an error on stderr, after its traceback if asked for; returns the exit code."""
    if debug:
        traceback.print_exception(error)
    line, code = _explain(error)
    if line:
        print(f"graphreg: {_visible(line)}", file=sys.stderr)
    return code


def _explain(error: BaseException) -> tuple[str, int]:
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return "interrupted", INTERRUPTED
    if isinstance(error, Terminated):
        return "terminated", TERMINATED
    return _of_usage(error) or _of_input(error) or (f"failed: {_of_work(error)}", FAILED)


def _of_usage(error: BaseException) -> tuple[str, int] | None:
    usage = getattr(error, "format_message", None)  # of click, or of the copy that newer typers bring
    if usage is None:
        return None
    context = getattr(error, "ctx", None)
    hint = f" (see '{context.command_path} --help')" if context is not None else ""
    return _one_line(usage()) + hint, WRONG


def _of_input(error: BaseException) -> tuple[str, int] | None:
    if isinstance(error, InputError):
        return _one_line(error), WRONG
    if isinstance(error, OSError) and error.errno in ABOUT_PATHS and error.filename:
        return f"{error.filename}: a path that can be used needed, found: {str(error.strerror).lower()}", WRONG
    return None


def _of_work(error: BaseException) -> str:
    torch = sys.modules.get("torch")  # help and wrong options come without it, and then no error is its own
    if torch and isinstance(error, torch.cuda.OutOfMemoryError):
        return "the GPU has not enough memory (--device cpu does without)"
    if lacks_memory(error):
        return "there is not enough memory (--debug shows where)"
    if isinstance(error, OSError):
        return _one_line(error)
    return f"{type(error).__name__}: {_one_line(error)} (--debug shows where)"


def _visible(text: str) -> str:
    """The text with control characters as escapes: names in files must not command the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii") for c in text)


def _one_line(error: object) -> str:
    return " ".join(str(error).split())


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Progress | None]:
    """A listener that draws a bar on stderr with the stage at work, or None where nobody looks."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description:<12}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=1.0)
        yield lambda stage, share: bar.update(task, description=stage, completed=share)
