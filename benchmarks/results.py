"""The results file: raw samples with what they were taken on; statistics derive from them."""

import json
from pathlib import Path
from statistics import mean
from typing import Any

from edge.benchmarks.cases import Key
from edge.benchmarks.shapes import DOCUMENT, ENTRY, fault, is_count, is_number
from edge.errors import EdgeError
from edge.measure import interval, summarise

# History of the results file:
# 1: first one.
SCHEMA = 1

Document = dict[str, Any]
Entry = dict[str, Any]

# A bootstrap of more samples a process takes a board long and moves no end of an interval.
_RESAMPLED = 500

# The steady state is what the last quarter of the windows does, the start what the first minute.
_STEADY_SHARE = 0.25
_START_S = 60.0

_KEYS = ("suite", "name", "variant", "runtime", "device", "threads")


# Which peak a variant is held against; of a file without a card nothing is known.
_PRECISIONS = {"float32": "float32", "float16": "float32", "dynamic": "int8", "int8": "int8"}


def read_results(path: Path) -> Document:
    """Read a results file and derive its statistics anew.

    Raises:
        EdgeError: It is missing, no results file, or of a newer schema.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise EdgeError(
            f"cannot read {path}: {error.strerror}", "name a file that `edge bench` wrote"
        ) from error
    except (ValueError, RecursionError) as error:
        raise _invalid(path, "no JSON") from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(schema, int) or isinstance(schema, bool):
        raise _invalid(path, "without a schema")
    if schema > SCHEMA:
        raise EdgeError(
            f"{path} is of schema {schema}, this edge reads up to {SCHEMA}", "upgrade edge"
        )
    if not isinstance(document.get("results"), list):
        raise _invalid(path, "without results")
    if found := fault(document, DOCUMENT):
        raise _invalid(path, found)
    for entry in document["results"]:
        _check(entry, path)
    return complete(document)


def complete(document: Document) -> Document:
    """Return a document with every optional part there, and all statistics derived anew.

    Those are the statistics of each entry and, of a soak, first_minute_fps, steady_fps,
    steady_share and throttled_after_s (all None without any window).
    """
    defaults: Document = {
        "environment": {}, "protocol": {}, "plan": {}, "skipped": [], "peak": {}, "warnings": [],
        "command": None, "started": None, "finished": None,
    }  # fmt: skip
    results = [derived(entry, document.get("peak") or {}) for entry in document["results"]]
    known = {name: value for name, value in document.items() if value is not None}
    document = defaults | known | {"results": results}
    document["plan"] = {name: part for name, part in document["plan"].items() if part is not None}
    soak = document.get("soak")
    if soak:
        document["soak"] = soak | _endurance(soak["windows"])
    if document["started"] and not document["finished"]:
        remedy = "a soak has to begin anew" if soak else "--resume goes on with it"
        begun = f"unfinished: the measurement was stopped; {remedy}"
        document["warnings"] = [begun, *(one for one in document["warnings"] if one != begun)]
    return document


def derived(entry: Entry, peak: dict[str, dict[str, float]]) -> Entry:
    """Return an entry with the statistics of its raw samples.

    Intervals are those of every nth sample where a process took more than 500: so many that none
    is left with more.

    Args:
        entry: At least its key and `samples_ms`.
        peak: Multiply-adds a second that this CPU reaches, by precision and threads.
    """
    samples = _thinned(blocks(entry))
    latency = summarise(entry["samples_ms"])
    average = latency["mean"]
    processes = entry.get("processes") or []
    found: Entry = {
        "latency_ms": latency,
        "ci95_ms": {
            "mean": list(interval(samples, "mean")),
            "p50": list(interval(samples, "p50")),
        },
        "fps": 1000 * (entry.get("batch") or 1) / average if average else None,
    }
    for name in ("first_ms", "start_ms", "load_ms"):
        values = [one[name] for one in processes if one.get(name) is not None]
        # The first call happens once a process; of several the median, so that a cold disk
        # does not stand for all.
        found[name] = summarise(values)["p50"] if values else entry.get(name)
    held = [one["peak_rss_mb"] for one in processes if one.get("peak_rss_mb") is not None]
    found["peak_rss_mb"] = max(held, default=entry.get("peak_rss_mb"))
    multiply_adds = entry.get("multiply_adds")
    if multiply_adds and latency["p50"]:
        rate = multiply_adds / (latency["p50"] / 1000)
        ceiling = (peak.get(_PRECISIONS.get(entry["variant"], "")) or {}).get(str(entry["threads"]))
        found["multiply_adds_per_s"] = rate
        found["peak_share"] = rate / ceiling if ceiling and entry["device"] == "cpu" else None
    found["warnings"] = entry.get("warnings") or []
    return {"accuracy": None, "size_bytes": None, "model": None} | entry | found


def blocks(entry: Entry) -> list[list[float]]:
    """Return the samples of each process."""
    samples, start, parts = entry["samples_ms"], 0, []
    for process in entry.get("processes") or []:
        parts.append(samples[start : start + process["samples"]])
        start += process["samples"]
    if start < len(samples):
        parts.append(samples[start:])
    return [part for part in parts if part]


def key(entry: Entry) -> Key:
    """Return what tells an entry from every other in its file."""
    suite, name, variant, runtime, device, threads = (entry[part] for part in _KEYS)
    return suite, name, variant, runtime, device, threads


def title(entry: Entry) -> str:
    """Name an entry in words, such as "default int8, litert, 2 threads"."""
    threads = f"{entry['threads']} thread{'s' if entry['threads'] != 1 else ''}"
    place = "GPU" if entry["device"] == "gpu" else threads
    return f"{entry['name']} {entry['variant']}, {entry['runtime']}, {place}"


def _thinned(samples: list[list[float]]) -> list[list[float]]:
    """Take every nth sample, of all processes alike, so that none has too many."""
    step = -(-max(map(len, samples), default=0) // _RESAMPLED)
    return [block[::step] for block in samples]


def _endurance(windows: list[dict[str, Any]]) -> dict[str, float | None]:
    """Tell what is left of the speed of the first minute, and when the board slowed down."""
    if not windows:
        return dict.fromkeys(
            ("first_minute_fps", "steady_fps", "steady_share", "throttled_after_s")
        )
    start = max(_START_S, windows[0]["t_s"])
    first = mean(one["fps"] for one in windows if one["t_s"] <= start)
    steady = mean(one["fps"] for one in windows[-max(1, round(len(windows) * _STEADY_SHARE)) :])
    return {
        "first_minute_fps": first,
        "steady_fps": steady,
        "steady_share": steady / first if first else None,
        "throttled_after_s": next((one["t_s"] for one in windows if one.get("throttled")), None),
    }


def _check(entry: Any, path: Path) -> None:
    if not isinstance(entry, dict):
        raise _invalid(path, "with a result that is no object")
    missing = [name for name in (*_KEYS, "samples_ms") if name not in entry]
    if missing:
        raise _invalid(path, f"with a result without {', '.join(missing)}")
    *names, threads = key(entry)
    if not all(isinstance(name, str) for name in names) or not is_count(threads):
        raise _invalid(path, f"with a result of {entry['name']} whose key is not words and a count")
    if not _are_durations(entry["samples_ms"]):
        raise _invalid(path, f"with samples that are no durations ({title(entry)})")
    if found := fault(entry, ENTRY):
        raise _invalid(path, f"{found} ({title(entry)})")
    if not _fit(entry.get("processes") or [], len(entry["samples_ms"])):
        raise _invalid(path, f"with processes that do not fit its samples ({title(entry)})")


def _fit(processes: list[dict[str, Any]], samples: int) -> bool:
    return (
        all(one.get("samples") is not None for one in processes)
        and sum(one["samples"] for one in processes) <= samples
    )


def _are_durations(values: Any) -> bool:
    return (
        isinstance(values, list)
        and len(values) > 0
        and all(is_number(ms) and ms > 0 for ms in values)
    )


def _invalid(path: Path, what: str) -> EdgeError:
    return EdgeError(f"{path} is not a results file: {what}", "name a file that `edge bench` wrote")
