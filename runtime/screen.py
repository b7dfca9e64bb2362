"""Results for people: a live table while a run goes on, and tables at the end."""

import math
import sys
import time
from typing import Any, TextIO

from rich import box
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edge.faces import Face
from edge.runtime.outputs import Output, readable
from edge.runtime.pipeline import STAGES, Result

_LINE_EVERY_S = 0.25
_MAX_FACES = 8
_LOG_WIDTH = 120


class _Console(Console):
    def __init__(self, stream: TextIO) -> None:
        # A log is as wide as its tables; rich would take it for a terminal of 80 columns.
        width = None if stream.isatty() else _LOG_WIDTH
        # Names of files and folders are no markup, whatever brackets they hold.
        super().__init__(file=stream, width=width, highlight=False, emoji=False, markup=False)

    def on_broken_pipe(self) -> None:
        # A reader that has seen enough is no error here; rich would leave with status 1.
        raise BrokenPipeError


class Screen(Output):
    """What a person reads: a live table on a terminal, else lines; then a summary.

    Args:
        stream: Where it goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self._console = _Console(stream)
        self._live: Live | None = None
        self._shown = -math.inf
        self._source = ""
        self._last: Result | None = None

    def show(self, result: Result) -> None:
        """Show one frame; between two looks of a person a frame is not drawn."""
        if result.faces or self._last is None:
            self._last = result
        now = time.monotonic()
        # Each picture of a folder has a name of its own and is shown, however fast they come.
        if result.frame.source == self._source and now - self._shown < _LINE_EVERY_S:
            return
        self._shown, self._source = now, result.frame.source
        if self._console.is_terminal:
            self._draw(result)
        else:
            self._print(_line(result))

    def finish(self, summary: dict[str, Any]) -> None:
        """Show the last faces, the latency of each stage and what was used."""
        if self._live is not None:
            self._live.stop()
        if self._last is not None:
            self._print("")
            self._console.print(faces_table(self._last))
        self._console.print(latency_table(summary))
        for line in _summary_lines(summary):
            self._print(line)

    def _draw(self, result: Result) -> None:
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(faces_table(result), refresh=True)

    def _print(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)
        self._console.file.flush()


def faces_table(result: Result) -> Table:
    """Return the faces of one frame, each with its attributes, or with who it is."""
    frame, found = result.frame, _faces_found(result)
    title = f"frame {frame.index} of {readable(frame.source)}: {found}"
    table = Table(
        title=Text(f"{title}, {result.latency_ms['total']:.1f} ms"),
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    rows, columns = frame.picture.shape[:2]
    for heading in ("face", "box x, y, width, height", "score"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in _headings(result.faces[0]) if result.faces else ():
        table.add_column(Text(name), justify="right", no_wrap=True)
    for number, face in enumerate(result.faces[:_MAX_FACES], 1):
        place = ", ".join(map(str, face.detection.box.in_whole_pixels(columns, rows)))
        table.add_row(str(face.id or number), place, f"{face.detection.score:.2f}", *_values(face))
    return table


def latency_table(summary: dict[str, Any]) -> Table:
    """Return the statistics of each stage, in milliseconds, beside those of the reference."""
    latency_ms, reference = summary["latency_ms"], summary.get("reference")
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("latency, ms")
    columns = ("mean", "p50", "p95", "p99", "max")
    for column in (*columns, *(("x86 p50", "p50 : x86") if reference else ())):
        table.add_column(column, justify="right")
    for stage in STAGES:
        cells = [_or_dash(latency_ms[stage][column], ".2f") for column in columns]
        if reference:
            times = reference["times"].get(stage)
            theirs = reference["p50_ms"][stage] if stage in reference["times"] else None
            cells += [_or_dash(theirs, ".2f"), "–" if times is None else f"{times:.2f}×"]
        table.add_row(stage, *cells)
    return table


def evaluation_table(result: dict[str, Any]) -> Table:
    """Return what `edge evaluate` measured, one line an attribute."""
    found = f"{result['detected']:,} of {result['samples']:,} pictures with a face"
    table = Table(
        title=Text(f"{result['model']['name']} on {result['dataset']}, {result['split']}: {found}"),
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    table.add_column("attribute")
    for heading in ("accuracy", "95 % interval", "F1", "ROC AUC", "threshold", "positives"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, score in result["attributes"].items():
        low, high = score["ci95"]
        table.add_row(Text(name), f"{score['accuracy']:.4f}", f"{low:.4f}–{high:.4f}",
                      f"{score['f1']:.4f}", _or_dash(score["roc_auc"], ".4f"),
                      _or_dash(score["threshold"], ".2f"),
                      _or_dash(score["positives"], ","))  # fmt: skip
        if "top5" in score:
            table.caption = f"among the five most probable people: {score['top5']:.4f}"
            table.caption_justify = "left"
    return table


def _or_dash(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def models_table(cards: dict[str, dict[str, Any]]) -> Table:
    """Return models, one a line: name to a described card."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("name", "variant", "attributes"):
        table.add_column(heading)
    table.add_column("kB", justify="right")
    for name, card in cards.items():
        attributes = ", ".join(card["attributes"])
        table.add_row(Text(name), card["variant"], attributes, f"{card['size_bytes'] / 1000:.0f}")
    return table


