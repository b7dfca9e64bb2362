from pathlib import Path
from typing import Any

import flatbuffers.table
import numpy as np
import pytest
from flatbuffers import encode, packer
from numpy.typing import NDArray

from edge.contract import InputContract
from edge.convert.metadata import describe, normalization
from edge.convert.quantize import quantize
from edge.modelfile import ModelCard, pack
from edge.runtime.interpreter import Interpreter
from tests.convert.conftest import ATTRIBUTES, build

Crops = NDArray[np.uint8]


@pytest.fixture(scope="module")
def graph(network: Any, contract: InputContract) -> bytes:
    return quantize(network, "float32", contract)


def described(graph: bytes, contract: InputContract) -> bytes:
    return describe(
        graph, name="tiny", contract=contract, attributes=ATTRIBUTES, licence="research only"
    )


def test_the_network_is_unchanged(graph: bytes, contract: InputContract, crops: Crops) -> None:
    before, after = Interpreter(graph, "a"), Interpreter(described(graph, contract), "b")
    for crop in crops[:4]:
        assert np.array_equal(
            before.run_pixels(crop, contract.value_range)[0],
            after.run_pixels(crop, contract.value_range)[0],
        )


def test_the_same_arguments_give_the_same_bytes(graph: bytes, contract: InputContract) -> None:
    assert described(graph, contract) == described(graph, contract)


def test_describing_twice_replaces_the_metadata(graph: bytes, contract: InputContract) -> None:
    again = describe(
        described(graph, contract),
        name="other",
        contract=contract,
        attributes=ATTRIBUTES,
        licence="x",
    )
    names = [entry.name for entry in model_of(again).metadata]
    assert names.count(b"TFLITE_METADATA") == 1
    assert (
        metadata_of(again).String(metadata_of(again).Offset(4) + metadata_of(again).Pos) == b"other"
    )


def test_metadata_names_the_labels_and_the_oldest_reader(
    graph: bytes, contract: InputContract
) -> None:
    data = described(graph, contract)
    root = metadata_of(data)
    assert root.String(root.Pos + root.Offset(18)) == b"1.0.0"
    assert root.String(root.Pos + root.Offset(14)) == b"research only"
    assert b"labels.txt" in root.Bytes


def test_people_are_counted_in_words_and_named_in_the_labels_alone(
    graph: bytes, contract: InputContract
) -> None:
    names = [f"person {number}" for number in range(3000)]
    data = describe(
        graph, name="x", contract=contract, attributes=names, licence="x", task="identity"
    )
    root = metadata_of(data)
    assert root.String(root.Pos + root.Offset(6)) == b"Who a face is, of 3,000 people"
    assert b"person 17" not in root.Bytes
    assert b"labels.txt" in root.Bytes
    plain = metadata_of(described(graph, contract))
    assert plain.String(plain.Pos + plain.Offset(6)) == b"Face attributes: Smiling, Male"


def test_weights_stay_aligned(graph: bytes, contract: InputContract) -> None:
    from tensorflow.lite.python import schema_py_generated as schema

    root = schema.Model.GetRootAs(described(graph, contract), 0)
    buffers = [root.Buffers(index) for index in range(root.BuffersLength())]
    starts = [one._tab.Vector(one._tab.Offset(4)) for one in buffers if one.DataLength()]
    assert len(starts) > 4
    assert {start % 16 for start in starts} == {0}


@pytest.mark.parametrize("value_range", [(0.0, 255.0), (0.0, 1.0), (-1.0, 1.0)])
def test_normalization_maps_pixels_to_the_value_range(value_range: tuple[float, float]) -> None:
    mean, std = normalization(InputContract(value_range=value_range))
    assert ((0 - mean) / std, (255 - mean) / std) == pytest.approx(value_range)


@pytest.mark.parametrize("variant", ["float32", "int8"])
@pytest.mark.parametrize("value_range", [(0.0, 255.0), (-1.0, 1.0)])
def test_mediapipe_opens_the_file_and_says_the_same(
    crops: Crops, tmp_path: Path, variant: str, value_range: tuple[float, float]
) -> None:
    mediapipe = pytest.importorskip("mediapipe")
    from mediapipe.tasks.python import BaseOptions, vision

    contract = InputContract(width=32, height=32, value_range=value_range)
    network = build(low=value_range[0], high=value_range[1])
    graph = described(quantize(network, variant, contract, calibration=crops), contract)
    path = tmp_path / "tiny.tflite"
    path.write_bytes(pack(graph, card(contract, variant)))
    options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=str(path)))
    with vision.ImageClassifier.create_from_options(options) as classifier:
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=crops[0])
        (head,) = classifier.classify(image).classifications
    given = {one.category_name: one.score for one in head.categories}
    expected = Interpreter(graph, "graph").run_pixels(crops[0], value_range)[0][0]
    # An integer input has no exact zero for -1 to 1, and MediaPipe feeds it pixels as they are.
    near = 2 / 256 if variant == "int8" and value_range[0] < 0 else 1e-5
    assert given == pytest.approx(dict(zip(ATTRIBUTES, expected, strict=True)), abs=near)


def card(contract: InputContract, variant: str) -> ModelCard:
    return ModelCard(
        name="tiny",
        contract=contract,
        attributes=ATTRIBUTES,
        thresholds=(0.5, 0.5),
        variant=variant,
        recipe={},
        data={},
        calibration=None,
        accuracy={},
        versions={},
        licence="none",
    )


def model_of(graph: bytes) -> Any:
    from tensorflow.lite.python import schema_py_generated as schema

    return schema.ModelT.InitFromPackedBuf(graph)


def metadata_of(graph: bytes) -> flatbuffers.table.Table:
    model = model_of(graph)
    (buffer,) = [one.buffer for one in model.metadata if one.name == b"TFLITE_METADATA"]
    data = bytes(model.buffers[buffer].data)
    assert data[4:8] == b"M001"
    return flatbuffers.table.Table(data, encode.Get(packer.uoffset, data, 0))
