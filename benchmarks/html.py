"""One self-contained page from a results file: no script, and nothing is fetched."""

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from edge.benchmarks import figures, rows, sustained
from edge.benchmarks.published import Figure
from edge.benchmarks.published import figures as published
from edge.benchmarks.results import Document, Entry
from edge.benchmarks.verdicts import doubts, headline, notes, verdicts, warnings

_TITLES = {"pipeline": "The whole pipeline"}

# Nothing may be loaded, whatever a hostile name in a results file tries.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

_ENVIRONMENT = {
    "cpu": "CPU", "cores": "cores", "isa": "instructions", "governor": "governor",
    "frequency_mhz": "clock, MHz", "load": "load before", "temperature_c": "temperature, °C",
    "throttled": "throttled", "virtual": "virtual machine", "limits": "container limits",
    "memory": "memory", "os": "system", "python": "Python", "versions": "versions",
    "threads": "threads",
}  # fmt: skip


def page(document: Document) -> str:
    """Return the report of a completed results document as an HTML page."""
    css = files("edge.benchmarks").joinpath("page.css").read_text("utf-8")
    sections = [_suite(document, suite) for suite in rows.suites(document)]
    body = [
        _head(document),
        *sections,
        figures.soak(document),
        _skipped(document),
        _environment(document),
        _protocol(document),
        _elsewhere(document),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>edge bench: {escape(headline(document))}</title>\n<style>\n{css}</style>\n"
        f'</head>\n<body>\n<main class="page">\n{"".join(body)}</main>\n</body>\n</html>\n'
    )


def _head(document: Document) -> str:
    doubts = "".join(f"<li>{escape(text)}</li>" for text in warnings(document))
    warned = (
        f'<section class="warnings" role="note"><h2>Before you believe these figures</h2>'
        f"<ul>{doubts}</ul></section>"
        if doubts
        else ""
    )
    found = verdicts(document)
    tiles = "".join(
        f"<li><span>{escape(one.title)}</span><b>{escape(one.value)}</b>"
        f'<span class="of">{escape(one.subject)}</span><span>{escape(one.note)}</span></li>'
        for one in found
    )
    environment = document["environment"]
    cores = environment.get("cores")
    where = ", ".join(
        part for part in (environment.get("cpu"), f"{cores} cores" if cores else "") if part
    )
    measured = f"{_what(document)} measured on {where or 'this machine'}"
    when = rows.when(document["started"])
    across = 3 if len(found) in (3, 5, 6) else 4
    return (
        f'<header>{warned}<p class="eyebrow">edge bench</p><h1>{escape(headline(document))}</h1>'
        f'<p class="lede">{escape(measured)}{f", {escape(when)}" if when else ""}.</p></header>'
        + (f'<ul class="tiles by-{across}">{tiles}</ul>' if tiles else "")
    )


def _what(document: Document) -> str:
    """Count what was measured, of what was planned where that is more."""
    count = len(document["results"])
    if document.get("soak") and not count:
        return f"{sustained.case(document['soak'])},"
    planned = len((document["plan"] or {}).get("cases", []))
    of = f" of {planned}" if document["finished"] is None and planned > count else ""
    return f"{count}{of} case{'s' if (planned if of else count) != 1 else ''}"


def _suite(document: Document, suite: str) -> str:
    devices = {"cpu"} | {entry["device"] for entry in rows.real_speeds(document, suite)}
    seeds = [
        figure
        for figure in published()
        if figure.seed and figure.suite == suite and figure.device in devices
    ]
    title = _TITLES.get(suite, suite.capitalize())
    parts = [
        figures.latencies(document, suite, seeds),
        figures.stages(document, suite),
        figures.trade_offs(document, suite, seeds),
        figures.sizes(document, suite),
        _table(document, suite),
    ]
    return f'<section><h2 id="{escape(suite)}">{escape(title)}</h2>{"".join(parts)}</section>'


