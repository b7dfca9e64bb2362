"""Rounds of fresh processes: what `edge bench` calls, and what it leaves on disk after each one."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge.benchmarks import venvs
from edge.benchmarks.cases import Case
from edge.benchmarks.children import run_child
from edge.benchmarks.prepare import Inputs
from edge.benchmarks.results import SCHEMA, Document, Entry, blocks, complete, derived, key
from edge.benchmarks.suites import Request, Skipped, plan
from edge.conditions import Conditions, unfit, unstable
from edge.environment import cores_for, fingerprint
from edge.errors import EdgeError
from edge.files import write_bytes
from edge.measure import Protocol, shuffled
from edge.modelfile import resolve_model
from edge.progress import progress
from edge.runtime.outputs import to_json

Say = Callable[[str], None]

_DIGITS = 4
# Of a process: fast calls take tens of thousands, whose statistics are the same.
_MOST_SAMPLES = 500
# What stands before the reason in a refusal of the GPU.
_ON_GPU = "cannot run on a GPU: "
# A training step takes as long as a hundred frames.
_SAMPLES_A_STEP = 5

_ABOUT = ("runtime_version", "precision", "adapter", "size_bytes", "multiply_adds", "model",
          "batch", "reach", "detector", "accuracy", "accuracy_from")  # fmt: skip


def bench(request: Request, file: Path, command: str, *, say: Say) -> Document:
    """Measure what was asked for, writing the results after every process.

    Args:
        request: What to measure.
        file: Where the results go.
        command: The command line, to be repeated by a reader.
        say: Called with sentences for the user.

    Returns:
        The completed document, as in the file.

    Raises:
        EdgeError: Something asked for is not here, or nothing could be measured.
    """
    cases, skipped = plan(request, _no_gpu(request))
    return _go_on(new_document(request, cases, skipped, command), file, say)


def new_document(
    request: Request, cases: list[Case], skipped: list[Skipped], command: str
) -> Document:
    """Return a results document without results."""
    return {
        "schema": SCHEMA,
        "started": now(),
        "finished": None,
        "command": command,
        "environment": fingerprint(max(case.threads for case in cases), _litert()),
        "protocol": _protocol(request.protocol),
        "plan": {
            "suites": list(dict.fromkeys(case.suite for case in cases)),
            "data": None if request.data is None else str(request.data),
            "cases": [case.to_json() for case in cases],
        },
        "skipped": [one.to_json() for one in skipped],
        "peak": {},
        "results": [],
        "warnings": [],
    }


def resume(file: Path, *, say: Say) -> Document:
    """Go on with an interrupted measurement as it was begun.

    Raises:
        EdgeError: The file is none of `edge bench`, or was begun on another machine.
    """
    from edge.benchmarks.results import read_results

    document = read_results(file)
    if document.get("soak"):
        raise EdgeError(f"{file} is a soak, which cannot go on", "begin it anew")
    if document["finished"]:
        say(f"{file} is finished: nothing is left to measure")
        return document
    begun, here = document["environment"], fingerprint(1, _litert())
    for name in ("cpu", "cores", "python", "versions"):
        if begun.get(name) != here[name]:
            raise EdgeError(
                f"{file} was begun with another {name}: {begun.get(name)}, here it is {here[name]}",
                "measure anew, without --resume",
            )
    return _go_on(document, file, say)


def _go_on(document: Document, file: Path, say: Say) -> Document:
    cases, protocol, data = _planned(document, file)
    for sentence in unfit(document["environment"]):
        say(sentence)
    with Inputs(data, run_child) as inputs:
        # Before and after, the better of the two: a peak that something disturbed is none.
        try:
            _measure_peak(document, cases)
            _rounds(document, file, cases, protocol, inputs)
            _measure_peak(document, cases)
        except KeyboardInterrupt:
            begun = f"go on with: edge bench --resume --out {file}"
            say(f"stopped; {begun if document['results'] else 'nothing was measured yet'}")
            raise
    _require_measured(document, cases)
    document |= {"finished": now(), "warnings": _warnings(document)}
    document = complete(document)
    write(document, file)
    return document


def _planned(document: Document, file: Path) -> tuple[list[Case], Protocol, Path | None]:
    """Return cases, protocol and data of a document, which somebody may have edited."""
    plan_, protocol = document["plan"], document["protocol"]
    try:
        names = (field.name for field in fields(Protocol))
        rounds = Protocol(**{name: protocol[name] for name in names})
        cases = [Case.from_json(case) for case in plan_["cases"]]
    except (KeyError, TypeError) as error:
        raise EdgeError(
            f"{file} does not say what was to be measured: {error}",
            "measure anew, without --resume",
        ) from error
    return cases, rounds, None if plan_.get("data") is None else Path(plan_["data"])


def _require_measured(document: Document, cases: list[Case]) -> None:
    """Refuse a result that lacks an engine or a device that was asked for, or has nothing."""
    reasons = {(one["runtime"], one["device"]): one["reason"] for one in document["skipped"]}
    measured = {(entry["runtime"], entry["device"]) for entry in document["results"]}
    wanted = {(case.runtime, case.device) for case in cases if case.asked}
    for runtime, device in sorted(wanted - measured) if measured else sorted(reasons):
        reason = reasons.get((runtime, device), "it failed")
        raise EdgeError(
            f"nothing could be measured with {runtime} on the {device.upper()}: {reason}",
            "leave it out of --runtime or --device, or choose another --model",
        )


def _rounds(
    document: Document, file: Path, cases: list[Case], protocol: Protocol, inputs: Inputs
) -> None:
    """Measure every case once a round, each time in a fresh process and in another order."""
    done = {
        (key(entry), process["round"])
        for entry in document["results"]
        for process in entry["processes"]
    }
    failed = {key(one) for one in document["skipped"]}
    start = time.monotonic()
    with progress("measuring", protocol.rounds * len(cases), "cases", done=len(done)) as advance:
        for number, order in enumerate(shuffled(cases, protocol)):
            if not protocol.has_time_for(number, time.monotonic() - start):
                break
            for case in order:
                if (case.key, number) in done:
                    continue
                if case.key not in failed:
                    try:
                        report = _measure(case, number, protocol, inputs)
                    except EdgeError as error:
                        failed.add(case.key)
                        _give_up(document, case, number, error)
                    else:
                        _add(document, case, number, report)
                    write(document, file)
                advance(1)


def _give_up(document: Document, case: Case, number: int, error: EdgeError) -> None:
    """Note why a case is measured no further."""
    reason = error.message.partition(_ON_GPU)[2] or error.message
    entry = next((one for one in document["results"] if key(one) == case.key), None)
    if entry is None:
        document["skipped"].append(Skipped(case=case, reason=reason).to_json())
    else:
        entry["warnings"].append(f"unstable: it failed in round {number + 1}: {reason}")


def _measure(case: Case, number: int, protocol: Protocol, inputs: Inputs) -> dict[str, Any]:
    files = inputs.files(case)
    if number:
        files.pop("labelled", None)
    least, seconds = protocol.block()
    if case.suite == "training":
        least = math.ceil(least / _SAMPLES_A_STEP)
    cores = [] if case.device == "gpu" else sorted(cores_for(case.threads))
    job = {
        "do": "measure", "case": case.to_json(), "files": files, "cores": cores,
        "samples": least, "seconds": seconds, "later": number == 0,
    }  # fmt: skip
    return run_child(job, threads=case.threads, device=case.device,
                     python=venvs.python_for(case))  # fmt: skip


def _add(document: Document, case: Case, number: int, report: dict[str, Any]) -> None:
    """Add what one process measured to its case's entry."""
    entry = next((one for one in document["results"] if key(one) == case.key), None)
    if entry is None:
        entry = _new_entry(case, report)
        document["results"].append(entry)
        order = [Case.from_json(one).key for one in document["plan"]["cases"]]
        document["results"].sort(key=lambda one: order.index(key(one)))
    elif _sha256(entry) != _sha256(report["about"]):
        raise EdgeError(
            f"the file of {case.name} {case.variant} is not the one that was measured before",
            "measure anew, without --resume",
        )
    if "accuracy" in report:
        entry |= {"accuracy": report["accuracy"], "accuracy_from": "measured"}
    kept = kept_samples(report["samples_ms"])
    samples = _rounded(report["samples_ms"][at] for at in kept)
    entry["samples_ms"] += samples
    for name, taken in report["stages_ms"].items():
        entry["stages_ms"][name] += _rounded(taken[at] for at in kept)
    process = {name: round(report[name], _DIGITS) for name in
               ("start_ms", "load_ms", "first_ms", "peak_rss_mb")}  # fmt: skip
    process |= {"round": number, "samples": len(samples)} | report["conditions"]
    warm = report["warmup_ms"]
    process["warmup_ms"] = _rounded(warm[at] for at in kept_samples(warm))
    entry["processes"].append(process)
    conditions = [Conditions.from_json(one) for one in entry["processes"]]
    entry["warnings"] = unstable(conditions, blocks(entry), document["environment"]["cores"])
    entry |= derived(entry, document["peak"])


