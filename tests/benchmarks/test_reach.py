import cv2
import numpy as np
import pytest

from edge.assets import fetch
from edge.benchmarks.reach import TILTS, WIDTHS, Portrait, portraits, reach, shown
from edge.contract import Picture
from edge.faces import Box, Detection
from edge.runtime.detectors import create_detector

# A bright square with a dark left half on black, and its middle.
SQUARE = Portrait(np.zeros((200, 200, 3), np.uint8), (100.0, 100.0), 80.0)
SQUARE.picture[60:140, 60:140] = 255
SQUARE.picture[60:140, 60:100] = 200


class Bright:
    """Finds what is bright: from a width on, and up to a tilt of its dark half."""

    def __init__(self, least: float = 0, most: float = 180, off: float = 0) -> None:
        self.least, self.most, self.off = least, most, off

    def detect(self, picture: Picture) -> list[Detection]:
        grey = picture[..., 0]
        rows, columns = np.nonzero(grey > 150)
        left_rows, left_columns = np.nonzero((grey > 150) & (grey < 228))
        if not len(rows):
            return []
        # Of a turned square the area, not the box, tells its width.
        side = len(rows) ** 0.5
        middle = columns.mean() + self.off * side, rows.mean()
        away = complex(middle[0] - left_columns.mean(), middle[1] - left_rows.mean())
        tilt = abs(np.degrees(np.angle(away)))
        if side < self.least or tilt > self.most:
            return []
        height, width = grey.shape
        box = Box((middle[0] - side / 2) / width, (middle[1] - side / 2) / height, side / width,
                  side / height)  # fmt: skip
        return [Detection(box, 0.9)]


@pytest.mark.parametrize(
    ("least", "smallest"), [(0, WIDTHS[-1]), (25, 28), (50, 57), (120, 160), (170, None)]
)
def test_the_smallest_face_that_is_found(least, smallest):
    assert reach(Bright(least=least), [SQUARE])["smallest_px"] == smallest


@pytest.mark.parametrize(("most", "degrees"), [(180, 180), (50, 45), (95, 90), (5, 0)])
def test_the_most_tilted_face_that_is_found(most, degrees):
    found = reach(Bright(most=most), [SQUARE])
    assert found["tilt_degrees"] == degrees
    assert found["faces"] == 1


def test_what_is_found_elsewhere_is_not_the_face():
    found = reach(Bright(off=0.7), [SQUARE])
    assert (found["smallest_px"], found["tilt_degrees"]) == (None, None)


def test_one_face_of_ten_may_be_missed():
    class Forgetful(Bright):
        calls = 0

        def detect(self, picture: Picture) -> list[Detection]:
            self.calls += 1
            return [] if self.calls % 11 == 0 else super().detect(picture)

    assert reach(Forgetful(), [SQUARE] * 10)["smallest_px"] == WIDTHS[-1]


def test_the_full_range_finds_smaller_faces_and_the_short_range_more_tilted_ones():
    faces = shown(None)
    assert len(faces) == 1
    short, full = (reach(create_detector(name), faces) for name in ("blazeface", "blazeface-full"))
    assert full["smallest_px"] < short["smallest_px"] <= 80
    assert TILTS[0] <= full["tilt_degrees"] < short["tilt_degrees"]


def test_labelled_pictures_with_one_face_are_shown_too(tmp_path):
    black, broken = tmp_path / "black.png", tmp_path / "broken.png"
    cv2.imwrite(str(black), np.zeros((64, 64, 3), np.uint8))
    broken.write_bytes(b"no picture")
    listed = tmp_path / "pictures.txt"
    listed.write_text("\n".join(map(str, [black, broken, *[fetch("demo")] * 30])))
    assert len(shown(str(listed))) == 16


def test_a_picture_of_two_faces_is_left_out():
    [face] = shown(None)
    detector = create_detector("blazeface")
    assert list(portraits([np.hstack([face.picture[:300, 80:380]] * 2)], detector)) == []
