import pickle

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.runtime.steady import Steady


def said(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def settled(value: float, steady: Steady, *, fps: float = 30, seconds: float = 3) -> float:
    """Let a face be judged the same for a while, and return when it ended."""
    for frame in range(round(seconds * fps)):
        steady.update(1, said(value), frame / fps)
    return seconds


def test_what_does_not_change_is_told_as_it_is() -> None:
    steady = Steady((0.5, 0.5))
    for frame in range(100):
        average, held = steady.update(1, said(0.8, 0.3), frame / 30)
        assert average.dtype == np.float32
        assert average == pytest.approx([0.8, 0.3], abs=1e-6)
        assert held.tolist() == [True, False]


@pytest.mark.parametrize("fps", [10, 30, 120])
def test_a_change_takes_as_long_at_every_frame_rate(fps: int) -> None:
    steady = Steady((0.5,), time_constant_s=0.4)
    end = settled(0.0, steady, fps=fps)
    for frame in range(round(0.4 * fps)):
        average, _ = steady.update(1, said(1.0), end + frame / fps)
    assert average[0] == pytest.approx(0.632, abs=0.005)


def test_at_first_all_frames_count_the_same() -> None:
    steady = Steady((0.5,))
    values = [0.1, 0.9, 0.8, 0.8]
    for frame, value in enumerate(values):
        average, _ = steady.update(1, said(value), frame / 30)
    assert average[0] == pytest.approx(np.mean(values), abs=1e-6)


def test_the_first_frame_is_told_at_once() -> None:
    assert Steady((0.5, 0.7)).update(1, said(0.5, 0.69), 0.0)[1].tolist() == [True, False]


def test_noise_around_a_threshold_hardly_flips_a_label() -> None:
    random = np.random.default_rng(0)
    steady = Steady((0.5,))
    raw, calm = [], []
    for frame in range(600):
        value = said(float(np.clip(0.5 + random.normal(0, 0.1), 0, 1)))
        raw.append(bool(value[0] >= 0.5))
        calm.append(bool(steady.update(1, value, frame / 30)[1][0]))
    assert np.diff(raw).sum() > 200
    assert np.diff(calm).sum() <= 10


@pytest.mark.parametrize(("before", "after"), [(0.05, 0.95), (0.95, 0.05), (0.2, 0.8), (0.8, 0.2)])
def test_a_real_change_is_shown_within_a_quarter_of_a_second(before: float, after: float) -> None:
    steady = Steady((0.5,))
    end = settled(before, steady)
    shown = [bool(steady.update(1, said(after), end + at / 30)[1][0]) for at in range(20)]
    first = shown.index(after > 0.5)
    assert 2 <= first <= 7
    assert all(one == (after > 0.5) for one in shown[first:])


def test_a_label_within_the_margin_stays_what_it_was() -> None:
    steady = Steady((0.5,), margin=0.1)
    end = settled(0.9, steady)
    for frame in range(90):
        _, held = steady.update(1, said(0.42), end + frame / 30)
    assert held[0]
    end += 3
    for frame in range(90):
        _, held = steady.update(1, said(0.38), end + frame / 30)
    assert not held[0]
    end += 3
    for frame in range(90):
        _, held = steady.update(1, said(0.58), end + frame / 30)
    assert not held[0]


@pytest.mark.parametrize("threshold", [0.02, 0.98])
def test_a_threshold_near_certainty_can_be_crossed_both_ways(threshold: float) -> None:
    steady = Steady((threshold,))
    shown = []
    for value in (1.0, 0.0, 1.0):
        for frame in range(120):
            _, held = steady.update(1, said(value), len(shown) * 4 + frame / 30)
        shown.append(bool(held[0]))
    assert shown == [True, False, True]


def test_faces_have_nothing_to_do_with_each_other() -> None:
    steady = Steady((0.5,))
    for frame in range(10):
        first, _ = steady.update(1, said(0.9), frame / 30)
        second, _ = steady.update(2, said(0.2), frame / 30)
    assert (first[0], second[0]) == pytest.approx((0.9, 0.2))


def test_a_face_that_was_away_for_long_begins_anew() -> None:
    steady = Steady((0.5,), margin=0.1)
    settled(0.9, steady)
    assert steady.update(1, said(0.45), 8.0)[1][0]
    steady.update(2, said(0.1), 19.0)
    assert not steady.update(1, said(0.45), 19.0)[1][0]


def test_a_run_of_weeks_does_not_grow() -> None:
    steady = Steady((0.5,))
    sizes = []
    for face in range(1_000):
        for frame in range(3):
            steady.update(-1, said(0.4), face + frame / 30)
            steady.update(face, said(0.4), face + frame / 30)
        sizes.append(len(pickle.dumps(steady)))
    assert max(sizes[100:]) <= 1.2 * max(sizes[:100])


def test_not_a_number_passes_and_does_not_stay() -> None:
    steady = Steady((0.5, 0.5))
    assert np.isnan(steady.update(1, said(np.nan, 0.8), 0.0)[0][0])
    assert steady.update(1, said(0.9, 0.8), 0.1)[0] == pytest.approx([0.9, 0.8])
    average, held = steady.update(1, said(0.9, np.nan), 0.2)
    assert average[0] == pytest.approx(0.9)
    assert held.tolist() == [True, False]
    assert steady.update(1, said(0.9, 0.8), 0.3)[0] == pytest.approx([0.9, 0.8])


def test_a_clock_that_stands_still_or_goes_back_is_survived() -> None:
    steady = Steady((0.5,))
    for captured in (5.0, 5.0, 4.0, -1e6, 1e6):
        average, _ = steady.update(1, said(0.7), captured)
        assert average[0] == pytest.approx(0.7)


def test_what_was_told_does_not_change_afterwards() -> None:
    steady = Steady((0.5,))
    given = said(0.2)
    told = [steady.update(1, given, 0.0), steady.update(1, said(0.9), 0.1)]
    kept = [(average.copy(), held.copy()) for average, held in told]
    given[0] = 0.7
    steady.update(1, said(0.99), 0.2)
    for (average, held), (before, was) in zip(told, kept, strict=True):
        assert np.array_equal(average, before)
        assert np.array_equal(held, was)
