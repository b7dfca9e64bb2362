import numpy as np
import pytest

from edge.convert.calibrate import Calibration, choose


def faces(count: int = 2000) -> np.ndarray:
    random = np.random.default_rng(1)
    rare, even = random.random(count) < 0.1, random.random(count) < 0.5
    return np.column_stack([rare, even]).astype(np.float32)


def test_a_rare_attribute_is_as_often_present_as_absent() -> None:
    labels = faces()
    share = labels[choose(labels, 100, 0)].mean(axis=0)
    assert np.abs(share - 0.5).max() <= 0.03


@pytest.mark.parametrize(("count", "each"), [(50, {0, 1}), (100, {1}), (250, {2, 3}), (500, {5})])
def test_people_are_drawn_evenly(count: int, each: set[int]) -> None:
    labels = np.repeat(np.arange(100), 5).astype(np.float32)[:, None]
    drawn = labels[choose(labels, count, 0), 0].astype(int)
    assert len(drawn) == count
    assert set(np.bincount(drawn, minlength=100).tolist()) == each


def test_fewer_faces_than_people_are_not_the_first_people() -> None:
    labels = np.repeat(np.arange(100), 5).astype(np.float32)[:, None]
    people = {tuple(labels[choose(labels, 10, seed), 0]) for seed in range(4)}
    assert len(people) == 4


def test_the_seed_alone_decides() -> None:
    labels = faces()
    assert choose(labels, 50, 3).tolist() == choose(labels, 50, 3).tolist()
    assert choose(labels, 50, 3).tolist() != choose(labels, 50, 4).tolist()


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (7, 7), (30, 30), (500, 30)])
def test_none_is_drawn_twice(count: int, expected: int) -> None:
    drawn = choose(faces(30), count, 0)
    assert len(drawn) == len(set(drawn.tolist())) == expected


def test_unknown_labels_fill_up_what_known_ones_leave() -> None:
    labels = np.full((10, 2), np.nan, np.float32)
    labels[4] = 1
    assert 4 in choose(labels, 3, 0)
    assert len(choose(labels, 10, 0)) == 10


def test_the_manifest_tells_which_pixels_were_used() -> None:
    crops = np.zeros((2, 4, 4, 3), np.uint8)
    first = Calibration(crops, ("a.jpg", "b.jpg"), 7).manifest()
    assert (first["seed"], first["names"]) == (7, ["a.jpg", "b.jpg"])
    crops[1, 0, 0, 0] = 1
    assert Calibration(crops, ("a.jpg", "b.jpg"), 7).manifest()["digest"] != first["digest"]
