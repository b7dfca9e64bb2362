"""Hard-swish in operators that integers have, checked on the graphs that TensorFlow makes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.contract import InputContract
from edge.convert.graph import Graph
from edge.convert.quantize import quantize
from edge.convert.rewrite import for_integers
from edge.runtime.interpreter import Interpreter
from tests.convert.conftest import kinds, outputs

Crops = NDArray[np.uint8]


def built(middle: Callable[[Any, Any], Any]) -> Any:
    """Return a network with something between a convolution and an answer."""
    import keras

    keras.utils.set_random_seed(3)
    # What TensorFlow makes of hard-swish depends on how layers are numbered.
    keras.backend.clear_session()
    layers = keras.layers
    pixels = keras.Input((32, 32, 3))
    x = layers.Rescaling(1 / 127.5, -1)(pixels)
    # Of nothing padded, half a grey level is lost; see `edge.convert.pixels`.
    x = layers.Conv2D(8, 2, strides=2, padding="same")(x)
    x = middle(layers, x)
    x = layers.GlobalAveragePooling2D()(x)
    wide = keras.initializers.RandomNormal(stddev=20)
    return keras.Model(pixels, layers.Dense(2, "sigmoid", kernel_initializer=wide)(x))


def swish_then_weights(layers: Any, x: Any) -> Any:
    x = layers.Activation("hard_swish")(x)
    return layers.DepthwiseConv2D(3, padding="same")(x)


def swish_then_squeeze_and_excite(layers: Any, x: Any) -> Any:
    x = layers.Activation("hard_swish")(x)
    weight = layers.GlobalAveragePooling2D(keepdims=True)(x)
    weight = layers.Conv2D(8, 1, activation="hard_sigmoid")(weight)
    return layers.Conv2D(8, 1)(layers.Multiply()([x, weight]))


def swish_times_its_own_mean(layers: Any, x: Any) -> Any:
    x = layers.Activation("hard_swish")(x)
    mean = layers.GlobalAveragePooling2D(keepdims=True)(x)
    return layers.Conv2D(8, 1)(layers.Multiply()([x, mean]))


def swish_added_to_weights(layers: Any, x: Any) -> Any:
    x = layers.Activation("hard_swish")(x)
    return layers.Add()([x, layers.Conv2D(8, 1)(x)])


def swish_then_relu6(layers: Any, x: Any) -> Any:
    x = layers.Activation("hard_swish")(x)
    return layers.Conv2D(8, 1)(layers.ReLU(6.0)(x))


def average_pool(padding: str, window: int, stride: int) -> Callable[[Any, Any], Any]:
    def pool(layers: Any, x: Any) -> Any:
        # Offset, or padding with zeros would be no different from leaving it out.
        x = layers.Activation("sigmoid")(x)
        return layers.AveragePooling2D(window, stride, padding)(x)

    return pool


def padded_pool_then_relu6(layers: Any, x: Any) -> Any:
    x = layers.Rescaling(8.0, 4.0)(layers.Activation("sigmoid")(x))
    return layers.ReLU(6.0)(layers.AveragePooling2D(3, 1, "same")(x))


@pytest.mark.parametrize(
    ("middle", "products"),
    [
        (swish_then_weights, 1),
        (swish_then_squeeze_and_excite, 2),
        (swish_times_its_own_mean, 2),
        (swish_added_to_weights, 2),
        (swish_then_relu6, 2),
    ],
)
def test_it_says_what_it_said_with_as_few_products_as_can_be(
    middle: Callable[[Any, Any], Any], products: int, contract: InputContract, crops: Crops
) -> None:
    before = quantize(built(middle), "float32", contract)
    after = for_integers(before)
    # TensorFlow itself writes the last one out.
    assert kinds(before)["HARD_SWISH"] == (middle is not swish_then_relu6)
    assert kinds(after)["HARD_SWISH"] == 0
    assert kinds(after)["MUL"] == products
    expected = outputs(before, contract, crops)
    assert expected.std() > 0.01
    assert np.abs(outputs(after, contract, crops) - expected).max() < 1e-4


def test_as_integers_it_is_one_part(contract: InputContract, crops: Crops) -> None:
    network = built(swish_then_squeeze_and_excite)
    graph = quantize(network, "int8", contract, calibration=crops)
    operators = Interpreter(graph, "graph").operators()
    assert operators["DELEGATE"] == 1
    assert set(operators) == {"DELEGATE", "QUANTIZE"}
    expected = outputs(quantize(network, "float32", contract), contract, crops)
    assert np.abs(outputs(graph, contract, crops) - expected).max() < 0.05


@pytest.mark.parametrize(
    ("pool", "products"),
    [
        (average_pool("valid", 4, 4), 0),
        (average_pool("valid", 3, 2), 0),
        (average_pool("same", 2, 2), 0),
        (average_pool("same", 3, 1), 1),
        (average_pool("same", 3, 2), 1),
        (padded_pool_then_relu6, 2),
    ],
)
def test_average_pooling_is_a_convolution_and_its_borders_stay_means(
    pool: Callable[[Any, Any], Any], products: int, contract: InputContract, crops: Crops
) -> None:
    network = built(pool)
    before = quantize(network, "float32", contract)
    after = for_integers(before)
    assert kinds(before)["AVERAGE_POOL_2D"] == 1
    assert kinds(after)["AVERAGE_POOL_2D"] == 0
    assert kinds(after)["DEPTHWISE_CONV_2D"] == 1
    assert kinds(after)["MUL"] == products
    expected = outputs(before, contract, crops)
    assert expected.std() > 0.01
    assert np.abs(outputs(after, contract, crops) - expected).max() < 1e-4
    integers = Interpreter(quantize(network, "int8", contract, calibration=crops), "int8")
    assert integers.operators() == {"DELEGATE": 1, "QUANTIZE": 2}


def test_a_graph_without_such_operators_stays_as_it_is(contract: InputContract) -> None:
    import keras

    layers = keras.layers
    pixels = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, activation="relu")(pixels)
    x = layers.GlobalAveragePooling2D()(x)
    before = quantize(keras.Model(pixels, layers.Dense(2, "sigmoid")(x)), "float32", contract)
    assert for_integers(before) == Graph(before).packed()
