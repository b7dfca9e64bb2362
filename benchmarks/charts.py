"""The report's charts: inline SVG that is as wide as its place, and reads without colour.

A chart of rows is one small SVG a row, so that labels stay text of the page and wrap on a phone.
Places are percentages; only curves live in a stretched coordinate system of their own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np

from edge.benchmarks.axes import Axis, linear_axis, log_axis
from edge.benchmarks.rows import number

# Cells of a density over the whole axis, and how far it is smoothed, in cells.
_CELLS = 300
_SMOOTH = 1.2
# More late samples than this in one row would be a grey bar.
_LATE_MARKS = 80
_ROWS_FOR_TWO_AXES = 16
# A phone shows ten rows at a time; beyond this many, the last ones wait to be asked for.
_ROWS_FOR_A_FOLD = 32
_ROWS_UNFOLDED = 24


@dataclass(frozen=True, kw_only=True)
class Strip:
    """One row of the latency chart.

    Args:
        label: What was measured.
        detail: What it ran on.
        tone: Class of its colour.
        samples_ms: Raw samples; none for a published figure.
        latency_ms: Statistics of the samples, or what was published: mean, p50, p95, p99, max.
        first_ms: The first call, or None.
    """

    label: str
    detail: str
    tone: str
    samples_ms: Sequence[float] = ()
    latency_ms: dict[str, float | None]
    first_ms: float | None = None

    @property
    def published(self) -> bool:
        """Whether it is somebody else's figure."""
        return not self.samples_ms


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One row of a bar chart: its parts as (name, tone, value), stacked from zero."""

    label: str
    detail: str
    parts: Sequence[tuple[str, str, float]]
    text: str


@dataclass(frozen=True, kw_only=True)
class Point:
    """One mark in accuracy against latency; `interval` is that of the accuracy."""

    label: str
    detail: str
    tone: str
    ms: float
    accuracy: float
    interval: tuple[float, float] | None = None
    published: bool = False
    dashed: bool = False
    sign: str = ""


def legend(parts: Iterable[tuple[str, str]]) -> str:
    """Return the key of a chart: (class of the swatch, what it stands for)."""
    keys = (f'<li><i class="key {tone}"></i>{escape(name)}</li>' for tone, name in parts)
    return f'<ul class="legend">{"".join(keys)}</ul>'


def distribution(strips: Sequence[Strip]) -> str:
    """Draw how long calls take, a row a case, on one logarithmic axis.

    The curve is the density of all samples; marks are p50, p95 and p99, every later sample and
    the first call. Published figures are hollow, at their mean, with a line to their maximum.
    """
    axis = log_axis([value for strip in strips for value in _extent(strip)])
    grid = _grid(axis)
    ours: list[str] = []
    others: list[str] = []
    for strip in strips:
        inner = _published_marks(strip, axis) if strip.published else _marks(strip, axis)
        shown = strip.latency_ms.get("p50") or strip.latency_ms.get("mean")
        svg = _svg("strip", _strip_title(strip), grid + inner)
        kind = "row hollow-row" if strip.published else "row"
        row = _row(kind, strip.label, strip.detail, svg, f"{number(shown)} ms")
        (others if strip.published else ours).append(row)
    if others:
        others.insert(0, '<div class="row heading">Published by others, on their hardware</div>')
    return _chart(strips, ours, _axis_row(axis, "ms, log"), others)


def bars(rows: Sequence[Bar], unit: str) -> str:
    """Draw stacked bars from zero, a row each, on one linear axis."""
    totals = [sum(value for *_, value in row.parts) for row in rows]
    axis = linear_axis([0.0, *totals], from_zero=True)
    found = []
    for row in rows:
        start, drawn = 0.0, []
        for name, tone, value in row.parts:
            left, right = axis.at(start), axis.at(start + value)
            drawn.append(
                f'<rect class="{tone}" x="{left}%" width="{right - left:.2f}%" y="3" height="16">'
                f"<title>{escape(name)} {number(value)} {unit}</title></rect>"
            )
            start += value
        names = ", ".join(f"{name} {number(value)} {unit}" for name, _, value in row.parts)
        title = ", ".join(part for part in (row.label, row.detail) if part)
        svg = _svg("bar", f"{title}: {names}", _grid(axis) + "".join(drawn))
        found.append(_row("row", row.label, row.detail, svg, row.text))
    return _chart(rows, found, _axis_row(axis, unit))


def scatter(points: Sequence[Point], front: Sequence[Point], title: str, description: str) -> str:
    """Draw accuracy against latency with the Pareto front as a staircase."""
    across = log_axis([point.ms for point in points])
    ends = [end for point in front if point.interval for end in point.interval]
    up = linear_axis([*(point.accuracy for point in points), *ends])
    parts = [_plane(across, up)]
    if len(front) > 1:
        corners = [f"M{across.at(front[0].ms)} {100 - up.at(front[0].accuracy):.2f}"]
        corners += [
            f"H{across.at(point.ms)}V{100 - up.at(point.accuracy):.2f}" for point in front[1:]
        ]
        parts.append(_stretched(f'<path class="front" d="{"".join(corners)}"/>', 100, 100))
    for point in front:
        if point.interval:
            low, high = (f"{100 - up.at(end):.2f}%" for end in point.interval)
            x = f"{across.at(point.ms)}%"
            parts.append(f'<line class="whisker" x1="{x}" x2="{x}" y1="{low}" y2="{high}"/>')
    parts += [_dot(point, across, up) for point in points if not point.sign]
    parts += [_dot(point, across, up) for point in points if point.sign]
    return f'<div class="plane">{_svg("plot", title, "".join(parts), description)}</div>'


def timeline(times_s: Sequence[float], fps: Sequence[float], title: str, description: str) -> str:
    """Draw frames a second over time."""
    across = linear_axis([0.0, *times_s], from_zero=True)
    up = linear_axis([0.0, *fps], from_zero=True)
    path = "L".join(
        f"{across.at(at)} {100 - up.at(value):.2f}" for at, value in zip(times_s, fps, strict=True)
    )
    line = _stretched(f'<path class="line" d="M{path}"/>', 100, 100)
    plane = _plane(across, up, "s")
    return f'<div class="plane low">{_svg("plot", title, plane + line, description)}</div>'


def pareto(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other one beats in both latency and accuracy, fastest first."""
    found: list[Point] = []
    for point in sorted(points, key=lambda one: (one.ms, -one.accuracy)):
        if not found or point.accuracy > found[-1].accuracy:
            found.append(point)
    return found


