import numpy as np
import pytest

from edge.errors import EdgeError
from edge.train.balance import class_weights, require_both_classes

NAN = float("nan")
NAMES = ("Smiling", "Male", "Young")


def labels(*columns: list[float]) -> np.ndarray:
    return np.array(columns, np.float32).T


def test_yes_and_no_count_alike_and_a_face_counts_one_on_average() -> None:
    random = np.random.default_rng(0)
    known = (random.random((500, 3)) < (0.1, 0.5, 0.93)).astype(np.float32)
    known[random.random(known.shape) < 0.3] = NAN
    positive, negative = class_weights(known, NAMES, own=3)
    assert positive.dtype == negative.dtype == np.float32
    yes, no = (known == 1).sum(axis=0), (known == 0).sum(axis=0)
    np.testing.assert_allclose(positive * yes, negative * no, rtol=1e-5)
    np.testing.assert_allclose((positive * yes + negative * no) / (yes + no), 1, rtol=1e-5)
    assert positive[0] > 4 > 1 > negative[0]


def test_unknown_labels_weigh_nothing() -> None:
    positive, negative = class_weights(labels([1, 0, 0, 0, NAN, NAN]), NAMES[:1], own=1)
    assert (positive.tolist(), negative.tolist()) == ([2.0], [pytest.approx(2 / 3)])


@pytest.mark.parametrize("column", [[1, 1, 1], [0, NAN, 0], [NAN, NAN, NAN]])
def test_an_attribute_beside_those_asked_for_may_have_one_class(column: list[float]) -> None:
    positive, negative = class_weights(labels([1, 0, 0], column), NAMES[:2], own=1)
    assert (positive[1], negative[1]) == (1.0, 1.0)
    assert positive[0] == 1.5


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([1, 1, NAN], r"every training picture says Male: yes \(2 of 2\)"),
        ([0, 0, 0], r"every training picture says Male: no \(3 of 3\)"),
        ([NAN, NAN, NAN], "no training picture says whether it is Male"),
    ],
)
def test_one_answer_alone_is_refused(column: list[float], message: str) -> None:
    held = labels([1, 0, 0], column)
    for refuses in (require_both_classes, class_weights):
        with pytest.raises(EdgeError, match=message) as caught:
            refuses(held, NAMES[:2], 2)
        assert "leave Male out of --attributes" in caught.value.hint
    require_both_classes(held, NAMES[:2], 1)
