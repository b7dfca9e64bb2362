import keras
import numpy as np
import pytest

from edge.contract import InputContract
from edge.train.folding import fold
from edge.train.fresh import fresh
from edge.train.rounding import RoundedValues, rounded

CONTRACT = InputContract(width=32, height=32)


@pytest.fixture(scope="module", params=["compact", "mobilenet-v3-small"])
def network(request) -> keras.Model:
    crops = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), np.uint8)
    return fold(fresh(request.param, CONTRACT, 2, crops, seed=1))


def test_it_has_the_layers_and_weights_of_the_other(network):
    copy = rounded(network)
    for layer in network.layers:
        own = copy.get_layer(layer.name)
        for one, other in zip(layer.get_weights(), own.get_weights(), strict=True):
            assert np.array_equal(one, other)


def test_every_value_that_int8_keeps_is_rounded_and_no_other():
    pixels = keras.Input((8, 8, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1, name="centered")(pixels)
    x = keras.layers.Conv2D(4, 3, name="conv")(x)
    x = keras.layers.Identity(name="folded")(x)
    x = keras.layers.ReLU(6.0, name="fused")(x)
    x = keras.layers.Conv2D(4, 1, activation="relu", name="own")(x)
    x = keras.layers.MaxPooling2D(name="pool")(x)
    branch = keras.layers.DepthwiseConv2D(1, name="linear")(x)
    x = keras.layers.Add(name="sum")([x, branch])
    x = keras.layers.Dropout(0.1, name="drop")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    x = keras.layers.Dense(2, name="logits")(x)
    answer = keras.layers.Activation("sigmoid", name="probabilities")(x)
    copy = rounded(keras.Model(pixels, answer))
    kept = [layer.name for layer in copy.layers if isinstance(layer, RoundedValues)]
    expected = ("fused", "own", "linear", "sum", "pooled")
    assert kept == [f"{name}_rounded" for name in expected]


def test_values_take_at_most_256_levels_and_zero_is_one_of_them():
    values = np.random.default_rng(0).normal(1, 1, 5000).astype(np.float32)
    values[:10] = 0
    found = keras.ops.convert_to_numpy(RoundedValues()(values))
    assert len(np.unique(found)) <= 256
    assert not found[:10].any()
    assert np.abs(found - values).max() <= np.ptp(values) / 255


def test_weights_take_at_most_255_levels_a_channel():
    pixels = keras.Input((8, 8, 3))
    network = keras.Model(pixels, keras.layers.Conv2D(2, 3, name="conv")(pixels))
    crops = np.zeros((1, 8, 8, 3), np.float32)
    crops[0, 4, 4, 0] = 1  # shows the first channel of the kernel, upside down
    kernel = network.get_layer("conv").kernel.numpy()[:, :, 0]
    found = rounded(network).get_layer("conv")(crops).numpy()[0, 2:5, 2:5][::-1, ::-1]
    step = np.abs(network.get_layer("conv").kernel.numpy()).max(axis=(0, 1, 2)) / 127
    assert np.allclose(found, np.round(kernel / step) * step, atol=1e-6)
    assert not np.allclose(found, kernel, atol=1e-6)


def test_it_learns_as_if_nothing_were_rounded(network):
    random = np.random.default_rng(2)
    crops = random.integers(0, 256, (8, 32, 32, 3)).astype(np.float32)
    labels = random.integers(0, 2, (8, 2)).astype(np.float32)
    copy = rounded(network)
    copy.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy")
    losses = [copy.train_on_batch(crops, labels) for _ in range(8)]
    assert losses[-1] < losses[0]
    before, after = network.layers, copy.get_layer
    moved = [
        not np.array_equal(layer.get_weights()[0], after(layer.name).get_weights()[0])
        for layer in before
        if layer.trainable_weights
    ]
    assert all(moved)
