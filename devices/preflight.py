"""What a board is, judged before anything is sent to it."""

from collections.abc import Iterator, Mapping
from typing import Any

from edge.devices.findings import Finding, advice, fault, good
from edge.environment import numbers

OLDEST_PYTHON = (3, 11)
# ai-edge-litert's wheels want it.
OLDEST_GLIBC = (2, 27)
MACHINES = ("aarch64", "x86_64")

# Of a run: 106 MB on x86-64, 175 on an emulated arm64.
LEAST_MEMORY_MB = 180
# Further off, certificates and the times of a journal mislead.
_CLOCK_OFF_S = 3600.0


def preflight(facts: Mapping[str, Any], *, now: float, needs_mb: float) -> Iterator[Finding]:
    """Judge what a board told of itself.

    Args:
        facts: What `edge.devices.onboard_probe.facts` returned there.
        now: This machine's time, in seconds since 1970, when they came.
        needs_mb: How much of its disk will be used.
    """
    yield _processor(facts)
    yield _python(facts)
    yield _libc(facts)
    yield _disk(facts, needs_mb)
    yield _memory(facts)
    yield clock(facts, now)


def _processor(facts: Mapping[str, Any]) -> Finding:
    machine, bits = facts["machine"], facts["bits"]
    found = f"{facts['board'] or 'a board'}, {machine}, {facts['cores']} cores"
    if machine not in MACHINES:
        return fault(
            "processor", f"{found}: LiteRT has wheels for {' and '.join(MACHINES)} alone",
            "take a board of 64 bits",
        )  # fmt: skip
    if bits != 64:
        return fault(
            "processor", f"{found}, but a system of {bits} bits, for which LiteRT has no wheel",
            "install the 64-bit system",
        )  # fmt: skip
    return good("processor", found)


def _python(facts: Mapping[str, Any]) -> Finding:
    found = str(facts["python"])
    oldest = ".".join(map(str, OLDEST_PYTHON))
    if numbers(found) < OLDEST_PYTHON:
        return fault("Python", f"{found}, edge wants {oldest} or later", "upgrade its system")
    if not facts["venv"]:
        return fault(
            "Python", f"{found} without venv", "sudo apt install -y python3-venv"
        )  # fmt: skip
    return good("Python", found)


def _libc(facts: Mapping[str, Any]) -> Finding:
    oldest = ".".join(map(str, OLDEST_GLIBC))
    if facts["glibc"] is None:
        return fault(
            "libc", "not glibc, for which LiteRT has its only wheels", "take a system with glibc"
        )
    if numbers(facts["glibc"]) < OLDEST_GLIBC:
        return fault("libc", f"{facts['glibc']}, LiteRT wants {oldest}", "upgrade its system")
    return good("libc", f"glibc {facts['glibc']}, {facts['os']}")


def _disk(facts: Mapping[str, Any], needs_mb: float) -> Finding:
    if not facts["writable"]:
        return fault(
            "disk", f"{facts['user']} cannot write to {facts['root']}",
            "mount it for writing, or set EDGE_DEVICE_ROOT to a folder of this user",
        )  # fmt: skip
    found = f"{facts['free_mb']:,.0f} MB are free for {facts['root']}"
    if facts["free_mb"] < needs_mb:
        return fault(
            "disk", f"{found}, {needs_mb:,.0f} MB are needed", "delete what is not needed there"
        )
    return good("disk", found)


def _memory(facts: Mapping[str, Any]) -> Finding:
    if facts["memory_mb"] is None:
        return advice("memory", "the board does not tell", "look with: free -m")
    found = f"{facts['memory_mb']:,.0f} MB are free"
    if facts["memory_mb"] < LEAST_MEMORY_MB:
        return fault("memory", f"{found}, a run takes {LEAST_MEMORY_MB}", "end other programs")
    return good("memory", found)


def clock(facts: Mapping[str, Any], now: float) -> Finding:
    """Compare the board's clock with this machine's."""
    off = facts["time"] - now
    if abs(off) < _CLOCK_OFF_S:
        return good("clock", f"{abs(off):.0f} s from this machine's")
    told = f"{abs(off) / 3600:,.0f} hours {'behind' if off < 0 else 'ahead of'} this machine's"
    return fault("clock", told, "sudo timedatectl set-ntp true")
