from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.runtime.identity import NOBODY, best, identity_scores, most_probable

NAN = float("nan")


def rows(*values: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def test_the_most_probable_person_is_the_answer() -> None:
    faces = rows((0.1, 0.7, 0.2), (0.4, 0.3, 0.3), (NAN, NAN, NAN))
    assert best(faces).tolist() == [1, 0, NOBODY]


def test_an_answer_is_at_or_above_the_threshold_of_its_own_person() -> None:
    faces = rows((0.1, 0.7, 0.2), (0.4, 0.3, 0.3), (0.25, 0.25, 0.5))
    assert best(faces, (0.5, 0.5, 0.5)).tolist() == [1, NOBODY, 2]
    assert best(faces, (0.4, 0.8, 0.6)).tolist() == [NOBODY, 0, NOBODY]


def test_five_people_come_in_order() -> None:
    probabilities = np.random.default_rng(0).random(40).astype(np.float32)
    five = most_probable(probabilities)
    assert len(five) == 5
    assert all(probabilities[one] >= probabilities[other] for one, other in pairwise(five))
    assert probabilities[five[-1]] == np.sort(probabilities)[-5]
    assert most_probable(rows((0.2, 0.4, 0.4))[0]).tolist() == [1, 2, 0]


def test_scores_are_those_of_their_definitions() -> None:
    random = np.random.default_rng(1)
    truth = random.integers(0, 12, 300)
    values = random.random((300, 12)).astype(np.float32)
    values[np.arange(300), truth] += 0.4
    values[:9] = NAN
    found = identity_scores(truth.astype(np.float32), values)
    answers = [-1 if np.isnan(row[0]) else int(row.argmax()) for row in values]
    right = [answer == person for answer, person in zip(answers, truth, strict=True)]
    assert found["accuracy"] == pytest.approx(np.mean(right))
    low, high = found["ci95"]
    assert low < found["accuracy"] < high
    among = [
        not np.isnan(row[0]) and person in np.argsort(-row)[:5]
        for row, person in zip(values, truth, strict=True)
    ]
    assert found["top5"] == pytest.approx(np.mean(among))
    f1 = []
    for person in range(12):
        both = sum(a == t == person for a, t in zip(answers, truth, strict=True))
        f1.append(2 * both / (answers.count(person) + int((truth == person).sum())))
    assert found["f1"] == pytest.approx(np.mean(f1))
    assert found["labelled"] == 300
    assert (found["roc_auc"], found["threshold"], found["positives"]) == (None, None, None)


def test_a_picture_without_a_face_is_wrong() -> None:
    labels = np.array([0, 1, 1], np.float32)
    found = identity_scores(labels, rows((0.9, 0.1), (0.2, 0.8), (NAN, NAN)))
    assert (found["accuracy"], found["top5"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert found["f1"] == pytest.approx((1 + 2 / 3) / 2)


def test_an_answer_below_its_threshold_is_wrong_but_among_the_five() -> None:
    labels = np.array([0, 1], np.float32)
    found = identity_scores(labels, rows((0.9, 0.1), (0.4, 0.6)), (0.5, 0.7))
    assert (found["accuracy"], found["top5"]) == (0.5, 1.0)


def test_unknown_people_are_left_out_and_only_those_who_occur_count_for_f1() -> None:
    labels = np.array([0, NAN, 0], np.float32)
    found = identity_scores(labels, rows((0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.8, 0.1, 0.1)))
    assert (found["labelled"], found["accuracy"], found["f1"]) == (2, 1.0, 1.0)


def test_equal_probabilities_do_not_help_the_right_person() -> None:
    """As an integer network gives them: no more than five people are among the five."""
    values = np.full((20, 20), 1 / 20, np.float32)
    assert identity_scores(np.arange(20, dtype=np.float32), values)["top5"] == 5 / 20
