"""Boxes and detections: their geometry."""

import math

import pytest

from edge.faces import Box, Detection


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (Box(0, 0, 1, 1), 1),
        (Box(0.5, 0, 1, 1), 1 / 3),
        (Box(0.25, 0.25, 0.5, 0.5), 0.25),
        (Box(1, 0, 1, 1), 0),
        (Box(2, 2, 1, 1), 0),
        (Box(0.5, 0.5, 0, 0), 0),
    ],
)
def test_overlap(other, expected):
    box = Box(0, 0, 1, 1)
    assert box.intersection_over_union(other) == pytest.approx(expected)
    assert other.intersection_over_union(box) == pytest.approx(expected)


def test_two_boxes_without_area_do_not_overlap():
    assert Box(0, 0, 0, 0).intersection_over_union(Box(0, 0, 0, 0)) == 0


def test_pixels_take_each_axis_of_the_picture():
    assert Box(-0.1, 0.5, 0.25, 0.1).in_pixels(200, 100) == pytest.approx((-20, 50, 50, 10))


@pytest.mark.parametrize(
    ("eyes", "degrees"),
    [
        (((0.3, 0.5), (0.7, 0.5)), 0),
        (((0.4, 0.4), (0.5, 0.6)), 45),
        (((0.4, 0.6), (0.5, 0.4)), -45),
        (((0.7, 0.5), (0.3, 0.5)), 180),
    ],
)
def test_tilt_is_measured_in_pixels_and_clockwise(eyes, degrees):
    face = Detection(Box(0, 0, 1, 1), 1, eyes)
    assert math.degrees(face.tilt(200, 100)) == pytest.approx(degrees)


def test_without_eyes_there_is_no_tilt():
    assert Detection(Box(0, 0, 1, 1), 1).tilt(200, 100) == 0
