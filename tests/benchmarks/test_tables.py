"""The results as a terminal shows them."""

from io import StringIO

import pytest
from rich.console import Console

from edge.benchmarks.tables import results_tables

SOAK = {
    "case": {"name": "default", "variant": "int8", "runtime": "litert", "threads": 1},
    "windows": [
        {"t_s": 60.0, "fps": 400.0, "temperature_c": 48.0, "throttled": False},
        {"t_s": 300.0, "fps": 390.0, "temperature_c": 61.0, "throttled": False},
    ],
}  # fmt: skip


def shown(document, width):
    console = Console(file=StringIO(), width=width)
    console.print(results_tables(document))
    return console.file.getvalue()


def test_a_wide_terminal_has_every_column(document):
    heads = shown(document(), 200).splitlines()[1].split()
    assert heads[1:8] == ["start", "first", "mean", "p50", "p95", "p99", "max"]


@pytest.mark.parametrize("width", [80, 100])
def test_a_narrow_one_keeps_what_matters_in_its_width(document, width):
    lines = shown(document(), width).splitlines()
    assert max(map(len, lines)) <= width
    assert {"first", "p50", "FPS", "size"} <= set(lines[1].split())
    assert "start" not in lines[1].split()


def test_a_soak_is_told_in_words(document):
    said = " ".join(shown(document((), soak=SOAK), 200).split())
    assert said == (
        "soak of 5.0 minutes: default int8 on litert, 1 thread: 400 FPS in the first minute, 390 "
        "in the steady state (98%). It was never throttled. Temperature 48 to 61 °C."
    )


def test_a_soak_that_was_stopped_at_once_is_told_too(document):
    said = shown(document((), soak={"case": SOAK["case"], "windows": []}), 200)
    assert "no window of the run has ended" in said
