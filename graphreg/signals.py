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
        signal.signal(called, before)