def _new_entry(case: Case, report: dict[str, Any]) -> Entry:
    entry: Entry = {**case.to_json(), "samples_ms": [], "processes": []}
    del entry["model"], entry["asked"]
    entry |= {name: report["about"][name] for name in _ABOUT if name in report["about"]}
    if report["stages_ms"]:
        entry["stages_ms"] = {name: [] for name in report["stages_ms"]}
    return entry


def kept_samples(samples: Sequence[float]) -> Sequence[int]:
    """Return the places of those samples of a process that are kept: all, up to 500.

    Of more, 500 that are evenly spread, and the longest one.
    """
    count = len(samples)
    if count <= _MOST_SAMPLES:
        return range(count)
    spread = {at * count // _MOST_SAMPLES for at in range(_MOST_SAMPLES)}
    return sorted(spread | {max(range(count), key=samples.__getitem__)})


def _rounded(samples: Iterable[float]) -> list[float]:
    return [round(ms, _DIGITS) for ms in samples]


def _sha256(about: dict[str, Any]) -> str | None:
    model = about.get("model") or {}
    return model.get("sha256")


def _measure_peak(document: Document, cases: list[Case]) -> None:
    """Measure what this processor can do, on each number of threads of single networks."""
    counted = [case for case in cases if case.suite in ("classifiers", "detectors")]
    for threads in sorted({case.threads for case in counted}):
        job = {"do": "peak", "threads": threads, "cores": sorted(cores_for(threads))}
        for precision, rate in run_child(job, threads=threads).items():
            known = document["peak"].setdefault(precision, {})
            known[str(threads)] = max(rate, known.get(str(threads), 0.0))


def _no_gpu(request: Request) -> str | None:
    """Return why nothing is measured on a GPU; None where it is.

    Raises:
        EdgeError: A GPU was asked for and there is none.
    """
    asked = "gpu" in request.devices
    suites = request.suites or ("classifiers",)
    if "classifiers" not in suites or not request.wants("gpu"):
        return "nothing was to be measured on it"
    if asked and request.runtimes and "litert" not in request.runtimes:
        return None  # Keras says itself which GPU its backend sees
    try:
        adapter = run_child(
            {"do": "gpu", "model": str(resolve_model("default-float32"))}, device="gpu"
        )
    except EdgeError as error:
        if asked:
            raise
        return error.message.partition(_ON_GPU)[2] or error.message
    if adapter["software"] and not asked:
        return f"only {adapter['name']} is there, which is software; --device gpu measures it"
    return None


def _warnings(document: Document) -> list[str]:
    """Say what limits the whole, each sentence once."""
    found = unfit(document["environment"])
    entries = document["results"]
    said: dict[str, list[str]] = {}
    for entry in entries:
        for sentence in entry["warnings"]:
            said.setdefault(" ".join(sentence.split()[1:4]), []).append(sentence)
    for sentences in said.values():
        example = sentences[0].removeprefix("unstable: ")
        found.append(f"unstable: {len(sentences)} of {len(entries)} results: {example}")
    if any((entry.get("adapter") or {}).get("software") for entry in entries):
        found.append("a GPU of this run is software: its times say nothing about any GPU")
    return found


def _protocol(protocol: Protocol) -> dict[str, Any]:
    least, seconds = protocol.block()
    limit = f", of which those after the third only within {protocol.budget_s:g} s"
    return asdict(protocol) | {
        "text": (
            f"{protocol.rounds} rounds{limit if protocol.budget_s else ''}; in each, every case "
            "once, in random order, in a fresh process pinned to as many cores as it has threads. "
            "A process opens the model, takes the first call (kept apart), warms up until two "
            "windows of calls agree within 3 % (kept apart), and then takes at least "
            f"{least} samples and {seconds:g} s (a fifth as many of training steps). Of a process, "
            "all raw samples are in this file, or of more than 500 as many, evenly spread, and the "
            "longest; statistics are derived when it is read, intervals by a "
            "bootstrap over processes and then over samples, widened by Student's t for few "
            "processes, and no 99th percentile is given under 100 samples."
        ),
    }


def write(document: Document, file: Path) -> None:
    """Write a results file; NaN and infinity, which JSON does not know, become null."""
    write_bytes(file, (to_json(document) + "\n").encode())


def _litert() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"litert {version('ai-edge-litert')}"
    except PackageNotFoundError:
        return "none"


def now() -> str:
    """Return the time as results files tell it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
