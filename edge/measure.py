"""Timing and statistics: the same ones for `edge run`, `edge convert` and `edge bench`."""

import gc
import math
import os
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

# Below this many samples the 99th percentile is the maximum by another name.
_SAMPLES_FOR_P99 = 100

# A code path is warm when two windows of calls in a row agree this well, or after so long.
_WINDOW_CALLS, _WINDOW_S = 3, 0.05
_WARM = 0.03
_LONGEST_WARM_UP_S = 3.0

_RESAMPLES = 2_000
# 97.5 % quantiles of Student's t for 1, 2, 3… degrees of freedom.
_STUDENT_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 1.96,
)  # fmt: skip
_LEAST_ROUNDS = 3

Call = Callable[[], object]
Statistic = Literal["mean", "p50"]

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


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How much is measured, and in how many turns.

    Args:
        rounds: Turns of all cases; each turn of a case is one block of samples.
        min_samples: Samples of a case in all its blocks together.
        min_seconds: Seconds of sampling of a case in all its blocks together.
        seed: Decides the order of the cases in each round.
        budget_s: After the third, rounds begin only if they would end in so many seconds; 0 for
            no limit.
    """

    rounds: int = 5
    min_samples: int = 200
    min_seconds: float = 2.0
    seed: int = 0
    budget_s: float = 0.0

    def block(self) -> tuple[int, float]:
        """Return the least samples and seconds of one block."""
        return math.ceil(self.min_samples / self.rounds), self.min_seconds / self.rounds

    def has_time_for(self, number: int, elapsed_s: float) -> bool:
        """Tell whether round `number`, from 0, may begin so many seconds after the first."""
        if not self.budget_s or number < _LEAST_ROUNDS:
            return True
        return elapsed_s * (number + 1) / number <= self.budget_s


def nothing() -> None:
    """Be what comes before a call that needs no preparation."""


def warm_up(call: Call, before: Call = nothing) -> list[float]:
    """Call until the time of a call has settled: caches, clocks and lazy set-up.

    Windows of at least three calls and 50 ms are compared; two whose medians are within 3 % end
    it, and so do three seconds.

    Args:
        call: What is timed.
        before: Prepares each call, untimed.

    Returns:
        Milliseconds of each call.
    """
    taken: list[float] = []
    last = math.inf
    end = time.perf_counter() + _LONGEST_WARM_UP_S
    while time.perf_counter() < end:
        window = sample(call, _WINDOW_CALLS, _WINDOW_S, before)
        taken += window
        now = float(np.median(window))
        if abs(now - last) <= _WARM * now:
            break
        last = now
    return taken


def sample(call: Call, least: int, seconds: float, before: Call = nothing) -> list[float]:
    """Time single calls, at least so many and for at least so long, without garbage collection.

    Args:
        call: What is timed.
        least: How often at least.
        seconds: For how long at least, with what prepares the calls.
        before: Prepares each call, untimed.

    Returns:
        Milliseconds of each call.
    """
    taken: list[float] = []
    with _no_collection():
        watch = Stopwatch()
        end = time.perf_counter() + seconds
        while len(taken) < least or time.perf_counter() < end:
            before()
            watch.lap()
            call()
            taken.append(watch.lap())
    return taken


def alternate(
    calls: Mapping[str, Call], protocol: Protocol, before: Mapping[str, Call] | None = None
) -> dict[str, list[list[float]]]:
    """Time several calls in turns, in a random order, so that a busy moment falls on all alike.

    Each block is warmed up by itself: what ran in between has displaced the caches.

    Args:
        calls: What is timed, by name.
        protocol: How much of it.
        before: What prepares each call, untimed; of those that need it.

    Returns:
        By name, one block of milliseconds a round.
    """
    blocks: dict[str, list[list[float]]] = {name: [] for name in calls}
    for order in shuffled(list(calls), protocol):
        for name in order:
            call, first = calls[name], (before or {}).get(name, nothing)
            warm_up(call, first)
            blocks[name].append(sample(call, *protocol.block(), first))
    return blocks


def shuffled(names: Sequence[Any], protocol: Protocol) -> Iterator[list[Any]]:
    """Yield the order of each round."""
    random = np.random.default_rng(protocol.seed)
    for _ in range(protocol.rounds):
        yield [names[index] for index in random.permutation(len(names))]


@contextmanager
def _no_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def summarise(samples_ms: Sequence[float] | NDArray[np.float32]) -> dict[str, float | None]:
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


def interval(
    blocks: Sequence[Sequence[float]], statistic: Statistic = "p50", *, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of a mean or median.

    A bootstrap that resamples blocks first, then the samples in each: samples of one process
    resemble each other, so the spread between processes belongs to the interval. Of few blocks a
    bootstrap knows too small a spread: its deviations are widened by Student's t.

    Args:
        blocks: Samples, a list for each process or turn; at least one sample in all.
        statistic: Of all samples together.
        seed: Of the resampling.
    """
    value, deviations = _log_deviations(blocks, statistic, seed)
    low, high = (value * np.exp(np.percentile(deviations, (2.5, 97.5)))).tolist()
    return low, high


def ratio(
    base: Sequence[Sequence[float]],
    other: Sequence[Sequence[float]],
    statistic: Statistic = "p50",
    *,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Return other ÷ base of a mean or median, with its 95 % interval.

    Args:
        base: Blocks of samples, as for `interval`.
        other: Likewise, measured by itself.
        statistic: What is divided.
        seed: Of the resampling.
    """
    below, first = _log_deviations(base, statistic, seed)
    above, second = _log_deviations(other, statistic, seed + 1)
    value = above / below
    low, high = (value * np.exp(np.percentile(second - first, (2.5, 97.5)))).tolist()
    return value, low, high


def _log_deviations(
    blocks: Sequence[Sequence[float]], statistic: Statistic, seed: int
) -> tuple[float, NDArray[np.float64]]:
    """Return the statistic of all samples, and how far the logarithm of resampled ones is off."""
    rows = [np.asarray(block, np.float64) for block in blocks if len(block)]
    if not rows:
        raise ValueError("no samples")
    of = np.mean if statistic == "mean" else np.median
    value = float(of(np.concatenate(rows)))
    return value, np.log(_resampled(rows, of, seed) / value) * _widening(len(rows))


def _widening(blocks: int) -> float:
    """Return how much too narrow the bootstrap of so many blocks is."""
    if blocks < 2:
        return 1.0  # nothing is known of other blocks
    student = _STUDENT_T[min(blocks - 2, len(_STUDENT_T) - 1)]
    return student / 1.96 * math.sqrt(blocks / (blocks - 1))


def _resampled(
    rows: Sequence[NDArray[np.float64]], of: Callable[..., Any], seed: int
) -> NDArray[np.float64]:
    """Return the statistic of `_RESAMPLES` resampled data sets."""
    lengths = np.array([len(row) for row in rows])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    pool = np.concatenate(rows)
    random = np.random.default_rng(seed)
    width = int(lengths.mean().round())
    results = np.empty(_RESAMPLES)
    # A hundred at a time: 20,000 samples a case would not fit the memory of a small board at once.
    for start in range(0, _RESAMPLES, 100):
        chosen = random.integers(0, len(rows), (100, len(rows), 1))
        inside = random.random((100, len(rows), width)) * lengths[chosen]
        values = pool[starts[chosen] + inside.astype(np.int64)]
        results[start : start + 100] = of(values.reshape(100, -1), axis=1)
    return results


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
