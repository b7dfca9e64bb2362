"""What a report says in words: what is best at what, and what to know before believing it."""

from collections.abc import Iterable
from dataclasses import dataclass

from edge.benchmarks import sustained
from edge.benchmarks.results import Document, Entry
from edge.benchmarks.rows import (
    UNITS,
    accuracy_of,
    attributes,
    doubt,
    entries_of,
    is_from_card,
    is_software,
    is_unstable,
    is_untrained,
    label,
    number,
    place,
    real_speeds,
    size,
    suites,
)

_ONE = {
    "classifiers": "classifier",
    "detectors": "detector",
    "pipeline": "pipeline",
    "training": "training step",
}


@dataclass(frozen=True)
class Verdict:
    """One finding in words: what is best at what, by which figure, and how sure that is."""

    title: str
    value: str
    subject: str
    note: str

    @property
    def texts(self) -> tuple[str, str, str, str]:
        """Title, value, subject and note."""
        return self.title, self.value, self.subject, self.note


def warnings(document: Document) -> list[str]:
    """Return everything that a reader must know before believing a figure."""
    found = [str(warning) for warning in document["warnings"]]
    results = document["results"]
    doubted = sum(map(is_unstable, results))
    if doubted and not _says(found, "unstable"):
        found.append(f"{doubted} of {len(results)} cases carry warnings, marked ⚠ in the tables")
    planned = len((document["plan"] or {}).get("cases", []))
    begun = document["finished"] is None and not document.get("soak")
    if begun and len(results) < planned and not _says(found, "unfinished"):
        found.append(
            f"unfinished: {len(results)} of {planned} cases have results; "
            "the same command with --resume goes on"
        )
    adapters = {entry["adapter"].get("name", "") for entry in results if is_software(entry)}
    if adapters and not _says(found, "is software"):
        found.append(
            f"the GPU here is software ({', '.join(sorted(adapters))}): that its results are right "
            "is tested, its speed means nothing"
        )
    return found


def notes(document: Document, suite: str) -> list[str]:
    """Return what explains the table of a suite."""
    entries = entries_of(document, suite)
    said = []
    if any(map(is_from_card, entries)):
        said.append("† as the model card says, not measured in this run.")
    if any(map(is_untrained, entries)):
        said.append("Untrained networks have fresh weights: only speed and size mean something.")
    adapters = {
        str(entry["adapter"].get("name", "")): is_software(entry)
        for entry in entries
        if entry.get("adapter")
    }
    for name, software in adapters.items():
        what = "software, speed means nothing" if software else "hardware"
        said.append(f"GPU: {name} ({what}).")
    if any(entry.get("peak_share") for entry in entries):
        said.append("Of peak: against the most multiply-adds that LiteRT reaches on this CPU.")
    if any(entry.get("precision") for entry in entries):
        said.append("In brackets: what an engine says it computes floats in.")
    if any(entry.get("start_ms") is not None for entry in entries):
        said.append("Start: from the creation of the process to its first result.")
    return said


def doubts(document: Document, suite: str) -> list[str]:
    """Return the warnings that the entries of a suite carry, each with its case."""
    return [
        f"{label(entry)} on {place(entry)}: {text}"
        for entry in entries_of(document, suite)
        for text in entry["warnings"]
    ]


def verdicts(document: Document) -> list[Verdict]:
    """Return what is fastest in each suite, and which file is the smallest and most accurate."""
    found = []
    for suite in suites(document):
        if ranked := real_speeds(document, suite):
            found.append(_fastest(ranked, suite))
    files = _files(document["results"])
    found += [verdict for verdict in (_smallest(files), _most_accurate(files)) if verdict]
    found += [verdict for verdict in (_sustained(document),) if verdict]
    return found


def headline(document: Document) -> str:
    """Say in one sentence what is fastest at the main job, or how the sustained run went."""
    for suite in ("pipeline", "classifiers", "detectors", "training"):
        ranked = real_speeds(document, suite)
        if ranked:
            best = ranked[0]
            took = _pace(best)
            if len(ranked) == 1:
                return f"{label(best)} on {place(best)}: {took}"
            return f"The fastest {_ONE[suite]} is {label(best)} on {place(best)}: {took}"
    if document.get("soak"):
        return sustained.headline(document["soak"], finished=bool(document["finished"]))
    return "No case with a speed that means something has been measured"


