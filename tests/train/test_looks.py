"""All figures of a training and of an evaluation, with plain arrays."""

import json

import cv2
import numpy as np
import pytest

from edge.assets import fetch
from edge.contract import InputContract
from edge.datasets import Dataset, Sample
from edge.errors import EdgeError
from edge.modelfile import read_model, resolve_model
from edge.runtime.classifier import Classifier
from edge.runtime.evaluate import evaluate_subject
from edge.train.facecache import Faces
from edge.train.looks import keep_evaluation, label_counts, require_folder, training_plots
from edge.train.told import Told, figures_of

NAN = float("nan")
CONTRACT = InputContract(width=16, height=16)
HISTORY = [{"epoch": 1, "rate": 1e-3, "loss": 1.0, "val_loss": 0.9, "val_accuracy": {"Smiling": 1}}]


def faces(labels):
    """Return faces without a rim, of noise."""
    count = len(labels)
    crops = np.random.default_rng(0).integers(0, 255, (count, 16, 16, 3)).astype(np.uint8)
    places = np.stack([np.zeros(count, np.int64), np.arange(count)], axis=1)
    return Faces(CONTRACT, (0, 0), (crops,), places, np.array(labels, np.float32), {})


def names_of(written):
    paths = list(written)
    for path in paths:
        assert cv2.imread(str(path)).std() > 2, path
    return {path.stem for path in paths}


def test_a_training_is_drawn_whole(tmp_path):
    random = np.random.default_rng(0)
    # A third column that the finished network does not answer, and an attribute without labels.
    labels = (random.random((30, 3)) < 0.5).astype(np.float32)
    labels[:, 1] = NAN
    validation = faces(labels)
    written = training_plots(
        tmp_path,
        history=HISTORY,
        faces=validation,
        names=[f"{at}.jpg" for at in range(30)],
        probabilities=random.random((30, 2)).astype(np.float32),
        answers=("Smiling", "5/o'Clock"),
        thresholds=(0.5, 0.5),
        counts={"a, train": {"Smiling": (1, 2, 3)}},
        examples=(validation.crops([0, 1]), np.zeros((2, 10, 16, 16, 3), np.uint8)),
        layers=[("conv", random.random((8, 8, 4)).astype(np.float32))],
        features=random.random((20, 8)).astype(np.float32),
    )
    assert names_of(written) == {
        "curves", "label_balance", "samples", "augmentations", "confusion", "roc", "calibration",
        "worst-Smiling", "feature_maps", "tsne",
    }  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in written}


def test_a_training_on_people_is_drawn_whole(tmp_path):
    random = np.random.default_rng(0)
    written = training_plots(
        tmp_path,
        history=HISTORY,
        faces=faces(random.integers(0, 3, (30, 1))),
        names=[f"{at}.jpg" for at in range(30)],
        probabilities=random.dirichlet(np.ones(3), 30).astype(np.float32),
        answers=("Ann", "Bob", "Cyd"),
        thresholds=(0.0, 0.0, 0.0),
        counts={},
        people=True,
        features=random.random((30, 8)).astype(np.float32),
    )
    assert names_of(written) == {
        "curves", "samples", "confusion", "calibration", "worst-identity", "tsne",
    }  # fmt: skip


def test_the_worst_crops_are_those_of_the_worst_faces(tmp_path, monkeypatch):
    from edge.train import mistakes

    drawn = {}
    monkeypatch.setattr(
        mistakes, "sample_grid",
        lambda crops, captions, path, **_: drawn.update(crops=crops, captions=captions),
    )  # fmt: skip
    validation = faces([[1], [1], [0], [1]])
    training_plots(
        tmp_path, history=HISTORY, faces=validation, names=[f"{at}.jpg" for at in range(4)],
        probabilities=np.array([[0.4], [0.9], [0.95], [0.1]], np.float32),
        answers=("Smiling",), thresholds=(0.5,), counts={},
    )  # fmt: skip
    assert [caption.split("\n")[1] for caption in drawn["captions"]] == ["2.jpg", "3.jpg", "0.jpg"]
    assert (drawn["crops"] == validation.crops([2, 3, 0])).all()


def test_of_many_attributes_the_first_have_sheets_of_mistakes():
    answers = [f"attribute {at}" for at in range(40)]
    told = Told(
        probabilities=np.full((3, 40), 0.9, np.float32), labels=np.zeros((3, 40), np.float32),
        answers=answers, thresholds=[0.5] * 40, people=False, names=["a.jpg"] * 3,
        crops=faces([[0]] * 3).crops, colour="RGB", title="three faces",
    )  # fmt: skip
    sheets = [name for name in figures_of(told, 0) if name.startswith("worst")]
    assert sheets == [f"worst-attribute_{at}" for at in range(8)]


