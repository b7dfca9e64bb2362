"""What every report shows, whatever it is written in: rows of cells, and how figures read."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edge.benchmarks.cases import SUITES
from edge.benchmarks.results import Document, Entry
from edge.measure import summarise
from edge.modelfile import VARIANTS

# What one sample of a suite is.
UNITS = {"classifiers": "face", "detectors": "picture", "pipeline": "frame", "training": "step"}

NOTHING = "–"

# More warnings than this under one table are folded.
FEW = 4

# Why a device has no figures where nothing says more.
NO_PART = "not part of this run"

STATISTICS = ("mean", "p50", "p95", "p99", "max", "std")


@dataclass(frozen=True)
class Column:
    """One column: its heading and the text of an entry's cell."""

    heading: str
    text: Callable[[Entry], str]


@dataclass(frozen=True)
class Row:
    """The same case on CPU and GPU.

    Args:
        first: The entry that names the row, measured or, as planned, skipped.
        entries: What was measured, by device.
        missing: Why a device has no figures, by device.
    """

    first: Entry
    entries: dict[str, Entry]
    missing: dict[str, str]


def suites(document: Document) -> list[str]:
    """Return the suites that have results, in the order in which they are always shown."""
    found = {entry["suite"] for entry in document["results"]}
    return [name for name in SUITES if name in found] + sorted(found - set(SUITES))


def entries_of(document: Document, suite: str) -> list[Entry]:
    """Return the entries of a suite: by name as planned, then by variant, runtime and threads."""
    planned = [case.get("name") for case in (document["plan"] or {}).get("cases", [])]
    order = {name: at for at, name in reversed(list(enumerate(planned)))}
    variants = {name: at for at, name in enumerate(VARIANTS)}

    def place(entry: Entry) -> tuple[Any, ...]:
        name, variant = entry["name"], entry["variant"]
        at = order.get(name, len(order)), name, variants.get(variant, len(variants)), variant
        return *at, entry["runtime"], entry["threads"], entry["device"]

    return sorted((entry for entry in document["results"] if entry["suite"] == suite), key=place)


def rows(document: Document, suite: str) -> list[Row]:
    """Pair the CPU and GPU figures of each case of a suite.

    A GPU has no threads: its figures stand in the row with the fewest.
    """
    found: dict[tuple[Any, ...], Row] = {}
    measured = entries_of(document, suite)
    skipped = [case for case in document["skipped"] if case.get("suite") == suite]
    for entry in (one for one in measured if one["device"] == "cpu"):
        found[(*_file(entry), entry["runtime"], entry["threads"])] = Row(entry, {"cpu": entry}, {})
    for entry in (one for one in measured if one["device"] != "cpu"):
        _row_beside(found, entry).entries["gpu"] = entry
    holders = {key[:3]: row.first["threads"] for key, row in found.items() if "gpu" in row.entries}
    reasons: dict[tuple[Any, ...], str] = {}
    for case in skipped:
        why = str(case.get("reason", ""))
        if case.get("device") == "gpu":
            _row_beside(found, case)
            reasons[(*_file(case), case.get("runtime", ""))] = why
        else:
            reasons[_names(case)] = why
    for key, row in found.items():
        if _names(row.first) in reasons:
            row.missing["cpu"] = reasons[_names(row.first)]
        if key[:3] in holders:
            row.missing["gpu"] = f"see {_threads(holders[key[:3]])}"
        elif key[:3] in reasons:
            row.missing["gpu"] = reasons[key[:3]]
    return list(found.values())


def by_device(found: Sequence[Row]) -> dict[str, list[Entry]]:
    """Return the entries of each device that the table has columns for.

    The CPU always has; a GPU where it was measured, or where a row says why it was not.
    """
    on = {
        device: [row.entries[device] for row in found if device in row.entries]
        for device in ("cpu", "gpu")
    }
    if not on["gpu"] and not any("gpu" in row.missing for row in found):
        del on["gpu"]
    return on


def not_measured(document: Document) -> dict[str, list[str]]:
    """Return the cases that were skipped, by reason."""
    found: dict[str, list[str]] = {}
    for case in document["skipped"]:
        of = f"{label(case)} on {place(case)} ({case.get('suite')})"
        found.setdefault(str(case.get("reason", "")), []).append(of)
    return found


def speed_columns(entries: Sequence[Entry], suite: str) -> list[Column]:
    """Return the columns of latency and rate that hold anything for these entries."""
    return _filled(
        [
            Column("start", lambda entry: number(entry.get("start_ms"))),
            Column("first", lambda entry: number(entry.get("first_ms"))),
            *(Column(name, _latency(name)) for name in STATISTICS),
            Column(
                "images/s" if suite == "training" else "FPS",
                lambda entry: number(entry.get("fps")),
            ),
        ],
        entries,
    )


def stage_columns(entries: Sequence[Entry]) -> list[Column]:
    """Return a column of medians for each stage that any entry tells of."""
    names = dict.fromkeys(name for entry in entries for name in entry.get("stages_ms") or {})
    return [Column(name, _stage(name)) for name in names]


def cost_columns(entries: Sequence[Entry]) -> list[Column]:
    """Return the columns of memory and arithmetic that hold anything for these entries."""
    return _filled(
        [
            Column("memory, MB", lambda entry: number(entry.get("peak_rss_mb"))),
            Column("GMAC/s", lambda entry: number(_giga(entry.get("multiply_adds_per_s")))),
            Column("of peak", lambda entry: percent(entry.get("peak_share"))),
        ],
        entries,
    )


