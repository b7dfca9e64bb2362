"""A float graph written in operators that run fast as integers too, saying what it said."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.convert.graph import Graph
from edge.convert.pixels import take_pixels

# The operators that read a tensor, by its place.
Takers = dict[int, list[Any]]

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
# What makes k times as much of k times as much, k being positive.
_HOMOGENEOUS = ("MEAN", "RESHAPE", "PAD", "MAX_POOL_2D", "MUL")


def for_integers(packed: bytes) -> bytes:
    """Rewrite a float32 graph so that its integer form needs no kernel that XNNPACK lacks.

    Hard-swish and average pooling have no int8 kernel there: each one would part the graph in two
    and run on its own. Hard-swish becomes x·relu6(x + 3)/6, and the division goes into the weights
    after it, as that of hard-sigmoid does, where nothing but weights can tell. Average pooling
    becomes a depthwise convolution with equal weights. The first convolution takes pixels, see
    `edge.convert.pixels`.

    Returns:
        The graph, which gives what it gave but for rounding, and half a grey level in the padding.
    """
    graph = Graph(packed)
    take_pixels(graph)
    _expand_hard_swish(graph)
    _expand_average_pools(graph)
    _absorb_factors(graph)
    return graph.packed()


def _expand_hard_swish(graph: Graph) -> None:
    operators = []
    three = sixth = -1
    for operator in graph.operators:
        if graph.kind(operator) != "HARD_SWISH":
            operators.append(operator)
            continue
        if three < 0:
            three = graph.add_constant(np.array([3.0], np.float32), "three")
            sixth = graph.add_constant(np.array([1 / 6], np.float32), "sixth")
        (x,), (y,) = operator.inputs, operator.outputs
        gate, product = graph.add_tensor_like(y, "/gate"), graph.add_tensor_like(y, "/product")
        relu6 = graph.activation("RELU6")
        operators += [
            graph.operator("ADD", (x, three), gate, fusedActivationFunction=relu6),
            graph.operator("MUL", (x, gate), product),
            graph.operator("MUL", (product, sixth), y),
        ]
    graph.operators = operators


def _expand_average_pools(graph: Graph) -> None:
    operators: list[Any] = []
    for operator in graph.operators:
        pool = graph.kind(operator) == "AVERAGE_POOL_2D"
        operators += _convolution(graph, operator) if pool else [operator]
    graph.operators = operators


def _convolution(graph: Graph, pool: Any) -> list[Any]:
    """Return what an average pooling becomes: a convolution, and a product where it is padded."""
    options, (x,), (y,) = pool.builtinOptions, pool.inputs, pool.outputs
    window, channels = (options.filterHeight, options.filterWidth), graph.shape(y)[3]
    equal = np.full((1, *window, channels), 1 / (window[0] * window[1]), np.float32)
    weights = graph.add_constant(equal, f"{graph.name(y)}/equal")
    bias = graph.add_constant(np.zeros(channels, np.float32), f"{graph.name(y)}/zeros")
    gain = _border_gain(graph, pool)
    made = y if gain is None else graph.add_tensor_like(y, "/sum")
    fields = {
        "padding": options.padding,
        "strideH": options.strideH,
        "strideW": options.strideW,
        "depthMultiplier": 1,
    }
    operators = [graph.operator("DEPTHWISE_CONV_2D", (x, weights, bias), made, **fields)]
    if gain is not None:
        place = graph.add_constant(gain, f"{graph.name(y)}/gain")
        operators.append(graph.operator("MUL", (made, place), y))
    operators[-1].builtinOptions.fusedActivationFunction = options.fusedActivationFunction
    return operators


def _border_gain(graph: Graph, operator: Any) -> NDArray[np.float32] | None:
    """Return by what a mean over padding falls short, (1, height, width, 1); None if nowhere.

    Pooling divides by the pixels that it covers, a convolution by all of its window.
    """
    options = operator.builtinOptions
    before, after = graph.shape(operator.inputs[0]), graph.shape(operator.outputs[0])
    covered = [
        _covered(before[1], after[1], options.filterHeight, options.strideH),
        _covered(before[2], after[2], options.filterWidth, options.strideW),
    ]
    area = options.filterHeight * options.filterWidth
    gain = (area / np.outer(*covered))[None, :, :, None].astype(np.float32)
    return None if (gain == 1).all() else gain


def _covered(before: int, after: int, window: int, stride: int) -> NDArray[np.int64]:
    """Return how many of a row's pixels each window covers, padding left out."""
    padding = max(0, (after - 1) * stride + window - before)
    first = np.arange(after) * stride - padding // 2
    return np.minimum(first + window, before) - np.maximum(first, 0)


def _absorb_factors(graph: Graph) -> None:
    """Leave out products with a number where all weights after them can be scaled instead."""
    takers = graph.takers()
    operators = []
    for operator in graph.operators:
        factor = _factor(graph, operator)
        weights = None if factor is None else _weights_after(graph, operator, takers)
        if factor is None or weights is None:
            operators.append(operator)
            continue
        for place in weights:
            graph.scale_constant(place, factor)
        _leave_out(graph, operator, takers)
    graph.operators = operators


def _weights_after(graph: Graph, operator: Any, takers: Takers) -> list[int] | None:
    """Return the weights that all of what an operator makes meets; None where it meets more."""
    made = int(operator.outputs[0])
    if made in graph.outputs or not _is_linear(graph, operator):
        return None
    found: list[int] = []
    for taker in takers.get(made, []):
        kind = graph.kind(taker)
        if kind in WEIGHTED and taker.inputs[0] == made:
            place = int(taker.inputs[1])
            if graph.constant(place) is None or len(takers[place]) > 1:
                return None
            found.append(place)
        elif kind in _HOMOGENEOUS:
            further = _weights_after(graph, taker, takers)
            if further is None:
                return None
            found += further
        else:
            return None
    return found


def _is_linear(graph: Graph, operator: Any) -> bool:
    """Tell whether k times as much makes k times as much; of a product, of one of its factors."""
    fused = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
    squared = graph.kind(operator) == "MUL" and operator.inputs[0] == operator.inputs[1]
    return fused in (graph.activation("NONE"), graph.activation("RELU")) and not squared


def _factor(graph: Graph, operator: Any) -> float | None:
    """Return the positive number that an operator multiplies by, if that is all that it does."""
    none = graph.activation("NONE")
    if graph.kind(operator) != "MUL" or operator.builtinOptions.fusedActivationFunction != none:
        return None
    for place in operator.inputs:
        values = graph.constant(int(place))
        if values is not None and values.size == 1 and values[0] > 0:
            return float(values[0])
    return None


def _leave_out(graph: Graph, operator: Any, takers: Takers) -> None:
    """Let the readers of what an operator makes read what it takes."""
    made = int(operator.outputs[0])
    value = next(int(one) for one in operator.inputs if graph.constant(int(one)) is None)
    readers = takers.pop(made, [])
    for reader in readers:
        reader.inputs = [value if place == made else place for place in reader.inputs]
    takers[value] = [one for one in takers[value] if one is not operator] + readers
