"""Networks with fresh weights, made into model files."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.benchmarks import zoo
from edge.benchmarks.models import ZOO_VARIANTS
from edge.benchmarks.zoo import ZooModel, build_zoo, default_contract, demo_crops
from edge.contract import InputContract
from edge.errors import EdgeError
from edge.modelfile import read_model
from edge.runtime.classifier import Classifier

SMALL = InputContract(width=32, height=32)


def few(contract: InputContract) -> NDArray[np.uint8]:
    return demo_crops(contract, 20)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[ZooModel]:
    patch = pytest.MonkeyPatch()
    patch.setattr(zoo, "default_contract", lambda name: SMALL)
    models = build_zoo(["proposed"], tmp_path_factory.mktemp("zoo"), few)
    patch.undo()
    return models


def test_the_demo_gives_faces_as_the_contract_cuts_them() -> None:
    crops = demo_crops(InputContract(width=48, height=64), 12)
    assert (crops.shape, crops.dtype) == ((12, 64, 48, 3), np.uint8)
    assert np.array_equal(crops, demo_crops(InputContract(width=48, height=64), 12))
    # One face, moved: no two crops are alike, and they show what their mean shows.
    mean = crops.mean(0)
    alike = [np.corrcoef(crop.ravel(), mean.ravel())[0, 1] for crop in crops]
    assert len({crop.tobytes() for crop in crops}) == 12
    assert np.median(alike) > 0.8


def test_every_variant_is_a_model_file_that_says_it_is_untrained(built: list[ZooModel]) -> None:
    assert [model.variant for model in built] == list(ZOO_VARIANTS)
    for model in built:
        file = read_model(model.path)
        assert (file.card.name, file.card.variant) == ("proposed", model.variant)
        assert file.card.recipe["untrained"] is True
        assert (file.card.accuracy, file.card.data) == ({}, {})
        assert (file.card.calibration is not None) == (model.variant == "int8")


def test_all_variants_and_the_keras_file_are_the_same_network(built: list[ZooModel]) -> None:
    from edge.train.model import KerasClassifier

    crops = few(SMALL)
    expected = KerasClassifier(built[0].keras).classify(crops)
    assert np.ptp(expected, axis=0).min() > 0.01
    for model in built:
        found = Classifier(read_model(model.path)).classify(crops)
        assert np.abs(found - expected).max() < (1e-4 if model.variant == "float32" else 0.05)


def test_what_is_made_is_found_again_until_something_else_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo, "default_contract", lambda name: SMALL)
    monkeypatch.setattr(zoo, "ZOO_VARIANTS", ("float32",))
    made: list[str] = []

    def build(models: list[ZooModel], *rest: object) -> None:
        made.append(models[0].path.parent.name)
        original(models, *rest)

    original = zoo._build
    monkeypatch.setattr(zoo, "_build", build)
    first = build_zoo(["proposed"], tmp_path, few)
    assert build_zoo(["proposed"], tmp_path, few) == first
    assert len(made) == 1
    # A file that is cut short is made again; other crops make another network.
    first[0].path.write_bytes(first[0].path.read_bytes()[:1000])
    build_zoo(["proposed"], tmp_path, few)
    read_model(first[0].path)
    build_zoo(["proposed"], tmp_path, lambda contract: few(contract)[:10])
    assert len(made) == 3
    assert made[0] == made[1] != made[2]


def test_a_contract_is_that_of_the_recipe_named_like_the_network() -> None:
    assert default_contract("proposed").width == 128


def test_an_unknown_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="unknown network resnet"):
        build_zoo(["resnet"], tmp_path, few)


def test_importing_needs_no_tensorflow() -> None:
    code = (
        "import sys, edge.benchmarks.zoo, edge.benchmarks.peak, edge.benchmarks.compare\n"
        "assert not {'tensorflow', 'keras', 'ai_edge_litert'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_the_config_beside_the_keras_file_is_as_honest(built: list[ZooModel]) -> None:
    config = json.loads(built[0].keras.with_name("config.json").read_text())
    assert config["recipe"]["untrained"] is True
    card = read_model(built[0].path).card
    assert replace(card, graph_sha256="").to_json() == config
