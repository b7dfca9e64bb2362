from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.contract import InputContract
from edge.convert.graph import Graph
from edge.convert.integers import calibrate, dynamic, static
from edge.convert.quantize import quantize
from edge.convert.rewrite import for_integers
from edge.runtime.interpreter import Interpreter
from tests.convert.conftest import build

Crops = NDArray[np.uint8]


@pytest.fixture(scope="module")
def parent(network: Any, contract: InputContract) -> bytes:
    return quantize(network, "float32", contract)


@pytest.fixture(scope="module")
def calibrated(parent: bytes, contract: InputContract, crops: Crops) -> tuple[bytes, Any]:
    graph = for_integers(parent)
    return graph, calibrate(graph, contract, crops)


def test_ranges_are_those_of_every_crop(
    calibrated: tuple[bytes, Any], network: Any, crops: Crops
) -> None:
    import keras

    graph, ranges = calibrated
    found = ranges[made_by("FULLY_CONNECTED", graph)]
    dense = keras.Model(network.inputs[0], network.layers[-2].output)
    logits = np.asarray(dense(crops.astype(np.float32)))
    assert np.squeeze(found["max"]) == pytest.approx(logits.max(), rel=1e-3)
    assert np.squeeze(found["min"]) == pytest.approx(logits.min(), rel=1e-3)


def test_dynamic_weights_are_smaller_and_the_graph_stays_one_part(contract: InputContract) -> None:
    import keras

    pixels = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(32, 3, strides=2)(pixels)
    x = keras.layers.DepthwiseConv2D(3)(x)
    x = keras.layers.Conv2D(64, 1, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    network = keras.Model(pixels, keras.layers.Dense(2, activation="sigmoid")(x))
    before = quantize(network, "float32", contract)
    after = dynamic(before)
    assert Interpreter(after, "after").operators() == {"DELEGATE": 1}
    assert len(after) < 0.7 * len(before)


def test_an_operator_can_stay_as_it_is(
    calibrated: tuple[bytes, Any], contract: InputContract, crops: Crops
) -> None:
    graph, ranges = calibrated
    name = made_by("FULLY_CONNECTED", graph)
    plain, mixed = static(graph, ranges), static(graph, ranges, floats=[name])
    assert operators(plain) == operators(mixed) - {"DEQUANTIZE"}
    assert "DEQUANTIZE" in operators(mixed)
    parent = outputs(graph, contract, crops)
    assert np.abs(outputs(mixed, contract, crops) - parent).max() < 0.05


def test_an_answer_of_floats_still_has_steps_of_256(
    calibrated: tuple[bytes, Any], contract: InputContract, crops: Crops
) -> None:
    graph, ranges = calibrated
    names = [made_by(kind, graph) for kind in ("FULLY_CONNECTED", "LOGISTIC")]
    mixed, parent = static(graph, ranges, floats=names), outputs(graph, contract, crops)
    said = outputs(mixed, contract, crops)
    assert np.array_equal(said * 256, np.rint(said * 256))
    plain = outputs(static(graph, ranges), contract, crops)
    assert np.abs(said - parent).mean() < np.abs(plain - parent).mean()


@pytest.mark.parametrize("outputs_of", [1, 3])
def test_the_same_ranges_give_the_same_bytes(
    outputs_of: int, contract: InputContract, crops: Crops
) -> None:
    graph = for_integers(quantize(build(outputs=outputs_of), "float32", contract))
    first, second = (static(graph, calibrate(graph, contract, crops)) for _ in range(2))
    assert first == second


def made_by(kind: str, graph: bytes) -> str:
    """Return the name of what the first operator of a kind makes."""
    taken = Graph(graph)
    return next(
        taken.name(int(one.outputs[0])) for one in taken.operators if taken.kind(one) == kind
    )


def operators(graph: bytes) -> set[str]:
    taken = Graph(graph)
    return {taken.kind(operator) for operator in taken.operators}


def outputs(graph: bytes, contract: InputContract, crops: Crops) -> NDArray[np.float32]:
    network = Interpreter(graph, "graph")
    return np.stack([network.run_pixels(crop, contract.value_range)[0][0] for crop in crops])
