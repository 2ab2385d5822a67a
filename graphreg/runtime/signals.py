"""What the process does when the system or the user calls."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def answering(
    called: signal.Signals, answer: Callable[[int, FrameType | None], object] | signal.Handlers
) -> Iterator[None]:
    """Another answer to a signal for as long as the body runs; none in threads, where Python allows no change."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(called, answer)
    try:
        yield
    finally:
        signal.signal(called, before or signal.SIG_DFL)  # None where another language had set it


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Has SIGINT and SIGTERM wait until the body is done: for what must not be left between two of its lines."""
    heard: list[int] = []

    def note(called: int, _: FrameType | None) -> None:
        heard.append(called)

    try:
        with answering(signal.SIGINT, note), answering(signal.SIGTERM, note):
            yield
    finally:
        for called in heard:
            signal.raise_signal(called)
