"""A version as a service of systemd: written, restarted, and watched until it has proven itself.

Sent to a board as text, so the standard library alone.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
import time
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

from edge.devices.onboard_store import NOTHING_TO_RUN, RefusedError, Store

UNIT = "edge.service"
_PROGRAM = "start.py"
_PLACE = Path("/etc/systemd/system") / UNIT
_METRICS = "127.0.0.1:9109"
_START_S = 180
_LOOK_EVERY_S = 0.5
_LAST_WORDS = 400
_PLAIN = re.compile(r"[\w/.@+-]+")
_MEMORY = re.compile(r"(?<=^MemoryMax=)\d+(?=M$)", re.MULTILINE)

# Nothing but its own folder can be written, and of that neither versions nor runtimes. What asks
# for cameras is left to groups: they differ by board.
_TEXT = """\
[Unit]
Description=edge run
After=network.target
StartLimitIntervalSec=0

[Service]
Type=notify
User={user}
SupplementaryGroups={groups}
# Runs the version that is current, with its options; one that never proved itself is taken back.
ExecStart={python} -I {root}/{program}
RestartPreventExitStatus={nothing}
WatchdogSec=60
TimeoutStartSec={start}
Restart=always
RestartSec=2
MemoryMax={memory}M
ReadWritePaths={root}
ReadOnlyPaths=-{root}/versions -{root}/runtimes -{root}/wheels
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectClock=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
UMask=0077

[Install]
WantedBy=multi-user.target
"""


class Service:
    """The unit of a store, or the lack of one.

    Args:
        store: What it runs from.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._before = self._text = _read()
        self._program = None  # type: str | None

    @property
    def runs(self) -> bool:
        """Whether it is there, of this store, and nobody stopped it."""
        return self._is_ours() and self.state() != "inactive"

    @property
    def is_planned(self) -> bool:
        """Whether there will be one."""
        return self._program is not None

    def state(self) -> str | None:
        """Return what systemd says of it, such as "active"; None where there is none."""
        if self._before is None:
            return None
        return _systemctl("is-active", UNIT).stdout.strip() or "unknown"

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
                f"{_PLACE} runs another folder than {self._store.root}", "remove it first"
            )
        if not _PLAIN.fullmatch(str(self._store.root)):
            raise RefusedError(
                f"systemd would misread {self._store.root}", "set EDGE_DEVICE_ROOT to a plain path"
            )
        if _root("true").returncode:
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
        groups = [name for name in ("video", "render") if _is_group(name)]
        self._text = _TEXT.format(
            user=getpass.getuser(), groups=" ".join(groups), python=python, root=self._store.root,
            program=_PROGRAM, nothing=NOTHING_TO_RUN, start=_START_S, memory=int(max_memory_mb),
        )  # fmt: skip
        self._program = start
        there = self._store.root / _PROGRAM
        return self._text != self._before or not there.exists() or there.read_text() != start

    def write(self) -> None:
        """Write and enable the unit that was decided on, if one was.

        Raises:
            RefusedError: It cannot be written.
        """
        if self._text is None or self._program is None:
            return
        self._store.write(_PROGRAM, self._program.encode())
        # The version before has to get along with it as well, should the flash be cut off.
        allowed = max(map(int, _MEMORY.findall(f"{self._text}{self._before}")))
        text = _MEMORY.sub(str(allowed), self._text)
        if text != self._before:
            _install(text)
        _checked(_root("systemctl", "enable", "--quiet", UNIT), "enable the service")

    def settle(self) -> None:
        """Give the unit its last form, since the version has proven itself."""
        if self._text is not None and self._text != _read():
            with suppress(RefusedError):  # what is there allows more memory than was asked for
                _install(self._text)

    def follow(self, *, ran: bool) -> None:
        """Have the unit run what is current again, after a version was taken back.

        Args:
            ran: Whether it did so before that one came.
        """
        if not self._is_ours():
            return
        if self._store.options_of(self._store.pointed("current")) is None:
            _root("systemctl", "disable", "--now", "--quiet", UNIT)
            _root("rm", "-f", str(_PLACE))
            _root("systemctl", "daemon-reload")
            if _read() is None:
                self._store.remove(_PROGRAM)
            return
        with suppress(RefusedError):  # no worse than it was
            if self._before is not None and self._before != _read():
                _install(self._before)
            if ran:
                self.restart()
            else:
                _root("systemctl", "stop", UNIT)

    def restart(self) -> None:
        """Start it anew; it has started once it has its first result.

        Raises:
            RefusedError: It does not start.
        """
        _root("systemctl", "reset-failed", "--quiet", UNIT)
        done = _root("systemctl", "restart", UNIT)
        if done.returncode:
            said = " ".join(done.stderr.split())
            raise _ill(f"the service does not start: {_journal()} ({said})")

    def prove(self, *, seconds: float, max_memory_mb: float) -> dict[str, Any]:
        """Watch it for some time: frames flow, it never starts anew, memory is in bounds.

        Returns:
            How many frames came, in how many seconds, and the memory at the end.

        Raises:
            RefusedError: One of them does not hold.
        """
        about = _shown("MainPID", "NRestarts")
        url = f"http://{self._metrics()}/metrics"
        first = last = _frames(url)
        begun = moved = time.monotonic()
        memory = 0.0
        while time.monotonic() - begun < seconds:
            time.sleep(_LOOK_EVERY_S)
            if _shown("MainPID", "NRestarts") != about:
                raise _ill(f"the service came to an end: {_journal()}")
            memory = _memory_mb(about["MainPID"])
            if memory > max_memory_mb:
                raise _ill(f"it takes {memory:.0f} MB of memory, {max_memory_mb:.0f} are allowed")
            now = _frames(url)
            if now > last:
                last, moved = now, time.monotonic()
            elif time.monotonic() - moved > max(5.0, seconds / 2):
                raise _ill("no frames flow")
        if last <= first:
            raise _ill("no frames flow")
        return {
            "frames": int(last - first), "seconds": round(time.monotonic() - begun, 1),
            "memory_mb": round(memory, 1),
        }  # fmt: skip

    def _is_ours(self) -> bool:
        return f" {self._store.root}/{_PROGRAM}\n" in (_read() or "")

    def _metrics(self) -> str:
        words = self._store.options_of(self._store.pointed("current")) or []
        following = words[words.index("--metrics") + 1 :] if "--metrics" in words else []
        port = re.search(r"(\d+)$", following[0]) if following else None
        # Whatever it listens on, it is asked from the board itself.
        return f"127.0.0.1:{port.group(1)}" if port else _METRICS


