"""YuNet and the Haar cascade: what they find, framed as BlazeFace frames it."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from edge.assets import fetch
from edge.errors import EdgeError
from edge.faces import Box
from edge.images import read_picture
from edge.runtime.blazeface import BlazeFace
from edge.runtime.opencv_detectors import Framing, HaarCascade, YuNet


@pytest.fixture(scope="module")
def yunet():
    return YuNet()


@pytest.fixture(scope="module")
def haar():
    if not hasattr(cv2, "CascadeClassifier"):
        reason = f"OpenCV {cv2.__version__} as it is installed has no cascades"
        if os.environ.get("EDGE_REQUIRE_HAAR") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return HaarCascade()


@pytest.fixture(params=["yunet", "haar"])
def detector(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def portrait():
    return read_picture(fetch("demo"))


def test_a_box_becomes_a_square_below_its_middle():
    box = Framing(side=0.5, drop=0.1).frame((10, 20, 40, 90), 100, 200)
    assert box.in_pixels(100, 200) == pytest.approx((15, 59, 30, 30))


def test_frames_the_portrait_as_blazeface_does(detector, portrait):
    [face], [reference] = detector.detect(portrait), BlazeFace().detect(portrait)
    assert face.box.intersection_over_union(reference.box) > 0.75
    assert 0.5 < face.score < 1


def test_yunet_gives_the_eyes_in_blazefaces_order(yunet, portrait):
    [face], [reference] = yunet.detect(portrait), BlazeFace().detect(portrait)
    assert np.array(face.eyes) == pytest.approx(np.array(reference.eyes), abs=0.02)


def test_haar_finds_no_eyes(haar, portrait):
    [face] = haar.detect(portrait)
    assert face.eyes is None
    assert face.tilt(512, 512) == 0


def test_the_best_comes_first(detector, portrait):
    worse = cv2.GaussianBlur(portrait, (0, 0), 2)
    scores = [face.score for face in detector.detect(np.hstack([worse, portrait]))]
    assert len(scores) == 2
    assert scores[0] > scores[1]


def test_one_picture_leaves_no_trace_in_the_next(detector, portrait):
    before = detector.detect(portrait)
    detector.detect(portrait[:301, :203])
    assert detector.detect(portrait) == before


def test_takes_a_view_of_a_picture(detector, portrait):
    view = portrait[10:400, 20:450]
    assert detector.detect(view) == detector.detect(np.ascontiguousarray(view)) != []


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (9, 9), (33, 31), (240, 320)])
def test_finds_nothing_where_there_is_nothing(detector, shape):
    assert detector.detect(np.zeros((*shape, 3), np.uint8)) == []


def test_says_which_opencv_has_cascades(monkeypatch):
    monkeypatch.delattr(cv2, "CascadeClassifier", raising=False)
    with pytest.raises(EdgeError, match=f"OpenCV {cv2.__version__} lacks") as caught:
        HaarCascade()
    assert caught.value.hint == (
        "pip install 'opencv-python-headless<5', or choose --detector yunet"
    )


def test_yunet_starts_without_a_word():
    code = (
        "import numpy as np; from edge.runtime.opencv_detectors import YuNet;"
        "print(YuNet().detect(np.zeros((90, 90, 3), np.uint8)))"
    )
    child = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert (child.stdout, child.stderr) == ("[]\n", "")


def test_threads_are_those_asked_for():
    before = cv2.getNumThreads()
    try:
        YuNet(threads=2)
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "least_found", "least_overlap"), [("yunet", 0.98, 0.82), ("haar", 0.8, 0.78)]
)
def test_sees_photographs_as_blazeface_does(data_dir, request, name, least_found, least_overlap):
    detector, blazeface = request.getfixturevalue(name), BlazeFace()
    paths = sorted((data_dir / "genki4k" / "files").iterdir())[:200]
    found, overlaps = 0, []
    for path in paths:
        picture = read_picture(path)
        ours, reference = detector.detect(picture), blazeface.detect(picture)
        found += bool(ours)
        if ours and reference:
            overlaps.append(ours[0].box.intersection_over_union(reference[0].box))
            assert all(_holds(ours[0].box, eye) for eye in ours[0].eyes or ())
    assert found / len(paths) >= least_found
    assert np.median(overlaps) >= least_overlap


def _holds(box: Box, point: tuple[float, float]) -> bool:
    x, y = point
    return box.x < x < box.x + box.width and box.y < y < box.y + box.height
