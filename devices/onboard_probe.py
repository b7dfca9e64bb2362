"""Facts of the machine that it runs on: sent to a board as text, so the standard library alone."""

from __future__ import annotations

import getpass
import os
import platform
import shutil
import struct
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# Where `edge` may stand; a command over ssh has but a short PATH.
_PLACES = ("~/.local/bin/edge", "~/.venv/bin/edge", "~/edge/.venv/bin/edge")


def facts(root: Path) -> dict[str, Any]:
    """Describe this machine.

    Args:
        root: The folder that edge keeps there.
    """
    return {
        "user": getpass.getuser(),
        "root": str(root),
        "board": _text("/proc/device-tree/model").rstrip("\0") or None,
        "machine": platform.machine(),
        "bits": struct.calcsize("P") * 8,
        "os": _os(),
        "glibc": _glibc(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "cores": len(os.sched_getaffinity(0)),
        "time": time.time(),
        "memory_mb": _available_mb(),
        "free_mb": free_mb(root),
        "writable": _writable(root),
        "venv": find_spec("venv") is not None,
        "ssh_keygen": shutil.which("ssh-keygen") is not None,
        "systemd": Path("/run/systemd/system").is_dir(),
        "edge": find_edge(root),
    }


def find_edge(root: Path) -> str | None:
    """Return the `edge` of this machine: the one that was put there, else one that is installed."""
    current = root / "current"
    if all(os.access(path, os.X_OK) for path in (current / "edge", current / "runtime/bin/edge")):
        return str(current / "edge")
    return find_installed()


def find_installed() -> str | None:
    """Return an `edge` that is installed on this machine, however that was done."""
    places = (Path(place).expanduser() for place in _PLACES)
    return next((str(path) for path in places if os.access(path, os.X_OK)), shutil.which("edge"))


def version(edge: str) -> str | None:
    """Return the version that a command says it is of; None where it does not run."""
    try:
        said = subprocess.run(
            [edge, "--version"], capture_output=True, text=True, timeout=60, check=True
        ).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    return said[-1] if said else None


def _os() -> str:
    for line in _text("/etc/os-release").splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            return value.strip('"')
    return platform.system()


def _glibc() -> str | None:
    """Return its version, which decides what wheels can be loaded; None for another library."""
    try:
        name, _, number = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (AttributeError, OSError, ValueError):
        return None
    return number if name == "glibc" else None


def _available_mb() -> float | None:
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    return None


def free_mb(root: Path) -> float:
    """Return the room on the disk of a folder that need not be there yet, in MB."""
    return shutil.disk_usage(_existing(root)).free / 2**20


def _writable(root: Path) -> bool:
    place = _existing(root)
    # What is mounted read-only says yes to `access` of root on old kernels: ask it as well.
    read_only = bool(os.statvfs(place).f_flag & os.ST_RDONLY)
    return not read_only and os.access(place, os.W_OK | os.X_OK)


def _existing(path: Path) -> Path:
    """Return the path, or the nearest folder above it that is there."""
    return next(place for place in (path, *path.parents) if place.exists())


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
