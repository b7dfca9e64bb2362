"""Pixels that meet weights as they are: what that changes, and which graphs are left alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.contract import InputContract
from edge.convert import integers
from edge.convert.graph import Graph
from edge.convert.pixels import take_pixels
from edge.convert.quantize import quantize
from edge.runtime.interpreter import Interpreter
from tests.convert.conftest import kinds, outputs

Crops = NDArray[np.uint8]


def built(begin: Callable[[Any, Any], Any], kernel: int = 2, padding: str = "same") -> Any:
    """Return a network with something between the pixels and the first convolution.

    A kernel of 2 needs no padding here, but TensorFlow's converter does not know.
    """
    import keras

    keras.utils.set_random_seed(3)
    layers = keras.layers
    pixels = keras.Input((32, 32, 3))
    x = begin(layers, pixels)
    x = layers.Conv2D(8, kernel, strides=2, padding=padding, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    wide = keras.initializers.RandomNormal(stddev=4)
    return keras.Model(pixels, layers.Dense(2, "sigmoid", kernel_initializer=wide)(x))


def centred(layers: Any, pixels: Any) -> Any:
    return layers.Rescaling(1 / 127.5, -1)(pixels)


def padded(layers: Any, pixels: Any) -> Any:
    return layers.ZeroPadding2D()(centred(layers, pixels))


def of_channels(layers: Any, pixels: Any) -> Any:
    x = layers.Rescaling(1 / 255)(pixels)
    return layers.Normalization(mean=[0.485, 0.456, 0.406], variance=[0.05, 0.04, 0.06])(x)


def without_offset(layers: Any, pixels: Any) -> Any:
    return layers.Rescaling(1 / 255)(pixels)


def twice_read(layers: Any, pixels: Any) -> Any:
    x = centred(layers, pixels)
    return layers.Add()([layers.Conv2D(3, 1)(x), x])


def rectified(layers: Any, pixels: Any) -> Any:
    return layers.ReLU()(centred(layers, pixels))


def rewritten(before: bytes) -> bytes:
    graph = Graph(before)
    take_pixels(graph)
    return graph.packed()


@pytest.mark.parametrize(("begin", "sums"), [(centred, 1), (of_channels, 1), (without_offset, 0)])
def test_it_says_what_it_said_with_one_operator_before_the_convolution(
    begin: Callable[[Any, Any], Any], sums: int, contract: InputContract, crops: Crops
) -> None:
    before = quantize(built(begin), "float32", contract)
    after = rewritten(before)
    assert kinds(after)["MUL"] == kinds(after)["SUB"] == 0
    assert kinds(after)["ADD"] == sums
    expected = outputs(before, contract, crops)
    assert expected.std() > 0.01
    assert np.abs(outputs(after, contract, crops) - expected).max() < 1e-5


@pytest.mark.parametrize(("begin", "padding"), [(centred, "same"), (padded, "valid")])
def test_padding_differs_by_half_a_grey_level(
    begin: Callable[[Any, Any], Any], padding: str, contract: InputContract, crops: Crops
) -> None:
    before = quantize(built(begin, 3, padding), "float32", contract)
    after = rewritten(before)
    assert kinds(after)["MUL"] == 0
    difference = np.abs(outputs(after, contract, crops) - outputs(before, contract, crops))
    assert 0 < difference.max() < 1e-3


def test_integers_hold_the_pixels_exactly(contract: InputContract, crops: Crops) -> None:
    def grids(graph: bytes) -> set[tuple[float, int]]:
        packed = integers.static(graph, integers.calibrate(graph, contract, crops))
        made = Interpreter(packed, "int8")._graph.get_tensor_details()
        sums = [one for one in made if one["name"].endswith("/add")]
        return {(round(one["quantization"][0], 6), one["quantization"][1]) for one in sums}

    before = quantize(built(centred), "float32", contract)
    ((step, zero),) = grids(rewritten(before))
    assert step == 1
    assert -128 - zero in (-128, -127)  # a black pixel
    # Zero is not on it otherwise, and shifts it by half a step.
    ((step, zero),) = grids(before)
    assert step * (-128 - zero) == pytest.approx(-1 + step / 2, abs=step / 100)


@pytest.mark.parametrize("begin", [twice_read, rectified])
def test_pixels_that_meet_more_than_weights_stay_mapped(
    begin: Callable[[Any, Any], Any], contract: InputContract
) -> None:
    before = quantize(built(begin), "float32", contract)
    assert rewritten(before) == Graph(before).packed()
