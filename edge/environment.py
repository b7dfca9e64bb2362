"""What a measurement was taken on: the machine, its state, and the versions that took part."""

import math
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = (
    "edge-tflite", "numpy", "opencv-python-headless", "opencv-contrib-python", "ai-edge-litert",
    "tflite-runtime", "tensorflow", "keras", "openvino", "onnxruntime", "onnx", "tf2onnx",
    "mediapipe", "mtcnn", "dlib-bin", "torch", "jax",
)  # fmt: skip

# The instructions that decide how fast a small network runs.
_ISA = (
    "sse4_2", "avx", "avx2", "fma", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16",
    "amx_bf16", "amx_int8", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2",
)  # fmt: skip

_CPUS = Path("/sys/devices/system/cpu")
_CPU = _CPUS / "cpu0/cpufreq"
_CGROUP = Path("/sys/fs/cgroup")
_THERMAL = Path("/sys/class/thermal")
_PI_THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")

# More are for who asks for them.
_MOST_THREADS = 4


def fingerprint(threads: int, runtime: str) -> dict[str, Any]:
    """Describe the machine and its state, quickly enough to do so in every run.

    Args:
        threads: Threads that the measured code may use.
        runtime: The TFLite runtime and its version, such as "litert 2.3.0".

    Returns:
        cpu, cores (usable ones), isa, governor, frequency_mhz (now, min, max), load (1, 5 and 15
        minutes), temperature_c, throttled, virtual (the hypervisor), limits of the container
        (cpus, memory in bytes), memory (bytes), os, python, versions and threads; None for what
        this machine does not tell.
    """
    info = _cpu_info()
    return {
        "cpu": _cpu(info),
        "cores": usable_cores(),
        "isa": _isa(info),
        "governor": _text(_CPU / "scaling_governor"),
        "frequency_mhz": _frequency_mhz(info),
        "load": _load(),
        "temperature_c": temperature_c(),
        "throttled": throttled(),
        "virtual": _virtual(info),
        "limits": {"cpus": _cpu_limit(), "memory": _number(_CGROUP / "memory.max")},
        "memory": _memory_bytes(),
        "os": _os(),
        "python": platform.python_version(),
        "versions": versions(_PACKAGES) | {"runtime": runtime},
        "threads": threads,
    }


def processor() -> tuple[str | None, list[str]]:
    """Return the processor's name and the instructions that decide its speed, as `fingerprint`."""
    info = _cpu_info()
    return _cpu(info), _isa(info)


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    return len(usable_core_numbers())


def cores_worth() -> int:
    """Return how many cores this process may keep busy, which a container can limit."""
    limit = _cpu_limit()
    cores = usable_cores()
    return cores if limit is None else min(cores, math.ceil(limit))


def threads_of_a_network() -> int:
    """Return how many threads a network may use: half of the cores, since two run side by side."""
    return min(max(cores_worth() // 2, 1), _MOST_THREADS)


def usable_core_numbers() -> set[int]:
    """Return the numbers of the cores that this process may run on."""
    try:
        return os.sched_getaffinity(0)
    except AttributeError:
        return set(range(os.cpu_count() or 1))


def cores_for(threads: int) -> set[int]:
    """Choose the cores to pin a measurement to: fast ones, and none twice.

    The fastest kind of core comes first, then one thread of each physical core, then the rest;
    of equals the last ones, since systems do their own work on the first.

    Args:
        threads: How many are wanted; fewer are returned where there are fewer.
    """
    usable = usable_core_numbers()
    return set(sorted(usable, key=lambda core: _preference(core, usable))[:threads])


def _preference(core: int, usable: set[int]) -> tuple[int, bool, int]:
    folder = _CPUS / f"cpu{core}"
    capacity = _number(folder / "cpu_capacity") or 0
    siblings = _core_list(_text(folder / "topology/thread_siblings_list") or "") | {core}
    return -capacity, core != min(siblings & usable), -core


def _core_list(text: str) -> set[int]:
    """Read core numbers as the kernel lists them, such as "0-3,8"."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def frequency_mhz(core: int = 0) -> float | None:
    """Return the clock of a core now, where the system tells it."""
    now = _number(_CPUS / f"cpu{core}/cpufreq/scaling_cur_freq")
    return None if now is None else now / 1000


def _frequency_mhz(info: dict[str, str]) -> dict[str, float | None] | None:
    now = frequency_mhz()
    if now is None:
        try:
            now = float(info["cpu MHz"])
        except (KeyError, ValueError):
            return None
    limits = {name: _number(_CPU / f"cpuinfo_{name}_freq") for name in ("min", "max")}
    return {"now": now} | {name: khz and khz / 1000 for name, khz in limits.items()}


def _virtual(info: dict[str, str]) -> str | None:
    """Name the hypervisor, or say that there is one."""
    if "hypervisor" not in (info.get("flags") or "").split():
        return None
    return _text(Path("/sys/hypervisor/type")) or "a hypervisor"


def _cpu_limit() -> float | None:
    """Return how many cores the container may use on average."""
    quota, _, period = (_text(_CGROUP / "cpu.max") or "").partition(" ")
    try:
        return int(quota) / int(period)
    except ValueError:
        return None


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


def temperature_c() -> float | None:
    """Return the temperature of the processor, or of the first sensor where none says it is."""
    zones = {_text(zone / "type") or "": zone for zone in sorted(_THERMAL.glob("thermal_zone*"))}
    named = [zone for kind, zone in zones.items() if "cpu" in kind or kind == "x86_pkg_temp"]
    for zone in [*named, *zones.values()]:
        value = _text(zone / "temp")
        if value and value.lstrip("-").isdigit():
            return int(value) / 1000
    return None


def throttled() -> bool | None:
    """Tell whether the board slows itself down now; only a Raspberry Pi says so."""
    word = firmware_word()
    # The low four bits are the present, the others what happened since the start.
    return None if word is None else bool(word & 0xF)


def firmware_word() -> int | None:
    """Return what a Raspberry Pi's firmware says of its voltage and clock; None elsewhere.

    Kernels since March 2025 have no file of it; there its own command is asked.
    """
    said = _text(_PI_THROTTLED)
    if said is None and (command := shutil.which("vcgencmd")) is not None:
        with suppress(OSError, subprocess.SubprocessError):
            said = subprocess.run(
                [command, "get_throttled"], capture_output=True, text=True, timeout=5, check=True
            ).stdout.partition("=")[2]
    try:
        return int(said or "", 16)
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


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those of some packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, to compare it."""
    found = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        found.append(int(digits))
    return tuple(found)


def _number(path: Path) -> int | None:
    try:
        return int(_text(path) or "")
    except ValueError:
        return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None
