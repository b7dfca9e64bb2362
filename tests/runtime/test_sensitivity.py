from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.assets import fetch
from edge.contract import InputContract, Picture
from edge.datasets import Dataset, Sample
from edge.errors import EdgeError
from edge.faces import Box, Detection
from edge.modelfile import read_model, resolve_model
from edge.runtime.blazeface import BlazeFace
from edge.runtime.classifier import Classifier
from edge.runtime.judge import Judgement, judge
from edge.runtime.sensitivity import FRAME, SIZES, TILTS, measure, scaled, turned

NAN = float("nan")
FACE = Detection(Box(0.25, 0.5, 0.25, 0.25), 0.9)


def picture(side: int = 200, shade: int = 255) -> Picture:
    """Draw a black picture whose face is a square, with a red mark in the middle of its top."""
    drawn = np.zeros((side, side, 3), np.uint8)
    quarter = side // 4
    drawn[2 * quarter : 3 * quarter, quarter : 2 * quarter] = shade
    middle = quarter + quarter // 2
    drawn[2 * quarter : 2 * quarter + 8, middle - 4 : middle + 4] = (0, 0, 255)
    return drawn


class Squares:
    """Finds the grey square of a picture, if it is large enough."""

    def __init__(self, least: float = 0.0, at: Box | None = None) -> None:
        self.least, self.at = least, at

    def detect(self, frame: Picture) -> list[Detection]:
        rows, columns = frame.shape[:2]
        light = np.argwhere((frame[:, :, 0] > 60) & (frame[:, :, 0] != 128))
        if not len(light):
            return []
        (top, left), (bottom, right) = light.min(0), light.max(0) + 1
        if right - left < self.least:
            return []
        box = Box(left / columns, top / rows, (right - left) / columns, (bottom - top) / rows)
        return [Detection(self.at or box, 0.9)]


