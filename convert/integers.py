"""Integer forms of a float graph, made by LiteRT's own quantizer (litert-quantizer)."""

import io as text
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge.contract import InputContract
from edge.convert.graph import Graph
from edge.progress import progress
from edge.quiet import quiet

Io = Literal["uint8", "int8", "float32"]

# The smallest and the largest value that each tensor took, by its name.
Ranges = dict[str, Any]

_BITS = 8


def dynamic(graph: bytes) -> bytes:
    """Return a float graph with int8 weights, whose values become integers as they come.

    Only the operators whose weights are many are changed: with depthwise convolutions among them
    XNNPACK would run the graph in parts.

    Args:
        graph: A float32 graph.
    """
    from litert_quantizer.quantizer import Quantizer

    with _unheard():
        quantizer = Quantizer(graph)
        for operator in ("CONV_2D", "FULLY_CONNECTED"):
            quantizer.add_dynamic_config(".*", operator, _BITS)
        return bytes(quantizer.quantize().quantized_model)


def calibrate(graph: bytes, contract: InputContract, crops: NDArray[np.uint8]) -> Ranges:
    """Find the range of each tensor of a graph.

    The first crop is shown again with one black and one white pixel, which makes the scale of the
    input exactly one pixel value. They lie in a single crop, so that the ranges inside the network
    stay those of faces.

    Args:
        graph: A float32 graph, from `edge.convert.rewrite.for_integers`.
        contract: What its input wants.
        crops: uint8 (n, height, width, 3), at least one.
    """
    from litert_quantizer.calibrator import Calibrator
    from litert_quantizer.utils.qsv_utils import min_max_update

    values = contract.values()
    signature, name = Graph(graph).signature()
    recipe = _everything()

    def show(crop: NDArray[np.uint8]) -> None:
        with _unheard():
            calibrator.calibrate({signature: [{name: values[crop][None]}]}, recipe)

    with quiet(), _unheard():
        # Its default, a moving average, cuts off what rare pictures do to the logits.
        calibrator = Calibrator(graph, num_threads=1, qsv_update_func=min_max_update)
        show(_stretched(crops[0]))  # the runtime starts with it, and writes
    with progress("calibrating", len(crops), "faces") as advance:
        for crop in crops:
            show(crop)
            advance(1)
    return calibrator.get_model_qsvs()


def static(graph: bytes, ranges: Ranges, *, io: Io = "uint8", floats: Sequence[str] = ()) -> bytes:
    """Return a graph in integers, with a scale for each channel of the weights.

    An operator that the quantizer does not know stays float.

    Args:
        graph: That which was calibrated.
        ranges: From `calibrate`.
        io: Type of the input and the output.
        floats: Names of the tensors whose operators stay as they are.
    """
    from litert_quantizer.qtyping import TFLOperationName as Kind
    from litert_quantizer.quantizer import Quantizer

    with _unheard():
        quantizer = Quantizer(graph)
        quantizer.load_quantization_recipe(_everything().get_quantization_recipe())
        for name in floats:
            quantizer.update_quantization_recipe(
                f"^{re.escape(name)};?$", Kind.ALL_SUPPORTED, algorithm_key="no_quantize"
            )
        # Of several patterns that match, the one that came last counts.
        for end in (Kind.INPUT, Kind.OUTPUT):
            if io == "float32":
                quantizer.update_quantization_recipe("^", end, algorithm_key="no_quantize")
            else:
                quantizer.update_quantization_recipe("^", end, _end(io))
        return bytes(quantizer.quantize(ranges | _answers(graph)).quantized_model)


def _everything() -> Any:
    """Return the recipe that makes every operator one of int8."""
    from litert_quantizer.qtyping import TFLOperationName
    from litert_quantizer.recipe_manager import RecipeManager

    recipe = RecipeManager()
    recipe.add_static_config(".*", TFLOperationName.ALL_SUPPORTED, _BITS, _BITS)
    return recipe


def _answers(graph: bytes) -> Ranges:
    """Return the range of probabilities, 255 steps of 1/256, whatever the faces were judged."""
    taken = Graph(graph)
    extremes = {"min": np.zeros((1, 1), np.float32), "max": np.full((1, 1), 255 / 256, np.float32)}
    return {taken.name(place): extremes for place in taken.outputs}


def _end(io: Io) -> Any:
    """Return the configuration of an input or output of integers."""
    from litert_quantizer import qtyping

    return qtyping.OpQuantizationConfig(
        activation_tensor_config=qtyping.TensorQuantizationConfig(
            num_bits=_BITS, symmetric=False, dtype=io.rstrip("8").upper()
        ),
        weight_tensor_config=qtyping.TensorQuantizationConfig(
            num_bits=_BITS, symmetric=True, granularity=qtyping.QuantGranularity.CHANNELWISE
        ),
        compute_precision=qtyping.ComputePrecision.INTEGER,
        explicit_dequantize=False,
    )


def _stretched(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a crop with one black and one white pixel, in the corners."""
    crop = crop.copy()
    crop[0, 0], crop[-1, -1] = 0, 255
    return crop


@contextmanager
def _unheard() -> Iterator[None]:
    """Keep the quantizer's own reports from the terminal."""
    with (
        redirect_stdout(text.StringIO()),
        redirect_stderr(text.StringIO()),
        warnings.catch_warnings(action="ignore"),
    ):
        yield
