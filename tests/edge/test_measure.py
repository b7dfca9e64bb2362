import os
import subprocess
import sys
import time

import numpy as np
import pytest

from edge.environment import fingerprint
from edge.measure import (
    Stopwatch,
    since_process_start_ms,
    summarise,
    wilson,
)


def test_summary_of_known_durations() -> None:
    summary = summarise(list(range(1, 201)))
    assert summary == {
        "mean": 100.5,
        "p50": 100.5,
        "p95": pytest.approx(190.05),
        "p99": pytest.approx(198.01),
        "max": 200.0,
        "std": pytest.approx(np.std(range(1, 201), ddof=1)),
    }


def test_p99_needs_a_hundred_samples() -> None:
    assert summarise([1.0] * 99)["p99"] is None
    assert summarise([1.0] * 100)["p99"] == 1.0


def test_few_samples() -> None:
    assert summarise([3.0])["std"] == 0.0
    assert set(summarise([]).values()) == {None}


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize("n", [1, 7, 2000])
def test_wilson_holds_the_proportion(n: int) -> None:
    for successes in range(n + 1):
        low, high = wilson(successes, n)
        assert 0 <= low <= successes / n <= high <= 1


def test_wilson_without_trials_says_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_stopwatch_laps_add_up() -> None:
    started = time.perf_counter()
    watch = Stopwatch()
    time.sleep(0.02)
    first = watch.lap()
    second = watch.lap()
    assert first >= 20
    assert first + second <= (time.perf_counter() - started) * 1000


def test_process_start_is_exact_to_a_tick() -> None:
    code = "import time; time.sleep(0.3); from edge.measure import since_process_start_ms as s;"
    before = time.monotonic()
    child = subprocess.run([sys.executable, "-c", code + "print(s())"], capture_output=True,
                           text=True, check=True)  # fmt: skip
    elapsed = (time.monotonic() - before) * 1000
    assert 300 <= float(child.stdout) <= elapsed + 20
    assert since_process_start_ms() > 0


def test_peak_memory_holds_what_was_touched() -> None:
    # In a process of its own: other tests have touched more than this one does.
    code = (
        "import numpy as np; from edge.measure import peak_rss_mb; before = peak_rss_mb();"
        "np.ones(64 << 17); print(peak_rss_mb() - before)"
    )
    child = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=True)
    assert 48 <= float(child.stdout) <= 96


def test_fingerprint_has_every_key_and_is_quick() -> None:
    fingerprint(2, "litert 9")
    durations = []
    for _ in range(5):
        watch = Stopwatch()
        found = fingerprint(2, "litert 9")
        durations.append(watch.lap())
    assert min(durations) < 20
    assert set(found) == {
        "cpu", "cores", "isa", "governor", "load", "temperature_c", "throttled", "memory", "os",
        "python", "versions", "threads",
    }  # fmt: skip
    assert found["threads"] == 2
    assert found["versions"]["runtime"] == "litert 9"
    assert found["cores"] == len(os.sched_getaffinity(0))
    assert found["memory"] > 1 << 28


def test_fingerprint_survives_a_machine_that_tells_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edge.environment._text", lambda path: None)
    found = fingerprint(1, "litert")
    assert found["governor"] is found["temperature_c"] is found["throttled"] is None
