import numpy as np
import pytest

from edge.train.threshold import best_threshold

NAN = float("nan")


def right(probabilities: np.ndarray, labels: np.ndarray, threshold: float) -> int:
    known = ~np.isnan(labels)
    return int(((probabilities >= threshold) == (labels == 1))[known].sum())


@pytest.mark.parametrize(
    ("probabilities", "labels", "threshold"),
    [
        ([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], 0.25),
        ([0.9, 0.8, 0.7, 0.95], [0, 1, 0, 1], 0.75),  # 0.85 is right three times, as 0.75 is
        ([0.2, 0.6], [1, 0], 0.8),  # no to both, rather than yes to both at 0.1
        ([0.3, 0.9], [1, 0], 0.15),
        ([0.6, 0.9], [1, 0], 0.3),
        ([0.1, 0.3, NAN], [0, 1, NAN], 0.2),
        ([0.4, 0.1, 0.9], [NAN, 0, 1], 0.5),
    ],
)
def test_it_lies_midway_where_most_are_right(
    probabilities: list[float], labels: list[float], threshold: float
) -> None:
    found = best_threshold(np.array(probabilities, np.float32), np.array(labels, np.float32))
    assert found == pytest.approx(threshold)


def test_no_threshold_is_right_more_often() -> None:
    for seed in range(40):
        random = np.random.default_rng(seed)
        labels = (random.random(40) < 0.3).astype(np.float32)
        steps = 2 ** random.integers(2, 12)
        scores = np.clip(labels * random.random() + random.normal(0, 0.4, 40), 0, 1)
        scores = np.round(scores * steps) / steps
        labels[random.random(40) < 0.2] = NAN
        probabilities = scores.astype(np.float32)
        if not (labels == 1).any():
            continue
        found = best_threshold(probabilities, labels)
        every = np.linspace(0, 1, 2001)
        best = max(right(probabilities, labels, threshold) for threshold in every)
        assert right(probabilities, labels, found) == best
        nearest = min(
            abs(threshold - 0.5)
            for threshold in every
            if right(probabilities, labels, threshold) == best
        )
        # Midway between two scores is at most half their distance from the edge.
        assert 0 <= found <= 1
        assert abs(found - 0.5) >= nearest - 1e-3


@pytest.mark.parametrize("labels", [[1, 1, NAN], [0, 0, 0], [NAN, NAN, NAN]])
def test_one_class_alone_says_nothing(labels: list[float]) -> None:
    assert best_threshold(np.array([0.1, 0.2, 0.3], np.float32), np.array(labels)) == 0.5


def test_scores_of_nought_and_one_stay_within_reach() -> None:
    certain = np.array([0, 1, 1, 1], np.float32)
    assert best_threshold(certain, np.array([0, 1, 1, 1], np.float32)) == 0.5
    # No to all would be right three times, but no threshold up to 1 says it.
    assert best_threshold(certain, np.array([0, 0, 0, 1], np.float32)) == 0.5
    assert best_threshold(np.array([0, 0, 0.5], np.float32), np.array([1, 1, 0])) == 0.0


def test_scores_that_are_neighbours_are_told_apart() -> None:
    low = np.float32(0.5)
    high = np.nextafter(low, np.float32(1))
    found = best_threshold(np.array([low, high], np.float32), np.array([0, 1], np.float32))
    assert low < np.float32(found) <= high
