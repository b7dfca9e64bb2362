"""What has no end: a camera or a stream, opened again when it is lost."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from edge.contract import Picture
from edge.errors import EdgeError
from edge.runtime.sources import Frame, Source, Warn

# How long the wait for what is lost takes at first, and how long it may grow.
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0

# What is silent for so long is lost.
TIMEOUT_S = 10.0

# A driver that says a frame is older than this, or from the future, uses a clock of its own.
_OLDEST_S = 1.0

# The clock of V4L2, which is that of `time.perf_counter`, and the one that libcamera documents; a
# Raspberry Pi passes the former on. The two differ by the time that the machine slept.
_CLOCKS = (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME)


class Taken(NamedTuple):
    """What a device gave.

    Args:
        picture: uint8 (height, width, 3), BGR.
        captured: When it was taken: seconds of `time.perf_counter`.
        skipped: How many frames before it could not be decoded.
    """

    picture: Picture
    captured: float
    skipped: int


class Device(Protocol):
    """A camera or a connection that is open."""

    @property
    def got(self) -> dict[str, Any]:
        """What it says it gives: size, fps and format."""

    def read(self, stopped: threading.Event) -> Taken | None:
        """Wait for the next frame; None where there will be no more, or where it was stopped."""

    def close(self) -> None:
        """Release it, also while another thread reads."""


class Read(Source):
    """A source that is read from a device, frame by frame.

    Args:
        name: What the user calls it.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._index = 0

    def frames_of(self, device: Device) -> Iterator[Frame]:
        """Yield the frames of a device until it gives no more, or the source is stopped.

        Raises:
            EdgeError: It was not stopped, and no device gave any frame so far.
        """
        while not self._stopped.is_set() and (taken := device.read(self._stopped)):
            self.unreadable += taken.skipped
            yield Frame(self._index, self.name, taken.picture, taken.captured)
            self._index += 1
        if not self._index and not self._stopped.is_set():
            raise EdgeError(f"{self.name} gave no frame", "check that it plays elsewhere")


class Live(Read):
    """What has no end: a camera or a stream, opened again when it is lost.

    Args:
        device: Opened.
        name: What the user calls it.
        reopen: Opens it again; raises an EdgeError where it is still away.
        asked: What it was asked for.
        warn: Called with a sentence each time that it is lost.
        until_lost: End when it is lost.
    """

    live = True

    def __init__(self, device: Device, name: str, *, reopen: Callable[[], Device],
                 asked: dict[str, Any], warn: Warn, until_lost: bool) -> None:  # fmt: skip
        super().__init__(name)
        self._device = device
        self._reopen = reopen
        self._asked = asked
        self._warn = warn
        self._until_lost = until_lost
        self._wait_s = FIRST_WAIT_S

    def __iter__(self) -> Iterator[Frame]:
        while True:
            for frame in self.frames_of(self._device):
                if self.lost:
                    self.reconnects += 1
                    self.lost, self._wait_s = False, FIRST_WAIT_S
                yield frame
            if self._stopped.is_set() or self._until_lost:
                return
            if not self.lost:
                self.lost = True
                self._warn(f"{self.name} is lost; it is opened again as soon as it is back")
            self._device.close()
            if not self._open_again():
                return

    def _open_again(self) -> bool:
        """Try until it is open, ever more seldom; False where the iteration is to end."""
        while not self._stopped.wait(self._wait_s):
            self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
            try:
                self._device = self._reopen()
            except EdgeError:
                continue
            if self._stopped.is_set():
                self._device.close()
            return True
        return False

    @property
    def fps(self) -> float | None:
        """Frames a second, as the device says."""
        return float(self._device.got["fps"]) if self._device.got["fps"] else None

    def about(self) -> dict[str, Any]:
        """Return what was asked for and what it gives."""
        return {"asked": self._asked, "got": self._device.got}

    def close(self) -> None:
        """Release the camera or the connection."""
        self._device.close()


def when(stamp: float) -> float | None:
    """Return the time of a driver's time stamp on the clock of `time.perf_counter`.

    Args:
        stamp: Seconds on a clock of the kernel.

    Returns:
        None where the time stamp cannot be true.
    """
    now = time.perf_counter()
    for clock in _CLOCKS:
        if 0 <= (age := time.clock_gettime(clock) - stamp) <= _OLDEST_S:
            return now - age
    return None
