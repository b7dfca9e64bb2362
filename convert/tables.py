"""What `edge convert` shows a person: float and converted, side by side."""

from itertools import islice
from typing import Any

from rich import box
from rich.table import Table

from edge.convert.doctor import NAMED, short_name


def verdict(report: dict[str, Any]) -> Table:
    """Show what `edge convert --json` prints, one line a variant, the float parent first."""
    attributes = list(report["reference"]["accuracy"])
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"{report['model']} on {report['samples']:,} validation faces",
        title_justify="left",
        caption="\n".join(
            [
                *_treatment(report),
                *_worst(report),
                *_fallbacks(report),
                *_doubts(report),
                *_written(report),
            ]
        ),
        caption_justify="left",
    )
    table.add_column("variant", no_wrap=True)
    for heading in ("size", *attributes, "agreement", "p50, ms", "speed"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("delegate", justify="right", overflow="fold")
    reference = report["reference"]
    rows = [entry for entry in report["variants"] if entry["name"] != reference["name"]]
    for entry in (reference, *rows):
        p50 = entry["latency_ms"]["p50"]
        table.add_row(
            entry["name"],
            f"{entry['size_bytes'] / 1000:,.0f} kB",
            *(_accuracy(entry, name, entry is reference) for name in attributes),
            f"{entry['agreement']:.2%}",
            f"{p50:.2f}",
            f"{reference['latency_ms']['p50'] / p50:.2f}×",
            _delegate(entry["delegate"]),
        )
    return table


def _worst(report: dict[str, Any]) -> list[str]:
    """Name the faces whose answer changed most, of the variant that differs most from float."""
    entry = min(report["variants"], key=lambda entry: float(entry["agreement"]))
    faces = [f"{face['picture']} ({face['change']:.2f})" for face in entry["worst"]]
    return [f"decided otherwise by {entry['name']}: {', '.join(faces)}"] if faces else []


def _doubts(report: dict[str, Any]) -> list[str]:
    """Say once what made the times unstable, whichever variants it fell on."""
    entries = (report["reference"], *report["variants"])
    return list(dict.fromkeys(sentence for entry in entries for sentence in entry["warnings"]))


def _written(report: dict[str, Any]) -> list[str]:
    entries = {entry["name"]: entry for entry in (report["reference"], *report["variants"])}
    right = entries[report["choice"]]
    return [
        *(f"wrote {entry['file']}" for entry in report["variants"]),
        f"on this CPU: --{right['name']}, {right['latency_ms']['p50']:.2f} ms and "
        f"{right['size_bytes'] / 1000:,.0f} kB",
    ]


def _treatment(report: dict[str, Any]) -> list[str]:
    """Say which layers made int8 lose too much, and what became of it with each remedy."""
    cure = report["doctor"]
    if cure is None:
        return []
    noisy = (
        f"{short_name(layer['name'])} ({layer['lost_db']} dB)"
        for layer in cure["layers"]
        if layer["lost_db"] is not None
    )
    return [
        f"lose most: {', '.join(islice(noisy, NAMED))}",
        *(
            f"{attempt['remedy']}: {_lost(attempt)}, agreement {attempt['agreement']:.2%}"
            for attempt in cure["attempts"]
        ),
    ]


def _lost(attempt: dict[str, Any]) -> str:
    drops = attempt["drop_points"].items()
    return ", ".join(f"{name} {0 - drop:+.2f}" for name, drop in drops if drop is not None)


def _fallbacks(report: dict[str, Any]) -> list[str]:
    """Say why operators run outside of XNNPACK, once each."""
    entries = (report["reference"], *report["variants"])
    return list(
        dict.fromkeys(
            f"{operator}: {reason}"
            for entry in entries
            for operator, reason in entry["delegate"]["reasons"].items()
        )
    )


def _accuracy(entry: dict[str, Any], attribute: str, is_reference: bool) -> str:
    value, drop = entry["accuracy"][attribute], entry["drop_points"][attribute]
    if value is None:
        return "–"
    return f"{value:.4f}" if is_reference else f"{value:.4f} ({0 - drop:+.2f})"


def _delegate(delegate: dict[str, Any]) -> str:
    parts = delegate["partitions"]
    if not parts:
        return "none"
    operators = (f", {count} {name}" for name, count in delegate["fallback_ops"].items())
    return f"{parts} partition{'s' if parts != 1 else ''}{''.join(operators)}"