def _fastest(ranked: list[Entry], suite: str) -> Verdict:
    best = ranked[0]
    p50 = best["latency_ms"]["p50"]
    high = (best.get("ci95_ms") or {}).get("p50", (p50, p50))[1]
    level = [
        entry
        for entry in ranked[1:]
        if entry.get("batch") == best.get("batch")
        and (entry.get("ci95_ms") or {}).get("p50", (entry["latency_ms"]["p50"],))[0] <= high
    ]
    notes = ["untrained"] if is_untrained(best) else []
    notes += [f"{doubt(best)} ⚠"] if doubt(best) else []
    if len(level) == 1:
        notes.append(f"level with {label(level[0])} on {place(level[0])}")
    elif level:
        notes.append(f"level with {len(level)} others within the error of measurement")
    return Verdict(
        f"Fastest {_ONE.get(suite, suite)}",
        _pace(best),
        f"{label(best)} on {place(best)}",
        "; ".join(notes),
    )


def _sustained(document: Document) -> Verdict | None:
    soak = document.get("soak") or {}
    if soak.get("steady_fps") is None:
        return None
    first, lasted = number(soak.get("first_minute_fps")), sustained.lasted(soak)
    note = f"{first} FPS in the first minute; it ran for {lasted}"
    return Verdict("Sustained", f"{number(soak['steady_fps'])} FPS", sustained.case(soak), note)


def _says(warned: Iterable[str], word: str) -> bool:
    return any(word in text for text in warned)


def _few(files: list[Entry]) -> str:
    return " and ".join(map(label, files)) if len(files) < 3 else f"{len(files)} others"


def _pace(entry: Entry) -> str:
    if entry["suite"] == "training":
        return f"{number(entry['fps'])} images/s"
    return f"{number(entry['latency_ms']['p50'])} ms a {UNITS.get(entry['suite'], 'call')}"


def _smallest(files: list[Entry]) -> Verdict | None:
    sized = [entry for entry in files if entry.get("size_bytes")]
    if len(sized) < 2:
        return None
    best = min(sized, key=lambda entry: int(entry["size_bytes"]))
    note = "untrained" if is_untrained(best) else ""
    return Verdict("Smallest file", size(best["size_bytes"]), label(best), note)


def _most_accurate(files: list[Entry]) -> Verdict | None:
    wanted = attributes(files)
    complete = [
        entry for entry in files if all(accuracy_of(entry, name) is not None for name in wanted)
    ]
    if not wanted or not complete:
        return None

    def mean(entry: Entry) -> float:
        return sum(accuracy_of(entry, name) or 0.0 for name in wanted) / len(wanted)

    best = max(complete, key=mean)
    notes = [f"{name} {accuracy_of(best, name):.4f}" for name in wanted if len(wanted) > 1]
    intervals = {name: best["accuracy"][name].get("ci95") for name in wanted}
    if len(wanted) == 1 and intervals[wanted[0]]:
        low, high = intervals[wanted[0]]
        notes.append(f"95 % interval {low:.4f} to {high:.4f}")
    if all(intervals.values()):
        level = [
            entry
            for entry in complete
            if entry is not best
            and all((accuracy_of(entry, name) or 0.0) >= intervals[name][0] for name in wanted)
        ]
        notes += [f"{_few(level)} within its interval{'s' * (len(wanted) > 1)}"] if level else []
    notes += ["from its model card"] if is_from_card(best) else []
    of = wanted[0] if len(wanted) == 1 else f"mean of {len(wanted)}"
    return Verdict(f"Most accurate, {of}", f"{mean(best):.4f}", label(best), "; ".join(notes))


def _files(entries: Iterable[Entry]) -> list[Entry]:
    """Return one entry for each classifier file, whatever ran it."""
    found: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        if entry["suite"] == "classifiers":
            held = found.setdefault((entry["name"], entry["variant"]), entry)
            # A runtime without a file of its own tells no size.
            if held.get("size_bytes") is None or not held.get("accuracy"):
                found[(entry["name"], entry["variant"])] = held | {
                    name: held.get(name) or entry.get(name) for name in ("size_bytes", "accuracy")
                }
    return list(found.values())