def _chart(
    labelled: Sequence[Strip | Bar], drawn: Sequence[str], axis_row: str, below: Sequence[str] = ()
) -> str:
    """Return rows between their axes, with room for the longest label on a wide screen."""
    wide = max(len(row.label) * 0.6 + len(row.detail) * 0.5 for row in labelled) + 1
    above = axis_row if len(drawn) + len(below) > _ROWS_FOR_TWO_AXES else ""
    if len(drawn) > _ROWS_FOR_A_FOLD:
        rest = drawn[_ROWS_UNFOLDED:]
        fold = f"<summary>{len(rest)} more</summary>{''.join(rest)}"
        drawn = [*drawn[:_ROWS_UNFOLDED], f'<details class="fold">{fold}</details>']
    inner = f"{above}{''.join(drawn)}{''.join(below)}{axis_row}"
    return f'<div class="chart" style="--what: {min(max(wide, 9), 33):.0f}em">{inner}</div>'


def signed(point: Point, sign: str) -> Point:
    """Return a point with the sign that names it under the chart."""
    return replace(point, sign=sign)


def _extent(strip: Strip) -> list[float]:
    # A published maximum of 24 s would leave no room for anything else.
    ends = [strip.latency_ms.get("mean"), strip.latency_ms.get("p50")]
    if strip.samples_ms:
        ends += [strip.first_ms, min(strip.samples_ms), max(strip.samples_ms)]
    return [value for value in ends if value]


def _strip_title(strip: Strip) -> str:
    names = [("p50", "p50"), ("p95", "p95"), ("p99", "p99"), ("max", "maximum")]
    if strip.published:
        names = [("mean", "mean"), ("p50", "p50"), ("max", "maximum")]
    shown = [
        f"{word} {number(strip.latency_ms[name])} ms"
        for name, word in names
        if strip.latency_ms.get(name) is not None
    ]
    if strip.first_ms is not None:
        shown.append(f"first call {number(strip.first_ms)} ms")
    kind = "published: " if strip.published else ""
    return f"{strip.label}, {strip.detail}: {kind}{', '.join(shown)}"


def _marks(strip: Strip, axis: Axis) -> str:
    parts = [_density(strip, axis)]
    for name in ("p95", "p99", "p50"):
        value = strip.latency_ms.get(name)
        if value is not None:
            x = f"{axis.at(value)}%"
            parts.append(f'<line class="{name}" x1="{x}" x2="{x}" y1="4" y2="24"/>')
    if strip.first_ms:
        parts.append(
            f'<svg x="{axis.at(strip.first_ms)}%" y="14" class="over">'
            '<path class="first" d="M0-5L5 0 0 5-5 0Z"/></svg>'
        )
    return "".join(parts)


def _published_marks(strip: Strip, axis: Axis) -> str:
    x = f"{axis.at(strip.latency_ms.get('mean') or strip.latency_ms.get('p50') or 0.0)}%"
    parts = []
    if high := strip.latency_ms.get("max"):
        end = f"{axis.at(high)}%"
        parts.append(f'<line class="to-max" x1="{x}" x2="{end}" y1="14" y2="14"/>')
        if high > axis.high:
            arrow = '<path class="beyond" d="M-5-4L0 0-5 4"/>'
            parts.append(f'<svg x="{end}" y="14" class="over">{arrow}</svg>')
    return f'{"".join(parts)}<circle class="hollow" cx="{x}" cy="14" r="5"/>'


