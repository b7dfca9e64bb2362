"""Where an integer graph goes astray: the noise of each layer against the float graph."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.contract import InputContract
from edge.progress import progress
from edge.runtime.interpreter import Layers


@dataclass(frozen=True)
class LayerNoise:
    """How far one layer of an integer graph is from the float graph's.

    Args:
        name: Of the tensor that it makes.
        operator: Its kind in the float graph.
        sqnr_db: Signal to quantization noise: the power of the float values over that of what the
            integers differ by, in decibels; infinite where they are equal. Every 6 less are a bit
            lost.
        lost_db: How much lower it is than that of the noisiest layer it reads, at least 0: what
            this layer itself adds. The first layers are measured against noiseless pixels, as
            if they read 8 good bits.
        readers: Names of what is made of it: a value stays exact only where these too take floats.
    """

    name: str
    operator: str
    sqnr_db: float
    lost_db: float
    readers: tuple[str, ...]


# Eight good bits, of which one is the sign: what a layer can have at best.
_AT_BEST_DB = 48.0


def layer_noise(
    parent: bytes, integer: bytes, contract: InputContract, crops: NDArray[np.uint8]
) -> list[LayerNoise]:
    """Compare each layer of two graphs of one network on the same faces.

    Args:
        parent: The float graph, from `edge.convert.rewrite.for_integers`.
        integer: The integer graph made of it; its tensors have the same names.
        contract: What they were trained to see.
        crops: uint8 (faces, height, width, 3).

    Returns:
        In the order in which the float graph runs them.
    """
    floats, integers = Layers(parent, "float32"), Layers(integer, "int8")
    place = {layer.name: at for at, layer in enumerate(integers.layers)}
    both = [(at, place[one.name]) for at, one in enumerate(floats.layers) if one.name in place]
    signal, noise = np.zeros(len(both)), np.zeros(len(both))
    with progress("comparing layers", len(crops), "faces") as advance:
        for crop in crops:
            true = floats.run_pixels(crop, contract.value_range)
            found = integers.run_pixels(crop, contract.value_range)
            signal += [_power(true[at]) for at, _ in both]
            noise += [_power(true[at] - found[other]) for at, other in both]
            advance(1)
    sqnr = {
        floats.layers[at].name: _decibels(*powers)
        for (at, _), powers in zip(both, zip(signal, noise, strict=True), strict=True)
    }
    return list(_lost(floats, sqnr))


def _lost(graph: Layers, sqnr: dict[str, float]) -> Iterator[LayerNoise]:
    for layer in graph.layers:
        if layer.name in sqnr:
            read = [sqnr[name] for name in layer.inputs if name in sqnr]
            lost = max(0.0, min([*read, _AT_BEST_DB]) - sqnr[layer.name])
            readers = tuple(one.name for one in graph.layers if layer.name in one.inputs)
            yield LayerNoise(layer.name, layer.operator, sqnr[layer.name], lost, readers)


def _power(values: NDArray[np.float32]) -> float:
    return float(np.square(values, dtype=np.float64).sum())


def _decibels(signal: float, noise: float) -> float:
    if not noise:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf
