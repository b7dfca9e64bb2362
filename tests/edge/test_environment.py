"""What a machine tells of itself: the real one, and made-up ones in a folder."""

import os
import platform
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from edge import environment
from edge.environment import (
    cores_for,
    cores_worth,
    fingerprint,
    frequency_mhz,
    temperature_c,
    throttled,
    usable_cores,
)

# The contract: what every results file and every summary holds.
CONTRACT = {
    "cpu", "cores", "isa", "governor", "load", "temperature_c", "throttled", "memory", "os",
    "python", "versions", "threads",
}  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, object], None]:
    """A machine that tells nothing, and a function that lets it tell something."""
    monkeypatch.setattr(environment, "_CPUS", tmp_path / "cpu")
    monkeypatch.setattr(environment, "_CPU", tmp_path / "cpu/cpu0/cpufreq")
    monkeypatch.setattr(environment, "_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(environment, "_THERMAL", tmp_path / "thermal")
    monkeypatch.setattr(environment, "_PI_THROTTLED", tmp_path / "get_throttled")

    def tell(name: str, value: object) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")

    return tell


@pytest.fixture
def usable(monkeypatch: pytest.MonkeyPatch) -> Callable[[Iterable[int]], None]:
    """A function that sets the cores which this process may use."""
    return lambda cores: monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(cores))


def test_fingerprint_has_every_key() -> None:
    found = fingerprint(2, "litert 9")
    assert set(found) == CONTRACT | {"frequency_mhz", "virtual", "limits"}
    assert found["threads"] == 2
    assert found["versions"]["runtime"] == "litert 9"
    assert found["versions"]["numpy"][0].isdigit()
    assert found["cores"] == usable_cores() == len(os.sched_getaffinity(0))
    assert found["memory"] > 1 << 28
    assert found["python"] == platform.python_version()
    assert found["isa"][0] == platform.machine()


def test_fingerprint_survives_a_machine_that_tells_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(environment, "_text", lambda path: None)
    found = fingerprint(1, "litert")
    unknown = ("governor", "temperature_c", "throttled", "virtual", "frequency_mhz")
    assert {name: found[name] for name in unknown} == dict.fromkeys(unknown)
    assert found["limits"] == {"cpus": None, "memory": None}
    assert found["isa"] == [platform.machine()]


def test_the_governor_and_the_clock(machine: Callable[[str, object], None]) -> None:
    assert frequency_mhz() is None
    for name, khz in (("scaling_cur", 1_800_000), ("cpuinfo_min", 600_000)):
        machine(f"cpu/cpu0/cpufreq/{name}_freq", khz)
    machine("cpu/cpu0/cpufreq/scaling_governor", "ondemand")
    machine("cpu/cpu3/cpufreq/scaling_cur_freq", 2_400_500)
    found = fingerprint(1, "litert")
    assert found["governor"] == "ondemand"
    assert found["frequency_mhz"] == {"now": 1800.0, "min": 600.0, "max": None}
    assert frequency_mhz(3) == 2400.5


@pytest.mark.parametrize(
    ("quota", "cpus"), [("150000 100000", 1.5), ("max 100000", None), ("", None)]
)
def test_the_limits_of_a_container(
    machine: Callable[[str, object], None], quota: str, cpus: float | None
) -> None:
    machine("cgroup/cpu.max", quota)
    machine("cgroup/memory.max", "max" if cpus is None else 512 << 20)
    limits = {"cpus": cpus, "memory": None if cpus is None else 512 << 20}
    assert fingerprint(1, "litert")["limits"] == limits


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("150000 100000", 2), ("50000 100000", 1), ("900000 100000", 4), ("max 100000", 4)],
)
def test_no_more_cores_are_kept_busy_than_a_container_may(
    machine: Callable[[str, object], None],
    usable: Callable[[Iterable[int]], None],
    quota: str,
    cores: int,
) -> None:
    usable(range(4))
    machine("cgroup/cpu.max", quota)
    assert (cores_worth(), usable_cores()) == (cores, 4)


def test_the_temperature_of_the_processor_comes_before_others(
    machine: Callable[[str, object], None],
) -> None:
    assert temperature_c() is None
    machine("thermal/thermal_zone0/type", "acpitz")
    machine("thermal/thermal_zone0/temp", 27_800)
    assert temperature_c() == 27.8
    machine("thermal/thermal_zone1/type", "cpu-thermal")
    machine("thermal/thermal_zone1/temp", 61_234)
    assert temperature_c() == 61.234


@pytest.mark.parametrize(
    ("word", "now"), [("0", False), ("50000", False), ("50005", True), ("4", True), ("?", None)]
)
def test_a_board_slows_down_now_or_did_so_before(
    machine: Callable[[str, object], None], word: str, now: bool | None
) -> None:
    machine("get_throttled", word)
    assert throttled() is now


def test_cores_are_the_last_ones_where_all_are_alike(machine, usable) -> None:
    usable(range(4))
    assert [cores_for(threads) for threads in (1, 2, 4)] == [{3}, {2, 3}, {0, 1, 2, 3}]
    assert cores_for(9) == {0, 1, 2, 3}
    usable({1, 2})
    assert cores_for(1) == {2}


@pytest.mark.parametrize("siblings", ["{low},{high}", "{low}-{high}"])
def test_no_physical_core_is_taken_twice_before_all_are_taken_once(
    machine, usable, siblings: str
) -> None:
    apart = 4 if "," in siblings else 1
    for core in range(8):
        low = core % 4 if apart == 4 else core - core % 2
        machine(
            f"cpu/cpu{core}/topology/thread_siblings_list",
            siblings.format(low=low, high=low + apart),
        )
    usable(range(8))
    for threads in (1, 2, 3, 4):
        taken = cores_for(threads)
        physical = {core % 4 if apart == 4 else core // 2 for core in taken}
        assert len(taken) == len(physical) == threads
    assert cores_for(8) == set(range(8))


def test_no_physical_core_is_taken_twice_where_only_some_cores_may_be_used(machine, usable) -> None:
    for core in range(8):
        machine(f"cpu/cpu{core}/topology/thread_siblings_list", f"{core % 4},{core % 4 + 4}")
    usable({1, 4, 5})
    assert len({core % 4 for core in cores_for(2)}) == 2


def test_the_fast_cores_of_a_board_come_first(machine, usable) -> None:
    for core in range(6):
        machine(f"cpu/cpu{core}/cpu_capacity", 1024 if core in (0, 1) else 485)
        machine(f"cpu/cpu{core}/topology/thread_siblings_list", core)
    usable(range(6))
    assert cores_for(1) == {1}
    assert cores_for(2) == {0, 1}
    assert cores_for(3) == {0, 1, 5}
