import json
import subprocess
import sys

import numpy as np
import pytest

from edge.benchmarks import tracking
from edge.contract import InputContract
from edge.faces import Box, Detection
from edge.runtime.tracking import Track


class Detects:
    """Finds one face that moves by a hundredth of the frame from picture to picture."""

    def __init__(self):
        self.calls = 0

    def detect(self, picture):
        self.calls += 1
        return [Detection(Box(0.3 + int(picture[0, 0, 0]) / 100, 0.3, 0.3, 0.3), 0.9)]


class Says:
    """Says of a face how bright its crop is."""

    contract = InputContract(width=8, height=8)
    attributes = ("bright",)
    thresholds = (0.5,)
    task = "attributes"

    def probabilities(self, crop):
        return np.array([crop.mean() / 255], np.float32)


@pytest.fixture
def pictures():
    """A textured patch on a bright ground; the first pixel says how far it has moved."""
    texture = np.random.default_rng(0).integers(0, 255, (9, 9, 3)).astype(np.uint8)
    frames = []
    for step in range(12):
        frame = np.full((100, 100, 3), 200, np.uint8)
        frame[30:60, 30 + step : 60 + step] = texture.repeat(4, 0).repeat(4, 1)[:30, :30]
        frame[0, 0] = step
        frames.append(frame)
    return frames


def test_each_number_of_frames_is_compared_with_detection_in_every_frame(pictures):
    detector = Detects()
    report = tracking.measure("patch", pictures, detector, Says(), every=(1, 4), rounds=2)
    assert (report["frames"], report["with a face"]) == (12, 12)
    every, fourth = report["rows"]
    assert [every["every"], fourth["every"]] == [1, 4]
    # Once for the truth, then in each round in every frame, and in every fourth.
    assert detector.calls == 12 + 2 * (12 + 3)
    assert [every["iou"]["p5"], every["held_iou"]["p5"]] == pytest.approx([1, 1])
    assert every["follow_ms"]["p50"] is None
    assert fourth["follow_ms"]["p50"] > 0
    assert fourth["iou"]["p5"] > 0.9
    # Of a width of 30 pixels, the box that was held is 0, 1, 2 and 3 off in turn.
    off = np.mean([(30 - step) / (30 + step) for step in range(4)])
    assert fourth["held_iou"]["mean"] == pytest.approx(off)
    assert fourth["iou"]["mean"] > fourth["held_iou"]["mean"]
    for row in (every, fourth):
        assert (row["faces_agree"], row["labels_agree"], row["ids"]) == (1, 1, 1)
        assert row["fps"] > 0
        assert row["locate_ms"] > 0
    lines = tracking.table({"videos": [report], "delays": tracking.delays()}).splitlines()
    assert lines[0] == (
        "patch: 12 frames, 12 with a face; label flips in 100 frames: 0.0 raw and 0.0 steady"
    )
    rows = [line.split("|")[1].strip() for line in lines if line.startswith("| ")]
    assert rows == ["N", "1", "4"]


def seen(*frames):
    """Frames, each of (x, probability) for its faces, which have their order for ids."""
    tracks = [
        [Track(at, Detection(Box(x, 0, 0.2, 0.2), 0.9)) for at, (x, _) in enumerate(faces, 1)]
        for faces in frames
    ]
    values = [[np.array([said], np.float32) for _, said in faces] for faces in frames]
    return tracking.Seen(tracks, values, [], [])


def test_faces_are_compared_with_those_at_their_place():
    truth = seen([(0.1, 0.9), (0.5, 0.2)], [(0.1, 0.9)], [], [(0.1, 0.4)])
    other = seen([(0.5, 0.3), (0.1, 0.4)], [(0.7, 0.9)], [], [(0.1, 0.4), (0.6, 0.1)])
    agreement = tracking.agreement(truth, other, (0.5,))
    # Of three faces at one place, one has another label; the fourth is nowhere near.
    assert agreement["labels_agree"] == pytest.approx(2 / 3)
    assert agreement["faces_agree"] == pytest.approx(3 / 4)
    assert agreement["iou"]["mean"] == pytest.approx(1)


def test_without_a_face_in_both_there_is_nothing_to_say():
    agreement = tracking.agreement(seen([(0.1, 0.9)]), seen([]), (0.5,))
    assert agreement["iou"] == {"mean": None, "p5": None}
    assert agreement["labels_agree"] is None
    assert tracking.flips(seen([], []), (0.5,)) == {"raw": None, "steady": None}


def test_flips_are_counted_for_each_face_by_itself():
    values = [0.45, 0.55] * 20
    noisy = seen(*[[(0.1, value), (0.5, 0.9)] for value in values])
    # One of two faces flips in every frame after the first.
    assert tracking.flips(noisy, (0.5,)) == {"raw": 50.0, "steady": 0.0}


def test_the_delay_is_that_of_a_run_at_thirty_frames_a_second():
    found = tracking.delays()
    assert [one["to"] for one in found] == [0.95, 0.8, 0.65]
    assert all(60 < one["delay_ms"] < 300 for one in found)
    assert all(one["delay_ms"] * 30 % 1000 == pytest.approx(0, abs=1e-6) for one in found)


def test_the_command_looks_at_the_demo():
    command = [sys.executable, "-m", "edge.benchmarks.tracking", "--frames", "5", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    (demo,) = report["videos"]
    assert (demo["source"], demo["frames"], demo["with a face"]) == ("demo", 5, 5)
    assert [row["every"] for row in demo["rows"]] == list(tracking.EVERY)
    assert report["detector"] == "blazeface"
    assert report["environment"]["cpu"]


def test_a_video_that_is_not_there_is_a_wrong_use():
    done = subprocess.run(
        [sys.executable, "-m", "edge.benchmarks.tracking", "gone.mkv"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "gone.mkv: no such file" in done.stderr
    assert "Traceback" not in done.stderr
