"""The end of a run that the system asks for, by SIGTERM: `systemctl stop`, `docker stop`."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from edge.runtime.pipeline import Result


class _Terminated(BaseException):
    """Ends a wait."""


class Stop:
    """Lets a run end between two results: what is being shown is shown whole.

    Attributes:
        asked: The system asked for the end.
    """

    def __init__(self) -> None:
        self.asked = False
        self._waiting = False

    def results(self, results: Iterator[Result], hold: Callable[[], None]) -> Iterator[Result]:
        """Yield results until the end is asked for; `hold` waits where a run is paused."""
        while not self.asked:
            try:
                self._waiting = True
                hold()
                result = next(results, None)
            except _Terminated:
                return
            finally:
                self._waiting = False
            if result is None:
                return
            yield result

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Ask for the end; a wait for a frame, which may be long, is broken off."""
        self.asked = True
        if self._waiting:
            self._waiting = False
            raise _Terminated


@contextmanager
def terminable() -> Iterator[Stop]:
    """Heed SIGTERM inside; outside of the main thread, which alone hears it, nothing changes."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGTERM, stop.handle)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)