def card_table(card: dict[str, Any]) -> Table:
    """Return a described card, one fact a line."""
    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _flat(card):
        table.add_row(Text(name), Text("–" if value is None else str(value)))
    return table


def show(table: RenderableType) -> None:
    """Print a table to stdout; lines that do not wrap are as long as they are."""
    _Console(sys.stdout).print(table, crop=False)


def _flat(value: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return the leaves of nested objects, each with the path to it."""
    leaves: list[tuple[str, Any]] = []
    for name, item in value.items():
        if isinstance(item, dict):
            leaves += _flat(item, f"{prefix}{name}.")
        elif isinstance(item, list):
            shown = ", ".join(map(str, item[:10]))
            leaves.append((prefix + name, f"{shown} … ({len(item):,})" if item[10:] else shown))
        else:
            leaves.append((prefix + name, item))
    return leaves


def _line(result: Result) -> str:
    faces = [_in_words(face) for face in result.faces[:_MAX_FACES]]
    found = f"{_faces_found(result)}: {'; '.join(faces)}" if faces else _faces_found(result)
    total = result.latency_ms["total"]
    source = " ".join(readable(result.frame.source).splitlines())
    return f"{result.frame.index:>6}  {source}  {found}  {total:.1f} ms"


def _faces_found(result: Result) -> str:
    """Return the number of faces in words."""
    count = len(result.faces)
    return "no face" if count == 0 else "1 face" if count == 1 else f"{count} faces"


def _headings(face: Face) -> tuple[str, ...]:
    return ("person",) if face.task == "identity" else tuple(face.attributes)


def _values(face: Face) -> list[Text]:
    """Return the cells of a face, one a heading."""
    if face.task == "identity":
        return [Text(_person(face), style="bold green" if face.labels else "")]
    return [_attribute(face, name) for name in face.attributes]


def _in_words(face: Face) -> str:
    if face.task == "identity":
        return _person(face)
    return ", ".join(f"{name} {value:.2f}" for name, value in face.attributes.items())


def _person(face: Face) -> str:
    """Return the most probable person with its probability, and whether it is that one."""
    name, value = next(iter(face.attributes.items()))
    return f"{name} {value:.2f}" if face.labels else f"nobody known ({name} {value:.2f})"


def _attribute(face: Face, name: str) -> Text:
    held = name in face.labels
    # Bold is lost in a log; the word is not.
    word = "yes" if held else "no"
    return Text(f"{word} {face.attributes[name]:.2f}", style="bold green" if held else "")


def _summary_lines(summary: dict[str, Any]) -> list[str]:
    """Return what a run adds up to, beside its latency."""
    model, reference = summary["model"], summary.get("reference")
    frames, dropped, count = summary["frames"], summary["dropped"], summary["at_once"]
    together = f", {count} frames at once" if count > 1 else ""
    lines = [
        f"frames        {frames}, {dropped} dropped, {summary['fps']:.1f} FPS{together}",
        f"first result  {summary['first_result_ms']:.0f} ms after the start",
        f"model         {model['name']} {model['variant']}, sha256 {model['sha256'][:12]}",
        f"runtime       {summary['runtime']}, threads {summary['environment']['threads']}",
        f"detector      {summary['detector']['name']}",
        f"memory        {summary['peak_rss_mb']:.0f} MB at most",
    ]
    if source := summary.get("source"):
        lines.append(f"source        {_in_a_row(source['got'])}")
    if reference:
        about = f"{reference['cpu']}, {reference['runtime']}, threads {reference['threads']}"
        if count > 1:
            about += ", one frame at a time"
        lines.append(f"x86           {about}")
    for name in ("reconnects", "unreadable"):
        if summary.get(name):
            lines.append(f"{name:14}{summary[name]}")
    return lines


def _in_a_row(values: dict[str, Any]) -> str:
    """Return the figures of a camera or stream in one line."""
    return ", ".join(
        f"{name} {'×'.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in values.items()
    )
