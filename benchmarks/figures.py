"""Which charts a report has, and what each one says."""

from collections.abc import Sequence
from html import escape
from string import ascii_lowercase

import numpy as np

from edge.benchmarks import charts, rows, sustained
from edge.benchmarks.published import Figure
from edge.benchmarks.results import Document, Entry

# On whose test pictures the seeds' accuracy stands beside ours.
_SEED_DATA = ("celeba", "CelebA")
_SEED_ATTRIBUTE = "Smiling"

# Those with a colour.
_VARIANTS = ("float32", "float16", "dynamic", "int8")
_STAGE_TONES = 6
# Bars shorter than the longest by more than this no longer show their parts.
_LEGIBLE = 5


def latencies(document: Document, suite: str, seeds: Sequence[Figure]) -> str:
    """Draw the latency distribution of every case whose speed means something."""
    entries = rows.real_speeds(document, suite)
    if not entries:
        return ""
    strips = [
        charts.Strip(
            label=rows.label(entry) + (" (untrained)" if rows.is_untrained(entry) else ""),
            detail=rows.place(entry) + (" ⚠" if rows.is_unstable(entry) else ""),
            tone=tone(entry["variant"]),
            samples_ms=entry["samples_ms"],
            latency_ms=entry["latency_ms"],
            first_ms=entry.get("first_ms"),
        )
        for entry in entries
    ]
    strips += [
        charts.Strip(
            label=figure.name,
            detail=_hardware(figure),
            tone="",
            latency_ms={"mean": figure.ms, "max": figure.max_ms},
        )
        for figure in sorted(seeds, key=lambda figure: figure.ms)
    ]
    keys = [*_variant_keys(entries), ("p50", "p50"), ("p95", "p95"), ("p99", "p99")]
    keys += [("late", "slowest 1 % of the calls"), ("first", "first call, cold")]
    keys += [("hollow", "published by others: mean, line to the maximum")] if seeds else []
    about = f"Every sample of every case, fastest first; ms a {rows.UNITS.get(suite, 'call')}."
    if any(map(rows.is_software, rows.entries_of(document, suite))):
        about += " Software GPUs are left out: their speed means nothing."
    if seeds:
        about += " Hollow marks are published figures, on the hardware they name."
    return _figure("Latency", about, charts.distribution(strips) + charts.legend(keys))


def stages(document: Document, suite: str) -> str:
    """Draw where a call's time goes, stage by stage."""
    entries = [entry for entry in rows.real_speeds(document, suite) if entry.get("stages_ms")]
    if not entries:
        return ""
    names = list(dict.fromkeys(name for entry in entries for name in entry["stages_ms"]))
    # Grey is for waiting on a source.
    start = 0 if "capture" in names else 1
    tones = {name: f"s{at % _STAGE_TONES}" for at, name in enumerate(names, start)}
    means = [
        {name: float(np.mean(ms)) for name, ms in entry["stages_ms"].items() if ms}
        for entry in entries
    ]
    totals = [sum(mean.values()) for mean in means]
    about = "Mean of each stage; means, unlike medians, add up to the whole."
    drawn = charts.bars(_stage_bars(entries, means, tones, "ms"), "ms")
    if max(totals) > _LEGIBLE * min(totals):
        shares = [
            {name: 100 * value / total for name, value in mean.items()}
            for mean, total in zip(means, totals, strict=True)
        ]
        drawn += "<p>As shares of the whole:</p>"
        drawn += charts.bars(_stage_bars(entries, shares, tones, "%"), "%")
    keys = [(tones[name], name) for name in names]
    return _figure("Stage by stage", about, drawn + charts.legend(keys))


def trade_offs(document: Document, suite: str, seeds: Sequence[Figure]) -> str:
    """Draw accuracy against latency, one chart an attribute."""
    entries = rows.real_speeds(document, suite)
    return "".join(
        _trade_off(entries, attribute, seeds if attribute == _SEED_ATTRIBUTE else ())
        for attribute in rows.attributes(entries)
    )


def sizes(document: Document, suite: str) -> str:
    """Draw the size of each file, whatever runs it."""
    files: dict[tuple[str, str], Entry] = {}
    for entry in rows.entries_of(document, suite):
        if entry.get("size_bytes") is not None:
            files.setdefault((entry["name"], entry["variant"]), entry)
    if len(files) < 2:
        return ""
    found = [
        charts.Bar(
            label=rows.label(entry),
            detail="untrained" if rows.is_untrained(entry) else "",
            parts=[("size", tone(entry["variant"]), entry["size_bytes"] / 1e6)],
            text=rows.size(entry["size_bytes"]),
        )
        for entry in sorted(files.values(), key=lambda entry: int(entry["size_bytes"]))
    ]
    keys = charts.legend(_variant_keys(list(files.values())))
    return _figure("Size", "What the device has to store.", charts.bars(found, "MB") + keys)


