"""What else the machine did while something was measured, and what to say of it."""

import os
import resource
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

from edge.environment import frequency_mhz, temperature_c, throttled, usable_core_numbers

_STAT = Path("/proc/stat")
_CGROUP_STAT = Path("/sys/fs/cgroup/cpu.stat")
_BUSY, _STEAL = (0, 1, 2, 5, 6), 7  # user, nice, system, irq, softirq; what the hypervisor took

# Others may use this many cores, or this share of all, without being mentioned.
_OTHERS_CORES, _OTHERS_SHARE = 0.3, 0.1
_STEAL_SHARE = 0.03
_SHORTEST_S = 0.2
_CLOCK_DROP = 0.1
_SPREAD = 0.10
_GOVERNORS = ("performance",)


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """The state of the machine over one measurement.

    Args:
        others_busy: Cores that other processes kept busy, on average; None where not told, or in
            less than 0.2 s.
        steal: Share of the cores' time that the hypervisor gave to others.
        held_back: Seconds for which the container's limit stopped its processes.
        temperature_c: At the end.
        throttled: Whether the board slowed itself down, at the end.
        frequency_mhz: At the end, of a core that was measured on.
    """

    others_busy: float | None
    steal: float | None
    held_back: float | None
    temperature_c: float | None
    throttled: bool | None
    frequency_mhz: float | None

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Conditions":
        """Read conditions back; what is not told is None."""
        return cls(**{field.name: value.get(field.name) for field in fields(cls)})

    def to_json(self) -> dict[str, Any]:
        """Return the conditions as plain JSON values."""
        return asdict(self)


class Observer:
    """Watches the machine from its creation on; this process is not one of the others.

    Args:
        cores: The cores to watch; all that this process may use by default.
        measured_on: The one whose clock is told.
    """

    def __init__(self, cores: Iterable[int] | None = None, measured_on: int = 0) -> None:
        self._cores = frozenset(usable_core_numbers() if cores is None else cores)
        self._measured_on = measured_on
        self._start = time.perf_counter()
        self._system = _system_seconds(self._cores)
        self._own = _own_seconds()
        self._held_back = _held_back_s()

    def conditions(self) -> Conditions:
        """Return the conditions since the beginning."""
        elapsed = max(time.perf_counter() - self._start, 1e-9)
        others = steal = None
        # The kernel counts in ticks of 10 ms: a shorter time says nothing.
        if elapsed >= _SHORTEST_S and self._system and (now := _system_seconds(self._cores)):
            busy, stolen = (after - before for after, before in zip(now, self._system, strict=True))
            others = max(0.0, (busy - (_own_seconds() - self._own)) / elapsed)
            steal = stolen / (elapsed * len(self._cores))
        held = _held_back_s()
        return Conditions(
            others_busy=others,
            steal=steal,
            held_back=None if held is None else held - (self._held_back or 0.0),
            temperature_c=temperature_c(),
            throttled=throttled(),
            frequency_mhz=frequency_mhz(self._measured_on),
        )


def unfit(environment: dict[str, Any]) -> list[str]:
    """Say what makes a machine unfit to measure on, each with the remedy.

    Args:
        environment: From `edge.environment.fingerprint`.
    """
    found = []
    governor = environment.get("governor")
    if governor and governor not in _GOVERNORS:
        found.append(
            f"the governor is {governor}, so the clock follows the load; "
            "`sudo cpupower frequency-set -g performance` holds it"
        )
    if environment.get("throttled"):
        found.append("the board slows itself down; cool it, and give it the power that it wants")
    limit = (environment.get("limits") or {}).get("cpus")
    if limit and limit < environment["threads"]:
        found.append(
            f"the container may use {limit:g} cores, {environment['threads']} threads were asked "
            "for; raise its limit or lower --threads"
        )
    return found


def unstable(
    conditions: Sequence[Conditions], blocks: Sequence[Sequence[float]], cores: int
) -> list[str]:
    """Say what made a measurement unstable, each with the remedy.

    Args:
        conditions: Over each block.
        blocks: The samples.
        cores: How many the machine has.
    """
    found = []
    others = [one.others_busy for one in conditions if one.others_busy is not None]
    limit = max(_OTHERS_CORES, _OTHERS_SHARE * cores)
    if sum(busy > limit for busy in others) * 4 > len(others):
        found.append(
            f"unstable: other processes kept {max(others):.1f} of {cores} cores busy; "
            "stop them and measure again"
        )
    steal = [one.steal for one in conditions if one.steal is not None]
    if steal and median(steal) > _STEAL_SHARE:
        found.append(
            f"unstable: the hypervisor gave {median(steal):.0%} of the time to other machines; "
            "measure again, or on a machine of your own"
        )
    if any((one.held_back or 0) > 0.01 for one in conditions):
        found.append(
            "unstable: the container's limit stopped the process at times; raise its CPU limit"
        )
    if any(one.throttled for one in conditions):
        found.append("unstable: the board slowed itself down; cool it, and give it enough power")
    clocks = [one.frequency_mhz for one in conditions if one.frequency_mhz]
    if clocks and min(clocks) < (1 - _CLOCK_DROP) * max(clocks):
        found.append(
            f"unstable: the clock went from {max(clocks):.0f} to {min(clocks):.0f} MHz; "
            "set the governor to performance, and cool the machine"
        )
    medians = [median(block) for block in blocks if len(block)]
    if len(medians) > 1:
        spread = (max(medians) - min(medians)) / median(medians)
        if spread > _SPREAD:
            found.append(
                f"unstable: the medians of its {len(medians)} blocks are {spread:.0%} apart; "
                "measure again on a quiet machine"
            )
    return found


def _system_seconds(cores: Iterable[int]) -> tuple[float, float] | None:
    """Return the seconds that some cores were busy, and those that were stolen from them."""
    try:
        lines = _STAT.read_text().splitlines()
    except OSError:
        return None
    wanted = {f"cpu{core}" for core in cores}
    ticks = os.sysconf("SC_CLK_TCK")
    rows = [line.split()[1:] for line in lines if line.split(" ", 1)[0] in wanted]
    busy = sum(int(row[column]) for row in rows for column in _BUSY)
    stolen = sum(int(row[_STEAL]) for row in rows)
    return busy / ticks, stolen / ticks


def _own_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _held_back_s() -> float | None:
    try:
        fields = dict(line.split() for line in _CGROUP_STAT.read_text().splitlines())
        return int(fields["throttled_usec"]) / 1e6
    except (OSError, KeyError, ValueError):
        return None
