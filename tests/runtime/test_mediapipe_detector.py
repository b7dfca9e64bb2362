"""The mediapipe detector: what it undoes, what it says when it cannot start, how it agrees."""

import importlib
import os
import subprocess
import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge.assets import fetch
from edge.errors import EdgeError
from edge.faces import Box, Detection
from edge.images import read_picture
from edge.runtime.blazeface import BlazeFace
from edge.runtime.mediapipe_detector import MediaPipeDetector, to_detection

# Mouth and ears around (0.5, 0.5), as they stand around the centre of a box.
POINTS = [(0.4, 0.4), (0.6, 0.4), (0.5, 0.5), (0.5, 0.6), (0.3, 0.45), (0.7, 0.45)]


@pytest.fixture(scope="module")
def mediapipe_detector():
    if os.environ.get("EDGE_REQUIRE_MEDIAPIPE") == "1":
        importlib.import_module("mediapipe")
    else:
        pytest.importorskip("mediapipe", reason="mediapipe is not installed")
    return MediaPipeDetector()


def test_whole_pixels_become_the_middle_of_what_they_stand_for():
    face = to_detection((20, 30, 40, 40), POINTS, 0.9, (100, 200))
    assert face.box.in_pixels(100, 200) == pytest.approx((20.5, 30.5, 40.5, 40.5))
    assert face.score == 0.9
    assert face.eyes == ((0.4, 0.4), (0.6, 0.4))


def test_a_box_moved_to_the_border_is_moved_back():
    points = [(x - 0.4, y) for x, y in POINTS]
    face = to_detection((0, 30, 40, 40), points, 0.9, (100, 100))
    x, y, width, height = face.box.in_pixels(100, 100)
    assert x == pytest.approx(10 - 40.5 / 2)
    assert (y, width, height) == pytest.approx((30.5, 40.5, 40.5))


def test_a_box_that_begins_at_the_border_stays():
    points = [(x - 0.2, y - 0.2) for x, y in POINTS]
    face = to_detection((0, 0, 40, 40), points, 0.9, (100, 100))
    assert face.box.in_pixels(100, 100)[:2] == pytest.approx((0.5, 0.5))


def test_a_side_cut_to_the_picture_is_the_other_side():
    face = to_detection((5, 10, 50, 70), POINTS, 0.9, (50, 200))
    assert face.box.in_pixels(50, 200)[2:] == pytest.approx((70.5, 70.5))


def test_says_how_to_install_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(EdgeError, match="needs the package mediapipe") as caught:
        MediaPipeDetector()
    assert "pip install 'edge-tflite[mediapipe]'" in caught.value.hint


def test_says_how_to_install_a_system_library(monkeypatch, tmp_path):
    package = tmp_path / "mediapipe.py"
    package.write_text("raise OSError('libGLESv2.so.2: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mediapipe", raising=False)
    with pytest.raises(EdgeError, match=r"libGLESv2\.so\.2") as caught:
        MediaPipeDetector()
    assert caught.value.hint == "apt-get install libgl1 libegl1 libgles2"


def test_sees_the_portrait_as_blazeface_does(mediapipe_detector):
    picture = read_picture(fetch("demo"))
    [theirs], [ours] = mediapipe_detector.detect(picture), BlazeFace().detect(picture)
    assert ours.box.intersection_over_union(theirs.box) > 0.98
    assert ours.score == pytest.approx(theirs.score, abs=0.01)
    assert np.array(ours.eyes) == pytest.approx(np.array(theirs.eyes), abs=0.002)


def test_starts_and_ends_without_a_word(mediapipe_detector):
    code = (
        "import numpy as np; from edge.runtime.mediapipe_detector import MediaPipeDetector;"
        "kept = MediaPipeDetector(); print(kept.detect(np.zeros((9, 9, 3), np.uint8)))"
    )
    child = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    # Where its memory happens to lie badly for LiteRT, MediaPipe says so once, at any picture.
    by_chance = ("is written to STDERR", "Input tensor memory is not aligned")
    said = [
        line for line in child.stderr.splitlines() if not any(word in line for word in by_chance)
    ]
    assert (child.stdout, said) == ("[]\n", [])


@dataclass(frozen=True)
class Seen:
    """One photograph as both see it."""

    size: tuple[int, int]
    raw: list[Any]
    theirs: list[Detection]
    ours: list[Detection]


@pytest.fixture(scope="module")
def seen(data_dir, mediapipe_detector) -> list[Seen]:
    """GENKI-4K in its order."""
    blazeface, native, raw = BlazeFace(), mediapipe_detector._detector, []

    class Overheard:
        def detect(self, image: Any) -> Any:
            raw[:] = native.detect(image).detections
            return SimpleNamespace(detections=raw)

    found = []
    mediapipe_detector._detector = Overheard()
    for path in sorted((data_dir / "genki4k" / "files").iterdir()):
        picture = read_picture(path)
        theirs = mediapipe_detector.detect(picture)
        height, width = picture.shape[:2]
        found.append(Seen((width, height), list(raw), theirs, blazeface.detect(picture)))
    mediapipe_detector._detector = native
    return found


@pytest.mark.data
def test_printed_boxes_are_those_that_mediapipe_itself_prints(seen):
    overlaps = []
    for one in seen:
        if one.raw and one.ours:
            best = max(one.raw, key=lambda face: face.categories[0].score).bounding_box
            theirs = Box(best.origin_x, best.origin_y, best.width, best.height)
            printed = Box(*one.ours[0].box.in_whole_pixels(*one.size))
            overlaps.append(printed.intersection_over_union(theirs))
    assert len(overlaps) >= 1980
    assert np.mean(np.array(overlaps) >= 0.95) >= 0.99


@pytest.mark.data
def test_blazeface_agrees_with_mediapipe(seen):
    both = [one for one in seen if one.ours and one.theirs]
    overlaps = [one.ours[0].box.intersection_over_union(one.theirs[0].box) for one in both]
    scores = [abs(one.ours[0].score - one.theirs[0].score) for one in both]
    ours_alone = sum(bool(one.ours) and not one.theirs for one in seen)
    theirs_alone = sum(bool(one.theirs) and not one.ours for one in seen)
    assert len(both) >= 0.99 * len(seen) >= 1980
    assert np.mean(np.array(overlaps) >= 0.95) >= 0.99
    assert ours_alone <= 0.005 * (len(both) + ours_alone)
    assert theirs_alone <= 0.005 * (len(both) + theirs_alone)
    assert np.percentile(scores, 99) < 0.01
