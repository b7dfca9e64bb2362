"""The results on a terminal."""

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from edge.benchmarks import rows, sustained
from edge.benchmarks.results import Document, Entry
from edge.benchmarks.rows import Column

# What a narrow terminal goes without, first to last; the page and the JSON have all of it.
_LEAST = ("std", "start", "GMAC/s", "p95", "mean", "max", "p99", "memory, MB", "of peak")
_GAP = 2


def results_tables(document: Document) -> RenderableType:
    """Return one table a suite, and why other cases are not in them."""
    parts: list[RenderableType] = []
    for suite in rows.suites(document):
        parts += [_Suite(document, suite), ""]
    if document.get("soak"):
        parts.append(_soak(document["soak"]))
    for reason, names in rows.not_measured(document).items():
        parts.append(Text(f"not measured: {', '.join(names)}: {reason}", style="dim"))
    return Group(*parts)


class _Suite:
    """One suite's table, with as many columns as the terminal has room for."""

    def __init__(self, document: Document, suite: str) -> None:
        self._suite = suite
        self._entries = rows.entries_of(document, suite)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        entries = self._entries
        columns = [
            *rows.speed_columns(entries, self._suite),
            *rows.stage_columns(entries),
            *rows.cost_columns(entries),
            *rows.file_columns(entries),
        ]
        names = [(_name(entry), _place(entry)) for entry in entries]
        least = list(_LEAST)
        while least and _width(columns, entries, names) > options.max_width:
            dropped = least.pop(0)
            columns = [column for column in columns if column.heading != dropped]
        unit = rows.UNITS.get(self._suite, "sample")
        yield Text(f"{self._suite}, milliseconds a {unit}", style="bold")
        table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, _GAP, 0, 0))
        table.add_column("")
        table.add_column("on")
        for column in columns:
            table.add_column(_heading(column), justify="right", no_wrap=True)
        for entry, (name, place) in zip(entries, names, strict=True):
            table.add_row(name, place, *(column.text(entry) for column in columns))
        yield table


def _width(
    columns: Sequence[Column], entries: Sequence[Entry], names: Sequence[tuple[str, Text]]
) -> int:
    first = max(len(name) for name, _ in names) + max(len(place) for _, place in names) + 2 * _GAP
    cells = ([_heading(column), *(column.text(entry) for entry in entries)] for column in columns)
    return first + sum(max(map(len, texts)) + _GAP for texts in cells)


def _heading(column: Column) -> str:
    return "MB" if column.heading == "memory, MB" else column.heading


def _name(entry: Entry) -> str:
    return rows.label(entry) + (" (untrained)" if rows.is_untrained(entry) else "")


def _place(entry: Entry) -> Text:
    """Name what an entry ran on, short: the engine and its threads, or the GPU."""
    where = "GPU" if entry["device"] == "gpu" else f"×{entry['threads']}"
    text = Text(f"{entry['runtime']} {where}")
    if rows.is_software(entry):
        text.append(" software", style="yellow")
    if rows.is_unstable(entry):
        text.append(" !", style="yellow")
    return text


def _soak(soak: sustained.Soak) -> Text:
    windows = soak.get("windows") or []
    minutes = windows[-1]["t_s"] / 60 if windows else 0.0
    return Text(f"soak of {minutes:.1f} minutes: {' '.join(sustained.sentences(soak))}\n")