def _table(document: Document, suite: str) -> str:
    """Return the figures of a suite, CPU and GPU of a case in one row."""
    found = rows.rows(document, suite)
    entries = rows.entries_of(document, suite)
    on = rows.by_device(found)
    groups = {"file": rows.file_columns(entries)}
    groups |= {
        device: rows.speed_columns(measured, suite) if measured else []
        for device, measured in on.items()
    }
    groups["stages"] = rows.stage_columns(entries)
    groups["cost"] = rows.cost_columns(entries)
    best = next(iter(rows.real_speeds(document, suite)), None)
    reason = _common_reason(found)
    lines = []
    for at, row in enumerate(found):
        any_device = next(iter(row.entries.values()), row.first)
        cells = [_identity(row)]
        for name, columns in groups.items():
            if name == "gpu" and reason:
                cells.append(_one_reason(reason, len(found)) if at == 0 else "")
            elif name in on:
                cells.append(_device(row, name, columns, best))
            else:
                cells.append(_cells(any_device, columns))
        before = found[at - 1].first["name"] if at else None
        lines.append(f'<tr class="{_kind(row, before)}">{"".join(cells)}</tr>')
    return (
        f'<div class="scroll wide" tabindex="0" role="region" aria-label="{escape(suite)}">'
        f"<table>{_table_head(groups, suite)}<tbody>{''.join(lines)}</tbody></table></div>"
        f'<div class="caption">{_notes(document, suite)}</div>'
    )


def _table_head(groups: dict[str, list[rows.Column]], suite: str) -> str:
    unit = f", ms a {rows.UNITS.get(suite, 'call')}"
    titles = {
        "file": "file",
        "cpu": f"CPU{unit}",
        "gpu": f"GPU{unit}",
        "stages": "stages, p50",
        "cost": "cost",
    }
    over = '<th class="text" scope="col" rowspan="2">case</th>'
    over += '<th class="text" scope="col" rowspan="2">runtime</th>'
    over += '<th scope="col" rowspan="2">threads</th>'
    under = ""
    for name, columns in groups.items():
        if not columns and name not in ("cpu", "gpu"):
            continue
        span = max(len(columns), 1)
        over += f'<th class="group edge" scope="colgroup" colspan="{span}">{titles[name]}</th>'
        for at, column in enumerate(columns or [rows.Column("", str)]):
            kind = ' class="edge"' if at == 0 else ""
            under += f'<th scope="col"{kind}>{escape(column.heading)}</th>'
    return f"<thead><tr>{over}</tr><tr>{under}</tr></thead>"


def _kind(row: rows.Row, before: str | None) -> str:
    gpu = row.entries.get("gpu")
    kinds = ["software"] * bool(gpu and rows.is_software(gpu))
    return " ".join(kinds + ["new"] * (row.first["name"] != before))


def _common_reason(found: Sequence[rows.Row]) -> str:
    """Return why no row at all has figures of a GPU, where it is one reason for all."""
    reasons = {"" if "gpu" in row.entries else row.missing.get("gpu", "") for row in found}
    return reasons.pop() if len(reasons) == 1 else ""


def _one_reason(reason: str, lines: int) -> str:
    return f'<td class="none edge" rowspan="{lines}">{escape(reason)}</td>'


def _identity(row: rows.Row) -> str:
    entry = row.first
    badges = '<span class="badge">untrained</span>' if rows.is_untrained(entry) else ""
    if word := next(filter(None, map(rows.doubt, row.entries.values())), ""):
        said = "; ".join(text for one in row.entries.values() for text in one["warnings"])
        badges += f'<span class="badge warn" title="{escape(said)}">⚠ {word}</span>'
    threads = entry.get("threads", 1) if entry.get("device") == "cpu" else rows.NOTHING
    return (
        f'<th scope="row">{escape(rows.label(entry))}{badges}</th>'
        f'<td class="text">{escape(rows.engine(entry))}</td><td>{threads}</td>'
    )


def _cells(entry: Entry, columns: Sequence[rows.Column]) -> str:
    return "".join(
        f"<td{' class=edge' if at == 0 else ''}>{escape(column.text(entry))}</td>"
        for at, column in enumerate(columns)
    )


def _device(row: rows.Row, device: str, columns: Sequence[rows.Column], best: Entry | None) -> str:
    entry = row.entries.get(device)
    if entry is None:
        reason = row.missing.get(device) or rows.NO_PART
        return f'<td class="none edge" colspan="{max(len(columns), 1)}">{escape(reason)}</td>'
    cells = []
    for at, column in enumerate(columns):
        names = [device] + ["edge"] * (at == 0)
        text = escape(column.text(entry))
        if column.heading == "p50":
            names += ["best"] * (entry is best)
            interval = (entry.get("ci95_ms") or {}).get("p50")
            if interval:
                low, high = (rows.number(end) for end in interval)
                text += f"<small>{low}–{high}</small>"
        cells.append(f'<td class="{" ".join(names)}">{text}</td>')
    return "".join(cells)


