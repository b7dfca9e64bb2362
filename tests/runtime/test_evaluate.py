import io
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from edge.contract import InputContract, Picture
from edge.datasets import Dataset, Sample
from edge.errors import EdgeError
from edge.faces import Box, Detection
from edge.identities import identities_of
from edge.runtime.evaluate import (
    attribute_scores,
    evaluate_subject,
    roc_auc,
    scores_of,
)
from edge.runtime.judge import Judgement, cut_again, judge
from edge.runtime.screen import evaluation_table

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
    for number, (left, right, _) in enumerate(pictures):
        path = folder / f"{number:03}.png"
        picture = np.full((40, 80, 3), left, np.uint8)
        picture[:, 40:] = right
        cv2.imwrite(str(path), picture)
        samples.append(Sample(str(path), None, "test"))
    labels = np.array([own for _, _, own in pictures], np.float32)
    return Dataset("shades", folder, ("Bright", "Dark"), tuple(samples), labels, {}, "none")


def run(data: Dataset, crop: str = "detect") -> dict:
    judgement = judge(data, Eyes(), CONTRACT, brightness, attributes=("Bright", "Dark"),
                      crop=crop)  # type: ignore[arg-type]  # fmt: skip
    return scores_of(judgement, (0.5, 0.5))


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


class Shade:
    """Tells two people by how bright they are."""

    contract = CONTRACT
    attributes = ("dusk", "noon")
    thresholds = (0.0, 0.0)
    task = "identity"
    identity: ClassVar = {"name": "shade", "variant": "none", "sha256": ""}

    def classify(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return brightness(crops)[:, ::-1]


def people(folder: Path) -> Path:
    """Write a folder a person: five pictures of noon and of dusk, and a third one unknown."""
    for name, shade in (("noon", 220), ("dusk", 40), ("dawn", 120)):
        (folder / name).mkdir()
        for number in range(5):
            picture = np.full((40, 80, 3), shade, np.uint8)
            cv2.imwrite(str(folder / name / f"{number}.png"), picture)
    return folder


def test_people_are_scored_by_who_they_are(tmp_path: Path) -> None:
    data = identities_of(people(tmp_path), "folder", Shade.attributes)
    cv2.imwrite(str(data.samples[0].path), np.zeros((40, 80, 3), np.uint8))  # no face
    shade = Shade()

    judgement = judge(data, Eyes(), CONTRACT, shade.classify, attributes=shade.attributes)
    found = scores_of(judgement, (0.0, 0.0))
    assert (found["samples"], found["detected"]) == (10, 9)
    assert list(found["attributes"]) == ["identity"]
    scores = found["attributes"]["identity"]
    assert (scores["accuracy"], scores["top5"], scores["labelled"]) == (0.9, 0.9, 10)
    assert scores_of(judgement, (1.0, 1.0))["attributes"]["identity"]["accuracy"] == 0


@pytest.mark.parametrize(("split", "samples"), [("train", 8), ("test", 2), ("all", 10)])
def test_a_network_of_people_is_measured_on_its_own_people(
    tmp_path: Path, split: str, samples: int
) -> None:
    found = evaluate_subject(
        Shade(), people(tmp_path), kind="folder", split=split, crop="whole", detector="blazeface",
        runtime="auto", threads=1, warn=lambda sentence: None,
    )  # fmt: skip
    assert (found["dataset"], found["samples"]) == ("folder", samples)
    assert found["attributes"]["identity"]["accuracy"] == 1.0
    stream = io.StringIO()
    Console(file=stream, width=120).print(evaluation_table(found))
    assert "identity" in stream.getvalue()
    assert "among the five most probable people: 1.0000" in stream.getvalue()


def test_a_data_set_without_any_of_the_attributes_is_refused(tmp_path: Path) -> None:
    data = dataset(tmp_path, [(200, 200, (NAN, NAN))])
    with pytest.raises(EdgeError, match="no labels for Bright, Dark"):
        run(data)


def test_progress_counts_every_picture(tmp_path: Path) -> None:
    data = dataset(tmp_path, [(200, 200, (1.0, 0.0))] * 70)
    done: list[int] = []
    judge(data, Eyes(), CONTRACT, brightness, attributes=("Bright", "Dark"), progress=done.append)
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


def judged(data: Dataset, crop: str = "detect") -> Judgement:
    return judge(data, Eyes(), CONTRACT, brightness, attributes=("Bright", "Dark"),
                 crop=crop)  # type: ignore[arg-type]  # fmt: skip


def test_a_judgement_holds_every_picture(tmp_path: Path) -> None:
    data = dataset(tmp_path, [(200, 20, (1.0, 0.0)), (0, 0, (0.0, NAN)), (30, 30, (0.0, 1.0))])
    data.samples[2].path.write_bytes(b"no picture")
    found = judged(data)
    assert found.readable.tolist() == [True, True, False]
    assert found.detected.tolist() == [True, False, False]
    assert found.values[0] == pytest.approx([200 / 255, 55 / 255])
    assert np.isnan(found.values[1:]).all()
    assert np.array_equal(found.labels, [[1, 0], [0, NAN], [0, 1]], equal_nan=True)
    assert judged(data, "whole").values[1] == pytest.approx([0, 1])


def test_the_scores_are_those_of_the_judgement(tmp_path: Path) -> None:
    data = dataset(tmp_path, [(200, 20, (1.0, 0.0)), (0, 0, (0.0, 1.0)), (30, 30, (0.0, 1.0))])
    assert scores_of(judged(data), (0.5, 0.5)) == run(data)
    assert scores_of(judged(data), (0.9, 0.5))["attributes"]["Bright"]["accuracy"] == 1 / 3


@pytest.mark.parametrize("crop", ["detect", "whole"])
def test_a_crop_can_be_cut_again(tmp_path: Path, crop: str) -> None:
    data = dataset(tmp_path, [(200, 20, (1.0, 0.0)), (0, 0, (0.0, 1.0)), (30, 90, (0.0, 1.0))])
    seen: list[NDArray[np.uint8]] = []

    def classify(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen.append(crops)
        return brightness(crops)

    found = judge(data, Eyes(), CONTRACT, classify, attributes=("Bright", "Dark"),
                  crop=crop)  # type: ignore[arg-type]  # fmt: skip
    again = cut_again(found, [2, 0], Eyes(), CONTRACT, crop)  # type: ignore[arg-type]
    assert (again == seen[0][[-1, 0]]).all()


def test_what_is_printed_is_what_was_judged(tmp_path: Path) -> None:
    class Bright:
        contract = CONTRACT
        attributes = ("Bright",)
        thresholds = (0.5,)
        task = "attributes"
        identity: ClassVar = {"name": "bright", "variant": "none", "sha256": ""}

        def classify(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
            return brightness(crops)[:, :1]

    for name, shade in (("bright/a.png", 200), ("dark/b.png", 30)):
        (tmp_path / name).parent.mkdir()
        cv2.imwrite(str(tmp_path / name), np.full((40, 40, 3), shade, np.uint8))
    kept: list[Judgement] = []
    result = evaluate_subject(
        Bright(), tmp_path, kind="folder", split="all", crop="whole", detector=None,
        runtime="auto", threads=1, warn=lambda sentence: None, keep=kept.append,
    )  # fmt: skip
    assert list(result) == [
        "model", "dataset", "split", "crop", "detector", "samples", "detected", "unreadable",
        "attributes",
    ]  # fmt: skip
    assert list(result["attributes"]["Bright"]) == [
        "accuracy", "ci95", "f1", "roc_auc", "threshold", "positives", "labelled",
    ]  # fmt: skip
    assert scores_of(kept[0], (0.5,))["attributes"] == result["attributes"]
    assert sorted(kept[0].values[:, 0].tolist()) == pytest.approx([30 / 255, 200 / 255])