def watched(options: list[str]) -> list[str]:
    """Return options of `edge run` with which it can be asked how it is."""
    return options if "--metrics" in options else [*options, "--metrics", _METRICS]


def _read() -> str | None:
    return _PLACE.read_text() if _PLACE.exists() else None


def _install(text: str) -> None:
    """Put a unit where systemd reads it, at once."""
    temporary = f"{_PLACE}.new"
    done = subprocess.run(
        [*_sudo(), "tee", temporary], input=text, stdout=subprocess.DEVNULL, text=True, check=False
    )
    _checked(done, "write the unit")
    _checked(_root("mv", temporary, str(_PLACE)), "write the unit")
    _checked(_root("systemctl", "daemon-reload"), "reload systemd")


def _checked(done: subprocess.CompletedProcess[str], doing: str) -> None:
    if done.returncode:
        said = " ".join((done.stderr or "").split())[-_LAST_WORDS:]
        raise RefusedError(f"cannot {doing}: {said}", "look at the board's systemd")


def _root(*command: str) -> subprocess.CompletedProcess[str]:
    return _told([*_sudo(), *command])


def _sudo() -> list[str]:
    if os.getuid() == 0:
        return []
    # Without sudo the command itself says what may not be.
    return ["sudo", "-n"] if shutil.which("sudo") else ["false"]


def _systemctl(*words: str) -> subprocess.CompletedProcess[str]:
    return _told(["systemctl", *words])


def _told(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command; one that does not come to an end has failed."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_START_S + 60
        )
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(error.cmd, 1, "", "it does not come to an end")


def _shown(*names: str) -> dict[str, str]:
    said = _systemctl("show", UNIT, *(f"--property={name}" for name in names)).stdout
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def _journal() -> str:
    """Return the last words of the service."""
    said = _root("journalctl", "--unit", UNIT, "--lines", "5", "--output", "cat", "--no-pager")
    return " ".join(said.stdout.split())[-_LAST_WORDS:] or "it says nothing"


def _frames(url: str) -> float:
    with suppress(OSError, ValueError, HTTPException):
        with urllib.request.urlopen(url, timeout=5) as answer:
            text = answer.read().decode()
        return sum(
            float(line.split()[1]) for line in text.splitlines()
            if line.startswith("edge_frames_total ")
        )  # fmt: skip
    return 0.0


def _memory_mb(process: str) -> float:
    """Return what a process and those below it hold, as its control group or /proc tells."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _is_group(name: str) -> bool:
    import grp

    with suppress(KeyError):
        return bool(grp.getgrnam(name))
    return False


def _ill(why: str) -> RefusedError:
    return RefusedError(why, "look there with: journalctl -u edge")
