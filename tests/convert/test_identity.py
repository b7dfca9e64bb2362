"""A network of people, from its run folder to what `edge run` and `edge evaluate` say."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.assets import fetch
from edge.contract import InputContract
from edge.convert.convert import convert
from edge.errors import EdgeError
from edge.images import read_picture
from edge.modelfile import read_model
from edge.runtime.classifier import Classifier
from edge.runtime.evaluate import evaluate_subject
from edge.runtime.outputs import JsonLines
from edge.runtime.run import RunOptions
from edge.runtime.run import run as run_pipeline
from edge.train.facecache import cut_faces
from edge.train.job import Job, config_of, load_data
from edge.train.recipes import recipe_named
from tests.convert.conftest import build_people

SHADES = {"ann": 0.3, "bob": 0.45, "cyd": 0.6, "dan": 0.75, "eve": 0.9, "fay": 1.05}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one folder a person: one face in six lights, five times each."""
    root = tmp_path_factory.mktemp("people")
    face = read_picture(fetch("demo"))[:300, 100:400]
    for name, shade in SHADES.items():
        (root / name).mkdir()
        for number in range(5):
            picture = np.clip(np.roll(face, 7 * number, axis=1) * shade, 0, 255)
            cv2.imwrite(str(root / name / f"{name}-{number}.png"), picture.astype(np.uint8))
    return root


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    contract = InputContract(width=32, height=32)
    recipe = replace(recipe_named("celeb-cnn"), contract=contract, people=6)
    job = Job(recipe=recipe, data=((data, "folder"),), attributes=("identity",), seed=4)
    (dataset,) = load_data(job)
    faces = cut_faces([dataset], contract)
    build_people(6, faces.crops(range(len(faces)))).save(folder / "model.keras")
    (folder / "config.json").write_text(json.dumps(config_of(job, "people", [dataset])))
    return folder


@pytest.fixture(scope="module")
def report(run: Path) -> dict[str, Any]:
    return convert(run, ["float32", "int8"], calibration=12)


def test_the_report_speaks_of_identity(report: dict[str, Any]) -> None:
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["samples"] == len(SHADES)  # the test picture of each person
    assert 0 <= report["agreement"] <= 1
    for entry in (report["reference"], *report["variants"]):
        for what in ("accuracy", "ci95", "drop_points", "flips"):
            assert list(entry[what]) == ["identity"]


def test_the_card_names_the_people(run: Path, report: dict[str, Any]) -> None:
    card = read_model(run / "people-int8.tflite").card
    assert (card.task, card.attributes, card.thresholds) == ("identity", (*SHADES,), (0.0,) * 6)
    assert card.accuracy["int8"]["identity"]["samples"] == 6
    assert card.data["folder"]["counts"] == {"train": 24, "val": 0, "test": 6}
    assert card.calibration is not None
    drawn = [name[:3] for name in card.calibration["names"]]
    assert {name: drawn.count(name) for name in SHADES} == dict.fromkeys(SHADES, 2)


def test_it_is_evaluated_as_it_was_converted(run: Path, data: Path, report: dict[str, Any]) -> None:
    for entry in report["variants"]:
        scores = evaluate_subject(
            Classifier(read_model(Path(entry["file"]))), data, kind="folder", split="test",
            crop="detect", detector=None, runtime="auto", threads=1, warn=pytest.fail,
        )  # fmt: skip
        assert (scores["samples"], scores["detected"]) == (6, 6)
        assert scores["attributes"]["identity"]["accuracy"] == entry["accuracy"]["identity"]
        assert scores["attributes"]["identity"]["top5"] >= entry["accuracy"]["identity"]


def test_a_run_says_who_it_is(run: Path, data: Path, report: dict[str, Any]) -> None:
    stream = io.StringIO()
    options = RunOptions(
        source=str(data / "cyd"), camera="0", demo=False, frames=None,
        model=str(run / "people-float32.tflite"), detector=None, runtime="auto", threads=1,
    )  # fmt: skip
    run_pipeline(options, JsonLines(stream), warn=pytest.fail)
    *frames, _ = map(json.loads, stream.getvalue().splitlines())
    assert len(frames) == 5
    for frame in frames:
        (face,) = frame["faces"]
        probabilities = list(face["attributes"].values())
        assert len(probabilities) == 5
        assert probabilities == sorted(probabilities, reverse=True)
        assert face["labels"] == [next(iter(face["attributes"]))]


def test_people_who_changed_are_refused(run: Path, data: Path, tmp_path: Path) -> None:
    moved = data.rename(data.with_name("moved"))
    (moved / "ann").rename(moved / "ana")
    try:
        with pytest.raises(EdgeError, match="other pictures or labels than the run"):
            convert(run, ["float32"], data=[moved], out=tmp_path / "a.tflite")
    finally:
        (moved / "ana").rename(moved / "ann")
        moved.rename(data)
    assert list(tmp_path.iterdir()) == []
