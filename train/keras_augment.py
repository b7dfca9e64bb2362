"""An augmentation as Keras' own layers: what `edge.benchmarks.augmentation` compares ours with."""

from collections.abc import Callable

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from edge.train.augment import Augmentation


def keras_augmented(how: Augmentation) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Return a call that augments crops with the layers of Keras, compiled where it compiles.

    Every layer works on all crops of a batch: there is none that leaves some out. Keras has no
    motion blur, no median blur and no JPEG: a Gaussian blur of three pixels and its sharpening
    stand for all kernels.

    Args:
        how: How far to go.

    Returns:
        uint8 (n, height, width, 3) → float32 of the same shape, 0 to 255.
    """
    chain = keras.Sequential([*_geometry(how), *_photometry(how)])
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        call = tf.function(lambda crops: chain(tf.cast(crops, tf.float32), training=True))
        return lambda crops: call(tf.constant(crops)).numpy()

    def plain(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(
            keras.ops.convert_to_numpy(chain(crops.astype(np.float32), training=True))
        )

    return plain


def _geometry(how: Augmentation) -> list[keras.Layer]:
    chain: list[keras.Layer] = []
    if how.flip:
        chain.append(layers.RandomFlip("horizontal"))
    if how.turn:
        chain.append(layers.RandomRotation(how.turn / 360, fill_mode="nearest"))
    if how.shift:
        chain.append(layers.RandomTranslation(how.shift, how.shift, fill_mode="nearest"))
    if how.shear:
        chain.append(layers.RandomShear(how.shear, 0.0, fill_mode="nearest"))
    if how.zoom or how.stretch:
        # Its zoom draws width and height apart.
        furthest = how.zoom + how.stretch
        chain.append(layers.RandomZoom(furthest, furthest, fill_mode="nearest"))
    return chain


def _photometry(how: Augmentation) -> list[keras.Layer]:
    chain: list[keras.Layer] = []
    if how.kernel:
        chain += [layers.RandomGaussianBlur(how.kernel), layers.RandomSharpness((0.5, 1.0))]
    if how.light:
        chain += [layers.RandomBrightness(how.light / 2), layers.RandomContrast(how.light)]
    if how.colour:
        chain.append(layers.RandomSaturation((0.5 - how.colour, 0.5 + how.colour)))
    if how.hue:
        chain.append(layers.RandomHue(how.hue / 180))
    if how.noise:
        # It takes no deviation above 1.
        noise = layers.GaussianNoise(how.noise / 2 / 255)
        chain += [layers.Rescaling(1 / 255), noise, layers.Rescaling(255)]
    return chain
