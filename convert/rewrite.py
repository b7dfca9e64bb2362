"""A float graph written in operators that run fast as integers too, saying what it said."""

from typing import Any

from edge.convert.graph import Graph

# The operators that read a tensor, by its place.
Takers = dict[int, list[Any]]

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
# What makes k times as much of k times as much, k being positive.
_HOMOGENEOUS = ("MEAN", "RESHAPE", "PAD", "AVERAGE_POOL_2D", "MAX_POOL_2D", "MUL")


def for_integers(packed: bytes) -> bytes:
    """Rewrite a float32 graph so that its integer form needs no kernel that XNNPACK lacks.

    Hard-swish has no int8 kernel there: each one would part the graph in two and run on its own.
    It becomes x·relu6(x + 3)/6, and the division goes into the weights after it, as that of
    hard-sigmoid does, where nothing but weights can tell.

    Returns:
        The graph, which gives what it gave but for rounding.
    """
    graph = Graph(packed)
    _expand_hard_swish(graph)
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
            three, sixth = graph.add_constant(3, "three"), graph.add_constant(1 / 6, "sixth")
        (x,), (y,) = operator.inputs, operator.outputs
        gate, product = graph.add_tensor_like(y, "/gate"), graph.add_tensor_like(y, "/product")
        relu6 = graph.activation("RELU6")
        operators += [
            graph.operator("ADD", (x, three), gate, fusedActivationFunction=relu6),
            graph.operator("MUL", (x, gate), product),
            graph.operator("MUL", (product, sixth), y),
        ]
    graph.operators = operators


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
        if kind in _WEIGHTED and taker.inputs[0] == made:
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
