"""What a measurement was taken on: the machine, its state, and the versions that took part."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("edge-tflite", "numpy", "opencv-python-headless", "opencv-contrib-python")

# The instructions that decide how fast a small network runs.
_ISA = (
    "sse4_2", "avx", "avx2", "fma", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16",
    "amx_bf16", "amx_int8", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2",
)  # fmt: skip

_CPU = Path("/sys/devices/system/cpu/cpu0/cpufreq")
_THERMAL = Path("/sys/class/thermal")
_PI_THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")


def fingerprint(threads: int, runtime: str) -> dict[str, Any]:
    """Describe the machine and its state, quickly enough to do so in every run.

    Args:
        threads: Threads that the measured code may use.
        runtime: The TFLite runtime and its version, such as "litert 2.3.0".

    Returns:
        cpu, cores (usable ones), isa, governor, load (1, 5 and 15 minutes), temperature_c,
        throttled, memory (bytes), os, python, versions and threads; None for what this machine
        does not tell.
    """
    info = _cpu_info()
    return {
        "cpu": _cpu(info),
        "cores": usable_cores(),
        "isa": _isa(info),
        "governor": _text(_CPU / "scaling_governor"),
        "load": _load(),
        "temperature_c": _temperature_c(),
        "throttled": _throttled(),
        "memory": _memory_bytes(),
        "os": _os(),
        "python": platform.python_version(),
        "versions": _versions() | {"runtime": runtime},
        "threads": threads,
    }


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _cpu_info() -> dict[str, str]:
    """Return the fields of the first core in /proc/cpuinfo, and the board's "Model" at its end."""
    found: dict[str, str] = {}
    for line in (_text(Path("/proc/cpuinfo")) or "").splitlines():
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    return found


def _cpu(info: dict[str, str]) -> str | None:
    # Arm cores have no name of their own here; the board says more than their part number.
    board = _text(Path("/proc/device-tree/model")) or info.get("Model")
    return info.get("model name") or (board and board.rstrip("\0")) or platform.machine() or None


def _isa(info: dict[str, str]) -> list[str]:
    flags = set((info.get("flags") or info.get("Features") or "").split())
    return [platform.machine(), *(name for name in _ISA if name in flags)]


def _load() -> list[float] | None:
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except OSError:
        return None


def _temperature_c() -> float | None:
    """Return the temperature of the processor, or of the first sensor where none says it is."""
    zones = {_text(zone / "type") or "": zone for zone in sorted(_THERMAL.glob("thermal_zone*"))}
    named = [zone for kind, zone in zones.items() if "cpu" in kind or kind == "x86_pkg_temp"]
    for zone in [*named, *zones.values()]:
        value = _text(zone / "temp")
        if value and value.lstrip("-").isdigit():
            return int(value) / 1000
    return None


def _throttled() -> bool | None:
    """Tell whether the board slows itself down now; only a Raspberry Pi says so."""
    try:
        # The low four bits are the present, the others what happened since the start.
        return bool(int(_text(_PI_THROTTLED) or "", 16) & 0xF)
    except ValueError:
        return None


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _os() -> str:
    system = os.uname()
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = system.sysname
    return f"{name}, kernel {system.release}"


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None
