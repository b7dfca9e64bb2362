"""A tiny network and faces that need no picture."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.contract import InputContract

ATTRIBUTES = ("Smiling", "Male")

# What the odd channel is multiplied by, and divided by after it.
ODD = 1000.0


def build(
    size: int | None = 32,
    outputs: int = 2,
    low: float = 0.0,
    high: float = 255.0,
    answer: str = "sigmoid",
) -> Any:
    """Return a network with batch normalisation whose statistics are not the initial ones."""
    import keras

    keras.utils.set_random_seed(5)
    layers = keras.layers
    scale = 2 / (high - low)
    network = keras.Sequential(
        [
            keras.Input((size, size, 3)),
            layers.Rescaling(scale, -1 - low * scale),
            layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(outputs, kernel_initializer=keras.initializers.RandomNormal(stddev=4)),
            layers.Activation(answer),
        ]
    )
    statistics = network.layers[2]
    statistics.moving_mean.assign(np.linspace(-0.1, 0.1, 8))
    statistics.moving_variance.assign(np.linspace(0.05, 0.2, 8))
    return network


def build_odd(outputs: int = 2) -> Any:
    """Return a network in which one channel of the first layer takes all of its range."""
    network = build(outputs=outputs)
    norm, second = network.layers[2], network.layers[4]
    gamma, beta = norm.gamma.numpy(), norm.beta.numpy()
    gamma[0], beta[0] = ODD * gamma[0], ODD * (beta[0] + 1)
    norm.gamma.assign(gamma)
    norm.beta.assign(beta)
    kernel = second.kernel.numpy()
    kernel[:, :, 0] /= ODD
    second.kernel.assign(kernel)
    return network


def build_people(people: int, crops: NDArray[np.uint8]) -> Any:
    """Return a network with a softmax that takes the crops for different people."""
    import keras

    network = build(outputs=people, answer="softmax")
    dense = network.layers[-2]
    logits = np.asarray(keras.Model(network.inputs[0], dense.output)(crops.astype(np.float32)))
    dense.kernel.assign(dense.kernel / logits.std(axis=0) * 2)
    dense.bias.assign(-logits.mean(axis=0) / logits.std(axis=0) * 2)
    return network


@pytest.fixture(scope="session")
def network() -> Any:
    return build()


@pytest.fixture(scope="session")
def contract() -> InputContract:
    return InputContract(width=32, height=32)


@pytest.fixture(scope="session")
def crops() -> NDArray[np.uint8]:
    """Return smooth pictures that use neither black nor white."""
    random = np.random.default_rng(0)
    coarse = random.integers(30, 200, (24, 4, 4, 3)).astype(np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)
