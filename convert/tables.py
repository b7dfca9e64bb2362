"""What `edge convert` shows a person: float and converted, side by side."""

from typing import Any

from rich import box
from rich.table import Table


def verdict(report: dict[str, Any]) -> Table:
    """Show what `edge convert --json` prints, one line a variant, the float parent first."""
    attributes = list(report["reference"]["accuracy"])
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"{report['model']} on {report['samples']:,} validation faces",
        title_justify="left",
        caption="\n".join([*_doubts(report), *_written(report)]),
        caption_justify="left",
    )
    table.add_column("variant", no_wrap=True)
    for heading in ("size", *attributes, "agreement", "p50, ms", "speed"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("delegate", justify="right", overflow="fold")
    reference = report["reference"]
    rows = [entry for entry in report["variants"] if entry["name"] != reference["name"]]
    for entry in (reference, *rows):
        parts = entry["delegate"]["partitions"]
        p50 = entry["latency_ms"]["p50"]
        table.add_row(
            entry["name"],
            f"{entry['size_bytes'] / 1000:,.0f} kB",
            *(_accuracy(entry, name, entry is reference) for name in attributes),
            f"{entry['agreement']:.2%}",
            f"{p50:.2f}",
            f"{reference['latency_ms']['p50'] / p50:.2f}×",
            f"{parts} partition{'s' if parts != 1 else ''}{_fallback(entry)}",
        )
    return table


def _doubts(report: dict[str, Any]) -> list[str]:
    """Say once what made the times unstable, whichever variants it fell on."""
    entries = (report["reference"], *report["variants"])
    return list(dict.fromkeys(sentence for entry in entries for sentence in entry["warnings"]))


def _written(report: dict[str, Any]) -> list[str]:
    return [f"wrote {entry['file']}" for entry in report["variants"]]


def _accuracy(entry: dict[str, Any], attribute: str, is_reference: bool) -> str:
    value, drop = entry["accuracy"][attribute], entry["drop_points"][attribute]
    if value is None:
        return "–"
    return f"{value:.4f}" if is_reference else f"{value:.4f} ({0 - drop:+.2f})"


def _fallback(entry: dict[str, Any]) -> str:
    operators = entry["delegate"]["fallback_ops"]
    return "".join(f", {count} {name}" for name, count in operators.items())
