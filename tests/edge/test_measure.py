import gc
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from edge.measure import (
    Protocol,
    Stopwatch,
    accuracy,
    alternate,
    interval,
    ratio,
    sample,
    shuffled,
    since_process_start_ms,
    summarise,
    warm_up,
    wilson,
)

EXPERIMENTS = 30


class Clock:
    """A clock that only calls move; stands in for the `time` module."""

    def __init__(self) -> None:
        self.ns = 0

    def perf_counter(self) -> float:
        return self.ns / 1e9

    def perf_counter_ns(self) -> int:
        return self.ns

    def pass_ms(self, ms: float) -> None:
        self.ns += round(ms * 1e6)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("edge.measure.time", clock)
    return clock


def taking(clock: Clock, durations: Callable[[int], float]) -> Callable[[], None]:
    """Return a call whose n-th time takes `durations(n)` milliseconds."""
    done = 0

    def call() -> None:
        nonlocal done
        clock.pass_ms(durations(done))
        done += 1

    return call


def simulated(
    random: np.random.Generator, rounds: int, samples: int, ms: float = 1.0
) -> list[list[float]]:
    """Return blocks with the median `ms`, each block with a pace of its own (3 %)."""
    paces = ms * np.exp(random.normal(0, 0.03, rounds))
    return [(pace * random.lognormal(0, 0.05, samples)).tolist() for pace in paces]


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


def test_blocks_add_up_to_the_protocol() -> None:
    protocol = Protocol(rounds=3, min_samples=100, min_seconds=1.5)
    assert protocol.block() == (34, 0.5)
    assert Protocol(rounds=1, min_samples=7, min_seconds=0.0).block() == (7, 0.0)


def test_samples_are_the_durations_of_single_calls(clock: Clock) -> None:
    assert sample(taking(clock, lambda at: at + 1), 4, 0.0) == [1, 2, 3, 4]


@pytest.mark.parametrize(("least", "seconds", "number"), [(3, 0.065, 7), (9, 0.065, 9)])
def test_samples_are_enough_in_number_and_in_time(
    clock: Clock, least: int, seconds: float, number: int
) -> None:
    assert sample(taking(clock, lambda at: 10), least, seconds) == [10] * number


@pytest.mark.parametrize("enabled", [True, False])
def test_nothing_is_collected_while_sampling_and_the_collector_is_left_as_it_was(
    enabled: bool,
) -> None:
    seen: list[bool] = []

    def fail() -> None:
        seen.append(gc.isenabled())
        raise RuntimeError

    try:
        (gc.enable if enabled else gc.disable)()
        sample(lambda: seen.append(gc.isenabled()), 3, 0.0)
        assert gc.isenabled() is enabled
        with pytest.raises(RuntimeError):
            sample(fail, 3, 0.0)
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
    assert seen == [False] * 4


def test_a_steady_call_is_warm_after_two_windows(clock: Clock) -> None:
    assert warm_up(taking(clock, lambda at: 20)) == [20] * 6
    # Quick calls fill 50 ms a window.
    assert 100 <= sum(warm_up(taking(clock, lambda at: 0.5))) <= 102


def test_warming_up_goes_on_until_calls_no_longer_become_faster(clock: Clock) -> None:
    taken = warm_up(taking(clock, lambda at: max(10, 100 * 0.9**at)))
    assert taken[0] == 100
    assert taken[-3:] == [10] * 3
    assert len(taken) <= 22 + 3 * 5


def test_warming_up_ends_after_three_seconds(clock: Clock) -> None:
    taken = warm_up(taking(clock, lambda at: 10 * 1.05**at))
    assert 3000 <= sum(taken) <= 3000 + sum(taken[-3:])


def test_turns_are_warmed_up_and_sampled_each_by_itself(clock: Clock) -> None:
    called: list[str] = []

    def named(name: str, ms: float) -> Callable[[], None]:
        return lambda: (called.append(name), clock.pass_ms(ms))[1]

    protocol = Protocol(rounds=4, min_samples=12, min_seconds=0.0, seed=2)
    blocks = alternate({"slow": named("slow", 30), "quick": named("quick", 20)}, protocol)
    assert blocks == {"slow": [[30] * 3] * 4, "quick": [[20] * 3] * 4}
    turns = [called[at] for at in range(0, len(called), 9)]
    assert turns == [name for order in shuffled(["slow", "quick"], protocol) for name in order]
    assert Counter(called) == {"slow": 4 * 9, "quick": 4 * 9}


