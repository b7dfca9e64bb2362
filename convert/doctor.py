"""Mending an integer graph that loses too much: remedies in order, each one measured."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from edge.contract import InputContract
from edge.convert import integers
from edge.convert.calibrate import Calibration
from edge.convert.compare import Judged, agreement, drop_points
from edge.convert.graph import Graph
from edge.convert.integers import Io
from edge.convert.layers import LayerNoise, layer_noise
from edge.convert.rewrite import WEIGHTED, for_integers

# How many faces show which layers add noise, and how many of those layers are named.
_FACES = 32
NAMED = 5

# Ranges settle by then; more pictures only widen them.
_MANY_PICTURES = 1000

# XNNPACK runs the operators that stay floats within its one part of the graph.
_FLOAT_LAYERS = (1, 2, 4, 8)


@dataclass(frozen=True)
class Attempt:
    """One remedy and what it made of the graph.

    Args:
        remedy: In words, such as "1,000 calibration pictures".
        graph: The integer graph.
        judged: What it makes of the validation faces.
        calibration: What set its ranges.
        floats: Names of the layers that stay floats.
        epochs: Of training with the rounding of integers.
    """

    remedy: str
    graph: bytes
    judged: Judged
    calibration: Calibration
    floats: tuple[str, ...] = ()
    epochs: int = 0


@dataclass(frozen=True)
class Treatment:
    """What was found and what was done about it.

    Args:
        noise: The layers that add most noise, the worst first.
        attempts: In the order in which they were tried; the last one is good if any is.
    """

    noise: tuple[LayerNoise, ...]
    attempts: tuple[Attempt, ...]

    def noisiest(self) -> str:
        """Return the names of the worst layers, in words."""
        return ", ".join(short_name(layer.name) for layer in self.noise[:NAMED])

    def as_json(self, reference: Judged) -> dict[str, Any]:
        """Return what `edge convert --json` says of it.

        Args:
            reference: The float network.
        """
        return {
            "layers": [
                {
                    "name": layer.name,
                    "operator": layer.operator,
                    "sqnr_db": round(layer.sqnr_db, 2) if math.isfinite(layer.sqnr_db) else None,
                    "lost_db": round(layer.lost_db, 2) if math.isfinite(layer.lost_db) else None,
                }
                for layer in self.noise
            ],
            "attempts": [
                {
                    "remedy": attempt.remedy,
                    "drop_points": drop_points(attempt.judged, reference),
                    "agreement": agreement(attempt.judged, reference),
                    "latency_ms": attempt.judged.latency_ms,
                    "floats": list(attempt.floats),
                    "epochs": attempt.epochs,
                }
                for attempt in self.attempts
            ],
        }


def treat(
    parent: bytes,
    integer: bytes,
    contract: InputContract,
    calibration: Calibration,
    *,
    io: Io,
    draw: Callable[[int], Calibration],
    judge: Callable[[bytes], Judged],
    good: Callable[[Judged], bool],
    fine_tune: Callable[[int], bytes] | None = None,
    epochs: int = 0,
) -> Treatment:
    """Try remedies until an integer graph is good.

    Args:
        parent: The float32 graph.
        integer: Its int8 graph, which is not good.
        contract: What they were trained to see.
        calibration: What set the ranges of `integer`.
        io: Type of its input and output.
        draw: Draws a representative set of so many pictures.
        judge: Measures a graph.
        good: Tells whether that is within the bounds.
        fine_tune: Trains the network so many epochs with the rounding of integers; returns its
            float32 graph.
        epochs: How many, where all else fails; 0 leaves it out.
    """
    graph = for_integers(parent)
    ranges = integers.calibrate(graph, contract, calibration.crops)
    noise = layer_noise(graph, integer, contract, calibration.crops[:_FACES])
    noise.sort(key=lambda layer: -layer.lost_db)

    answer = _answer(graph)

    def attempt(
        remedy: str,
        floats: tuple[str, ...],
        found: integers.Ranges = ranges,
        drawn: Calibration = calibration,
        source: bytes = graph,
        learnt: int = 0,
    ) -> Attempt:
        mended = integers.static(source, found, io=io, floats=floats)
        return Attempt(remedy, mended, judge(mended), drawn, floats, learnt)

    def attempts() -> Iterator[Attempt]:
        yield attempt("the answer as floats", answer)
        more = draw(_MANY_PICTURES)
        if len(more.crops) > len(calibration.crops):
            found = integers.calibrate(graph, contract, more.crops)
            yield attempt(f"{len(more.crops):,} calibration pictures", answer, found, more)
        for count in _FLOAT_LAYERS:
            if count <= len(noise):
                kept = [name for one in noise[:count] for name in (one.name, *one.readers)]
                names = tuple(dict.fromkeys([*kept, *answer]))
                yield attempt(f"{len(names)} operators as floats", names)
        if epochs and fine_tune:
            learnt = for_integers(fine_tune(epochs))
            found = integers.calibrate(learnt, contract, calibration.crops)
            remedy = f"{epochs} epoch{'s' * (epochs != 1)} of training with rounding"
            yield attempt(remedy, _answer(learnt), found, calibration, learnt, epochs)

    tried: list[Attempt] = []
    for one in attempts():
        tried.append(one)
        if good(one.judged):
            break
    return Treatment(tuple(noise), tuple(tried))


def _answer(graph: bytes) -> tuple[str, ...]:
    """Return the names of what the last layer with weights makes, and of all that follows it."""
    taken = Graph(graph)
    kinds = [taken.kind(operator) for operator in taken.operators]
    last = max(at for at, kind in enumerate(kinds) if kind in WEIGHTED)
    return tuple(taken.name(int(one.outputs[0])) for one in taken.operators[last:])


def short_name(tensor: str) -> str:
    """Return the layer that a tensor's name begins with; converters join all that were fused."""
    parts = tensor.split(";")[0].split("/")
    return parts[1] if len(parts) > 1 else parts[0]
