import keras
import numpy as np
import pytest

from edge.contract import InputContract
from edge.train import networks
from edge.train.folding import fold
from edge.train.statistics import take_statistics

CONTRACT = InputContract(width=64, height=64)


@pytest.mark.parametrize("name", ["mobilenet", "mobilenet-v3-small"])
def test_a_folded_backbone_says_the_same_without_normalisation(name):
    network = networks.build(name, CONTRACT, 3)
    random = np.random.default_rng(0)
    norms = [one for one in network.layers if isinstance(one, keras.layers.BatchNormalization)]
    crops = random.integers(0, 256, (16, 64, 64, 3), np.uint8)
    take_statistics(network, CONTRACT, crops)
    for norm in norms:
        _, _, mean, variance = norm.get_weights()
        gamma, beta = random.uniform(0.8, 1.2, mean.shape), random.normal(0, 0.1, mean.shape)
        norm.set_weights([gamma, beta, mean, variance])
    folded = fold(network)
    crops = crops.astype(np.float32)
    expected, found = np.asarray(network(crops)), np.asarray(folded(crops))
    assert np.ptp(expected, axis=0).max() > 1e-5
    assert np.allclose(expected, found, atol=1e-5)
    assert norms
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in folded.layers)


def test_a_normalisation_that_follows_no_convolution_stays():
    pixels = keras.Input((8, 8, 3))
    x = keras.layers.BatchNormalization(name="first")(pixels)
    x = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(x)
    x = keras.layers.BatchNormalization(name="after_relu")(x)
    network = keras.Model(pixels, x)
    folded = fold(network)
    kinds = {layer.name: type(layer).__name__ for layer in folded.layers}
    assert kinds["first"] == kinds["after_relu"] == "BatchNormalization"
    crops = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    assert np.allclose(network(crops), folded(crops), atol=1e-6)