def file_columns(entries: Sequence[Entry]) -> list[Column]:
    """Return the columns of what belongs to the file whatever runs it: size and accuracy."""
    every = [Column("size", lambda entry: size(entry.get("size_bytes")))]
    every += [Column(name, _accuracy(name)) for name in attributes(entries)]
    every += [
        Column("batch", lambda entry: str(entry.get("batch", NOTHING))),
        Column("smallest face, px", _reach("smallest_px")),
        Column("tilt, °", _reach("tilt_degrees")),
    ]
    return _filled(every, entries)


def attributes(entries: Iterable[Entry]) -> list[str]:
    """Return what the accuracy of any entry is told of, in the order of appearance."""
    return list(dict.fromkeys(name for entry in entries for name in entry.get("accuracy") or {}))


def accuracy_of(entry: Entry, attribute: str) -> float | None:
    """Return an entry's accuracy on one attribute; None for a network that was not trained."""
    found = (entry.get("accuracy") or {}).get(attribute) or {}
    value = found.get("accuracy")
    return None if value is None or is_untrained(entry) else float(value)


def is_software(entry: Entry) -> bool:
    """Tell whether an entry's GPU is emulated by the CPU, so that its speed means nothing."""
    return bool((entry.get("adapter") or {}).get("software"))


def is_untrained(entry: Entry) -> bool:
    """Tell whether an entry's network has fresh weights."""
    return (entry.get("model") or {}).get("trained") is False


def is_from_card(entry: Entry) -> bool:
    """Tell whether an entry's accuracy was read from its model card, not measured in this run."""
    return bool(entry.get("accuracy")) and entry.get("accuracy_from") == "card"


def doubt(entry: Entry) -> str:
    """Return in a word how the run doubts an entry, or "" where it does not."""
    said = entry.get("warnings") or []
    if any(str(text).startswith("unstable") for text in said):
        return "unstable"
    return "doubtful" if said else ""


def is_unstable(entry: Entry) -> bool:
    """Tell whether the run doubts an entry."""
    return bool(doubt(entry))


def real_speeds(document: Document, suite: str) -> list[Entry]:
    """Return the entries of a suite whose speed means something, the fastest first.

    Training is fast by pictures a second, as its steps may be of any size.
    """
    found = [entry for entry in entries_of(document, suite) if not is_software(entry)]
    if suite == "training":
        return sorted(found, key=lambda entry: -float(entry["fps"] or 0.0))
    return sorted(found, key=lambda entry: float(entry["latency_ms"]["p50"]))


def label(entry: Entry) -> str:
    """Name what was measured, such as "default int8"."""
    return f"{entry.get('name', '')} {entry.get('variant', '')}".strip()


def engine(entry: Entry) -> str:
    """Name the engine and, where it says so, what it computes in: "openvino (bfloat16)"."""
    name = str(entry.get("runtime", ""))
    return f"{name} ({entry['precision']})" if entry.get("precision") else name


def place(entry: Entry) -> str:
    """Name what it ran on, such as "litert, 2 threads" or "litert, GPU"."""
    if entry.get("device") == "gpu":
        return f"{engine(entry)}, GPU"
    return f"{engine(entry)}, {_threads(entry.get('threads', 1))}"


def number(value: float | None) -> str:
    """Show a figure with three digits, such as 0.412, 12.3 or 1,520."""
    if value is None:
        return NOTHING
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    places = 1 if abs(value) >= 9.995 else 2 if abs(value) >= 0.9995 else 3
    return f"{value:.{places}f}"


def percent(value: float | None) -> str:
    """Show a share, 0 to 1, in percent."""
    return NOTHING if value is None else f"{value:.0%}"


def size(count: int | None) -> str:
    """Show a size in bytes as kB or MB."""
    if count is None:
        return NOTHING
    return f"{count / 1000:,.0f} kB" if count < 1_000_000 else f"{number(count / 1e6)} MB"


def when(stamp: str | None) -> str:
    """Show an ISO time as a person writes it, such as "22 November 2026, 10:30 UTC"."""
    try:
        moment = datetime.fromisoformat(stamp or "")
    except ValueError:
        return stamp or ""
    return f"{moment.day} {moment:%B %Y, %H:%M %Z}".strip()


def _file(entry: Entry) -> tuple[str, str]:
    return entry.get("name", ""), entry.get("variant", "")


def _names(entry: Entry) -> tuple[Any, ...]:
    return *_file(entry), entry.get("runtime"), entry.get("threads", 1)


def _row_beside(found: dict[tuple[Any, ...], Row], entry: Entry) -> Row:
    wanted = (*_file(entry), entry.get("runtime", ""))
    for key, row in found.items():
        if key[:3] == wanted:
            return row
    return found.setdefault((*wanted, entry.get("threads", 1)), Row(entry, {}, {}))


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count != 1 else ''}"


def _filled(columns: Sequence[Column], entries: Sequence[Entry]) -> list[Column]:
    # A p99 that too few samples allow is worth showing as absent.
    return [
        column
        for column in columns
        if column.heading == "p99" or any(column.text(entry) != NOTHING for entry in entries)
    ]


def _latency(name: str) -> Callable[[Entry], str]:
    return lambda entry: number(entry["latency_ms"].get(name))


def _stage(name: str) -> Callable[[Entry], str]:
    return lambda entry: number(summarise((entry.get("stages_ms") or {}).get(name, []))["p50"])


def _reach(name: str) -> Callable[[Entry], str]:
    def text(entry: Entry) -> str:
        value = (entry.get("reach") or {}).get(name)
        return NOTHING if value is None else str(value)

    return text


def _accuracy(attribute: str) -> Callable[[Entry], str]:
    def text(entry: Entry) -> str:
        value = accuracy_of(entry, attribute)
        if value is None:
            return NOTHING
        return f"{value:.4f}{'†' if is_from_card(entry) else ''}"

    return text


def _giga(value: float | None) -> float | None:
    return None if value is None else value / 1e9
