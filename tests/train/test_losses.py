import numpy as np
import pytest

from edge.train.losses import (
    attribute_weights,
    blended,
    objective,
    validation_accuracy,
    validation_loss,
)
from edge.train.recipe import Phase

NAN = np.nan


def even(count):
    return np.ones(count, np.float32), np.ones(count, np.float32)


def test_the_loss_leaves_unknown_labels_out():
    loss = objective(Phase(), "attributes", 2, attribute_weights(2, 1, 1.0), even(2))
    logits = np.array([[2.0, -1.0]], np.float32)
    both = loss(np.array([[1.0, 0.0]], np.float32), logits)
    first = loss(np.array([[1.0, NAN]], np.float32), logits)
    assert np.allclose(first, np.log1p(np.exp(-2.0)))
    assert np.allclose(both, np.log1p(np.exp(-2.0)) + np.log1p(np.exp(-1.0)))


def test_weights_of_classes_weigh_yes_and_no_apart():
    weights = np.array([3.0], np.float32), np.array([0.5], np.float32)
    loss = objective(Phase(), "attributes", 1, attribute_weights(1, 1, 0.0), weights)
    yes, no = (
        float(np.asarray(loss(np.array([[label]], np.float32), np.zeros((1, 1), np.float32)))[0])
        for label in (1.0, 0.0)
    )
    assert (yes, no) == (pytest.approx(3 * np.log(2)), pytest.approx(0.5 * np.log(2)))


def test_weighted_classes_move_the_best_answer_between_a_teachers_yes_and_no():
    weights = np.array([3.0], np.float32), np.array([1.0], np.float32)
    loss = objective(Phase(), "attributes", 1, attribute_weights(1, 1, 0.0), weights)
    logits = np.linspace(-3, 3, 601, dtype=np.float32)[:, None]
    losses = np.asarray(loss(np.full((601, 1), 0.5, np.float32), logits))
    # Three parts yes, one part no.
    assert 1 / (1 + np.exp(-logits[losses.argmin(), 0])) == pytest.approx(0.75, abs=0.01)


def test_the_loss_of_people_is_the_cross_entropy_of_a_softmax():
    loss = objective(Phase(), "identity", 4, attribute_weights(4, 4, 0.0), even(4))
    logits = np.array([[1.0, 2.0, 3.0, 4.0]], np.float32)
    expected = np.log(np.exp(logits).sum()) - 3.0
    assert np.allclose(loss(np.array([[2.0]], np.float32), logits), expected, atol=1e-5)


@pytest.mark.parametrize("goal", ["bottleneck", "cosine"])
def test_features_stand_behind_logits_and_labels(goal):
    phase = Phase(goal=goal, teacher_weight=2.0)
    loss = objective(phase, "attributes", 1, attribute_weights(1, 1, 0.0), even(1))
    target = np.array([[1.0, 3.0, 0.0]], np.float32)
    output = np.array([[0.0, 0.0, 5.0]], np.float32)
    expected = (9 + 25) / 2 if goal == "bottleneck" else np.log(2) + 2.0
    assert np.allclose(loss(target, output), expected, atol=1e-5)


def test_auxiliary_attributes_share_their_weight():
    assert np.allclose(attribute_weights(40, 2, 0.5)[:3], [0.5, 0.5, 0.5 / 38])
    assert attribute_weights(40, 2, 0.5).sum() == pytest.approx(1.5)
    assert attribute_weights(2, 2, 0.0).tolist() == [0.5, 0.5]


def test_a_teacher_speaks_alone_where_there_is_no_label_and_not_where_it_does_not_know():
    labels = np.array([[1.0, NAN, 0.0, NAN]], np.float32)
    answers = np.array([[0.5, 0.25, NAN, NAN]], np.float32)
    assert np.array_equal(blended(labels, answers, 0.5), [[0.75, 0.25, 0.0, NAN]], equal_nan=True)


def test_validation_leaves_unknown_labels_out():
    probabilities = np.array([[0.9, 0.2], [0.4, 0.3]], np.float32)
    labels = np.array([[1.0, NAN], [0.0, 1.0]], np.float32)
    loss = validation_loss(
        Phase(), "attributes", probabilities, probabilities, labels, None, even(2)
    )
    assert loss == pytest.approx(-(np.log(0.9) + np.log(0.6) + np.log(0.3)) / 3, rel=1e-5)
    accuracy = validation_accuracy("attributes", probabilities, labels, ("a", "b"))
    assert accuracy == {"a": 1.0, "b": 0.0}


def test_validation_weighs_classes_as_the_training_does():
    labels = np.repeat([[1.0], [0.0]], [10, 90], axis=0).astype(np.float32)
    weights = np.array([5.0], np.float32), np.array([100 / 180], np.float32)
    # One that sees nothing says how frequent a yes is; weighted, one in two is as good as any.
    frequent, half = (
        validation_loss(Phase(), "attributes", said, said, labels, None, weights)
        for said in (np.full((100, 1), share, np.float32) for share in (0.1, 0.5))
    )
    assert half == pytest.approx(np.log(2), rel=1e-5)
    assert frequent > half


def test_people_are_told_by_the_best_class():
    probabilities = np.array([[0.2, 0.8], [0.6, 0.4]], np.float32)
    labels = np.array([[1.0], [1.0]], np.float32)
    found = validation_accuracy("identity", probabilities, labels, ("identity",))
    assert found == {"identity": 0.5}
