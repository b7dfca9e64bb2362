"""BlazeFace: the arithmetic around the network, and the network on a real picture."""

import cv2
import numpy as np
import pytest

from edge.assets import fetch
from edge.images import read_picture
from edge.runtime.blazeface import (
    FULL_RANGE,
    SHORT_RANGE,
    BlazeFace,
    Letterbox,
    anchor_centers,
    decode,
    merge_overlapping,
)


@pytest.fixture(scope="module")
def portrait():
    return read_picture(fetch("demo"))


@pytest.fixture(scope="module")
def detector():
    return BlazeFace()


def candidate(x, y, side, score, points=0.5):
    return [x, y, side, side, *[points] * 12], score


@pytest.mark.parametrize(("variant", "count"), [(SHORT_RANGE, 896), (FULL_RANGE, 2304)])
def test_there_is_an_anchor_for_every_row_of_the_network(variant, count):
    centers = anchor_centers(variant)
    assert centers.shape == (count, 2)
    assert centers.min() > 0
    assert centers.max() < 1
    assert centers.mean(0) == pytest.approx([0.5, 0.5])


def test_anchors_run_along_rows_and_share_their_cell():
    centers = anchor_centers(SHORT_RANGE) * 128
    assert centers[:3].tolist() == [[4, 4], [4, 4], [12, 4]]
    assert centers[16 * 16 * 2 :][:7].tolist() == [[8, 8]] * 6 + [[24, 8]]


@pytest.mark.parametrize(("height", "width"), [(480, 640), (640, 480), (7, 3), (33, 33)])
def test_letterbox_fills_one_side_and_blackens_the_rest(height, width):
    white = np.full((height, width, 3), 255, np.uint8)
    square = Letterbox(128)(white)
    assert square.shape == (128, 128, 3)
    assert square.dtype == np.float32
    assert square[64, 64] == pytest.approx([1, 1, 1], abs=0.02)
    bright = (square.max(2) > -0.9).sum() / 128**2
    assert bright == pytest.approx(min(height, width) / max(height, width), abs=0.15)
    if height != width:
        assert square[0, 0] == pytest.approx([-1, -1, -1])


def test_letterbox_gives_red_first():
    blue = np.zeros((50, 50, 3), np.uint8)
    blue[..., 0] = 255
    assert Letterbox(128)(blue)[20, 20] == pytest.approx([-1, -1, 1], abs=1e-6)


def test_decode_adds_offsets_to_the_anchor_and_drops_low_scores():
    places = np.array([[32, 64], [96, 64]], np.float32)
    anchors = np.hstack([places, np.zeros((2, 2), np.float32), np.tile(places, 6)])
    boxes = np.zeros((2, 16), np.float32)
    boxes[1] = [12.8, -12.8, 64, 32, *[12.8, 0] * 6]
    logits = np.array([-0.1, np.log(3)], np.float32)
    [(face, score)] = decode(boxes, logits, anchors, 0.5)
    assert score == pytest.approx(0.75)
    assert face[:4] == pytest.approx([108.8, 51.2, 64, 32])
    assert face[4:] == pytest.approx([108.8, 64] * 6)


def test_decode_puts_the_best_first_and_bears_any_logit():
    some = np.full((4, 16), 0.5, np.float32)
    logits = np.array([1, 1e4, -1e4, 2], np.float32)
    scores = [score for _, score in decode(some, logits, some, 0.5)]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 3
    assert scores[0] == 1


def test_decode_of_nothing_is_nothing():
    some = np.ones((896, 16), np.float32)
    found = decode(some, np.full(896, -9, np.float32), some, 0.5)
    assert merge_overlapping(found, 0.3) == []


def test_merging_weighs_by_score_and_keeps_the_best_score():
    lone = candidate(5, 5, 1, 0.5)
    found = [candidate(0.5, 0.5, 1, 0.9, 0.2), candidate(0.6, 0.5, 1, 0.6, 0.6), lone]
    (face, score), (other, _) = merge_overlapping(found, 0.3)
    assert score == 0.9
    assert face[0] == pytest.approx(0.1 * 0.6 / 1.5)
    assert face[4] == pytest.approx((0.2 * 0.9 + 0.6 * 0.6) / 1.5)
    assert other[:4] == pytest.approx([4.5, 4.5, 1, 1])


def test_merging_compares_with_the_best_only():
    """A third box that overlaps the second but not the first is a face of its own."""
    found = [candidate(0, 0, 1, 0.9), candidate(0.4, 0, 1, 0.8), candidate(0.8, 0, 1, 0.7)]
    merged = merge_overlapping(found, 0.3)
    assert [score for _, score in merged] == [0.9, 0.7]
    assert merged[1][0][0] == pytest.approx(0.3)


def test_merging_ends_with_boxes_without_area():
    found = [candidate(0, 0, 0, 1), candidate(0, 0, 0, 1), candidate(0.5, 0.5, -1, 1)]
    merged = merge_overlapping(found, 0.3)
    assert len(merged) == 3
    assert np.isfinite([face for face, _ in merged]).all()


@pytest.mark.parametrize("variant", [SHORT_RANGE, FULL_RANGE])
def test_finds_the_one_face_of_the_portrait(portrait, variant):
    [face] = BlazeFace(variant).detect(portrait)
    x, y, width, height = face.box.in_pixels(512, 512)
    assert face.score > 0.8
    assert x + width / 2 == pytest.approx(225, abs=10)
    assert y + height / 2 == pytest.approx(132, abs=15)
    assert width == pytest.approx(height, rel=0.01)
    (right_x, right_y), (left_x, left_y) = face.eyes
    assert (right_x * 512, right_y * 512) == pytest.approx((201, 105), abs=6)
    assert (left_x * 512, left_y * 512) == pytest.approx((246, 109), abs=6)


def test_a_face_stays_where_it_is_when_black_is_added(portrait, detector):
    """The letterbox is undone on both axes, for wide and for tall pictures."""
    before = np.array(detector.detect(portrait)[0].eyes) * 512
    for right, bottom in ((200, 0), (0, 200)):
        larger = cv2.copyMakeBorder(portrait, 0, bottom, 0, right, cv2.BORDER_CONSTANT)
        after = np.array(detector.detect(larger)[0].eyes) * (512 + right, 512 + bottom)
        assert after == pytest.approx(before, abs=12)


def test_detections_come_in_falling_order_of_score(portrait, detector):
    pair = np.hstack([portrait[:300, 80:380], cv2.GaussianBlur(portrait[:300, 80:380], None, 4)])
    scores = [face.score for face in detector.detect(pair)]
    assert len(scores) == 2
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (2, 30000), (240, 320)])
def test_an_empty_picture_has_no_face(detector, shape):
    assert detector.detect(np.zeros((*shape, 3), np.uint8)) == []


def test_views_into_a_picture_are_read_as_they_look(portrait, detector):
    view = portrait[:, ::-1]
    assert detector.detect(view) == detector.detect(np.ascontiguousarray(view))


@pytest.mark.data
def test_finds_a_face_in_nearly_every_photograph(data_dir, detector):
    paths = sorted((data_dir / "genki4k" / "files").iterdir())[::4]
    found = sum(bool(detector.detect(read_picture(path))) for path in paths)
    assert len(paths) >= 500
    assert found / len(paths) >= 0.99
