"""Float against quantized: what a conversion costs in accuracy and gains in size and time."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.conditions import Observer, unstable
from edge.contract import InputContract
from edge.datasets import IDENTITY
from edge.environment import usable_cores
from edge.measure import Call, Protocol, alternate, summarise
from edge.measure import accuracy as accuracy_of
from edge.progress import progress
from edge.runtime.identity import best
from edge.runtime.interpreter import Interpreter

_PROTOCOL = Protocol(rounds=5, min_samples=100, min_seconds=0.0)
_FACES = 16
_WORST = 5

_WHY = {
    "QUANTIZE": "XNNPACK takes int8, pixels are uint8; --io int8 goes without, for other runtimes",
    "SOFTMAX": "XNNPACK has no int8 kernel for it",
}


@dataclass(frozen=True)
class Judged:
    """What one variant made of the validation faces.

    Args:
        probabilities: float32 (faces, outputs).
        decisions: (faces, attributes), whether at or above the threshold; of the task "identity"
            (faces, 1), the place of the most probable person, or `NOBODY`.
        accuracy: By attribute, or of "identity": accuracy (0 to 1), its 95 % interval and the
            number of samples.
        size_bytes: Size of the graph.
        latency_ms: As `edge.measure.summarise`, on one thread.
        operators: How often each operator runs; a delegated partition is one "DELEGATE".
        runtime: The runtime and its version.
        warnings: What made the times unstable, in words with the remedy.
    """

    probabilities: NDArray[np.float32]
    decisions: NDArray[np.int64]
    accuracy: dict[str, dict[str, Any]]
    size_bytes: int
    latency_ms: dict[str, float | None]
    operators: dict[str, int]
    runtime: str
    warnings: tuple[str, ...]


def judge(
    graphs: dict[str, bytes],
    contract: InputContract,
    crops: NDArray[np.uint8],
    labels: NDArray[np.float32],
    attributes: Sequence[str],
    thresholds: Sequence[float],
    task: str = "attributes",
) -> dict[str, Judged]:
    """Run each variant of a network on the same faces, on one thread.

    Args:
        graphs: TFLite graphs by the name of the variant.
        contract: What they were trained to see.
        crops: uint8 (faces, height, width, 3), at least one.
        labels: float32 (faces, attributes); 1 yes, 0 no, nan unknown. Of the task "identity"
            (faces, 1), the place of each one's person.
        attributes: Names of the outputs.
        thresholds: Probability at and above which an attribute is a label, one an output.
        task: One of `edge.modelfile.TASKS`.

    Returns:
        By variant, in the order of `graphs`.
    """
    networks = {name: Interpreter(graph, name) for name, graph in graphs.items()}
    said = {name: np.empty((len(crops), len(thresholds)), np.float32) for name in networks}
    with progress("comparing", len(crops) * len(networks), "faces") as advance:
        for row, crop in enumerate(crops):
            for name, network in networks.items():
                said[name][row] = network.run_pixels(crop, contract.value_range)[0][0]
            advance(len(networks))
    decisions = {name: _decide(said[name], thresholds, task) for name in networks}
    questions = [IDENTITY] if task == "identity" else attributes
    observer = Observer()
    blocks = _time(networks, contract, crops)
    conditions = [observer.conditions()]
    return {
        name: Judged(
            probabilities=said[name],
            decisions=decisions[name],
            accuracy={
                question: _accuracy(decisions[name][:, column], labels[:, column])
                for column, question in enumerate(questions)
            },
            size_bytes=len(graphs[name]),
            latency_ms=summarise([ms for block in blocks[name] for ms in block]),
            operators=network.operators(),
            runtime=network.version(),
            warnings=tuple(unstable(conditions, blocks[name], usable_cores())),
        )
        for name, network in networks.items()
    }


def _decide(
    probabilities: NDArray[np.float32], thresholds: Sequence[float], task: str
) -> NDArray[np.int64]:
    """Return decisions: (faces, attributes), or (faces, 1) with the person."""
    if task == "identity":
        return best(probabilities, thresholds)[:, None]
    return (probabilities >= np.array(thresholds, np.float32)).astype(np.int64)


def _accuracy(decisions: NDArray[np.int64], labels: NDArray[np.float32]) -> dict[str, Any]:
    """Return how often a decision is the one that the label says; nan is left out."""
    truth = np.where(np.isnan(labels), np.nan, 1).astype(np.float32)
    return accuracy_of(decisions == labels, truth)


def drop_points(judged: Judged, reference: Judged) -> dict[str, float | None]:
    """Return how many points of accuracy each attribute loses against the float network."""
    drops: dict[str, float | None] = {}
    for attribute, values in judged.accuracy.items():
        before, after = reference.accuracy[attribute]["accuracy"], values["accuracy"]
        drops[attribute] = None if after is None else round(100 * (before - after), 3)
    return drops


def describe(
    variant: str, judged: Judged, reference: Judged, names: Sequence[str]
) -> dict[str, Any]:
    """Return one entry of `edge convert --json`, without the file.

    `agreement` is the share of decisions that are those of the float network, `flips` counts the
    others by attribute, and `worst` names the faces whose decision changed most.

    Args:
        variant: Its name.
        judged: What it made of the faces.
        reference: What the float network made of them.
        names: Of the faces' pictures.
    """
    flips = (judged.decisions != reference.decisions).sum(axis=0).tolist()
    fallback = {name: count for name, count in judged.operators.items() if name != "DELEGATE"}
    return {
        "name": variant,
        "accuracy": {name: values["accuracy"] for name, values in judged.accuracy.items()},
        "ci95": {name: values["ci95"] for name, values in judged.accuracy.items()},
        "drop_points": drop_points(judged, reference),
        "flips": dict(zip(judged.accuracy, flips, strict=True)),
        "agreement": agreement(judged, reference),
        "worst": _worst(judged, reference, names),
        "latency_ms": judged.latency_ms,
        "runtime": judged.runtime,
        "warnings": list(judged.warnings),
        "delegate": {
            "partitions": judged.operators.get("DELEGATE", 0),
            "fallback_ops": fallback,
            "reasons": _reasons(variant, fallback),
        },
    }


def _worst(judged: Judged, reference: Judged, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the faces that are decided otherwise, the greatest change of a probability first."""
    flipped = judged.decisions != reference.decisions
    # Of people, all outputs make the one decision.
    change = np.abs(judged.probabilities - reference.probabilities)
    change = np.where(flipped, change, 0).max(axis=1)
    flips = flipped.any(axis=1)
    rows = [row for row in np.argsort(-change, kind="stable").tolist() if flips[row]]
    return [
        {"picture": names[row], "change": round(float(change[row]), 4)} for row in rows[:_WORST]
    ]


def _reasons(variant: str, fallback: Iterable[str]) -> dict[str, str]:
    """Return why each operator runs outside of XNNPACK, in words."""
    if variant == "int16":
        return {"int16": "XNNPACK has no kernels for 16 bits; the runtime's own are slow"}
    return {name: _WHY.get(name, "XNNPACK has no kernel for its form here") for name in fallback}


def agreement(judged: Judged, reference: Judged) -> float:
    """Return the share of decisions that are those of the float network."""
    return float((judged.decisions == reference.decisions).mean())


def _time(
    networks: dict[str, Interpreter], contract: InputContract, crops: NDArray[np.uint8]
) -> dict[str, list[list[float]]]:
    """Time each network in turns: blocks of milliseconds by name."""
    faces = itertools.cycle(list(crops[:_FACES]))

    def call(network: Interpreter) -> Call:
        return lambda: network.run_pixels(next(faces), contract.value_range)

    calls = {name: call(network) for name, network in networks.items()}
    return alternate(calls, _PROTOCOL)
