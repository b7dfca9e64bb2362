"""Keras to TFLite, as float32, float16, dynamic range or full integer."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract import InputContract
from edge.convert import integers
from edge.convert.graph import signed
from edge.convert.integers import Io
from edge.convert.rewrite import for_integers
from edge.errors import EdgeError, first_line
from edge.quiet import quiet

# Calibration inputs as the converter asks for them.
Representative = Callable[[], Iterator[list[NDArray[np.float32]]]]

# Operators that a converter's message names, such as 'tf.Erf' or 'HARD_SWISH'.
_OPERATOR = re.compile(r"'(tf\.\w+)' op|for op: '?(\w+)'?|ops?: ((?:tf\.)?[A-Z]\w+)")


def quantize(
    model: Any,
    variant: str,
    contract: InputContract,
    *,
    io: Io = "uint8",
    calibration: NDArray[np.uint8] | None = None,
    parent: bytes | None = None,
) -> bytes:
    """Convert a Keras model to a TFLite graph with a batch of one.

    Args:
        model: A float32 Keras model with one input, float32 (n, height, width, 3), and one
            output, (n, attributes).
        variant: "float32", "float16" (weights), "dynamic" (int8 weights, float activations), "int8"
            (every operator that has such a form, with a scale for each channel of the weights) or
            "int16" (activations, with int8 weights).
        contract: What its input wants.
        io: Type of the input and output of "int8"; the others take and give float32.
        calibration: Crops that set the ranges of "int8" and "int16", uint8 (n, height, width, 3).
        parent: The float32 graph, where it is made already; "dynamic" and "int8" are made of it.

    Returns:
        The flatbuffer; the same bytes for the same arguments. The uint8 input of an int8 graph
        takes pixels as they are.

    Raises:
        EdgeError: The network has another input, or an operator that TFLite does not have, or
            Keras does not run on TensorFlow.
    """
    require_tensorflow()
    if variant in ("float32", "float16"):
        return _lower(model, variant, contract)
    if variant == "dynamic":
        return integers.dynamic(parent or _lower(model, "float32", contract))
    if calibration is None or not len(calibration):
        raise ValueError(f"{variant} needs calibration crops")
    if variant == "int16":
        return _lower(model, variant, contract, _representative(calibration, contract))
    rewritten = for_integers(parent or _lower(model, "float32", contract))
    ranges = integers.calibrate(rewritten, contract, calibration)
    graph = integers.static(rewritten, ranges, io=io)
    if io != "float32":
        check_pixels(graph, contract)
    return graph


def require_tensorflow() -> None:
    """Refuse another backend of Keras.

    Raises:
        EdgeError: Names it.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise EdgeError(
            f"Keras runs on {keras.backend.backend()}, conversion needs tensorflow",
            "set KERAS_BACKEND=tensorflow; files trained on another backend can be converted",
        )


def _lower(
    model: Any, variant: str, contract: InputContract, representative: Representative | None = None
) -> bytes:
    """Convert by TensorFlow's converter: "float32", "float16" or "int16"."""
    import tensorflow as tf

    with quiet():
        # The empty module stands for the variables, of which the frozen function has none left.
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [_freeze(model, contract)], tf.Module()
        )
        if variant != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if variant == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if variant == "int16":
            converter.representative_dataset = representative
            converter.target_spec.supported_ops = [
                tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            ]
        try:
            graph = bytes(converter.convert())
        except (RuntimeError, ValueError, _converter_error()) as error:
            raise _cannot_convert(variant, error) from error
    return signed(graph)


def _freeze(model: Any, contract: InputContract) -> Any:
    """Return the network as a function of one crop, with its weights as constants.

    The calibrator runs the graph without the variables of a Keras model, so none may be left.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    expected = (contract.height, contract.width, 3)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise EdgeError(
            f"the network has {len(model.inputs)} inputs and {len(model.outputs)} "
            "outputs, expected one of each",
            "give a network made by `edge train`",
        )
    found = tuple(model.inputs[0].shape[1:])
    if found != expected:
        raise EdgeError(
            f"the network takes {_size(found)}, the input contract says {_size(expected)}",
            "build the network with a fixed input size, that of its contract",
        )
    if len(model.outputs[0].shape) != 2 or model.outputs[0].shape[1] is None:
        raise EdgeError(
            f"the network gives {_size(model.outputs[0].shape[1:])}, expected one "
            "number an attribute",
            "end the network in one sigmoid an attribute, or a softmax over people",
        )
    signature = tf.TensorSpec((1, *expected), tf.float32, name="image")

    @tf.function(input_signature=[signature], autograph=False)
    def classify(image: Any) -> Any:
        return model(image, training=False)

    return convert_variables_to_constants_v2(classify.get_concrete_function())


def _representative(calibration: NDArray[np.uint8], contract: InputContract) -> Representative:
    """Return the crops as the converter asks for them."""
    values = contract.values()
    return lambda: ([values[crop][None]] for crop in calibration)


def check_pixels(graph: bytes, contract: InputContract) -> None:
    """Refuse a graph whose integer input is not the pixel itself.

    Raises:
        EdgeError: Names both ranges.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    subgraph = schema.Model.GetRootAs(graph, 0).Subgraphs(0)
    tensor = subgraph.Tensors(subgraph.Inputs(0))
    scale, zero = tensor.Quantization().Scale(0), tensor.Quantization().ZeroPoint(0)
    first = -128 if tensor.Type() == schema.TensorType.INT8 else 0
    values = np.linspace(*contract.value_range, 256)
    taken = np.clip(np.rint(values / scale) + zero, first, first + 255)
    # A range such as -1 to 1 has no whole zero point: half a step off is as near as it gets.
    allowed = 0 if contract.value_range[0] == 0 else 1
    if np.abs(taken - first - np.arange(256)).max() > allowed:
        low, high = contract.value_range
        raise EdgeError(
            f"the integer input covers {(first - zero) * scale:g} to "
            f"{(first + 255 - zero) * scale:g}, the contract says {low:g} to {high:g}",
            "let the network take pixels as its contract says, without clipping them",
        )


def _cannot_convert(variant: str, error: Exception) -> EdgeError:
    names = sorted({name for match in _OPERATOR.findall(str(error)) for name in match if name})
    # Without a float32 graph there is no other.
    other = "" if variant == "float32" else "choose another variant (--float32, --float16), or "
    if names:
        return EdgeError(
            f"TFLite has no {variant} form of {', '.join(names)}", f"{other}give one without it"
        )
    return EdgeError(
        f"the network cannot be converted to {variant}: {first_line(error)}",
        f"{other}give another network",
    )


def _converter_error() -> type[Exception]:
    from tensorflow.lite.python.convert import ConverterError

    return ConverterError


def _size(shape: tuple[int | None, ...]) -> str:
    return "×".join("?" if side is None else str(side) for side in shape)
