"""A version as a service of systemd: written, restarted, and watched until it has proven itself.

Sent to a board as text, so the standard library alone.
"""

from __future__ import annotations

import getpass
import re
import time
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

from edge.devices.onboard_store import RefusedError, Store
from edge.devices.onboard_unit import (
    PLACE,
    UNIT,
    as_root,
    enable_unit,
    install_unit,
    is_enabled,
    last_words,
    read_unit,
    remove_unit,
    shown,
    unit_state,
    unit_text,
    with_most_memory,
)

_METRICS = "127.0.0.1:9109"
_ADDRESS = re.compile(r"(?:(.*):)?(\d+)")
_EVERYWHERE = {None: "127.0.0.1", "": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
_PLAIN = re.compile(r"[\w/.@+-]+")
_LOOK_EVERY_S = 0.5
# Without a frame; half of the window where that is longer.
_LONGEST_PAUSE_S = 5.0


class Service:
    """The unit of a store, or the lack of one.

    Args:
        store: What it runs from.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._program = store.root / "start.py"
        self._before = self._text = read_unit()
        self._was_enabled = is_enabled()
        self._start: str | None = None

    @property
    def runs(self) -> bool:
        """Whether it is there, of this store, and nobody stopped it."""
        return self._is_ours() and unit_state() != "inactive"

    @property
    def is_planned(self) -> bool:
        """Whether one was decided on."""
        return self._start is not None

    def state(self) -> str | None:
        """Return what systemd says of it, such as "active"; None where there is none."""
        return unit_state() if self._is_ours() else None

    def require(self) -> None:
        """Check that there may be one.

        Raises:
            RefusedError: There is no systemd, or this user may not change it or should not.
        """
        user = getpass.getuser()
        if not Path("/run/systemd/system").is_dir():
            raise RefusedError("there is no systemd", "leave out --service")
        if user == "root":
            raise RefusedError(
                "root would run the service", "log in as the user who shall run it, with sudo"
            )
        if self._before is not None and not self._is_ours():
            raise RefusedError(
                f"{PLACE} runs another folder than {self._store.root}",
                f"on the board: sudo systemctl disable --now edge; sudo rm {PLACE}",
            )
        if not _PLAIN.fullmatch(str(self._store.root)):
            raise RefusedError(
                f"systemd would misread {self._store.root}", "set EDGE_DEVICE_ROOT to a plain path"
            )
        if as_root("true").returncode:
            raise RefusedError(
                f"{user} may not use sudo without a password, which a service needs",
                f"on the board: echo '{user} ALL=(ALL) NOPASSWD: ALL' | sudo tee "
                "/etc/sudoers.d/edge",
            )

    def plan(self, start: str, *, max_memory_mb: float, python: str) -> bool:
        """Decide on a unit, to be written.

        Args:
            start: The text of the program that it runs.
            max_memory_mb: The most memory that it may take.
            python: The Python that runs the program.

        Returns:
            Whether it is another than the one there.
        """
        self._start = start
        self._text = unit_text(
            self._store.root, self._program, python=python, memory_mb=max_memory_mb
        )
        there = self._program.read_text() if self._program.exists() else None
        return (self._text, start) != (self._before, there)

    def write(self) -> None:
        """Write and enable the unit that was decided on, if one was.

        Raises:
            RefusedError: It cannot be written.
        """
        if self._text is None or self._start is None:
            return
        self._store.write(self._program.name, self._start.encode())
        # The version before has to get along with it as well, should the flash be cut off.
        text = with_most_memory(self._text, self._before)
        if text != self._before:
            install_unit(text)
        enable_unit()

    def settle(self) -> None:
        """Give the unit its last form, since the version has proven itself."""
        if self._text is not None and self._text != read_unit():
            with suppress(RefusedError):  # what is there allows more memory than was asked for
                install_unit(self._text)

    def follow(self, *, ran: bool) -> None:
        """Have the unit be what it was, for a version that was taken back to.

        Args:
            ran: Whether it ran before another one came.
        """
        if self._remove_needless():
            return
        with suppress(RefusedError):  # no worse than it was
            if self._before is not None and self._before != read_unit():
                install_unit(self._before)
            if not self._was_enabled:
                as_root("systemctl", "disable", "--quiet", UNIT)
            if ran:
                self.restart()
            else:
                as_root("systemctl", "stop", UNIT)

    def catch_up(self) -> None:
        """Have the unit run what is current, where a flash that was cut off left it otherwise."""
        if self._remove_needless():
            return
        state = unit_state()
        if state == "failed" or (state != "inactive" and not self._runs_current()):
            with suppress(RefusedError):  # no worse than it was
                self.restart()

    def restart(self) -> None:
        """Start it anew; it has started once it has its first result.

        Raises:
            RefusedError: It does not start.
        """
        as_root("systemctl", "reset-failed", "--quiet", UNIT)
        done = as_root("systemctl", "restart", UNIT)
        if done.returncode:
            said = " ".join(done.stderr.split())
            raise _ill(f"the service does not start: {last_words()} ({said})")

    def prove(self, *, seconds: float, max_memory_mb: float) -> dict[str, Any]:
        """Watch it for some time: frames flow, it never starts anew, memory is in bounds.

        Returns:
            How many frames came, in how many seconds, and the memory at the end.

        Raises:
            RefusedError: One of them does not hold.
        """
        about = shown("MainPID", "NRestarts")
        url = f"http://{self._metrics()}/metrics"
        first = last = _frames(url)
        begun = moved = time.monotonic()
        memory = 0.0
        while time.monotonic() - begun < seconds:
            time.sleep(_LOOK_EVERY_S)
            if shown("MainPID", "NRestarts") != about:
                raise _ill(f"the service came to an end: {last_words()}")
            memory = _memory_mb(about["MainPID"])
            if memory > max_memory_mb:
                raise _ill(f"it takes {memory:.0f} MB of memory, {max_memory_mb:.0f} are allowed")
            now = _frames(url)
            if now > last:
                last, moved = now, time.monotonic()
            elif time.monotonic() - moved > max(_LONGEST_PAUSE_S, seconds / 2):
                raise _ill("no frames flow")
        if last <= first:
            raise _ill("no frames flow")
        return {
            "frames": int(last - first), "seconds": round(time.monotonic() - begun, 1),
            "memory_mb": round(memory, 1),
        }  # fmt: skip

    def _is_ours(self) -> bool:
        return f" {self._program} start\n" in (read_unit() or "")

    def _remove_needless(self) -> bool:
        """Return whether there is no unit, or none needed any more, which is removed then."""
        if not self._is_ours():
            return True
        if self._store.served()[1] is not None:
            return False
        remove_unit()
        if read_unit() is None:
            self._store.remove(self._program.name)
        return True

    def _runs_current(self) -> bool:
        process = shown("MainPID")["MainPID"]
        if process == "0":  # it is about to start, and reads what is current then
            return True
        name, service = self._store.served()
        with suppress(OSError):
            words = Path(f"/proc/{process}/cmdline").read_bytes().decode().split("\0")[:-1]
            tail = ["run", *(service or {"options": []})["options"]]
            return f"/versions/{name}/" in " ".join(words) and words[-len(tail) :] == tail
        return False

    def _metrics(self) -> str:
        """Return where the service is asked, from the board itself."""
        service = self._store.served()[1] or {"options": []}
        for word, following in zip(service["options"], [*service["options"][1:], ""], strict=False):
            given = following if word == "--metrics" else word.partition("--metrics=")[2]
            found = _ADDRESS.fullmatch(given)
            if found:
                return f"{_EVERYWHERE.get(found[1], found[1])}:{found[2]}"
        return _METRICS


def watched(options: list[str]) -> list[str]:
    """Return options of `edge run` with which it can be asked how it is."""
    if any(word.partition("=")[0] == "--metrics" for word in options):
        return options
    return [*options, "--metrics", _METRICS]


def _frames(url: str) -> float:
    # Itself: whatever proxy the board has for others does not know it.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with suppress(OSError, ValueError, HTTPException):
        with direct.open(url, timeout=5) as answer:
            text = answer.read().decode()
        return sum(
            float(line.split()[1]) for line in text.splitlines()
            if line.startswith("edge_frames_total ")
        )  # fmt: skip
    return 0.0


def _memory_mb(process: str) -> float:
    """Return the resident memory of a process, in MB; 0.0 of one that is gone."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _ill(why: str) -> RefusedError:
    return RefusedError(why, "look there with: journalctl -u edge")
