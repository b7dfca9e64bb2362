"""Variables of Keras as NumPy arrays, and back."""

from collections.abc import Sequence
from typing import Any

import keras
from numpy.typing import NDArray


def value(variable: keras.Variable) -> NDArray[Any]:
    """Return a variable's value; the array may be the variable's own memory."""
    return keras.ops.convert_to_numpy(variable)


def values(variables: Sequence[keras.Variable]) -> list[NDArray[Any]]:
    """Return copies of the values of variables."""
    return [value(variable).copy() for variable in variables]


def assign(variables: Sequence[keras.Variable], new: Sequence[NDArray[Any]]) -> None:
    """Give each variable its new value."""
    for variable, one in zip(variables, new, strict=True):
        variable.assign(one)


def shapes_of(arrays: Sequence[Any]) -> list[tuple[int, ...]]:
    """Return the shapes of variables or arrays."""
    return [tuple(array.shape) for array in arrays]
