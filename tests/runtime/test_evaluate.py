from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.contract import InputContract, Picture
from edge.datasets import Dataset, Sample
from edge.errors import EdgeError
from edge.faces import Box, Detection
from edge.runtime.evaluate import attribute_scores, evaluate, roc_auc

CONTRACT = InputContract(width=16, height=16, margin=0.0, align_eyes=False)
NAN = float("nan")


class Eyes:
    """Finds one face in any picture that is not black, and a worse one beside it."""

    def detect(self, picture: Picture) -> list[Detection]:
        if not picture.any():
            return []
        return [Detection(Box(0, 0, 0.5, 1), 0.9), Detection(Box(0.5, 0, 0.5, 1), 0.6)]


def brightness(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Say "Bright" by the middle of the crop, and "Dark" as its opposite."""
    bright = crops[:, 8, 8, 0].astype(np.float32) / 255
    return np.stack([bright, 1 - bright], axis=1)


def dataset(folder: Path, pictures: list[tuple[int, int, tuple[float, ...]]]) -> Dataset:
    """Write pictures by the shades of their halves, with labels."""
    samples = []
    for number, (left, right, labels) in enumerate(pictures):
        path = folder / f"{number:03}.png"
        picture = np.full((40, 80, 3), left, np.uint8)
        picture[:, 40:] = right
        cv2.imwrite(str(path), picture)
        samples.append(Sample(path, None, labels, "test"))
    return Dataset("shades", folder, ("Bright", "Dark"), tuple(samples), {}, "none")


def run(data: Dataset, crop: str = "detect") -> dict:
    return evaluate(data, Eyes(), CONTRACT, brightness, (0.5, 0.5),
                    attributes=("Bright", "Dark"), crop=crop)  # type: ignore[arg-type]  # fmt: skip


def test_the_best_face_is_judged(tmp_path: Path) -> None:
    data = dataset(tmp_path, [(200, 20, (1.0, 0.0)), (30, 220, (0.0, 1.0))] * 3)
    found = run(data)
    assert (found["samples"], found["detected"], found["unreadable"]) == (6, 6, 0)
    bright = found["attributes"]["Bright"]
    assert (bright["accuracy"], bright["f1"], bright["roc_auc"]) == (1.0, 1.0, 1.0)
    assert (bright["positives"], bright["threshold"]) == (3, 0.5)
    low, high = bright["ci95"]
    assert 0.5 < low < high == 1.0


def test_a_picture_without_a_face_is_wrong_for_every_attribute(tmp_path: Path) -> None:
    data = dataset(tmp_path, [(200, 200, (1.0, 0.0)), (30, 30, (0.0, 1.0)), (0, 0, (0.0, 1.0))])
    found = run(data)
    assert (found["samples"], found["detected"]) == (3, 2)
    assert found["attributes"]["Bright"]["accuracy"] == pytest.approx(2 / 3)
    assert found["attributes"]["Dark"]["accuracy"] == pytest.approx(2 / 3)
    # The missed one was "Dark", so that is a false yes for one and a missed yes for the other.
    assert found["attributes"]["Bright"]["f1"] == pytest.approx(2 / 3)


def test_the_whole_picture_needs_no_face_but_says_how_many_have_one(tmp_path: Path) -> None:
    data = dataset(tmp_path, [(200, 200, (1.0, 0.0)), (0, 0, (0.0, 1.0))])
    found = run(data, "whole")
    assert found["attributes"]["Bright"]["accuracy"] == 1.0
    assert found["detected"] == 1


def test_unknown_labels_are_left_out_for_each_attribute(tmp_path: Path) -> None:
    data = dataset(tmp_path, [(200, 200, (1.0, NAN)), (30, 30, (1.0, NAN)), (30, 30, (NAN, 1.0))])
    found = run(data)["attributes"]
    assert (found["Bright"]["labelled"], found["Bright"]["accuracy"]) == (2, 0.5)
    assert (found["Dark"]["labelled"], found["Dark"]["accuracy"]) == (1, 1.0)
    assert found["Bright"]["roc_auc"] is None


def test_an_attribute_without_labels_is_not_reported(tmp_path: Path) -> None:
    data = dataset(tmp_path, [(200, 200, (1.0, NAN))])
    assert list(run(data)["attributes"]) == ["Bright"]


def test_unreadable_pictures_are_counted_apart(tmp_path: Path) -> None:
    data = dataset(tmp_path, [(200, 200, (1.0, 0.0)), (30, 30, (1.0, 0.0))])
    data.samples[1].path.write_bytes(b"no picture")
    found = run(data)
    assert (found["samples"], found["unreadable"]) == (1, 1)
    assert found["attributes"]["Bright"]["accuracy"] == 1.0
    data.samples[0].path.unlink()
    with pytest.raises(EdgeError, match="none of the 2 pictures"):
        run(data)


def test_a_data_set_without_any_of_the_attributes_is_refused(tmp_path: Path) -> None:
    data = dataset(tmp_path, [(200, 200, (NAN, NAN))])
    with pytest.raises(EdgeError, match="no labels for Bright, Dark"):
        run(data)


def test_progress_counts_every_picture(tmp_path: Path) -> None:
    data = dataset(tmp_path, [(200, 200, (1.0, 0.0))] * 70)
    done: list[int] = []
    evaluate(data, Eyes(), CONTRACT, brightness, (0.5, 0.5), attributes=("Bright", "Dark"),
             progress=done.append)  # fmt: skip
    assert sum(done) == 70


def test_auc_is_the_share_of_pairs_in_order() -> None:
    random = np.random.default_rng(4)
    truth = random.random(60) < 0.4
    values = np.round(random.random(60), 1).astype(np.float32)
    yes, no = values[truth][:, None], values[~truth][None]
    pairs = (yes > no).mean() + (yes == no).mean() / 2
    assert roc_auc(truth, values) == pytest.approx(pairs)
    assert roc_auc(np.ones(3, bool), np.ones(3, np.float32)) is None


def test_a_threshold_belongs_to_yes() -> None:
    labels, values = np.array([1, 0], np.float32), np.array([0.5, 0.49], np.float32)
    assert attribute_scores(labels, values, 0.5)["accuracy"] == 1.0