def test_labels_are_counted_by_split(tmp_path):
    splits = ("train", "train", "test")
    samples = tuple(Sample(f"{at}.png", None, split) for at, split in enumerate(splits))
    labels = np.array([(1, 0), (1, NAN), (0, NAN)], np.float32)
    data = Dataset("a", tmp_path, ("x", "y"), samples, labels, {}, "none")
    assert label_counts([data]) == {
        "a, train": {"x": (2, 0, 0), "y": (0, 1, 1)},
        "a, test": {"x": (0, 1, 0), "y": (0, 0, 1)},
    }
    person = Sample("a.png", None, "train")
    people = Dataset(
        "p", tmp_path, ("identity",), (person,), np.ones((1, 1), np.float32), {}, "none",
        ("Ann", "Bob"),
    )  # fmt: skip
    assert label_counts([people]) == {}


@pytest.fixture(scope="module")
def subject():
    return Classifier(read_model(resolve_model("default")))


@pytest.fixture
def pictures(tmp_path):
    """Two smiles, one that is said to be none, and a picture without a face."""
    root = tmp_path / "pictures"
    for name in ("smiling/a.png", "smiling/b.png", "not_smiling/c.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(fetch("demo").read_bytes())
    cv2.imwrite(str(root / "not_smiling" / "d.png"), np.zeros((64, 64, 3), np.uint8))
    return root


def evaluated(subject, root, crop="detect"):
    kept = []
    result = evaluate_subject(
        subject, root, kind="auto", split="all", crop=crop, detector=None, runtime="auto",
        threads=1, warn=kept.append, keep=kept.append,
    )  # fmt: skip
    return kept[-1], result


def kept_in(subject, judgement, result, run, plots):
    told, warned = [], []
    keep_evaluation(
        judgement, subject, result, run=run, plots=plots, runtime="auto", threads=1,
        report=told.append, warn=warned.append,
    )  # fmt: skip
    return told, warned


@pytest.mark.parametrize("crop", ["detect", "whole"])
def test_an_evaluation_is_drawn_whole(tmp_path, subject, pictures, crop):
    judgement, result = evaluated(subject, pictures, crop)
    folder = tmp_path / "plots"
    told, _ = kept_in(subject, judgement, result, None, folder)
    assert told == [f"figures in {folder}"]
    assert names_of(folder.glob("*.png")) == {
        "label_balance", "samples", "confusion", "roc", "calibration", "worst-Smiling", "crops",
        "sensitivity",
    }  # fmt: skip
    crops = json.loads((folder / "crops.json").read_text())
    assert crops[crop] == result["attributes"]
    other = {"detect": "whole", "whole": "detect"}[crop]
    assert crops[other] == evaluated(subject, pictures, other)[1]["attributes"]
    sensitivity = json.loads((folder / "sensitivity.json").read_text())
    assert (sensitivity["attribute"], sensitivity["pictures"]) == ("Smiling", 3)


def test_a_run_keeps_its_evaluations_with_the_quick_figures(tmp_path, subject, pictures):
    judgement, result = evaluated(subject, pictures)
    told, warned = kept_in(subject, judgement, result, tmp_path / "run", None)
    folder = tmp_path / "run" / "evaluations"
    assert json.loads((folder / "folder-pictures-all-detect.json").read_text()) == result
    assert told == [f"figures in {folder / 'folder-pictures-all-detect'}"]
    assert warned == []
    assert names_of((folder / "folder-pictures-all-detect").iterdir()) == {
        "label_balance", "samples", "confusion", "roc", "calibration", "worst-Smiling",
    }  # fmt: skip


def test_figures_asked_for_elsewhere_are_not_in_the_run(tmp_path, subject, pictures):
    judgement, result = evaluated(subject, pictures)
    kept_in(subject, judgement, result, tmp_path / "run", tmp_path / "plots")
    assert [path.name for path in (tmp_path / "run" / "evaluations").iterdir()] == [
        "folder-pictures-all-detect.json"
    ]
    assert (tmp_path / "plots" / "sensitivity.png").exists()


def test_a_run_that_cannot_be_written_is_a_warning(tmp_path, subject, pictures):
    judgement, result = evaluated(subject, pictures)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "evaluations").write_text("in the way")
    told, warned = kept_in(subject, judgement, result, tmp_path / "run", None)
    assert told == []
    assert len(warned) == 1
    assert "cannot write" in warned[0]


def test_pictures_without_any_face_are_drawn_as_such(tmp_path, subject):
    for name in ("smiling/a.png", "not_smiling/b.png"):
        (tmp_path / "none" / name).parent.mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "none" / name), np.zeros((64, 64, 3), np.uint8))
    judgement, result = evaluated(subject, tmp_path / "none")
    assert result["detected"] == 0
    kept_in(subject, judgement, result, None, tmp_path / "plots")
    assert (tmp_path / "plots" / "sensitivity.png").exists()
    assert not (tmp_path / "plots" / "sensitivity.json").exists()


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EdgeError, match="cannot make"):
        require_folder(tmp_path / "file")
    require_folder(tmp_path / "new" / "folder")
    assert (tmp_path / "new" / "folder").is_dir()