def test_every_round_holds_every_case_in_an_order_of_its_own() -> None:
    names = list("abcdef")
    rounds = list(shuffled(names, Protocol(rounds=600, seed=1)))
    assert all(sorted(order) == names for order in rounds)
    assert rounds == list(shuffled(names, Protocol(rounds=600, seed=1)))
    assert rounds != list(shuffled(names, Protocol(rounds=600, seed=2)))
    # A round is decided by its number: more rounds do not change the first ones.
    assert rounds[:5] == list(shuffled(names, Protocol(rounds=5, seed=1)))
    first = Counter(order[0] for order in rounds)
    assert min(first.values()) > 70
    assert max(first.values()) < 135


@pytest.mark.parametrize("rounds", [3, 6, 20])
def test_intervals_cover_the_truth_though_blocks_differ(rounds: int) -> None:
    random = np.random.default_rng(1)
    covered = naive = 0
    for _ in range(EXPERIMENTS):
        blocks = simulated(random, rounds, 30)
        low, high = interval(blocks)
        covered += low <= 1 <= high
        low, high = interval([[ms for block in blocks for ms in block]])
        naive += low <= 1 <= high
    assert covered >= 0.9 * EXPERIMENTS
    # Without the blocks the same samples promise too much.
    assert naive <= 0.85 * EXPERIMENTS


def test_intervals_cover_the_mean_too() -> None:
    random = np.random.default_rng(2)
    truth = np.exp((0.03**2 + 0.05**2) / 2)
    found = [interval(simulated(random, 20, 10), "mean") for _ in range(EXPERIMENTS)]
    assert sum(low <= truth <= high for low, high in found) >= 0.9 * EXPERIMENTS


def test_more_rounds_narrow_the_interval() -> None:
    random = np.random.default_rng(3)

    def width(rounds: int) -> float:
        found = [interval(simulated(random, rounds, 20)) for _ in range(20)]
        return float(np.mean([high - low for low, high in found]))

    assert width(32) < 0.6 * width(6)


def test_an_interval_depends_on_samples_and_seed_alone() -> None:
    blocks = simulated(np.random.default_rng(4), 5, 40)
    assert interval(blocks) == interval([tuple(block) for block in blocks])
    assert interval(blocks, seed=1) != interval(blocks)
    assert interval([*blocks, []]) == interval(blocks)


def test_an_interval_of_one_sample_is_that_sample() -> None:
    assert interval([[2.5]]) == (2.5, 2.5)
    with pytest.raises(ValueError, match="no samples"):
        interval([[], []])


def test_blocks_of_other_lengths_are_resampled_whole() -> None:
    # The one slow sample at the end of the longer block must be reachable.
    low, high = interval([[1.0], [1.0] * 8 + [1000.0]], "mean")
    assert low < 1.0
    assert high > 100


@pytest.mark.parametrize("factor", [1.2, 1.0])
def test_the_interval_of_a_ratio_covers_a_known_factor(factor: float) -> None:
    random = np.random.default_rng(5)
    found = [
        ratio(simulated(random, 20, 10), simulated(random, 20, 10, factor))
        for _ in range(EXPERIMENTS)
    ]
    assert sum(low <= factor <= high for _, low, high in found) >= 0.9 * EXPERIMENTS
    assert np.mean([middle for middle, _, _ in found]) == pytest.approx(factor, abs=0.01)


def test_a_ratio_is_other_by_base_of_all_samples() -> None:
    random = np.random.default_rng(6)
    base, other = simulated(random, 5, 30), simulated(random, 5, 30, 2.0)
    for statistic in ("p50", "mean"):
        one, two = (summarise(np.ravel(blocks).tolist())[statistic] for blocks in (base, other))
        middle, low, high = ratio(base, other, statistic)
        assert middle == two / one
        assert low < middle < high
        assert ratio(base, other, statistic) == (middle, low, high)
        assert ratio(other, base, statistic)[0] == pytest.approx(1 / middle)


def test_a_ratio_of_something_to_itself_holds_one() -> None:
    blocks = simulated(np.random.default_rng(7), 5, 40)
    middle, low, high = ratio(blocks, blocks)
    assert middle == 1
    # The two sides are resampled each by itself: they were measured each by itself.
    assert low < 1 < high


def test_accuracy_counts_known_labels_alone() -> None:
    labels = np.array([1, 0, 1, np.nan, 0], np.float32)
    found = accuracy(np.array([True, False, False, True, False]), labels)
    assert (found["accuracy"], found["samples"]) == (0.75, 4)
    assert found["ci95"] == pytest.approx(wilson(3, 4))
    unknown = accuracy(np.array([True]), np.array([np.nan], np.float32))
    assert unknown == {"accuracy": None, "ci95": None, "samples": 0}
