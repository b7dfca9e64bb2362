"""Results files against each other: one machine against another, before against after."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from edge.benchmarks.cases import Key
from edge.benchmarks.results import Document, Entry, blocks, key, read_results, title
from edge.benchmarks.rows import entries_of, suites
from edge.errors import EdgeError
from edge.measure import ratio
from edge.progress import progress

# History of what `edge bench compare --json` prints:
# 1: first one.
SCHEMA = 1

# Below this a difference is no difference, whatever the samples say: code that is merely placed
# elsewhere in memory moves that far. Of the shortest calls a larger share is one all the same.
_FLOOR_MS, _FLOOR, _FLOOR_OF_SHORT = 0.02, 0.01, 0.05
# An interval that reaches further than this from 1 cannot say that two are the same.
_SAME_WITHIN = 0.05

# What changes from minute to minute says nothing of a machine.
_PASSING = {"load", "temperature_c", "frequency_mhz.now"}
_COUNTED_IN_GB = {"memory", "limits.memory"}

# An error names so many cases; the table has all.
_NAMED = 5


@dataclass(frozen=True)
class _File:
    """A results file that is compared: its name in reports, its content, its cases by key."""

    name: str
    document: Document
    cases: dict[Key, Entry]


def compare(paths: Sequence[Path], *, force: bool = False) -> dict[str, Any]:
    """Compare results files, case by case, with the first one.

    Args:
        paths: Two or more files that `edge bench` wrote; the first is the base.
        force: Compare what is not comparable too, and warn.

    Returns:
        What `edge bench compare --json` prints: files, environments (fields that differ), cases
        (those of the base that another file has too, with the ratio of p50 and mean and its 95 %
        interval for each other file), missing (cases that not all files have), suites (geometric
        mean of the ratios) and warnings.

    Raises:
        EdgeError: A file cannot be read, none of the cases is in both, or, without `force`, a
            case was measured on another model, with another contract, or on a software GPU.
    """
    if len(paths) < 2:
        raise EdgeError("nothing to compare with", "name two or more files that `edge bench` wrote")
    base, *others = _open(paths)
    faults = [fault for other in others for fault in _incomparable(base, other)]
    if faults and not force:
        raise EdgeError(faults[0], "measure the same model on both, or add --force")
    matched = [(other, at) for other in others for at in base.cases if at in other.cases]
    if not matched:
        raise EdgeError(
            f"no case of {base.name} is in {' or '.join(other.name for other in others)}",
            "measure the same models, runtimes and threads on both",
        )
    found: dict[Key, list[dict[str, Any]]] = {}
    with progress("comparing", len(matched), "cases") as advance:
        for other, at in matched:
            pair = _pair(base.cases[at], other.cases[at])
            found.setdefault(at, []).append({"file": other.name} | pair)
            advance(1)
    cases = [_described(base.cases[at]) | {"others": found[at]} for at in base.cases if at in found]
    return {
        "schema": SCHEMA,
        "files": [_about(file) for file in (base, *others)],
        "environments": _differences([base, *others]),
        "cases": cases,
        "missing": _missing([base, *others]),
        "suites": _geometric_means(cases, [other.name for other in others]),
        "warnings": [
            *(f"{fault}; compared all the same" for fault in faults),
            *_doubts([base, *others]),
            *_other_precisions(cases),
        ],
    }


def require_not_slower(report: dict[str, Any], percent: float) -> list[str]:
    """Refuse a comparison in which a case is slower by more than it may be.

    A case counts when its whole interval is beyond.

    Args:
        report: From `compare`.
        percent: How much slower the median may be.

    Returns:
        What to warn of: cases that seem too slow, but not by their whole interval, and those of
        the base that another file lacks, of which nothing is known.

    Raises:
        EdgeError: Names each case that is slower, with its ratio and interval.
    """
    limit = 1 + percent / 100
    slower: list[str] = []
    unsure: list[str] = []
    for case, other in _pairs(report["cases"]):
        value, low, high = other["p50_ratio"]
        found = (
            f"{case['title']} takes {value:.3f} times as long in {other['file']} "
            f"(95 % interval {low:.3f} to {high:.3f})"
        )
        if other["verdict"] == "slower" and low > limit:
            slower.append(found)
        elif other["verdict"] in ("slower", "inconclusive") and value > limit:
            unsure.append(f"{found}, which does not prove it more than {percent:g} % slower")
    unsure += _gone(report)
    if slower:
        count = f"{len(slower)} case{'s are' if len(slower) > 1 else ' is'}"
        raise EdgeError(
            f"{count} more than {percent:g} % slower than in "
            f"{report['files'][0]['name']}: {_some(slower)}",
            "find out what changed, or measure both again on a quiet machine",
        )
    return unsure


def _gone(report: dict[str, Any]) -> list[str]:
    """Say for each file which cases of the base it lacks."""
    base, *others = [file["name"] for file in report["files"]]
    gone: dict[str, list[str]] = {name: [] for name in others}
    for case in (case for case in report["missing"] if base not in case["absent"]):
        for name, reason in case["absent"].items():
            why = f": {reason}" if reason else ""
            gone[name].append(f"{case['title']} ({case['suite']}{why})")
    return [
        f"of {base}, nothing in {name} tells how fast these are: {_some(cases)}"
        for name, cases in gone.items()
        if cases
    ]


def _open(paths: Sequence[Path]) -> list[_File]:
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    documents = [read_results(path) for path in paths]
    return [
        _File(name, document, {key(entry): entry for entry in _in_order(document)})
        for name, document in zip(names, documents, strict=True)
    ]


def _in_order(document: Document) -> Iterable[Entry]:
    return (entry for suite in suites(document) for entry in entries_of(document, suite))


def _incomparable(base: _File, other: _File) -> list[str]:
    """Say of each matched case that cannot be compared why, by the first difference."""
    found = []
    for at in (at for at in base.cases if at in other.cases):
        first, second = base.cases[at], other.cases[at]
        for file, entry in ((base, first), (other, second)):
            if (entry.get("adapter") or {}).get("software"):
                found.append(
                    f"{title(entry)} ran on a software GPU in {file.name} "
                    f"({entry['adapter'].get('name')}), whose speed means nothing"
                )
        if difference := _difference(first, second):
            what, ours, theirs = difference
            found.append(f"{what} of {title(first)} is {ours} in {base.name} "
                         f"but {theirs} in {other.name}")  # fmt: skip
    return found


def _difference(first: Entry, second: Entry) -> tuple[str, Any, Any] | None:
    """Return the first thing that makes two entries measurements of different work."""
    ours, theirs = first.get("model") or {}, second.get("model") or {}
    mine, its = ours.get("contract") or {}, theirs.get("contract") or {}
    for field in dict.fromkeys((*mine, *its)) if mine and its else ():
        if mine.get(field) != its.get(field):
            return f"{field} of the input contract", mine.get(field), its.get(field)
    if ours.get("trained") is False and theirs.get("trained") is False:
        # Fresh weights come out differently on each machine, and make no call slower.
        if _differ(ours.get("name"), theirs.get("name")):
            return "the network", ours["name"], theirs["name"]
        if _differ(first.get("multiply_adds"), second.get("multiply_adds")):
            return "the multiply-adds", first["multiply_adds"], second["multiply_adds"]
    elif _differ(ours.get("sha256"), theirs.get("sha256")):
        return "the model's sha256", f"{ours['sha256'][:12]}…", f"{theirs['sha256'][:12]}…"
    if first.get("batch") != second.get("batch"):
        return "the batch", first.get("batch"), second.get("batch")
    return None


def _differ(one: Any, other: Any) -> bool:
    """Tell whether two files say different things; one that says nothing contradicts nobody."""
    return bool(one and other and one != other)


def _pair(base: Entry, other: Entry) -> dict[str, Any]:
    """Compare one case in two files."""
    p50 = ratio(blocks(base), blocks(other))
    return {
        "p50_ms": other["latency_ms"]["p50"],
        "mean_ms": other["latency_ms"]["mean"],
        "p50_ratio": list(p50),
        "mean_ratio": list(ratio(blocks(base), blocks(other), "mean")),
        "verdict": _verdict(*p50, base["latency_ms"]["p50"]),
        "size_bytes": _change(base, other, "size_bytes"),
        "peak_rss_mb": _change(base, other, "peak_rss_mb"),
        "accuracy_points": _accuracy_points(base, other),
        "precision": other.get("precision"),
        "warnings": other["warnings"],
    }


def _verdict(value: float, low: float, high: float, base_ms: float) -> str:
    """Say what a ratio and its interval amount to.

    Args:
        value: Ratio of the medians.
        low: Lower end of its interval.
        high: Upper end.
        base_ms: The median that it is a ratio to.
    """
    off = abs(value - 1)
    if off < _FLOOR or (off < _FLOOR_OF_SHORT and off * base_ms < _FLOOR_MS):
        surely = max(abs(low - 1), abs(high - 1)) < _SAME_WITHIN
        return "same" if surely else "inconclusive"
    if high < 1:
        return "faster"
    return "slower" if low > 1 else "inconclusive"


def _change(base: Entry, other: Entry, name: str) -> float | None:
    before, after = base.get(name), other.get(name)
    return None if before is None or after is None else after - before


def _accuracy_points(base: Entry, other: Entry) -> dict[str, float]:
    """Return the change of each accuracy that both have, in percentage points."""
    before, after = base.get("accuracy") or {}, other.get("accuracy") or {}
    values = {name: (before[name].get("accuracy"), after[name].get("accuracy"))
              for name in before if name in after}  # fmt: skip
    return {
        name: 100 * (second - first)
        for name, (first, second) in values.items()
        if first is not None and second is not None
    }


def _described(entry: Entry) -> dict[str, Any]:
    names = ("suite", "name", "variant", "runtime", "device", "threads", "size_bytes",
             "peak_rss_mb", "precision", "warnings")  # fmt: skip
    return {"title": title(entry)} | {name: entry.get(name) for name in names} | {
        "p50_ms": entry["latency_ms"]["p50"], "mean_ms": entry["latency_ms"]["mean"],
    }  # fmt: skip


def _about(file: _File) -> dict[str, Any]:
    document = file.document
    return {
        "name": file.name,
        "machine": document["environment"].get("cpu"),
        "started": document["started"],
        "command": document["command"],
        "cases": len(file.cases),
    }


def _missing(files: Sequence[_File]) -> list[dict[str, Any]]:
    """List the cases that not every file has, with the reason where a file tells one."""
    found = []
    for at, entry in {at: entry for file in files for at, entry in file.cases.items()}.items():
        absent = {file.name: _reason(file, entry) for file in files if at not in file.cases}
        if absent:
            found.append({"suite": entry["suite"], "title": title(entry), "absent": absent})
    return found


def _reason(file: _File, entry: Entry) -> str | None:
    names = ("suite", "name", "variant", "runtime", "device", "threads")
    for skipped in file.document["skipped"]:
        if all(skipped.get(name, entry[name]) == entry[name] for name in names):
            return str(skipped.get("reason") or "") or None
    return None


def _geometric_means(cases: Sequence[dict[str, Any]], files: Iterable[str]) -> list[dict[str, Any]]:
    """Sum up each suite and file in one ratio, in which every case counts alike."""
    found = []
    for suite in dict.fromkeys(case["suite"] for case in cases):
        for file in files:
            ratios = [
                other["p50_ratio"][0]
                for case, other in _pairs(cases)
                if case["suite"] == suite and other["file"] == file and other["p50_ratio"][0] > 0
            ]
            if ratios:
                found.append({"suite": suite, "file": file, "cases": len(ratios),
                              "p50_ratio": geometric_mean(ratios)})  # fmt: skip
    return found


def _differences(files: Sequence[_File]) -> list[dict[str, Any]]:
    """List the fields in which the machines and their software differ, with a value a file."""
    flat = [dict(_flat(file.document["environment"])) for file in files]
    found = []
    for field in dict.fromkeys(name for one in flat for name in one):
        values = [one.get(field) for one in flat]
        if field not in _PASSING and any(value != values[0] for value in values):
            found.append({"field": field, "values": values})
    return found


def _flat(value: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, dict):
            yield from _flat(item, f"{prefix}{name}.")
        elif prefix + name in _COUNTED_IN_GB and item is not None:
            # Kernels of one machine tell a few pages more or less.
            yield prefix + name, f"{item / 1e9:.1f} GB"
        else:
            yield prefix + name, item


def _doubts(files: Sequence[_File]) -> list[str]:
    """Say what makes a whole file doubtful."""
    found = []
    for file in files:
        document = file.document
        found += [f"{file.name}: {warning}" for warning in document["warnings"]]
        doubted = sum(bool(entry["warnings"]) for entry in document["results"])
        if doubted and not document["warnings"]:
            found.append(f"{file.name}: unstable cases, marked ⚠: {doubted} of {len(file.cases)}")
    return found


def _other_precisions(cases: Sequence[dict[str, Any]]) -> list[str]:
    """Say which cases were computed in another precision than in the base."""
    return [
        f"{case['title']} computes in {case['precision']} in the base and in "
        f"{other['precision']} in {other['file']}"
        for case, other in _pairs(cases)
        if case["precision"] != other["precision"]
    ]


def _some(sentences: Sequence[str]) -> str:
    more = len(sentences) - _NAMED
    return "; ".join(sentences[:_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _pairs(cases: Sequence[dict[str, Any]]) -> Iterable[tuple[dict[str, Any], dict[str, Any]]]:
    return ((case, other) for case in cases for other in case["others"])
