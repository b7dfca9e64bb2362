"""A run as a service: systemd hears that it is ready, that it lives, and that it ends.

Source: sd_notify(3), the protocol of which is lines of text in a datagram.
"""

import os
import socket
import threading
import time
from contextlib import suppress
from typing import Any

from edge.runtime.controls import Running
from edge.runtime.outputs import Output
from edge.runtime.pipeline import Result

# Without a result for so long, and with nothing that explains it, a run hangs.
_HANGS_S = 15.0


class Systemd(Output):
    """Notifies the service manager, and feeds its watchdog while results flow.

    A run that is paused, or waits for a lost camera, a slow broker or its video, lives; one that
    gives no results for 15 seconds otherwise does not, and is left to the watchdog.

    Args:
        address: `NOTIFY_SOCKET`.
        watchdog_s: How often the watchdog wants to hear; None where there is none.
    """

    def __init__(self, address: str, watchdog_s: float | None) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_s = watchdog_s
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._last = time.monotonic()
        self._ready = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._feed, name="edge watchdog", daemon=True)

    @classmethod
    def of_environment(cls) -> "Systemd | None":
        """Return the one that the variables of a service ask for; None outside of a service."""
        if not (address := os.environ.get("NOTIFY_SOCKET")):
            return None
        watchdog = os.environ.get("WATCHDOG_USEC", "")
        mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        return cls(address, int(watchdog) / 1e6 if watchdog.isdecimal() and mine else None)

    def begin(self, running: Running) -> None:
        """Begin to feed the watchdog."""
        self._running = running
        self._last = time.monotonic()
        if self._watchdog_s:
            self._thread.start()

    def show(self, result: Result) -> None:
        """Note that a result came; with the first one the service is ready."""
        self._last = time.monotonic()
        if not self._ready:
            self._ready = True
            self._notify("READY=1")

    def finish(self, summary: dict[str, Any]) -> None:
        """Tell how it went."""
        self._notify(f"STATUS={summary['frames']} frames, {summary['fps']:.1f} a second")

    def close(self) -> None:
        """Tell that it ends."""
        self._over.set()
        self._notify("STOPPING=1")
        self._socket.close()

    def _feed(self) -> None:
        assert self._watchdog_s is not None
        # Three times as often as wanted: one may be late.
        while not self._over.wait(self._watchdog_s / 3):
            if self._lives():
                self._notify("WATCHDOG=1")

    def _lives(self) -> bool:
        running = self._running
        explained = running.controls.paused or running.lost() or bool(running.waits)
        return explained or time.monotonic() - self._last < _HANGS_S

    def _notify(self, state: str) -> None:
        with suppress(OSError):  # to be without systemd is no reason to end
            self._socket.sendto(state.encode(), self._address)
