"""Which engine runs a graph, on how many threads: found out once, then remembered.

OpenVINO opens the very files of LiteRT. Which of the two is faster depends on the file and the
processor, and without instructions for int8 products OpenVINO gives other answers: it is believed
only once it agreed with LiteRT on faces.
"""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from edge.assets import assets, home
from edge.environment import processor, threads_of_a_network, usable_cores, versions
from edge.errors import EdgeError, first_line
from edge.files import write_json
from edge.measure import Call, sample
from edge.progress import waiting
from edge.runtime.interpreter import RUNTIMES, Interpreter
from edge.runtime.trial import Trial

# History of choices.json:
# 1: first one.
_SCHEMA = 1
_FILE = "choices.json"
_KEPT = 100
_PACKAGES = ("edge-tflite", "ai-edge-litert", "tflite-runtime", "tensorflow", "openvino")

# What is tried beside the TFLite runtime, but only believed where it agrees.
_OTHER = "openvino"
# To be faster by less is no reason to take it, or more threads.
_TIE = 1.05
_TURNS = 8

# How far an answer may be off: in a probability, or in widths of a face. OpenVINO's int8 is by 0.1
# to 0.9 without instructions for it; bfloat16 by 0.006 in a probability, by 0.038 in the score of
# a face; rounding of float32 by less than a millionth.
_TOLERANCE = 0.02
# A network so slow that all comparisons would take longer is compared on fewer.
_LEAST_COMPARED, _COMPARED_S = 12, 0.5


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What shall run a graph, and why.

    Args:
        runtime: For `Interpreter`: one of `RUNTIMES`, or "auto" where there is no other; the name
            of a detector that brings an engine of its own.
        threads: How many threads it may use.
        measured_ms: Median milliseconds of one run by candidate, such as "litert 2"; empty where
            there was one candidate.
        refused: By runtime, why it was no candidate.
        remembered: Nothing was opened or measured: it was before.
    """

    runtime: str
    threads: int
    measured_ms: dict[str, float]
    refused: dict[str, str]
    remembered: bool = False


def choose(
    graph: bytes,
    sha256: str,
    name: str,
    trial: Trial,
    *,
    runtime: str = "auto",
    threads: int | None = None,
    budget_s: float = 0.5,
) -> Choice:
    """Choose what runs a graph: as remembered, or by trying.

    The answer is kept in the cache folder for this graph, machine and versions. Where there is
    one candidate it is the answer, and nothing is opened, measured or written.

    Args:
        graph: The bytes of the graph.
        sha256: Their hexadecimal digest.
        name: What to call the model in messages.
        trial: From `edge.runtime.trial`.
        runtime: "auto", or one of `RUNTIMES` that is taken as it is.
        threads: How many threads are wanted; None to choose.
        budget_s: Seconds of measuring, all candidates together, but one run of each at least.

    Raises:
        EdgeError: The runtime that is preferred cannot open the graph; see `Interpreter`.
    """
    those = candidates(runtime, threads)
    if len(those) == 1:
        return Choice(runtime=those[0][0], threads=those[0][1], measured_ms={}, refused={})
    key = _circumstances(sha256, those)
    for entry in _entries():
        if entry["for"] == key:
            return Choice(**entry["choice"], remembered=True)
    choice = _try(graph, name, those, trial, budget_s)
    # Not under `key`: trying may have fetched the faces that it is compared on.
    _remember(_circumstances(sha256, those), choice)
    return choice


def candidates(runtime: str = "auto", threads: int | None = None) -> list[tuple[str, int]]:
    """Return the runtimes and threads to choose from, preferred ones first; both as `choose`.

    Detector and classifier may run side by side: each gets half of the cores at most.
    """
    powers = [2**n for n in range(threads_of_a_network().bit_length())]
    counts = powers if threads is None else [threads]
    runtimes = [runtime]
    if runtime == "auto" and find_spec(_OTHER) is not None:
        runtimes.append(_OTHER)
    return [(each, count) for each in runtimes for count in counts]


def medians(calls: Mapping[str, Call], budget_s: float) -> dict[str, float]:
    """Time calls in short turns, so that a busy moment falls on all alike.

    Args:
        calls: What is timed, by name; each is called once before.
        budget_s: A turn after the first begins only if, as long as the longest, it ends in time.

    Returns:
        The median milliseconds of each.
    """
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    block_s = budget_s / (_TURNS * len(calls))
    began, longest = time.perf_counter(), 0.0
    for _ in range(_TURNS):
        turn = time.perf_counter()
        if longest and turn - began + longest > budget_s:
            break
        for name, call in calls.items():
            taken[name] += sample(call, 1, block_s)
        longest = max(longest, time.perf_counter() - turn)
    return {name: float(np.median(values)) for name, values in taken.items()}


def _try(
    graph: bytes, name: str, those: list[tuple[str, int]], trial: Trial, budget_s: float
) -> Choice:
    """Open the candidates, refuse what answers otherwise than the first one, time the rest."""
    own = [count for runtime, count in those if runtime == those[0][0]]
    networks = [Interpreter(graph, name, runtime=those[0][0], threads=count) for count in own]
    refused = {}
    if others := [count for runtime, count in those if runtime != those[0][0]]:
        try:
            networks += _agreeing(graph, name, others, networks[0], trial)
        except Exception as error:  # whatever ails it, there is another one
            refused[_OTHER] = first_line(error)
    if len(networks) == 1:
        measured = {}
        chosen = networks[0]
    else:
        calls = {_label(each): partial(trial.timed, each) for each in networks}
        with waiting(f"timing engines for {name}"):
            measured = medians(calls, budget_s)
        limit = min(measured.values()) * _TIE
        chosen = next(each for each in networks if measured[_label(each)] <= limit)
    return Choice(
        runtime=chosen.runtime, threads=chosen.threads, measured_ms=measured, refused=refused
    )


def _agreeing(
    graph: bytes, name: str, counts: list[int], base: Interpreter, trial: Trial
) -> list[Interpreter]:
    """Open OpenVINO with each count of threads; raise if one gives other answers than `base`."""
    probes = trial.compared()
    off = 0.0
    with waiting(f"trying {_OTHER} on {name}"):
        networks = [Interpreter(graph, name, runtime=_OTHER, threads=count) for count in counts]
        end = time.perf_counter() + _COMPARED_S
        for at, probe in enumerate(probes):
            if at >= _LEAST_COMPARED and time.perf_counter() > end:
                break
            expected = probe(base)
            found = [trial.difference(expected, probe(network)) for network in networks]
            off = float(np.max([off, *found]))
    # Not "more than": what is not a number is more than nothing.
    if not off <= _TOLERANCE:
        raise ValueError(f"gives other answers than {base.runtime}: off by {off:.2g}")
    return networks


def _label(network: Interpreter) -> str:
    return f"{network.runtime} {network.threads}"


@cache
def _machine() -> dict[str, Any]:
    cpu, isa = processor()
    return {"cpu": cpu, "isa": isa, "versions": versions(_PACKAGES)}


def _circumstances(sha256: str, those: list[tuple[str, int]]) -> dict[str, Any]:
    """Return what an answer depends on, as JSON reads it back."""
    tried = [f"{runtime} {threads}" for runtime, threads in those]
    found = {"graph": sha256, "candidates": tried, "cores": usable_cores()} | _machine()
    if those[-1][0] == _OTHER:
        found["faces"] = (home() / "assets" / assets()["demo"].file).is_file()
    return found


def _entries() -> list[dict[str, Any]]:
    """Return what is remembered, the oldest first; nothing of a file that cannot be used."""
    try:
        kept = json.loads((home() / _FILE).read_bytes())
        return [entry for entry in kept["choices"] if kept["schema"] == _SCHEMA and _whole(entry)]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return []


def _whole(entry: Any) -> bool:
    """Tell whether an entry has all that `choose` reads of it."""
    choice = entry["choice"]
    return (
        isinstance(entry["for"], dict)
        and choice.keys() == {"runtime", "threads", "measured_ms", "refused"}
        and choice["runtime"] in RUNTIMES
        and type(choice["threads"]) is int
        and all(type(ms) is float for ms in choice["measured_ms"].values())
        and all(type(reason) is str for reason in choice["refused"].values())
    )


def _remember(circumstances: dict[str, Any], choice: Choice) -> None:
    others = [entry for entry in _entries() if entry["for"] != circumstances]
    kept = asdict(choice)
    del kept["remembered"]
    entries = [*others[1 - _KEPT :], {"for": circumstances, "choice": kept}]
    with suppress(EdgeError, OSError):  # what cannot be kept is measured again
        write_json(home() / _FILE, {"schema": _SCHEMA, "choices": entries})
