"""The bundled model holds what its card and the README claim, on pictures it never saw."""

import json
import subprocess
import sys

import numpy as np
import pytest

from edge.datasets import load
from edge.modelfile import read_model, resolve_model
from edge.runtime.classifier import Classifier
from edge.runtime.detectors import create_detector
from edge.runtime.evaluate import attribute_scores

# A few pictures below what the README says: detectors differ in the last bit between processors.
FLOORS = {("celeba", "Smiling"): 0.900, ("celeba", "Male"): 0.970, ("genki4k", "Smiling"): 0.939}
MAX_DROP = 0.005


@pytest.fixture(scope="module")
def scores(data_dir) -> dict[tuple[str, str, str], float]:
    """Accuracy by (model, data set, attribute); each picture is detected once for both models."""
    models = {name: Classifier(read_model(resolve_model(name)), threads=2)
              for name in ("default", "default-float32")}  # fmt: skip
    detector = create_detector("blazeface", runtime="auto", threads=1)
    contract = models["default"].contract
    accuracy = {}
    for name in ("celeba", "genki4k"):
        dataset = load(data_dir / name).only("test")
        values: dict[str, list[np.ndarray]] = {model: [] for model in models}
        for sample in dataset.samples:
            picture = sample.read()
            faces = detector.detect(picture)
            for model, classifier in models.items():
                values[model].append(
                    classifier.probabilities(contract.cut(picture, faces[0]))
                    if faces else np.full(2, np.nan, np.float32)
                )  # fmt: skip
        for column, attribute in enumerate(models["default"].attributes):
            if attribute in dataset.attributes:
                labels = dataset.with_attributes([attribute]).labels[:, 0]
                for model in models:
                    said = np.stack(values[model])[:, column]
                    result = attribute_scores(labels, said, 0.5)
                    accuracy[model, name, attribute] = result["accuracy"]
    return accuracy


@pytest.mark.data
@pytest.mark.parametrize(("dataset", "attribute"), FLOORS)
def test_it_is_as_right_as_promised(scores, dataset, attribute):
    assert scores["default", dataset, attribute] >= FLOORS[dataset, attribute]


@pytest.mark.data
@pytest.mark.parametrize(("dataset", "attribute"), FLOORS)
def test_int8_is_as_right_as_float(scores, dataset, attribute):
    drop = scores["default-float32", dataset, attribute] - scores["default", dataset, attribute]
    assert drop <= MAX_DROP


def test_both_files_are_small_and_tell_where_they_come_from():
    paths = [resolve_model(name) for name in ("default", "default-float32")]
    assert sum(path.stat().st_size for path in paths) < 2_000_000
    cards = [read_model(path).card for path in paths]
    assert [card.variant for card in cards] == ["int8", "float32"]
    assert cards[0].contract == cards[1].contract
    for card in cards:
        assert card.attributes == ("Smiling", "Male")
        assert {"celeba", "mtfl"} <= set(card.data)
        assert "genki4k" not in card.data
        assert "non-commercial" in card.licence
    assert cards[0].calibration is not None
    assert cards[0].calibration["names"]


def test_it_calls_the_astronaut_a_smiling_woman():
    done = subprocess.run(
        [sys.executable, "-P", "-m", "edge", "run", "--demo", "--frames", "60", "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert set(lines[-1]) == {"summary"}
    faces = [face for line in lines[:-1] for face in line["faces"]]
    assert len(faces) >= 57
    assert np.mean([face["labels"] == ["Smiling"] for face in faces]) >= 0.9
