"""What systemd is told and asked: the unit of a board's service.

Sent to a board as text, so the standard library alone.
"""

from __future__ import annotations

import getpass
import grp
import os
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from edge.devices.onboard_store import NOTHING_TO_RUN, RefusedError

UNIT = "edge.service"
PLACE = Path("/etc/systemd/system") / UNIT
_START_S = 180
_LAST_WORDS = 400
_MEMORY = re.compile(r"(?<=^MemoryMax=)\d+(?=M$)", re.MULTILINE)

# Nothing can be written but what a run keeps. What asks for cameras is left to groups: they differ
# by board. Going back writes more, so it is done before, as the same user, outside of all this.
_TEXT = """\
[Unit]
Description=edge run
After=network.target
StartLimitIntervalSec=0

[Service]
Type=notify
User={user}
SupplementaryGroups={groups}
ExecStartPre=-+{setpriv} --reuid {uid} --regid {gid} --init-groups {python} -I {program} recover
ExecStart={python} -I {program} start
RestartPreventExitStatus={nothing}
WatchdogSec=60
TimeoutStartSec={start_s}
Restart=always
RestartSec=2
MemoryMax={memory}M
ReadWritePaths=-{root}/home
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


def unit_text(root: Path, program: Path, *, python: str, memory_mb: float) -> str:
    """Return the unit of a store, which this user runs.

    Args:
        root: The folder of the store.
        program: What it runs, with "start", and with "recover" before that.
        python: The Python that runs the program.
        memory_mb: The most memory that it may take.
    """
    return _TEXT.format(
        user=getpass.getuser(), uid=os.getuid(), gid=os.getgid(), root=root, program=program,
        groups=" ".join(name for name in ("video", "render") if _is_group(name)), python=python,
        setpriv=shutil.which("setpriv") or "/usr/bin/setpriv", nothing=NOTHING_TO_RUN,
        start_s=_START_S, memory=int(memory_mb),
    )  # fmt: skip


def with_most_memory(text: str, other: str | None) -> str:
    """Return a unit that allows as much memory as another one, if that allows more."""
    return _MEMORY.sub(str(max(map(int, _MEMORY.findall(f"{text}{other}")))), text)


def read_unit() -> str | None:
    """Return the unit that is there; None where there is none, or a power cut left it empty."""
    try:
        return PLACE.read_text() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        return str(error)  # it is somebody else's


def install_unit(text: str) -> None:
    """Put a unit where systemd reads it, at once and for good.

    Raises:
        RefusedError: That fails.
    """
    temporary = f"{PLACE}.new"
    put = ["install", "--mode=644", "/dev/stdin", temporary]
    done = subprocess.run([*_sudo(), *put], input=text, capture_output=True, text=True, check=False)
    checked(done, "write the unit")
    checked(as_root("sync", temporary), "write the unit")
    checked(as_root("mv", temporary, str(PLACE)), "write the unit")
    checked(as_root("sync", str(PLACE.parent)), "write the unit")
    checked(as_root("systemctl", "daemon-reload"), "reload systemd")


def enable_unit() -> None:
    """Have the unit start at boot, for good.

    Raises:
        RefusedError: That fails.
    """
    checked(as_root("systemctl", "enable", "--quiet", UNIT), "enable the service")
    checked(as_root("sync", *map(str, PLACE.parent.glob("*.wants"))), "enable the service")


def is_enabled() -> bool:
    """Tell whether the unit starts at boot."""
    return any(PLACE.parent.glob(f"*.wants/{UNIT}"))


def remove_unit() -> None:
    """Have there be no unit, if this user may."""
    as_root("systemctl", "disable", "--now", "--quiet", UNIT)
    as_root("rm", "-f", str(PLACE))
    as_root("systemctl", "daemon-reload")


def unit_state() -> str:
    """Return what systemd says of the unit, such as "active"."""
    return _told(["systemctl", "is-active", UNIT]).stdout.strip() or "unknown"


def shown(*names: str) -> dict[str, str]:
    """Return some properties of the unit."""
    words = (f"--property={name}" for name in names)
    said = _told(["systemctl", "show", UNIT, *words]).stdout
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def last_words() -> str:
    """Return what the service said last."""
    said = as_root("journalctl", "--unit", UNIT, "--lines", "5", "--output", "cat", "--no-pager")
    return " ".join(said.stdout.split())[-_LAST_WORDS:] or "it says nothing"


def checked(done: subprocess.CompletedProcess[str], doing: str) -> None:
    """Refuse to go on after a command that failed.

    Raises:
        RefusedError: It did.
    """
    if done.returncode:
        said = " ".join((done.stderr or "").split())[-_LAST_WORDS:]
        raise RefusedError(f"cannot {doing}: {said}", "look at the board's systemd")


def as_root(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as root, if that takes no password."""
    return _told([*_sudo(), *command])


def _sudo() -> list[str]:
    if os.getuid() == 0:
        return []
    # Without sudo the command itself says what may not be.
    return ["sudo", "-n"] if shutil.which("sudo") else ["false"]


def _told(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command; one that does not come to an end has failed."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_START_S + 60
        )
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(error.cmd, 1, "", "it does not come to an end")


def _is_group(name: str) -> bool:
    with suppress(KeyError):
        return bool(grp.getgrnam(name))
    return False