def soak(document: Document) -> str:
    """Draw frames a second over the minutes of a sustained run, if there was one."""
    found = document.get("soak")
    if not found or not found.get("windows"):
        return ""
    times = [float(window["t_s"]) for window in found["windows"]]
    fps = [float(window["fps"]) for window in found["windows"]]
    said = " ".join(sustained.sentences(found))
    title = "Frames a second over time"
    chart = charts.timeline(times, fps, title, said)
    return f"<h2>Sustained</h2>{_figure(title, said, chart)}"


def tone(variant: str) -> str:
    """Return the class of a variant's colour."""
    return f"tone-{variant if variant in _VARIANTS else 'other'}"


def _stage_bars(
    entries: Sequence[Entry],
    values: Sequence[dict[str, float]],
    tones: dict[str, str],
    unit: str,
) -> list[charts.Bar]:
    return [
        charts.Bar(
            label=rows.label(entry),
            detail=rows.place(entry),
            parts=[(name, tones[name], value) for name, value in of.items()],
            text=f"{rows.number(sum(of.values()))} {unit}",
        )
        for entry, of in zip(entries, values, strict=True)
    ]


def _trade_off(entries: Sequence[Entry], attribute: str, seeds: Sequence[Figure]) -> str:
    points = [_point(entry, attribute) for entry in entries]
    ours = [point for point in points if point is not None]
    if not ours:
        return ""
    front = charts.pareto(ours)
    signs = {id(point): str(at) for at, point in enumerate(front, 1)}
    ours = [charts.signed(point, signs.get(id(point), "")) for point in ours]
    front = [point for point in ours if point.sign]
    data, data_name = _SEED_DATA
    others = [
        charts.Point(
            label=figure.name,
            detail=_hardware(figure),
            tone="",
            ms=figure.ms,
            accuracy=figure.accuracy[data],
            published=True,
            sign=sign,
        )
        for sign, figure in zip(
            ascii_lowercase, [figure for figure in seeds if data in figure.accuracy], strict=False
        )
    ]
    about = f"{attribute}: up and to the left is better. The staircase joins what nothing beats"
    about += " in both; whiskers are 95 % intervals."
    if others:
        about += f" Letters are published figures on {data_name}, mean ms, by others."
    title = f"Accuracy on {attribute} against latency"
    best = ", ".join(f"{one.label} {rows.number(one.ms)} ms {one.accuracy:.4f}" for one in front)
    chart = charts.scatter([*ours, *others], front, title, f"Pareto front: {best}")
    keys = _variant_keys(entries)
    keys += [("front", "Pareto front")] if len(front) > 1 else []
    keys += [("dashed", "accuracy from the model card")] * any(one.dashed for one in ours)
    keys += [("hollow", "published by others")] if others else []
    listed = "".join(_listed(point) for point in [*front, *others])
    return _figure(title, about, f'{chart}{charts.legend(keys)}<ul class="signs">{listed}</ul>')


def _point(entry: Entry, attribute: str) -> charts.Point | None:
    accuracy = rows.accuracy_of(entry, attribute)
    if accuracy is None:
        return None
    interval = entry["accuracy"][attribute].get("ci95")
    return charts.Point(
        label=rows.label(entry),
        detail=rows.place(entry),
        tone=tone(entry["variant"]),
        ms=entry["latency_ms"]["p50"],
        accuracy=accuracy,
        interval=(interval[0], interval[1]) if interval else None,
        dashed=rows.is_from_card(entry),
    )


def _listed(point: charts.Point) -> str:
    kind = ' class="other"' if point.published else ""
    return (
        f"<li{kind}><i>{point.sign}</i>{escape(point.label)} <small>{escape(point.detail)}: "
        f"{rows.number(point.ms)} ms, {point.accuracy:.4f}</small></li>"
    )


def _hardware(figure: Figure) -> str:
    return f"{figure.hardware}{', GPU' if figure.device == 'gpu' else ''}"


def _variant_keys(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    found = {entry["variant"] for entry in entries}
    named = [(f"key {tone(name)}", name) for name in _VARIANTS if name in found]
    return named + [("key tone-other", name) for name in sorted(found - set(_VARIANTS)) if name]


def _figure(title: str, about: str, inner: str) -> str:
    return (
        f"<figure><figcaption><h3>{escape(title)}</h3>{escape(about)}</figcaption>{inner}</figure>"
    )
