"""What `edge bench compare` shows a person: a table for each suite and file, and what differs."""

from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edge.benchmarks.rows import NOTHING, number

_STYLES = {"faster": "green", "slower": "red", "inconclusive": "yellow"}


# A terminal names so many of the cases that are not in every file; --json has all.
_NAMED = 6


def compare_table(report: dict[str, Any]) -> RenderableType:
    """Show what `edge bench compare --json` prints, without its warnings."""
    base, *others = report["files"]
    parts: list[RenderableType] = [
        Text(f"{file['name']}: {file['machine'] or 'an unnamed machine'}, {_cases(file['cases'])}")
        for file in report["files"]
    ]
    for suite in dict.fromkeys(case["suite"] for case in report["cases"]):
        for other in others:
            pairs = [
                (case, entry)
                for case in report["cases"]
                for entry in case["others"]
                if case["suite"] == suite and entry["file"] == other["name"]
            ]
            if pairs:
                table = _suite(pairs, _mean(report, suite, other["name"]))
                parts += [Text(f"\n{suite}: {other['name']} against {base['name']}"), table]
    if report["environments"]:
        parts += [Text("\nwhat differs"), _environments(report)]
    if report["missing"]:
        parts += [Text("\nnot in every file"), *_missing(report["missing"])]
    return Group(*parts)


def _suite(pairs: list[tuple[dict[str, Any], dict[str, Any]]], mean: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=Text(mean), caption_justify="left")
    table.add_column("medians in ms")
    optional = {"size": _size, "memory": _memory, "accuracy, points": _accuracy}
    shown = {
        heading: text
        for heading, text in optional.items()
        if any(text(other) != NOTHING for _, other in pairs)
    }
    for heading in ("before", "after", "ratio", "95 % interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for heading in shown:
        table.add_column(heading, justify="right")
    for case, other in pairs:
        value, low, high = other["p50_ratio"]
        doubt = " ⚠" if case["warnings"] or other["warnings"] else ""
        verdict = other["verdict"]
        table.add_row(
            Text(case["title"]), number(case["p50_ms"]), number(other["p50_ms"]),
            f"{value:.3f}", f"{low:.3f}–{high:.3f}",
            Text(verdict + doubt, style=_STYLES.get(verdict, "")),
            *(text(other) for text in shown.values()),
        )  # fmt: skip
    return table


def _mean(report: dict[str, Any], suite: str, file: str) -> str:
    for one in report["suites"]:
        if one["suite"] == suite and one["file"] == file:
            count = _cases(one["cases"])
            return f"ratio of the medians, geometric mean of {count}: {one['p50_ratio']:.3f}"
    return ""


def _environments(report: dict[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    for file in report["files"]:
        table.add_column(Text(file["name"]), overflow="fold")
    for row in report["environments"]:
        table.add_row(Text(row["field"]), *map(Text, _values(row["values"])))
    return table


def _values(values: list[Any]) -> list[str]:
    """Show the values of a field; of lists what not all of them hold."""
    if all(isinstance(value, list) for value in values):
        common = set(values[0]).intersection(*values[1:])
        values = [", ".join(str(one) for one in value if one not in common) for value in values]
    return [NOTHING if value in (None, "") else str(value) for value in values]


def _missing(missing: Iterable[dict[str, Any]]) -> list[Text]:
    """Return a line for each set of files and reasons, with the cases that share them."""
    cases: dict[str, list[str]] = {}
    for one in missing:
        files = [f"{file} ({reason})" if reason else file for file, reason in one["absent"].items()]
        cases.setdefault(", ".join(files), []).append(f"{one['title']} ({one['suite']})")
    return [
        Text(f"  not in {files}: {'; '.join(titles[:_NAMED])}" + _more(len(titles) - _NAMED))
        for files, titles in cases.items()
    ]


def _more(count: int) -> str:
    return f"; and {count} more" if count > 0 else ""


def _cases(count: int) -> str:
    return f"{count} case{'s' if count != 1 else ''}"


def _size(other: dict[str, Any]) -> str:
    change = other["size_bytes"]
    return f"{change / 1000:+,.1f} kB" if change else NOTHING


def _memory(other: dict[str, Any]) -> str:
    change = other["peak_rss_mb"]
    return NOTHING if change is None or abs(change) < 1 else f"{change:+,.0f} MB"


def _accuracy(other: dict[str, Any]) -> str:
    changes = {name: points for name, points in other["accuracy_points"].items() if points}
    return ", ".join(f"{name} {points:+.2f}" for name, points in changes.items()) or NOTHING
