"""Timing and statistics: the same ones for `edge run`, `edge convert` and `edge bench`."""

import math
import os
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Below this many samples the 99th percentile is the maximum by another name.
_SAMPLES_FOR_P99 = 100

# Where the system does not tell when the process began, this is the nearest there is.
_IMPORTED = time.monotonic()


class Stopwatch:
    """Tells the milliseconds of consecutive stages."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = time.perf_counter_ns()

    def lap(self) -> float:
        """Return the milliseconds since the last lap, or since the start."""
        now = time.perf_counter_ns()
        elapsed = now - self._last
        self._last = now
        return elapsed / 1e6


def summarise(samples_ms: Sequence[float]) -> dict[str, float | None]:
    """Describe durations by their mean, percentiles, maximum and standard deviation.

    Args:
        samples_ms: Durations in milliseconds.

    Returns:
        mean, p50, p95, p99 (None under 100 samples), max and std (of the sample); all None where
        there are no samples.
    """
    if not len(samples_ms):
        return dict.fromkeys(("mean", "p50", "p95", "p99", "max", "std"))
    values = np.asarray(samples_ms, np.float64)
    p50, p95, p99 = np.percentile(values, (50, 95, 99)).tolist()
    return {
        "mean": float(values.mean()),
        "p50": p50,
        "p95": p95,
        "p99": p99 if len(values) >= _SAMPLES_FOR_P99 else None,
        "max": float(values.max()),
        "std": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
    }


def wilson(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion.

    Args:
        successes: How many of `n` trials succeeded.
        n: How many trials there were.
        z: Width in standard deviations; 1.96 gives 95 %.

    Returns:
        Lower and upper bound, 0 to 1; (0, 1) without any trial.
    """
    if n == 0:
        return 0.0, 1.0
    share = successes / n
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # The bounds of 0 and of n successes are exact; rounding must not leave the proportion outside.
    low = 0.0 if successes == 0 else center - half
    high = 1.0 if successes == n else center + half
    return low, high


def accuracy(decisions: NDArray[np.bool_], labels: NDArray[np.float32]) -> dict[str, Any]:
    """Return the accuracy of yes/no decisions with its 95 % interval.

    Args:
        decisions: bool (samples,).
        labels: float32 (samples,); 1 yes, 0 no, nan unknown and left out.

    Returns:
        accuracy (0 to 1), ci95 [low, high] and samples; the first two None without any label.
    """
    known = np.isfinite(labels)
    samples = int(known.sum())
    if not samples:
        return {"accuracy": None, "ci95": None, "samples": 0}
    right = int((decisions[known] == (labels[known] >= 0.5)).sum())
    return {
        "accuracy": right / samples,
        "ci95": list(wilson(right, samples)),
        "samples": samples,
    }


def since_process_start_ms() -> float:
    """Return the milliseconds since the operating system created this process."""
    try:
        # Exact to a clock tick, 10 ms on most systems.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return (time.clock_gettime(time.CLOCK_BOOTTIME) - started) * 1000
    except (OSError, AttributeError, IndexError, ValueError):
        return (time.monotonic() - _IMPORTED) * 1000


def peak_rss_mb() -> float:
    """Return the largest resident memory of this process so far, in MiB."""
    try:
        # getrusage also counts what a parent held before it started this program.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
