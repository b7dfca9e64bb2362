"""What a board may say of golden pictures: both sides of each tolerance."""

import math

import pytest

from edge.devices import golden
from edge.devices.onboard_store import RefusedError
from edge.devices.onboard_trial import _difference

TOLERANCE = {"score": 0.1, "box": 0.05}


def face(x: int, y: int, size: int = 100, **attributes: float) -> dict:
    return {"box": [x, y, size, size], "score": 0.9, "attributes": attributes or {"Smiling": 0.5}}


def difference(said: list[dict], right: list[dict]) -> float:
    return _difference(said, right, TOLERANCE, 3)


def refused(said: list[dict], right: list[dict]) -> str:
    with pytest.raises(RefusedError) as caught:
        difference(said, right)
    assert "golden picture 3" in caught.value.message
    return caught.value.message


def test_bundles_allow_what_is_tested_here() -> None:
    assert golden._TOLERANCE == TOLERANCE


def test_the_same_faces_do_not_differ() -> None:
    assert difference([face(50, 60)], [face(50, 60)]) == 0
    assert difference([], []) == 0


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_score_may_be_a_tenth_off(sign: int) -> None:
    right = [face(50, 60, Smiling=0.5, Male=0.5)]
    near, far = ([face(50, 60, Smiling=0.5, Male=0.5 + sign * off)] for off in (0.099, 0.101))
    assert difference(near, right) == pytest.approx(0.099)
    assert "is 0.101 off, 0.1 allowed" in refused(far, right)


@pytest.mark.parametrize("score", [math.nan, math.inf])
@pytest.mark.parametrize("at", [0, 1])
def test_what_is_no_number_is_no_score(score: float, at: int) -> None:
    """Nothing is further off than NaN, and no comparison says so."""
    right = [face(20, 60, Smiling=0.5, Male=0.5), face(180, 60, Smiling=0.5, Male=0.5)]
    said = [face(20, 60, Smiling=0.5, Male=0.5), face(180, 60, Smiling=0.5, Male=0.5)]
    for name in ("Smiling", "Male"):
        said[at]["attributes"] = {"Smiling": 0.5, "Male": 0.5, name: score}
        with pytest.raises(RefusedError):
            difference(said, right)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(
    ("size", "allowed"),
    [(100, 5), (60, 3), (20, 2)],  # a twentieth of a face, but two pixels of a small one
)
def test_a_face_may_be_a_little_off(size: int, allowed: int, sign: int) -> None:
    right = [face(100, 90, size)]
    for side in range(4):
        near, far = face(100, 90, size), face(100, 90, size)
        near["box"][side] += sign * allowed
        far["box"][side] += sign * (allowed + 1)
        assert difference([near], right) == 0
        assert f"is {allowed + 1} pixels off" in refused([far], right)


def test_how_far_a_face_may_be_off_is_told_by_its_longer_side() -> None:
    right = face(100, 90)
    right["box"][2:] = [40, 120]
    said = face(106, 90)
    said["box"][2:] = [40, 120]
    assert difference([said], [right]) == 0
    said["box"][0] += 1
    refused([said], [right])


def test_faces_may_come_in_another_order_but_not_change_places() -> None:
    left, right = face(20, 60, Smiling=0.1), face(180, 60, Smiling=0.9)
    assert difference([right, left], [left, right]) == 0
    assert difference([face(181, 60, Smiling=0.95), left], [left, right]) == pytest.approx(0.05)
    swapped = [face(20, 60, Smiling=0.9), face(180, 60, Smiling=0.1)]
    assert "is 0.800 off" in refused(swapped, [left, right])


def test_no_pixel_decides_which_face_is_which() -> None:
    for x in range(64):
        right = [face(x, 150, Smiling=0.1), face(x + 1, 10, Smiling=0.9)]
        for moved in (x - 1, x + 2):
            said = [face(moved, 150, Smiling=0.1), face(x + 1, 10, Smiling=0.9)]
            assert difference(said, right) == 0


def test_each_attribute_is_there_and_none_besides() -> None:
    both, one = [face(50, 60, Smiling=0.5, Male=0.5)], [face(50, 60, Smiling=0.5)]
    assert "other attributes" in refused(one, both)
    assert "other attributes" in refused(both, one)
    assert "other attributes" in refused([face(50, 60, Male=0.5)], one)


def test_no_face_is_missing_and_none_is_made_up() -> None:
    one, two = [face(20, 60)], [face(20, 60), face(180, 60)]
    assert "1 faces in golden picture 3 instead of 2" in refused(one, two)
    assert "2 faces in golden picture 3 instead of 1" in refused(two, one)
    assert "0 faces in golden picture 3 instead of 1" in refused([], one)
