"""The first convolution of a graph, taking pixels instead of the values that they are mapped to."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.convert.graph import Graph

_AFFINE = ("MUL", "DIV", "ADD", "SUB")

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class _Map:
    """What happens to pixels before they meet weights: times `gain`, plus `offset`, by channel.

    Args:
        place: Of the tensor that holds the result.
        operators: What makes it.
    """

    place: int
    gain: Vector
    offset: Vector
    operators: tuple[Any, ...] = ()


def take_pixels(graph: Graph) -> None:
    """Move gain and offset of the input into the convolutions after it, all but a whole number.

    Zero must be one of the 256 steps, and is none of those of pixels between -1 and 1: each of
    them lies between two steps, and what becomes of it is for the processor to say. Less 127 they
    are exact, and answers on x86-64 and arm64 differ a twentieth as much. What is padded is half
    a grey level brighter than it was.

    Args:
        graph: A float32 graph; one without such a beginning is left as it is.
    """
    before = _mapping(graph)
    convolutions = _convolutions(graph, before.place)
    if not before.operators or not convolutions or not before.gain.all():
        return
    whole = np.rint(-before.offset / before.gain)
    rest = before.offset + before.gain * whole
    for convolution in convolutions:
        _absorb(graph, convolution, before.gain, rest)
    (pixels,) = graph.inputs
    operators = [one for one in graph.operators if one not in before.operators]
    if whole.any():
        # One number for all channels is several times as fast as a number for each.
        same = whole[:1] if (whole == whole[0]).all() else whole
        less = graph.add_constant(-same.astype(np.float32), f"{graph.name(before.place)}/less")
        operators.insert(0, graph.operator("ADD", (pixels, less), before.place))
    else:
        for reader in graph.takers()[before.place]:
            reader.inputs = [pixels if at == before.place else at for at in reader.inputs]
    graph.operators = operators


def _mapping(graph: Graph) -> _Map:
    """Return what the operators at the beginning do, as long as each one alone reads the last."""
    takers = graph.takers()
    channels = graph.shape(graph.inputs[0])[-1]
    found = _Map(graph.inputs[0], np.ones(channels), np.zeros(channels))
    while len(readers := takers.get(found.place, [])) == 1:
        step = _step(graph, readers[0], found)
        if step is None:
            break
        found = step
    return found


def _step(graph: Graph, operator: Any, before: _Map) -> _Map | None:
    """Return the map with one more operator, None where it is no gain or offset by channel."""
    kind = graph.kind(operator)
    if kind not in _AFFINE or operator.builtinOptions.fusedActivationFunction:
        return None
    first, second = map(int, operator.inputs)
    swapped = second == before.place and kind in ("MUL", "ADD")
    values = graph.constant(first if swapped else second)
    if values is None or len(values) not in (1, len(before.gain)):
        return None
    gain, offset = before.gain, before.offset
    if kind in ("MUL", "DIV"):
        factor = values.astype(np.float64) if kind == "MUL" else 1 / values.astype(np.float64)
        gain, offset = gain * factor, offset * factor
    else:
        offset = offset + (values if kind == "ADD" else -values)
    return _Map(int(operator.outputs[0]), gain, offset, (*before.operators, operator))


def _convolutions(graph: Graph, place: int) -> list[Any]:
    """Return all that reads a tensor, padded or not; empty if anything but convolutions does."""
    takers = graph.takers()
    found: list[Any] = []
    for taker in takers.get(place, []):
        kind, constants = graph.kind(taker), [int(at) for at in taker.inputs[1:]]
        if kind == "PAD":
            padded = _convolutions(graph, int(taker.outputs[0]))
            if not padded:
                return []
            found += padded
        elif (
            kind == "CONV_2D"
            and int(taker.inputs[0]) == place
            and len(constants) == 2
            and all(graph.constant(at) is not None for at in constants)
        ):
            found.append(taker)
        else:
            return []
    return [] if place in graph.outputs else found


def _absorb(graph: Graph, convolution: Any, gain: Vector, rest: Vector) -> None:
    """Let a convolution take values that lack a gain and, after it, an offset."""
    place, *constants = map(int, convolution.inputs)
    kernel, bias = (_values(graph, at) for at in constants)
    more = (kernel * rest).sum(axis=(1, 2, 3))
    made = graph.name(int(convolution.outputs[0]))
    convolution.inputs = [
        place,
        graph.add_constant((kernel * gain).astype(np.float32), f"{made}/kernel"),
        graph.add_constant((bias + more).astype(np.float32), f"{made}/bias"),
    ]


def _values(graph: Graph, constant: int) -> NDArray[np.float64]:
    values = graph.constant(constant)
    assert values is not None  # `_convolutions` has looked
    return values.reshape(graph.shape(constant)).astype(np.float64)
