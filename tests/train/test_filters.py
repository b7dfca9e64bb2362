import keras
import numpy as np
import pytest
from keras import layers
from numpy.typing import NDArray

from edge.contract import InputContract
from edge.convert.quantize import quantize
from edge.runtime.interpreter import Interpreter
from edge.train import filters
from edge.train.facecache import Faces
from edge.train.filters import (
    PixelFilter,
    add_filters,
    gaussian_mask,
    mean_image,
    set_mean_image,
)

CONTRACT = InputContract(width=40, height=48)
WAYS = [(True, False), (False, True), (True, True)]


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    """Fifty blurred crops around a picture of their own."""
    random = np.random.default_rng(0)
    common = random.integers(40, 200, (48, 40, 3))
    noise = random.integers(-40, 41, (50, 48, 40, 3))
    return np.clip(common + noise, 0, 255).astype(np.uint8)


def _faces(crops: NDArray[np.uint8], contract: InputContract = CONTRACT) -> Faces:
    count = len(crops)
    places = np.stack([np.zeros(count, np.int64), np.arange(count)], axis=1)
    labels = np.zeros((count, 1), np.float32)
    return Faces(contract, (0, 0), (crops,), places, labels, {})


def _network(mask: bool, mean: bool, contract: InputContract = CONTRACT) -> keras.Model:
    keras.utils.set_random_seed(0)
    pixels = keras.Input((contract.height, contract.width, 3))
    low, high = contract.value_range
    scale = 2 / (high - low)
    x = layers.Rescaling(scale, offset=-1 - low * scale)(pixels)
    x = layers.Identity(name="seen")(add_filters(x, contract, mask, mean))
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    output = layers.Dense(2, activation="sigmoid")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(pixels, output)


def _seen(network: keras.Model, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what comes out of the filter."""
    until = keras.Model(network.input, network.get_layer("seen").output)
    return np.asarray(keras.ops.convert_to_numpy(until(pixels)), np.float32)


def test_the_mask_is_bright_in_the_middle_and_dark_in_the_corners():
    mask = gaussian_mask(48, 40)
    assert mask.shape == (48, 40, 1)
    assert mask.dtype == np.float32
    assert mask.max() == mask[24, 20, 0] == pytest.approx(1, abs=2e-3)
    np.testing.assert_allclose(mask, mask[::-1, ::-1], atol=1e-6)
    assert mask[0, 0, 0] == pytest.approx(0.0705, abs=1e-3)
    # One standard deviation from the middle, of the height and of the width.
    assert gaussian_mask(100, 100, 0.3)[80, 50, 0] == pytest.approx(np.exp(-0.5), abs=0.02)
    assert gaussian_mask(48, 40, 0.05).min() == np.float32(0.05)


@pytest.mark.parametrize("value_range", [(0.0, 255.0), (-1.0, 1.0)])
def test_the_mean_image_is_in_the_range_of_the_contract(crops, value_range, monkeypatch):
    monkeypatch.setattr(filters, "_BATCH", 16)
    contract = InputContract(width=40, height=48, value_range=value_range)
    expected = crops.mean(axis=0) * ((value_range[1] - value_range[0]) / 255) + value_range[0]
    found = mean_image(_faces(crops, contract))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("value_range", [(0.0, 255.0), (-1.0, 1.0)])
@pytest.mark.parametrize(("mask", "mean"), WAYS)
def test_a_filter_is_what_the_seed_does_to_pixels(crops, mask, mean, value_range):
    contract = InputContract(width=40, height=48, value_range=value_range)
    network = _network(mask, mean, contract)
    set_mean_image(network, lambda: mean_image(_faces(crops, contract)))
    # On pixels from 0, which is black, to 1.
    pictures = crops / 255 * (gaussian_mask(48, 40) if mask else 1)
    expected = 2 * (pictures - pictures.mean(axis=0)) if mean else 2 * pictures - 1
    taken = np.linspace(*value_range, 256, dtype=np.float32)[crops]
    np.testing.assert_allclose(_seen(network, taken), expected, atol=1e-5)


def test_a_network_without_a_mean_image_needs_none(crops):
    def never() -> NDArray[np.float32]:
        raise AssertionError

    set_mean_image(_network(mask=True, mean=False), never)
    plain = _network(mask=False, mean=False)
    set_mean_image(plain, never)
    assert not [layer for layer in plain.layers if isinstance(layer, PixelFilter)]


def test_another_size_than_the_contract_is_a_bug():
    with pytest.raises(ValueError, match="the contract cuts"):
        add_filters(keras.Input((48, 48, 3)), CONTRACT, True, False)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_training_leaves_the_filter_as_it_is(crops, policy):
    keras.config.set_dtype_policy(policy)
    try:
        network = _network(mask=True, mean=True)
    finally:
        keras.config.set_dtype_policy("float32")
    set_mean_image(network, lambda: mean_image(_faces(crops)))
    network.trainable = True
    pixels = crops.astype(np.float32)
    before = _seen(network, pixels)
    weights = network.get_layer("filter").get_weights()
    network.compile(keras.optimizers.SGD(1.0), "mse")
    network.train_on_batch(pixels, np.ones((50, 2), np.float32))
    assert all(
        np.array_equal(old, new)
        for old, new in zip(weights, network.get_layer("filter").get_weights(), strict=True)
    )
    assert np.array_equal(_seen(network, pixels), before)


def test_the_filter_travels_with_the_weights_and_in_the_file(crops, tmp_path):
    network, other = _network(mask=True, mean=True), _network(mask=True, mean=True)
    set_mean_image(network, lambda: mean_image(_faces(crops)))
    pixels = crops.astype(np.float32)
    expected = _seen(network, pixels)
    assert np.abs(_seen(other, pixels) - expected).max() > 0.1
    other.set_weights(network.get_weights())
    assert np.array_equal(_seen(other, pixels), expected)
    network.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(_seen(loaded, pixels), expected)


@pytest.mark.parametrize(("mask", "mean"), WAYS)
def test_an_integer_model_filters_without_leaving_the_delegate(crops, mask, mean):
    network = _network(mask, mean)
    set_mean_image(network, lambda: mean_image(_faces(crops)))
    graph = quantize(network, "int8", CONTRACT, calibration=crops)
    interpreter = Interpreter(graph, "filtered")
    # Two QUANTIZE change the sign of input and output.
    assert interpreter.operators()["DELEGATE"] == 1
    assert set(interpreter.operators()) <= {"DELEGATE", "QUANTIZE"}
    found = [interpreter.run_pixels(crop, CONTRACT.value_range)[0][0] for crop in crops]
    expected = network.predict(crops.astype(np.float32), verbose=0)
    assert np.abs(np.array(found) - expected).max() < 0.02
    assert np.ptp(expected, axis=0).max() > 0
