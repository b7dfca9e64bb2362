"""Quantization: what the integers of a graph stand for.

Only `edge.runtime.interpreter` knows scales and zero points, and asks here what follows from them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float32]


def quantize(values: Real, tensor: dict[str, Any]) -> NDArray[Any]:
    """Return real values as a tensor holds them, rounded and within its type's limits.

    Args:
        values: float32.
        tensor: Details of the tensor, as a TFLite runtime tells them.

    Returns:
        The integers, still as floats, of a tensor of integers; else `values`.
    """
    dtype = tensor["dtype"]
    if not np.issubdtype(dtype, np.integer):
        return values
    scale, zero = tensor["quantization"]
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values / scale) + zero, limits.min, limits.max)


def pixel_table(tensor: dict[str, Any], value_range: tuple[float, float]) -> NDArray[Any]:
    """Return each value of a pixel in an input's own type: (256,).

    Args:
        tensor: Details of the input.
        value_range: The real values of pixel 0 and pixel 255.
    """
    values = np.linspace(*value_range, 256, dtype=np.float32)
    return quantize(values, tensor).astype(tensor["dtype"])


def dequantize(raw: NDArray[Any], tensor: dict[str, Any]) -> Real:
    """Return the values that what a tensor holds stands for."""
    scale, zero = tensor["quantization"]
    if scale and raw.dtype.kind in "iu":
        # Widen before subtracting: the zero point does not fit the raw type.
        return (raw.astype(np.int32) - zero).astype(np.float32) * np.float32(scale)
    return raw.astype(np.float32, copy=False)


def dequantizer(tensor: dict[str, Any]) -> Callable[[NDArray[Any]], Real]:
    """Return what does as `dequantize`, ready for many calls: of a byte, by looking it up."""
    if np.dtype(tensor["dtype"]).itemsize == 1 and tensor["quantization"][0]:
        table = dequantize(np.arange(256, dtype=np.uint8).view(tensor["dtype"]), tensor)
        return lambda raw: table.take(raw.view(np.uint8))
    if tensor["dtype"] == np.float32:
        return lambda raw: raw
    return lambda raw: dequantize(raw, tensor)
