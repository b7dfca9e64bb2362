from edge.benchmarks.cases import SUITES
from edge.benchmarks.published import figures
from edge.devices.boards import boards


def figure(name, **wanted):
    found = [
        one
        for one in figures()
        if one.name == name and all(getattr(one, key) == value for key, value in wanted.items())
    ]
    assert len(found) == 1
    return found[0]


def test_every_figure_says_where_it_is_from_and_what_it_is():
    for one in figures():
        assert one.suite in SUITES
        assert one.hardware
        assert one.title
        assert one.statistic in ("mean", "p50", "unstated")
        assert one.device in ("cpu", "gpu")
        assert one.ms > 0
        assert one.url == "" or one.url.startswith("https://")
        assert one.max_ms is None or one.max_ms >= one.ms
        assert all(0.5 < value < 1 for value in one.accuracy.values())


def test_figures_on_boards_are_among_them_and_only_in_the_files_of_the_boards():
    found = figures()
    assert len(found) == 63
    on_boards = [one for board in boards().values() for one in board.published]
    assert len(on_boards) == 35
    assert all(one in found for one in on_boards)
    elsewhere = {one.hardware for one in found if one not in on_boards}
    assert elsewhere == {
        "Core i7-8565U", "GeForce RTX 2080 Ti", "Cortex-A73", "Pixel 3", "Pixel 4",
    }  # fmt: skip


def test_rates_agree_with_durations():
    for one in figures():
        if one.fps is not None and one.statistic == "mean":
            # Durations are published in whole milliseconds, down to 17.
            assert abs(1000 / one.fps - one.ms) <= 0.6


def test_no_figure_stands_twice():
    keys = [(one.name, one.variant, one.runtime, one.hardware, one.title) for one in figures()]
    assert len(keys) == len(set(keys))


def test_the_seeds_are_whole():
    seeds = [one for one in figures() if one.seed]
    counts = {
        (suite, device): sum(one.suite == suite and one.device == device for one in seeds)
        for suite in SUITES
        for device in ("cpu", "gpu")
    }
    assert {key: count for key, count in counts.items() if count} == {
        ("classifiers", "cpu"): 8,
        ("classifiers", "gpu"): 8,
        ("detectors", "cpu"): 5,
        ("pipeline", "cpu"): 1,
    }
    assert sum(bool(one.accuracy) for one in seeds) == 7


def test_a_figure_takes_what_its_source_shares_and_may_say_otherwise():
    proposed = figure("proposed", device="cpu")
    assert (proposed.ms, proposed.max_ms, proposed.std_ms, proposed.fps) == (22, 44, 1, 44.712)
    assert proposed.accuracy == {"celeba": 0.927, "genki4k": 0.945}
    assert (proposed.hardware, proposed.runtime) == ("Core i7-8565U", "tensorflow")
    assert figure("proposed", device="gpu").note == "the cold first call is in the mean"
    assert figure("mobilenet-v3-small", device="gpu").note == ""
    assert figure("mobilenet-v3-small", hardware="Raspberry Pi Zero W").ms == 474


def test_a_rate_alone_becomes_a_duration():
    assert figure("ultraface-rfb-320", runtime="ncnn").ms == 1000 / 23