class Light:
    """Says "Light" by the middle of a crop, and nothing worth knowing of "Other"."""

    contract = InputContract(width=8, height=8, margin=0.0, align_eyes=False)
    attributes = ("Other", "Light")
    thresholds = (0.5, 0.7)
    task = "attributes"
    identity: ClassVar[dict[str, str]] = {}

    def classify(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        light = crops[:, 4, 4, 0].astype(np.float32) / 255
        return np.stack([np.zeros_like(light), light], axis=1)


def judged(folder: Path, shades: list[tuple[int, float]]) -> Judgement:
    samples = []
    for number, (shade, _) in enumerate(shades):
        path = folder / f"{number:02}.png"
        cv2.imwrite(str(path), picture(shade=shade))
        samples.append(Sample(str(path), None, "test"))
    labels = np.array([(NAN, label) for _, label in shades], np.float32)
    data = Dataset("squares", folder, ("Other", "Light"), tuple(samples), labels, {}, "none")
    light = Light()
    return judge(data, Squares(), light.contract, light.classify, attributes=light.attributes)


@pytest.mark.parametrize("size", [0.05, 0.1, 0.3, 0.7])
def test_a_face_is_as_large_as_asked_for_and_in_the_middle(size: float) -> None:
    frame, corners = scaled(picture(), FACE, size)
    assert frame.shape == (FRAME, FRAME, 3)
    light = np.argwhere(frame[:, :, 1] > 135)
    (top, left), (bottom, right) = light.min(0), light.max(0) + 1
    assert right - left == pytest.approx(size * FRAME, abs=2)
    assert (left + right) / 2 == pytest.approx(FRAME / 2, abs=1)
    assert corners[2] - corners[0] == pytest.approx(np.full(2, size * FRAME), abs=2)
    assert corners.mean(axis=0) == pytest.approx(np.full(2, FRAME / 2))
    assert corners[0] == pytest.approx((left, top), abs=1.5)
    assert corners[2] == pytest.approx((right, bottom), abs=1.5)


def test_around_a_small_picture_is_neutral_ground() -> None:
    frame, _ = scaled(picture(), FACE, 0.05)
    assert (frame[0, 0] == 128).all()
    assert (frame == 128).mean() > 0.9


@pytest.mark.parametrize(
    ("tilt", "mark"), [(0.0, (0, -1)), (90.0, (1, 0)), (-90.0, (-1, 0)), (45.0, (0.707, -0.707))]
)
def test_a_turn_is_clockwise_about_the_face(tilt: float, mark: tuple[float, float]) -> None:
    frame, corners = turned(picture(), FACE, tilt)
    assert frame.shape == (200, 200, 3)
    center = np.array([75.0, 125.0])
    assert corners.mean(axis=0) == pytest.approx(center)
    red = np.argwhere((frame[:, :, 2] > 200) & (frame[:, :, 0] < 60))
    place = red.mean(axis=0)[::-1] + 0.5 - center
    assert place == pytest.approx(np.array(mark) * 21, abs=1)
    upper = (corners[0] + corners[1]) / 2 - center
    assert upper == pytest.approx(np.array(mark) * 25, abs=0.1)


def test_what_a_turn_brings_in_is_the_border() -> None:
    plain = picture()
    plain[plain.sum(axis=2) == 0] = 40
    frame, _ = turned(plain, FACE, 45.0)
    assert frame.min(axis=2)[0].min() == 40
    assert (frame[[0, 0, -1, -1], [0, -1, 0, -1]] == 40).all()


def test_small_faces_are_missed_and_count_as_wrong(tmp_path: Path) -> None:
    said = judged(tmp_path, [(250, 1.0), (240, 1.0), (100, 0.0), (90, 0.0)])
    found = measure(Light(), Squares(least=50), said, sizes=(0.05, 0.5), tilts=(0.0, 30.0))
    assert (found.attribute, found.threshold, found.pictures) == ("Light", 0.7, 4)
    small, large = found.sizes
    assert (small.at, small.detected, small.accuracy) == (0.05, 0.0, 0.0)
    assert (small.positive, small.negative) == (None, None)
    assert (large.detected, large.accuracy) == (1.0, 1.0)
    assert large.positive == pytest.approx(245 / 255, abs=0.01)
    assert large.negative == pytest.approx(95 / 255, abs=0.01)
    assert [step.at for step in found.tilts] == [0.0, 30.0]
    assert found.to_json()["sizes"][1]["accuracy"] == 1.0


def test_the_threshold_of_the_subject_decides(tmp_path: Path) -> None:
    # 160 / 255 is above a half, and below the 0.7 from which "Light" is said.
    said = judged(tmp_path, [(160, 1.0), (160, 0.0)])
    found = measure(Light(), Squares(), said, sizes=(0.5,), tilts=())
    assert found.sizes[0].accuracy == 0.5


def test_a_face_found_elsewhere_is_not_the_one_looked_for(tmp_path: Path) -> None:
    said = judged(tmp_path, [(250, 1.0), (100, 0.0)])

    class Corner(Squares):
        def detect(self, frame: Picture) -> list[Detection]:
            if frame.shape[0] == FRAME:
                return [Detection(Box(0.0, 0.0, 0.2, 0.2), 0.9)]
            return super().detect(frame)

    found = measure(Light(), Corner(), said, sizes=(0.5,), tilts=(15.0,))
    assert (found.sizes[0].detected, found.sizes[0].accuracy) == (0.0, 0.0)
    assert (found.tilts[0].detected, found.tilts[0].accuracy) == (1.0, 1.0)


def test_half_of_each_label_is_taken_and_the_seed_chooses(tmp_path: Path) -> None:
    shades = [(150 + at, 1.0) for at in range(12)] + [(100, 0.0)] * 3 + [(0, 1.0)] * 3
    said = judged(tmp_path, shades)
    assert said.detected.sum() == 15

    def positive(most: int, seed: int) -> float | None:
        one = measure(Light(), Squares(), said, most=most, seed=seed, sizes=(0.5,), tilts=())
        assert one.pictures == most
        return one.sizes[0].positive

    # 4 of 12 bright ones; the means of two choices differ.
    assert positive(6, 0) == positive(6, 0) != positive(6, 1)
    assert positive(15, 0) == positive(15, 1)
    assert measure(Light(), Squares(), said, sizes=(0.5,), tilts=()).pictures == 15


def test_nothing_to_measure_is_said(tmp_path: Path) -> None:
    said = judged(tmp_path, [(0, 1.0), (0, 0.0)])
    with pytest.raises(EdgeError, match="no picture of squares has both a face and a label"):
        measure(Light(), Squares(), said)


def test_people_are_right_when_the_best_one_is(tmp_path: Path) -> None:
    class People(Light):
        attributes = ("dark", "light")
        thresholds = (0.0, 0.0)
        task = "identity"

        def classify(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
            light = crops[:, 4, 4, 0].astype(np.float32) / 255
            return np.stack([1 - light, light], axis=1)

    samples = []
    for number, shade in enumerate([250, 100, 100]):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(shade=shade))
        samples.append(Sample(str(tmp_path / f"{number}.png"), None, "test"))
    data = Dataset(
        "two", tmp_path, ("identity",), tuple(samples), np.array([[1], [0], [1]], np.float32), {},
        "none", ("dark", "light"),
    )  # fmt: skip
    people = People()
    said = judge(data, Squares(), people.contract, people.classify, attributes=people.attributes)
    found = measure(people, Squares(), said, sizes=(0.5,), tilts=())
    assert found.attribute == "identity"
    assert found.sizes[0].accuracy == pytest.approx(2 / 3)
    own = (250 / 255 + 155 / 255 + 100 / 255) / 3
    assert (found.sizes[0].positive, found.sizes[0].negative) == (
        pytest.approx(own, abs=0.01),
        None,
    )


def test_the_demo_face_is_lost_when_tiny_and_found_when_large(tmp_path: Path) -> None:
    subject = Classifier(read_model(resolve_model("default")))
    data = Dataset(
        "demo", tmp_path, ("Smiling", "Male"), (Sample(str(fetch("demo")), None, "test"),),
        np.array([[1, 0]], np.float32), {}, "none",
    )  # fmt: skip
    detector = BlazeFace()
    said = judge(data, detector, subject.contract, subject.classify, attributes=subject.attributes)
    found = measure(subject, detector, said, sizes=(SIZES[0], 0.3, SIZES[-1]), tilts=(0.0, 30.0))
    assert [step.detected for step in found.sizes] == [0.0, 1.0, 1.0]
    assert [step.accuracy for step in found.sizes] == [0.0, 1.0, 1.0]
    assert [step.accuracy for step in found.tilts] == [1.0, 1.0]
    assert (TILTS[0], TILTS[-1], len(TILTS)) == (-90.0, 90.0, 13)
