import pytest

from edge.benchmarks.axes import Axis, linear_axis, log_axis
from edge.benchmarks.charts import Point, pareto


def point(ms, accuracy):
    return Point(label="", detail="", tone="", ms=ms, accuracy=accuracy)


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (Axis(0.3, 60, logarithmic=True), [0.5, 1, 2, 5, 10, 20, 50]),
        (Axis(0.3, 6000, logarithmic=True), [1, 10, 100, 1000]),
        (Axis(1.1, 1.9, logarithmic=True), [1.2, 1.4, 1.6, 1.8]),
        (Axis(0.893, 0.931, logarithmic=False), [0.9, 0.91, 0.92, 0.93]),
        (Axis(0, 94, logarithmic=False), [0, 20, 40, 60, 80]),
    ],
)
def test_ticks_are_round_and_few(axis, ticks):
    assert axis.ticks() == pytest.approx(ticks)


@pytest.mark.parametrize("spread", [1.0001, 1.02, 1.5, 3, 10, 1e3, 1e6])
@pytest.mark.parametrize("low", [1e-3, 0.7, 42.0, 9e4])
def test_every_axis_has_ticks(low, spread):
    for axis in (log_axis([low, low * spread]), linear_axis([low, low * spread])):
        assert 2 <= len(axis.ticks()) <= 12
        assert all(axis.low <= tick <= axis.high for tick in axis.ticks())


def test_one_value_alone_still_has_an_axis():
    for axis in (log_axis([3.0]), linear_axis([3.0]), linear_axis([0.0]), log_axis([0.0])):
        assert axis.low < axis.high
        assert axis.ticks()


def test_places_are_percentages_held_to_the_axis():
    axis = Axis(1, 100, logarithmic=True)
    assert [axis.at(value) for value in (0.0, 1, 10, 100, 1e9)] == [0, 0, 50, 100, 100]
    assert Axis(2, 4, logarithmic=False).at(3) == 50


def test_the_front_is_what_nothing_beats():
    fast, good, best = point(1, 0.8), point(2, 0.9), point(9, 0.95)
    beaten = [point(3, 0.9), point(2, 0.85), point(10, 0.95), point(1, 0.7)]
    assert pareto([best, *beaten, fast, good]) == [fast, good, best]
    assert pareto([]) == []
