"""Running a Keras network on crops, whatever the value range of its contract."""

import keras
import numpy as np
from numpy.typing import NDArray

from edge.contract import InputContract

_BATCH = 128


def as_input(crops: NDArray[np.uint8], contract: InputContract) -> NDArray[np.generic]:
    """Return crops in the contract's value range; 0 to 255 stays uint8, a quarter of the bytes."""
    if contract.value_range == (0.0, 255.0):
        return crops
    return contract.values()[crops]


def predict(
    network: keras.Model, crops: NDArray[np.uint8], contract: InputContract
) -> NDArray[np.float32]:
    """Run a network on crops.

    Args:
        network: Of one output, (n, width).
        crops: uint8 (n, height, width, 3), cut by `contract`.
        contract: What the network was trained to see.

    Returns:
        float32 (n, width).
    """
    parts = [
        np.asarray(network.predict_on_batch(as_input(crops[at : at + _BATCH], contract)))
        for at in range(0, len(crops), _BATCH)
    ]
    return np.concatenate(parts).astype(np.float32)