def _notes(document: Document, suite: str) -> str:
    said = "Under each p50 stands its bootstrap 95 % interval; no p99 under 100 samples."
    said = " ".join([said, *notes(document, suite)])
    listed = "".join(f"<li>⚠ {escape(doubt)}</li>" for doubt in doubts(document, suite))
    count = len(doubts(document, suite))
    listed = f"<ul>{listed}</ul>" if listed else ""
    if count > rows.FEW:
        listed = f"<details><summary>{count} warnings</summary>{listed}</details>"
    return escape(said) + listed


def _skipped(document: Document) -> str:
    found = rows.not_measured(document)
    if not found:
        return ""
    items = "".join(
        f"<li>{escape(reason)} <small>{escape('; '.join(cases))}</small></li>"
        for reason, cases in found.items()
    )
    return f'<h2>Not measured</h2><div class="card"><ul class="reasons">{items}</ul></div>'


def _environment(document: Document) -> str:
    environment = document["environment"]
    shown, untold = [], []
    for key, title in _ENVIRONMENT.items():
        text = _value(key, environment.get(key))
        if text:
            shown.append(f"<div><dt>{title}</dt><dd>{escape(text)}</dd></div>")
        else:
            untold.append(title)
    peaks = [
        f"{precision} {rows.number(value / 1e9)} GMAC/s, {threads} thread{'s' * (threads != '1')}"
        for precision, by_threads in (document["peak"] or {}).items()
        for threads, value in by_threads.items()
    ]
    if peaks:
        shown.append(f"<div><dt>measured peak</dt><dd>{escape('; '.join(peaks))}</dd></div>")
    rest = (
        f'<p class="caption">Not told by this machine: {escape(", ".join(untold))}.</p>'
        if untold
        else ""
    )
    return f'<h2>Measured on</h2><div class="card"><dl>{"".join(shown)}</dl></div>{rest}'


def _value(key: str, value: object) -> str:
    if isinstance(value, dict):
        pairs = ((name, _value(name, item)) for name, item in value.items())
        return ", ".join(f"{name} {text}" for name, text in pairs if text)
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return ""
    if key == "memory" and isinstance(value, int | float):
        return f"{rows.number(value / 1e9)} GB"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _protocol(document: Document) -> str:
    protocol = document["protocol"] or {}
    said = [f"<p>{escape(str(protocol['text']))}</p>"] if protocol.get("text") else []
    facts = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in protocol.items() if name != "text"
    )
    said += [f'<p class="soft">{escape(facts)}</p>'] if facts else []
    if document["command"]:
        said.append(f"<h3>Reproduce</h3><pre>{escape(document['command'])}</pre>")
    return f'<h2>How it was measured</h2><div class="card">{"".join(said)}</div>' if said else ""


def _elsewhere(document: Document) -> str:
    """Return the published figures of other software for the suites shown, folded away."""
    shown = set(rows.suites(document))
    lines = [_published_row(figure) for figure in published() if figure.suite in shown]
    if not lines:
        return ""
    headings = ("case", "hardware", "runtime", "ms", "statistic", "FPS", "on", "source")
    head = "".join(f'<th class="text" scope="col">{name}</th>' for name in headings)
    return (
        '<h2>Published elsewhere</h2><div class="card"><details><summary>'
        f"{len(lines)} figures of other software, none measured here</summary>"
        '<div class="scroll" tabindex="0" role="region" aria-label="published figures">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
        "</details></div>"
    )


def _published_row(figure: Figure) -> str:
    name = f"{figure.name} {figure.variant}".strip()
    source = escape(figure.title)
    if figure.url:
        source = f'<a href="{escape(figure.url)}">{source}</a>'
    cells: Iterable[str] = (
        escape(f"{figure.hardware}{', GPU' * (figure.device == 'gpu')}"),
        escape(figure.runtime or "unstated"),
        rows.number(figure.ms),
        escape(figure.statistic),
        rows.number(figure.fps),
        escape(", ".join(part for part in (figure.input, figure.note) if part)),
        source,
    )
    texts = "".join(f'<td class="text">{cell}</td>' for cell in cells)
    return f'<tr><th scope="row">{escape(name)}</th>{texts}</tr>'
