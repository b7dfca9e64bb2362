"""A network exported as a SavedModel, with the config.json of its run."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.contract import InputContract
from edge.convert.quantize import quantize
from edge.convert.source import open_run
from edge.errors import EdgeError
from edge.runtime.interpreter import Interpreter
from edge.train.model import load_saved_model
from tests.convert.conftest import build

Crops = NDArray[np.uint8]


@pytest.fixture(scope="module")
def folder(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "model"
    network.export(folder, verbose=False)
    return folder


@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_it_becomes_the_same_graph_as_the_keras_network(
    folder: Path, network: Any, contract: InputContract, crops: Crops, variant: str
) -> None:
    graphs = [
        quantize(model, variant, contract, calibration=crops)
        for model in (load_saved_model(folder, contract), network)
    ]
    said = [
        np.stack([Interpreter(graph, "x").run_pixels(crop, contract.value_range)[0][0]
                  for crop in crops])
        for graph in graphs
    ]  # fmt: skip
    assert said[1].std() > 0.05
    assert np.abs(said[0] - said[1]).max() < (1e-5 if variant == "float32" else 0.01)


def test_it_need_not_fix_the_size_of_its_pictures(contract: InputContract, tmp_path: Path) -> None:
    build(size=None).export(tmp_path / "model", verbose=False)
    model = load_saved_model(tmp_path / "model", contract)
    graph = quantize(model, "float32", contract)
    assert Interpreter(graph, "x").input.shape == (1, 32, 32, 3)


def test_a_network_of_another_size_is_refused(folder: Path) -> None:
    with pytest.raises(EdgeError, match="cannot load"):
        load_saved_model(folder, InputContract(width=48, height=32))


@pytest.mark.parametrize("part", ["saved_model.pb", "variables/variables.data-00000-of-00001",
                                  "variables/variables.index"])  # fmt: skip
def test_a_damaged_one_is_refused(
    folder: Path, contract: InputContract, tmp_path: Path, part: str
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    whole = (broken / part).read_bytes()
    (broken / part).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EdgeError, match="cannot load"):
        load_saved_model(broken, contract)


def test_without_a_config_it_says_what_is_missing(folder: Path) -> None:
    with pytest.raises(EdgeError, match=r"config\.json"):
        open_run(folder)
