"""Progress of long work, on stderr: a bar on a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]

_LOG_EVERY_S = 30.0


@contextmanager
def progress(label: str, total: int, unit: str, *, done: int = 0) -> Iterator[Advance]:
    """Show how far a piece of work is, how fast it goes and how long it will take.

    Args:
        label: What is being done, such as "cutting faces".
        total: How many units there are.
        unit: What is counted, such as "pictures".
        done: How many were done before, by an interrupted run.

    Yields:
        A function to call with the number of units just done.
    """
    show = _bar if sys.stderr.isatty() else _log
    with show(label, total, unit, done) as advance:
        yield advance


@contextmanager
def waiting(label: str) -> Iterator[None]:
    """Show on a terminal that something of unknown length goes on."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(label):
        yield


@contextmanager
def _bar(label: str, total: int, unit: str, done: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("elapsed,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    start, count = time.monotonic(), 0
    # Bound to the stream of now: a library that is kept quiet does not hide the bar.
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task(label, total=total, completed=done, rate="")

        def advance(number: int) -> None:
            nonlocal count
            count += number
            bar.update(task, advance=number, rate=_rate(count, time.monotonic() - start, unit))

        yield advance


@contextmanager
def _log(label: str, total: int, unit: str, done: int) -> Iterator[Advance]:
    start = last = time.monotonic()
    count = 0

    def advance(number: int) -> None:
        nonlocal count, last
        count += number
        now = time.monotonic()
        if now - last >= _LOG_EVERY_S:
            last = now
            told = f"{label}: {done + count:,} of {total:,} {unit}"
            if count:
                left = (total - done - count) * (now - start) / count
                told += f", {_rate(count, now - start, unit)}, {left:,.0f} s left"
            sys.stderr.write(f"{told}\n")
            sys.stderr.flush()

    yield advance


def _rate(count: int, seconds: float, unit: str) -> str:
    """Return how fast it goes, in few characters: three digits, and bytes as MB."""
    rate = count / max(seconds, 1e-9)
    if unit == "bytes":
        return f"{rate / 1e6:,.1f} MB/s"
    return f"{rate:,.0f} {unit}/s" if rate >= 10 else f"{rate:.2g} {unit}/s"
