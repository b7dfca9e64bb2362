from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.contract import InputContract
from edge.convert.graph import Graph
from edge.convert.quantize import quantize
from edge.runtime.interpreter import Interpreter

Crops = NDArray[np.uint8]


@pytest.fixture(scope="module")
def packed(network: Any, contract: InputContract) -> bytes:
    return quantize(network, "float32", contract)


def said(graph: bytes, contract: InputContract, crops: Crops) -> NDArray[np.float32]:
    network = Interpreter(graph, "graph")
    return np.stack([network.run_pixels(crop, contract.value_range)[0][0] for crop in crops[:4]])


def test_what_is_unpacked_and_packed_is_the_same_network(
    packed: bytes, contract: InputContract, crops: Crops
) -> None:
    again = Graph(packed).packed()
    assert np.array_equal(said(again, contract, crops), said(packed, contract, crops))
    assert Graph(again).packed() == again


def test_weights_that_lie_behind_the_flatbuffer_come_into_it(contract: InputContract) -> None:
    import keras

    # LiteRT's quantizer puts them there from 256 kB.
    pixels = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(128, 3, strides=2)(pixels)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(256, 3)(x))
    network = keras.Model(pixels, keras.layers.Dense(2, activation="sigmoid")(x))
    packed = quantize(network, "dynamic", contract)
    assert any(buffer.size for buffer in schema().ModelT.InitFromPackedBuf(packed).buffers)
    again = Graph(packed).packed()
    assert not any(buffer.size for buffer in schema().ModelT.InitFromPackedBuf(again).buffers)
    gray = np.full((1, 32, 32, 3), 128, np.uint8)
    assert np.array_equal(said(again, contract, gray), said(packed, contract, gray))


def test_readers_of_old_codes_find_every_operator(
    network: Any, contract: InputContract, crops: Crops
) -> None:
    packed = Graph(quantize(network, "int8", contract, calibration=crops)).packed()
    codes = schema().ModelT.InitFromPackedBuf(packed).operatorCodes
    assert len(codes) > 3
    # OpenVINO and tf2onnx take an operator without one for an addition.
    assert [one.deprecatedBuiltinCode for one in codes] == [one.builtinCode for one in codes]


def schema() -> Any:
    from tensorflow.lite.python import schema_py_generated

    return schema_py_generated


def test_a_tensor_that_nothing_reads_is_gone(packed: bytes) -> None:
    graph = Graph(packed)
    before = len(graph.model.subgraphs[0].tensors)
    graph.add_constant(np.array([7.0], np.float32), "nobody")
    assert len(Graph(graph.packed()).model.subgraphs[0].tensors) == before


def test_a_graph_without_a_signature_gets_one(
    packed: bytes, contract: InputContract, crops: Crops
) -> None:
    graph = Graph(packed)
    graph.model.signatureDefs = None
    assert graph.signature() == ("serving_default", "image")
    again = graph.packed()
    assert Graph(again).signature() == ("serving_default", "image")
    assert np.array_equal(said(again, contract, crops), said(packed, contract, crops))


def test_constants_are_read_and_scaled(packed: bytes) -> None:
    graph = Graph(packed)
    dense = next(one for one in graph.operators if graph.kind(one) == "FULLY_CONNECTED")
    weights = int(dense.inputs[1])
    before = graph.constant(weights)
    assert before is not None
    graph.scale_constant(weights, 0.5)
    assert np.array_equal(graph.constant(weights), before / 2)
    assert graph.constant(int(dense.inputs[0])) is None
