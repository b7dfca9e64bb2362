"""What the doctor looks at in the machine: cameras, heat, power, memory, disk, time."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edge.assets import assets, home, kept
from edge.devices.findings import Finding, advice, fault, good, unknown
from edge.devices.preflight import LEAST_MEMORY_MB
from edge.environment import fingerprint, firmware_word

_DEV = Path("/dev")
_BOARD = Path("/proc/device-tree/model")
_MEMINFO = Path("/proc/meminfo")
_APT_PICAMERA = Path("/usr/lib/python3/dist-packages/picamera2")

# Boards slow themselves down from 80 to 85 °C on.
_HOT_C = 75.0
# A run takes a good 100 MB; its assets take 1 MB, a log 60.
_GOOD_MEMORY_MB = 250
_LEAST_DISK_MB, _GOOD_DISK_MB = 5, 100
# Certificates are not yet valid on a board without a clock of its own that wakes in 1970.
_EARLIEST = time.strptime("2026-01-01", "%Y-%m-%d")

# Bits of the firmware's word, now and (16 higher) since the start.
_POWER, _SLOWED = 0b0001, 0b1110


def hardware() -> Iterator[Finding]:
    """Look at the machine."""
    about = fingerprint(1, "")
    yield from _cameras()
    yield _governor(about)
    yield _temperature(about)
    yield _power()
    yield _memory(about)
    yield _disk()
    yield _detector()
    yield _clock()


def _is_raspberry_pi() -> bool:
    """Tell whether this is one."""
    try:
        return "Raspberry Pi" in _BOARD.read_text("utf-8", "replace")
    except OSError:
        return False


def _cameras() -> Iterator[Finding]:
    devices = sorted(path for path in _DEV.glob("video*") if path.name[5:].isdecimal())
    closed = [path.name for path in devices if not os.access(path, os.R_OK | os.W_OK)]
    if closed:
        yield advice(
            "camera", f"{', '.join(closed)} may not be opened by this user",
            "sudo usermod -aG video $USER, then log in again",
        )  # fmt: skip
    elif devices:
        yield good("camera", ", ".join(path.name for path in devices))
    else:
        yield unknown("camera", "no /dev/videoN; files, addresses and --demo do without")
    if _is_raspberry_pi():
        yield _picamera()


def _picamera() -> Finding:
    if find_spec("picamera2") is not None:
        return good("picamera2", "there")
    if _APT_PICAMERA.exists():
        return advice(
            "picamera2", "installed for the system, but this virtual environment does not see it",
            "/usr/bin/python3 -m venv --system-site-packages .venv",
        )  # fmt: skip
    return advice(
        "picamera2", "not installed; cameras on the ribbon connector need it",
        "sudo apt install -y python3-picamera2",
    )  # fmt: skip


def _governor(about: dict[str, Any]) -> Finding:
    governor = about["governor"]
    if governor is None:
        return unknown("governor", "this machine does not tell")
    if governor == "performance":
        return good("governor", governor)
    return advice(
        "governor", f"{governor}: the clock follows the load",
        "sudo cpupower frequency-set -g performance",
    )  # fmt: skip


def _temperature(about: dict[str, Any]) -> Finding:
    value = about["temperature_c"]
    if value is None:
        return unknown("temperature", "this machine does not tell")
    if value >= _HOT_C:
        return advice(
            "temperature", f"{value:.0f} °C: soon it slows itself down",
            "give it a heat sink or a fan",
        )  # fmt: skip
    return good("temperature", f"{value:.0f} °C")


def _power() -> Finding:
    """Read the firmware's word on voltage and throttling; only a Raspberry Pi has one."""
    bits = firmware_word()
    if bits is None:
        return unknown("power", "this machine does not tell")
    now, before = bits & 0xF, bits >> 16 & 0xF
    if now & _POWER or before & _POWER:
        when = "now" if now & _POWER else "since it was started"
        return advice(
            "power", f"the voltage is too low {when}",
            "use the board's own power supply, and a short cable",
        )  # fmt: skip
    if now & _SLOWED or before & _SLOWED:
        when = "now" if now & _SLOWED else "since it was started"
        return advice("power", f"it slowed itself down {when}", "give it a heat sink or a fan")
    return good("power", "never too low, never throttled")


def _memory(about: dict[str, Any]) -> Finding:
    free = _available_mb()
    limit = about["limits"]["memory"]
    if limit is not None:
        free = min(free or limit / 2**20, limit / 2**20)
    if free is None:
        return unknown("memory", "this machine does not tell")
    found = f"{free:,.0f} MB are free"
    if free < LEAST_MEMORY_MB:
        return fault("memory", f"{found}, a run takes {LEAST_MEMORY_MB}", "end other programs")
    if free < _GOOD_MEMORY_MB:
        return advice("memory", found, "end other programs, or add swap: sudo dphys-swapfile setup")
    return good("memory", found)


def _available_mb() -> float | None:
    try:
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _disk() -> Finding:
    folder = home()
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        return fault("disk", f"nothing can be written to {folder}", "set EDGE_HOME to a folder")
    free = shutil.disk_usage(folder).free / 2**20
    found = f"{free:,.0f} MB are free for {home()}"
    if free < _LEAST_DISK_MB:
        return fault("disk", found, "delete what is not needed, or set EDGE_HOME elsewhere")
    if free < _GOOD_DISK_MB:
        return advice("disk", found, "delete what is not needed, or set EDGE_HOME elsewhere")
    return good("disk", found)


def _detector() -> Finding:
    """Look whether the face detector is here: it is fetched once, which wants a network."""
    if kept(assets()["blazeface"]) is not None:
        return good("detector", "blazeface is here")
    return advice("detector", "blazeface is fetched at the first run", "edge run --demo --frames 1")


def _clock() -> Finding:
    now = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M", time.localtime(now))
    fix = "sudo timedatectl set-ntp true"
    if now < time.mktime(_EARLIEST):
        return fault("clock", f"it is said to be {shown}; certificates are not valid yet", fix)
    try:
        told = subprocess.run(
            ["timedatectl", "show", "--property=NTPSynchronized", "--value"],
            capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return good("clock", shown)
    if told.stdout.strip() == "no":
        return advice("clock", f"{shown}, not synchronised", fix)
    return good("clock", shown)
