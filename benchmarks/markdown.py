"""The report's tables as GitHub Markdown, to paste into an issue or a document."""

from collections.abc import Sequence

from edge.benchmarks import rows, sustained
from edge.benchmarks.results import Document, Entry
from edge.benchmarks.verdicts import doubts, headline, notes, verdicts, warnings

_SPECIAL = str.maketrans(
    {character: f"\\{character}" for character in "\\`*_[]|#~"}
    | {"<": "&lt;", ">": "&gt;", "&": "&amp;", "\n": " ", "\r": " "}
)


def text(document: Document) -> str:
    """Return the tables of a completed results document as Markdown."""
    parts = [f"# {_plain(headline(document))}"]
    warned = warnings(document)
    if warned:
        parts.append("\n".join(["> [!WARNING]", *(f"> - {_plain(one)}" for one in warned)]))
    parts.append("\n".join(_finding(*map(_plain, one.texts)) for one in verdicts(document)))
    parts += [_suite(document, suite) for suite in rows.suites(document)]
    if document.get("soak"):
        parts.append(_soak(document["soak"]))
    skipped = rows.not_measured(document)
    if skipped:
        lines = [f"- {_plain('; '.join(of))}: {_plain(why)}" for why, of in skipped.items()]
        parts.append("\n".join(["## Not measured", "", *lines]))
    parts.append(_measured(document))
    return "\n\n".join(part for part in parts if part) + "\n"


def _finding(title: str, value: str, subject: str, note: str) -> str:
    return f"- **{title}:** {value}, {subject}{f' ({note})' if note else ''}"


def _suite(document: Document, suite: str) -> str:
    found = rows.rows(document, suite)
    entries = rows.entries_of(document, suite)
    on = rows.by_device(found)
    speeds = {device: rows.speed_columns(on[device], suite) if on[device] else [] for device in on}
    before = rows.file_columns(entries)
    after = [*rows.stage_columns(entries), *rows.cost_columns(entries)]
    headings = ["case", "runtime", "threads", *(column.heading for column in before)]
    for device, columns in speeds.items():
        mark = f"{device.upper()} " if len(speeds) > 1 else ""
        headings += [mark + column.heading for column in columns] or [device.upper()]
    headings += [column.heading for column in after]
    reasons: list[str] = []
    lines = []
    for row in found:
        any_device = next(iter(row.entries.values()), row.first)
        cells = [*_identity(row), *_cells(any_device, before)]
        for device, columns in speeds.items():
            cells += _device(row, device, columns, reasons)
        lines.append([*cells, *_cells(any_device, after)])
    said = [f"One sample is one {rows.UNITS.get(suite, 'call')}; durations in milliseconds."]
    said += [f"<sup>{at}</sup> {_plain(reason)}." for at, reason in enumerate(reasons, 1)]
    said += [_plain(note) for note in notes(document, suite)]
    listed = [f"- ⚠ {_plain(doubt)}" for doubt in doubts(document, suite)]
    if len(listed) > rows.FEW:
        fold = f"<details><summary>{len(listed)} warnings</summary>"
        listed = [fold, "", *listed, "", "</details>"]
    parts = [f"## {_plain(suite.capitalize())}", _table(headings, lines), " ".join(said)]
    return "\n\n".join([*parts, "\n".join(listed)] if listed else parts)


def _identity(row: rows.Row) -> list[str]:
    entry = row.first
    name = rows.label(entry) + (" (untrained)" if rows.is_untrained(entry) else "")
    name += " ⚠" if any(rows.is_unstable(one) for one in row.entries.values()) else ""
    threads = str(entry.get("threads", 1)) if entry.get("device") == "cpu" else rows.NOTHING
    return [_plain(name), _plain(rows.engine(entry)), threads]


def _cells(entry: Entry, columns: Sequence[rows.Column]) -> list[str]:
    return [_plain(column.text(entry)) for column in columns]


def _device(
    row: rows.Row, device: str, columns: Sequence[rows.Column], reasons: list[str]
) -> list[str]:
    """Return the cells of one device; the first empty one points to the reason below."""
    if device in row.entries:
        return _cells(row.entries[device], columns)
    reason = row.missing.get(device) or rows.NO_PART
    if reason not in reasons:
        reasons.append(reason)
    mark = f"{rows.NOTHING}<sup>{reasons.index(reason) + 1}</sup>"
    return [mark, *[rows.NOTHING] * (len(columns) - 1)]


def _soak(soak: sustained.Soak) -> str:
    parts = ["## Sustained", _plain(" ".join(sustained.sentences(soak)))]
    headings, lines = sustained.course(soak)
    return "\n\n".join([*parts, _table(headings, lines, texts=0)] if lines else parts)


def _table(headings: Sequence[str], lines: Sequence[Sequence[str]], *, texts: int = 2) -> str:
    """Return a table whose first columns, so many of them, are words and the others figures."""
    rule = [*[":--"] * texts, *["--:"] * (len(headings) - texts)]
    heads = [_plain(heading) for heading in headings]
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, rule, *lines))


def _measured(document: Document) -> str:
    environment = document["environment"]
    facts = [environment.get("cpu"), environment.get("os")]
    facts += [f"{environment['cores']} cores"] if environment.get("cores") else []
    facts += [f"Python {environment['python']}"] if environment.get("python") else []
    facts.append(rows.when(document["started"]))
    said = ", ".join(_plain(str(fact)) for fact in facts if fact)
    parts = ["## How it was measured"] + ([said] if said else [])
    if (document["protocol"] or {}).get("text"):
        parts.append(_plain(document["protocol"]["text"]))
    if document["command"]:
        parts.append(f"```\n{document['command'].replace('`', '')}\n```")
    return "\n\n".join(parts) if len(parts) > 1 else ""


def _plain(words: str) -> str:
    """Return words that Markdown shows as they are."""
    return words.translate(_SPECIAL)
