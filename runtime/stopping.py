"""The end of a run that the system asks for, by SIGTERM: `systemctl stop`, `docker stop`."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from edge.runtime.pipeline import Result


class Stop:
    """Lets a run end between two results: what is being shown is shown whole.

    A signal comes between any two steps of the main thread, also while that holds a lock: so the
    handler itself does nothing but wake a thread that is there for it.
    """

    def __init__(self) -> None:
        self._called = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._wait, name="edge stop", daemon=True)

    @property
    def asked(self) -> bool:
        """Whether the system asked for the end."""
        return self._called.is_set() and not self._over

    def results(
        self, results: Iterator[Result], hold: Callable[[], None], wake: Callable[[], None]
    ) -> Iterator[Result]:
        """Yield results until the end is asked for.

        Args:
            results: Of a run.
            hold: Waits where the run is paused.
            wake: Ends these two waits, from another thread.
        """
        self._wake = wake
        self._thread.start()
        while not self.asked:
            hold()
            result = None if self.asked else next(results, None)
            if result is None:
                return
            yield result

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Ask for the end."""
        self._called.set()

    def close(self) -> None:
        """End the thread, and wait for its end.

        It holds the run; the last one to let go of an engine must not be a thread while Python
        ends, which would abort the process.
        """
        if self._thread.ident is None:
            return
        if not self._called.is_set():
            self._over = True
            self._called.set()
        self._thread.join()

    def _wait(self) -> None:
        self._called.wait()
        if not self._over:
            self._wake()


@contextmanager
def terminable() -> Iterator[Stop]:
    """Heed SIGTERM inside; outside of the main thread, which alone hears it, nothing changes."""
    stop = Stop()
    hears = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop.handle) if hears else None
    try:
        yield stop
    finally:
        if before is not None:  # nor where it was set by a library that is no Python
            signal.signal(signal.SIGTERM, before)
        stop.close()
