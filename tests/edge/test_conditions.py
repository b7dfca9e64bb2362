"""What the machine did beside a measurement, and what is said of it."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from edge.conditions import Conditions, Observer, unfit, unstable

QUIET = Conditions(
    others_busy=0.02, steal=0.0, held_back=None, temperature_c=52.0, throttled=None,
    frequency_mhz=2400.0,
)  # fmt: skip
STEADY = [[1.0, 1.01, 1.02], [1.01, 1.02, 1.0], [1.02, 1.0, 1.01]]
FIT = {"governor": "performance", "throttled": False, "limits": {"cpus": 4.0}, "threads": 4}


def core() -> int:
    """Return one core that may be used."""
    return max(os.sched_getaffinity(0))


def told(observer: Observer) -> Conditions:
    found = observer.conditions()
    if found.others_busy is None:
        pytest.skip("this system does not tell how busy its cores are")
    return found


def test_another_process_that_burns_a_core_is_seen() -> None:
    code = f"import os; os.sched_setaffinity(0, {{{core()}}}); print(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as burner:
        try:
            assert burner.stdout is not None
            burner.stdout.readline()
            observer = Observer({core()})
            time.sleep(0.6)
            found = told(observer)
        finally:
            burner.kill()
    assert found.others_busy is not None
    assert found.steal is not None
    assert 0.8 < found.others_busy + found.steal < 1.2
    assert unstable([found], STEADY, 1)


def test_this_process_is_none_of_the_others() -> None:
    usable, place = os.sched_getaffinity(0), core()
    try:
        os.sched_setaffinity(0, {place})
        observer, start, own = Observer({place}), time.perf_counter(), time.process_time()
        while time.perf_counter() < start + 0.6:
            pass
        found = told(observer)
        elapsed, used = time.perf_counter() - start, time.process_time() - own
    finally:
        os.sched_setaffinity(0, usable)
    # The core was busy all the time: what this process did not get, others or the hypervisor had.
    assert found.others_busy is not None
    assert found.steal is not None
    assert found.others_busy + found.steal == pytest.approx(1 - used / elapsed, abs=0.12)


@pytest.fixture
def stat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "stat"
    monkeypatch.setattr("edge.conditions._STAT", path)
    return path


def table(*rows: tuple[int, ...]) -> str:
    """Return /proc/stat: user nice system idle iowait irq softirq steal guest, in seconds."""
    ticks = os.sysconf("SC_CLK_TCK")
    lines = [
        f"cpu{at} {' '.join(str(seconds * ticks) for seconds in row)}"
        for at, row in enumerate(rows)
    ]
    return "\n".join(["cpu  9 9 9 9 9 9 9 9 9", *lines, "intr 1 2 3", "ctxt 5"])


def test_waiting_is_not_working_and_other_cores_do_not_count(
    stat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("edge.conditions.time.perf_counter", lambda: now)
    stat.write_text(table(*[(5, 0, 1, 50, 7, 0, 0, 2, 0)] * 3))
    observer = Observer({0, 2})
    now = 110.0
    stat.write_text(
        table(
            (8, 1, 2, 54, 8, 0, 0, 2, 0),
            (15, 0, 1, 50, 7, 0, 0, 2, 0),
            (5, 0, 1, 54, 10, 1, 1, 3, 0),
        )
    )
    found = observer.conditions()
    monkeypatch.undo()
    # On the two cores 5 s and 2 s of work in 10 s, and 1 s of 20 s was stolen.
    assert found.others_busy == pytest.approx(0.7, abs=0.05)
    assert found.steal == pytest.approx(0.05)


def test_a_system_that_tells_nothing_is_not_called_quiet(stat: Path) -> None:
    found = Observer().conditions()
    assert (found.others_busy, found.steal) == (None, None)


def test_the_limit_of_a_container_is_told_since_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cpu.stat"
    monkeypatch.setattr("edge.conditions._CGROUP_STAT", path)
    assert Observer().conditions().held_back is None
    path.write_text("usage_usec 123\nnr_throttled 1\nthrottled_usec 100000\n")
    observer = Observer()
    assert observer.conditions().held_back == 0
    path.write_text("usage_usec 456\nnr_throttled 3\nthrottled_usec 350000\n")
    assert observer.conditions().held_back == pytest.approx(0.25)


def test_conditions_come_back_from_json() -> None:
    assert Conditions.from_json(json.loads(json.dumps(QUIET.to_json()))) == QUIET
    assert Conditions.from_json({"round": 3, **QUIET.to_json()}) == QUIET
    assert Conditions.from_json({}).to_json() == dict.fromkeys(QUIET.to_json())


def test_a_fit_machine_is_not_spoken_of() -> None:
    assert unfit(FIT) == []
    untold = {"governor": None, "throttled": None, "limits": {"cpus": None}, "threads": 8}
    assert unfit(untold) == []
    assert unfit({"threads": 1}) == []


@pytest.mark.parametrize(
    ("fault", "what", "remedy"),
    [
        ({"governor": "powersave"}, "the governor is powersave", "cpupower"),
        ({"governor": "ondemand"}, "the governor is ondemand", "performance"),
        ({"throttled": True}, "slows itself down", "cool it"),
        ({"limits": {"cpus": 1.5}}, "1.5 cores, 4 threads", "raise its limit or lower --threads"),
    ],
)
def test_an_unfit_machine_is_told_with_a_remedy(fault: dict, what: str, remedy: str) -> None:
    [sentence] = unfit(FIT | fault)
    found, _, advice = sentence.partition("; ")
    assert what in found
    assert remedy in advice


def test_a_quiet_measurement_is_not_spoken_of() -> None:
    assert unstable([QUIET] * 3, STEADY, 2) == []
    untold = Conditions.from_json({})
    assert unstable([untold] * 3, STEADY, 2) == []
    assert unstable([], [], 2) == []


@pytest.mark.parametrize(
    ("fault", "what", "remedy"),
    [
        ({"others_busy": 0.98}, "other processes kept 1.0 of 2 cores busy", "stop them"),
        ({"steal": 0.07}, "the hypervisor gave 7% of the time", "a machine of your own"),
        ({"held_back": 0.2}, "the container's limit", "raise its CPU limit"),
        ({"throttled": True}, "the board slowed itself down", "cool it"),
    ],
)
def test_what_disturbs_is_told_with_a_remedy(fault: dict, what: str, remedy: str) -> None:
    [sentence] = unstable([replace(QUIET, **fault)] * 3, STEADY, 2)
    found, _, advice = sentence.partition("; ")
    assert found.startswith("unstable: ")
    assert what in found
    assert remedy in advice


def test_a_clock_that_falls_is_told_with_a_remedy() -> None:
    clocks = [replace(QUIET, frequency_mhz=mhz) for mhz in (2400.0, 2390.0, 1500.0)]
    [sentence] = unstable(clocks, STEADY, 2)
    assert "from 2400 to 1500 MHz; set the governor to performance" in sentence
    assert unstable(clocks[:2], STEADY, 2) == []


def test_processes_that_disagree_are_told_with_a_remedy() -> None:
    [sentence] = unstable([QUIET] * 3, [[1.0] * 9, [1.0] * 9, [1.3] * 9], 2)
    assert "the medians of its 3 blocks are 30% apart; measure again" in sentence
    assert unstable([QUIET], [[1.0, 9.0, 1.0]], 2) == []


def test_one_busy_moment_of_many_is_no_fault_and_more_cores_bear_more() -> None:
    busy = replace(QUIET, others_busy=0.9)
    assert unstable([busy] + [QUIET] * 4, STEADY, 2) == []
    assert unstable([busy] * 2 + [QUIET] * 3, STEADY, 2)
    assert unstable([busy] * 5, STEADY, 16) == []
