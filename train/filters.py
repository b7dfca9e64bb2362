"""Filters of pixels inside the network, so that a device needs to know nothing of them.

Seed S4 darkens the border of its crops with a two-dimensional Gaussian, to weigh hair and
background less, and subtracts the mean of its training pictures. Both stand in the graph as one
layer with two frozen weights, of which TFLite makes plain constants.

It is a layer of our own because no stock one will do: `BatchNormalization` takes the statistics
of its batches once a phase lets it learn, and `Normalization` does not look at its weights again
after it was built, so that copied weights would silently change nothing.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from edge.contract import InputContract
from edge.train.facecache import Faces

# Where the mask falls to exp(-1/2), as a fraction of the crop's sides.
SIGMA = 0.3

# What the mask leaves of the corners.
_DARKEST = 0.05

_NAME = "filter"

_BATCH = 256


def gaussian_mask(height: int, width: int, sigma_fraction: float = SIGMA) -> NDArray[np.float32]:
    """Return a Gaussian that is 1 in the middle and falls to the border.

    Args:
        height: In pixels.
        width: In pixels.
        sigma_fraction: Standard deviation as a fraction of each side.

    Returns:
        float32 (height, width, 1), 0.05 to 1.
    """
    down, across = (
        np.exp(-(((np.arange(side) + 0.5) / side - 0.5) ** 2) / (2 * sigma_fraction**2))
        for side in (height, width)
    )
    mask = np.maximum(np.outer(down, across), _DARKEST)
    return mask[:, :, None].astype(np.float32)


def mean_image(faces: Faces) -> NDArray[np.float32]:
    """Return the mean of all crops, read a batch at a time.

    Returns:
        float32 (height, width, 3), in the value range and channel order of the contract.
    """
    contract = faces.contract
    total = np.zeros((contract.height, contract.width, 3), np.int64)
    for crops in faces.batches(_BATCH):
        total += crops.sum(axis=0, dtype=np.uint32)
    low, high = contract.value_range
    return (low + total / len(faces) * ((high - low) / 255)).astype(np.float32)


@keras.saving.register_keras_serializable(package="edge")
class PixelFilter(layers.Layer):
    """Takes a mean image from a crop and darkens its border.

    The mean is taken away first, which is the same as to take the mean of all masked crops from
    the masked crop. Its weights are never trainable, whatever becomes of `trainable`.

    Args:
        mask: Whether the border is darkened.
        mean: Whether a mean image is subtracted; it is zero until it is set.
        name: As of every layer.
        trainable: As of every layer.
        dtype: As of every layer.
    """

    def __init__(
        self,
        mask: bool,
        mean: bool,
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = "float32",
    ) -> None:
        super().__init__(name=name, trainable=trainable, dtype=dtype)
        self.mask, self.mean = mask, mean

    def build(self, shape: tuple[Any, ...]) -> None:
        """Make the weights: "mask", (height, width, 1), and "mean_image", (height, width, 3)."""
        _, height, width, channels = shape
        if self.mask:
            values = gaussian_mask(height, width)
            self.darkening = self.add_weight(
                values.shape, lambda *_, **__: values, trainable=False, name="mask"
            )
        if self.mean:
            self.mean_image = self.add_weight(
                (height, width, channels), "zeros", trainable=False, name="mean_image"
            )

    def call(self, crop: Any) -> Any:
        """Filter a crop: between -1 and 1, (n, height, width, 3)."""
        if self.mean:
            crop = crop - self.mean_image
            return crop * self.darkening if self.mask else crop
        # Darkness is -1.
        return (crop + 1) * self.darkening - 1 if self.mask else crop

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return shape

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor takes."""
        return super().get_config() | {"mask": self.mask, "mean": self.mean}


def add_filters(
    x: keras.KerasTensor, contract: InputContract, mask: bool, mean: bool
) -> keras.KerasTensor:
    """Take the mean image from a crop, and multiply it with the mask.

    Args:
        x: A crop between -1 and 1, (n, height, width, 3).
        contract: What the crop was cut by.
        mask: Whether to darken the border.
        mean: Whether to subtract the mean image, which is grey until `set_mean_image`.

    Returns:
        The filtered crop, float32, of the same shape; between -2 and 2 with a mean image, else
        between -1 and 1.
    """
    if x.shape[1:] != (contract.height, contract.width, 3):
        raise ValueError(f"a crop of {x.shape[1:]}, the contract cuts {contract}")
    # float32 in every policy: half of its digits would be a grey level of noise.
    return PixelFilter(mask, mean, name=_NAME)(x) if mask or mean else x


def set_mean_image(network: keras.Model, image: Callable[[], NDArray[np.float32]]) -> None:
    """Set the mean image of a network that subtracts one; leave any other alone.

    Args:
        network: With a filter of `add_filters`, or without.
        image: Called where there is a mean image to set: float32 (height, width, 3), in the value
            range that the network takes, as `mean_image` returns it.
    """
    for layer in network.layers:
        if isinstance(layer, PixelFilter) and layer.mean:
            # What comes before is the same affine map for every pixel, and so one for their mean.
            before = keras.Model(network.input, layer.input)
            layer.mean_image.assign(keras.ops.cast(before(image()[None])[0], "float32"))