def _density(strip: Strip, axis: Axis) -> str:
    """Return the mirrored density of the samples, and a tick for each of the latest ones."""
    samples = np.asarray(strip.samples_ms, np.float64)
    places = np.array([axis.at(value) for value in samples.tolist()]) / 100 * _CELLS
    counts, _ = np.histogram(places, _CELLS, (0, _CELLS))
    reach = np.arange(-4, 5)
    kernel = np.exp(-0.5 * (reach / _SMOOTH) ** 2)
    heights = np.convolve(counts, kernel, "same")
    heights = heights / heights.max() * 9
    cells = np.flatnonzero(heights > 0.05).tolist()
    runs: list[list[int]] = []
    for cell in cells:
        if runs and cell == runs[-1][-1] + 1:
            runs[-1].append(cell)
        else:
            runs.append([cell])
    outline = []
    for run in runs:
        over = "L".join(f"{cell + 0.5:g} {14 - heights[cell]:.1f}" for cell in run)
        under = "L".join(f"{cell + 0.5:g} {14 + heights[cell]:.1f}" for cell in reversed(run))
        outline.append(f"M{run[0]} 14L{over}L{run[-1] + 1} 14L{under}Z")
    late = np.sort(places[samples >= np.percentile(samples, 99)])[-_LATE_MARKS:]
    ticks = "".join(f"M{place:.1f} 10v8" for place in late.tolist())
    return _stretched(
        f'<path class="density {strip.tone}" d="{"".join(outline)}"/>'
        f'<path class="late" d="{ticks}"/>',
        _CELLS,
        28,
    )


def _dot(point: Point, across: Axis, up: Axis) -> str:
    x, y = f"{across.at(point.ms)}%", f"{100 - up.at(point.accuracy):.2f}%"
    kind = "hollow" if point.published else f"dot {point.tone}{' dashed' if point.dashed else ''}"
    title = f"{point.label}, {point.detail}: {number(point.ms)} ms, {point.accuracy:.4f}"
    sign = f'<text class="sign" x="{x}" y="{y}" dy="4">{point.sign}</text>' if point.sign else ""
    radius = 9 if point.sign else 5
    return (
        f'<g><title>{escape(title)}</title><circle class="{kind}" cx="{x}" cy="{y}" r="{radius}"/>'
        f"{sign}</g>"
    )


def _plane(
    across: Axis,
    up: Axis,
    across_unit: str = "ms",
) -> str:
    parts = []
    levels = up.ticks()
    places = max((len(f"{value:g}".partition(".")[2]) for value in levels), default=0)
    for value in levels:
        y = f"{100 - up.at(value):.2f}%"
        parts.append(f'<line class="grid" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick up" x="-6" y="{y}" dy="4">{value:.{places}f}</text>')
    for at, value in enumerate(across.ticks()):
        x = f"{across.at(value)}%"
        unit = f" {across_unit}" if at == 0 else ""
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="0" y2="100%"/>')
        parts.append(f'<text class="tick" x="{x}" y="100%" dy="18">{value:g}{unit}</text>')
    return "".join(parts)


def _grid(axis: Axis) -> str:
    """Return the vertical lines behind a row."""
    path = "".join(f"M{axis.at(value)} 0V1" for value in axis.ticks())
    return _stretched(f'<path class="grid" d="{path}"/>', 100, 1)


def _axis_row(axis: Axis, unit: str) -> str:
    texts = []
    for value in axis.ticks():
        place = axis.at(value)
        anchor = " start" if place < 3 else " end" if place > 97 else ""
        texts.append(f'<text class="tick{anchor}" x="{place}%" y="13">{value:,g}</text>')
    svg = f'<svg class="ticks" aria-hidden="true">{"".join(texts)}</svg>'
    return f'<div class="row axis"><div class="what"></div>{svg}<div>{escape(unit)}</div></div>'


def _row(kind: str, label: str, detail: str, svg: str, text: str) -> str:
    return (
        f'<div class="{kind}"><div class="what"><b>{escape(label)}</b> '
        f"<small>{escape(detail)}</small></div>{svg}<div>{escape(text)}</div></div>"
    )


def _svg(kind: str, title: str, inner: str, description: str = "") -> str:
    about = f"<desc>{escape(description)}</desc>" if description else ""
    return f'<svg class="{kind}" role="img"><title>{escape(title)}</title>{about}{inner}</svg>'


def _stretched(inner: str, width: int, height: int) -> str:
    return (
        f'<svg width="100%" height="100%" viewBox="0 0 {width} {height}" '
        f'preserveAspectRatio="none">{inner}</svg>'
    )
