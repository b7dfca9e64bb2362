from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.contract import InputContract
from edge.convert.quantize import quantize
from edge.errors import EdgeError
from edge.runtime.interpreter import Interpreter
from edge.train.model import load_keras
from tests.convert.conftest import build

Crops = NDArray[np.uint8]


def outputs(graph: bytes, contract: InputContract, crops: Crops) -> np.ndarray:
    network = Interpreter(graph, "graph")
    return np.stack([network.run_pixels(crop, contract.value_range)[0][0] for crop in crops])


@pytest.mark.parametrize(
    ("variant", "tolerance"),
    [("float32", 1e-5), ("float16", 2e-3), ("dynamic", 0.03), ("int8", 0.05)],
)
def test_each_variant_gives_what_the_keras_network_gives(
    network: Any, contract: InputContract, crops: Crops, variant: str, tolerance: float
) -> None:
    graph = quantize(network, variant, contract, calibration=crops)
    expected = np.asarray(network(crops.astype(np.float32)))
    assert expected.std() > 0.1
    assert np.abs(outputs(graph, contract, crops) - expected).max() < tolerance


def test_quantized_files_are_smaller(network: Any, contract: InputContract, crops: Crops) -> None:
    wide = build(outputs=2)
    sizes = [
        len(quantize(wide, variant, contract, calibration=crops))
        for variant in ("float32", "float16", "int8")
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 3


@pytest.mark.parametrize(("io", "first"), [("uint8", 0), ("int8", -128)])
def test_integer_input_is_the_pixel_itself_though_no_crop_is_black_or_white(
    network: Any, contract: InputContract, crops: Crops, io: Any, first: int
) -> None:
    assert crops.min() > 0
    assert crops.max() < 255
    details = tensors(quantize(network, "int8", contract, io=io, calibration=crops))
    assert details["input"] == (io, 1.0, first)
    assert details["output"] == (io, 1 / 256, first)


def test_int8_holds_no_float_tensor_and_a_scale_for_each_channel(
    network: Any, contract: InputContract, crops: Crops
) -> None:
    details = tensors(quantize(network, "int8", contract, calibration=crops))
    assert "float32" not in details["types"]
    assert 16 in details["scales"]


def test_float_io_of_an_int8_graph(network: Any, contract: InputContract, crops: Crops) -> None:
    graph = quantize(network, "int8", contract, io="float32", calibration=crops)
    assert Interpreter(graph, "graph").input.dtype == "float32"
    expected = np.asarray(network(crops.astype(np.float32)))
    assert np.abs(outputs(graph, contract, crops) - expected).max() < 0.05


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0)])
def test_other_value_ranges(crops: Crops, value_range: tuple[float, float]) -> None:
    low, high = value_range
    contract = InputContract(width=32, height=32, value_range=value_range)
    network = build(low=low, high=high)
    graph = quantize(network, "int8", contract, calibration=crops)
    values = (crops / 255 * (high - low) + low).astype(np.float32)
    expected = np.asarray(network(values))
    assert np.abs(outputs(graph, contract, crops) - expected).max() < 0.05


def test_the_same_file_gives_the_same_bytes(
    network: Any, contract: InputContract, crops: Crops, tmp_path: Path
) -> None:
    path = tmp_path / "model.keras"
    network.save(path)
    first, second = (
        quantize(load_keras(path), "int8", contract, calibration=crops) for _ in range(2)
    )
    assert first == second
    assert quantize(load_keras(path), "int8", contract, calibration=crops[:4]) != first


def test_nothing_is_written_to_the_terminal(
    network: Any, contract: InputContract, crops: Crops, capfd: pytest.CaptureFixture[str]
) -> None:
    quantize(network, "int8", contract, calibration=crops)
    assert capfd.readouterr() == ("", "")


def test_an_unsupported_operator_is_named(contract: InputContract, crops: Crops) -> None:
    import keras

    pixels = keras.Input((32, 32, 3))
    odd = keras.ops.erfinv(keras.layers.GlobalAveragePooling2D()(pixels) / 256)
    model = keras.Model(pixels, keras.layers.Dense(2, activation="sigmoid")(odd))
    with pytest.raises(EdgeError, match=r"no float32 form of .*Erfinv"):
        quantize(model, "float32", contract)


@pytest.mark.parametrize(("size", "found"), [(None, r"\?×\?×3"), (48, "48×48×3")])
def test_another_input_than_the_contract_is_refused(
    contract: InputContract, size: int | None, found: str
) -> None:
    with pytest.raises(EdgeError, match=rf"takes {found}, the input contract says 32×32×3"):
        quantize(build(size), "float32", contract)


def test_two_outputs_are_refused(contract: InputContract) -> None:
    import keras

    pixels = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(pixels)
    model = keras.Model(pixels, [keras.layers.Dense(1)(pooled), keras.layers.Dense(1)(pooled)])
    with pytest.raises(EdgeError, match="1 inputs and 2 outputs"):
        quantize(model, "float32", contract)


def tensors(graph: bytes) -> dict[str, Any]:
    """Return what an outsider sees: the numbers of the input and output, and all types."""
    from ai_edge_litert.interpreter import Interpreter as LiteRT

    interpreter = LiteRT(model_content=graph)
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    every = interpreter.get_tensor_details()
    return {
        "input": (np.dtype(taken["dtype"]).name, *taken["quantization"]),
        "output": (np.dtype(given["dtype"]).name, *given["quantization"]),
        "types": {np.dtype(one["dtype"]).name for one in every},
        "scales": {len(one["quantization_parameters"]["scales"]) for one in every},
    }
