"""Networks with fresh weights, for measuring speed: nothing learnt, but ranges as of real faces."""

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from edge.contract import InputContract
from edge.train.folding import finish
from edge.train.networks import build
from edge.train.statistics import take_statistics


def fresh(
    name: str, contract: InputContract, attributes: int, faces: NDArray[np.uint8], *, seed: int
) -> keras.Model:
    """Return a network whose batch-norm statistics are those of faces.

    Args:
        name: One of `edge.train.networks.NETWORKS`.
        contract: Of its input.
        attributes: How many it tells.
        faces: uint8 (n, height, width, 3), cut by the contract.
        seed: Of the weights.
    """
    keras.utils.set_random_seed(seed)
    normalised = build(name, contract, attributes, dropout=0.0, normalised=True)
    take_statistics(normalised, contract, faces)
    finished = build(name, contract, attributes)
    finish(normalised, finished)
    return finished


def pointwise(side: int, channels: int, count: int) -> keras.Model:
    """Return 1×1 convolutions in a row that share their weights: nothing but matrix products.

    Orthogonal weights keep the values in range, however many layers there are.

    Args:
        side: Width and height of every layer.
        channels: Of every layer but the input, which takes three.
        count: Layers after the first.
    """

    def convolution(seed: int) -> keras.layers.Layer:
        weights = keras.initializers.Orthogonal(seed=seed)
        return layers.Conv2D(channels, 1, kernel_initializer=weights)

    pixels = keras.Input((side, side, 3))
    x = convolution(0)(layers.Rescaling(1 / 127.5, -1)(pixels))
    mix = convolution(1)
    for _ in range(count):
        x = mix(x)
    return keras.Model(pixels, layers.GlobalAveragePooling2D()(x))
