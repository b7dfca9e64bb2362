"""Boards as data: what their files must say, how they are read, and the page made from them."""

import re
import tomllib
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from edge.devices.boards import board, boards, read_board
from edge.devices.page import page
from edge.errors import EdgeError

ROOT = Path(__file__).resolve().parents[2]

MADE_UP = """
name = "Model B"
soc = "X1"
cpu = "Cortex-A0"
cores = 4
clock_mhz = 1500
isa = ["aarch64", "asimddp"]
facts = "https://example.org/b"

[[published]]
title = "A table"
url = "https://example.org/table"
suite = "classifiers"
statistic = "p50"
note = "one thread"
figures = [
    { name = "net", variant = "int8", ms = 2.5, max_ms = 4.0 },
    { name = "net", hardware = "Model B at 2 GHz", note = "", fps = 80.0 },
]

[[published]]
title = "Another table"
url = "https://example.org/table"
suite = "detectors"
statistic = "mean"
input = "320×240"
figures = [{ name = "finder", ms = 123.456 }]
"""


@pytest.fixture
def made_up():
    return read_board("model-b", MADE_UP)


def test_every_file_in_the_folder_is_a_board_under_its_name():
    assert list(boards()) == sorted(path.stem for path in (ROOT / "devices").glob("*.toml"))
    for key, one in boards().items():
        assert one.key == key
        assert re.fullmatch(r"[a-z0-9-]+", key)
    names = [one.name for one in boards().values()]
    assert len(names) == len(set(names))


def test_nothing_is_said_of_a_board_without_a_source():
    for one in boards().values():
        known = (one.soc, one.cpu, one.cores, one.clock_mhz, one.isa)
        assert any(known) == one.facts.startswith("https://"), one.key
        assert one.published
        for figure in one.published:
            assert figure.url.startswith("https://")
            assert figure.hardware.startswith(one.name)
            assert figure.device == "cpu"
            assert not figure.seed


def test_no_figure_is_of_edge_or_of_an_emulator():
    for path in (ROOT / "devices").glob("*.toml"):
        assert not re.search(r"qemu|emulat|\bedge\b", path.read_text("utf-8"), re.IGNORECASE)


def test_published_anchors_are_on_their_boards():
    def ms(key, name, variant, runtime):
        wanted = (name, variant, runtime)
        found = [f for f in board(key).published if (f.name, f.variant, f.runtime) == wanted]
        assert len(found) == 1
        return found[0].ms

    assert ms("raspberry-pi-5", "mobilenet-v2", "int8", "executorch") == 4.01
    assert ms("raspberry-pi-5", "ultraface-rfb-320", "int8", "onnxruntime") == 6.66
    assert ms("raspberry-pi-4", "mobilenet-v2", "int8", "xnnpack") == 17
    assert ms("raspberry-pi-3-plus", "mobilenet-v3-small", "float32", "xnnpack") == 22
    assert ms("raspberry-pi-2", "mobilenet-v3-small", "float32", "xnnpack") == 50
    assert ms("raspberry-pi-zero-w", "mobilenet-v3-small", "float32", "xnnpack") == 474


def test_an_unknown_board_is_refused_with_those_there_are():
    with pytest.raises(EdgeError) as refused:
        board("raspberry-pi-6")
    assert refused.value.message == "unknown board raspberry-pi-6"
    assert "raspberry-pi-5" in refused.value.hint


def test_a_file_is_read_whole(made_up):
    assert (made_up.key, made_up.name, made_up.soc) == ("model-b", "Model B", "X1")
    assert (made_up.cpu, made_up.cores, made_up.clock_mhz) == ("Cortex-A0", 4, 1500)
    assert made_up.isa == ("aarch64", "asimddp")
    shared, own, other = made_up.published
    assert (shared.hardware, shared.note, shared.ms, shared.fps) == (
        "Model B", "one thread", 2.5, None,
    )  # fmt: skip
    assert (own.hardware, own.note, own.ms, own.fps) == ("Model B at 2 GHz", "", 12.5, 80)
    assert (other.suite, other.title, other.note) == ("detectors", "Another table", "")
    with pytest.raises(FrozenInstanceError):
        made_up.name = "Model C"


def test_a_name_is_all_that_a_board_needs():
    bare = read_board("bare", 'name = "Bare"')
    assert (bare.soc, bare.cpu, bare.cores, bare.isa, bare.published) == ("", "", None, (), ())
    assert page([bare]).endswith("## Bare\n\nNothing published is known.\n")


def test_what_is_misspelt_is_not_dropped():
    with pytest.raises(TypeError, match="clock_ghz"):
        read_board("b", 'name = "B"\nclock_ghz = 1.5')
    with pytest.raises(tomllib.TOMLDecodeError):
        read_board("b", "name = B")


def test_a_board_on_the_page(made_up):
    lines = page([made_up]).split("## Model B\n\n")[1].splitlines()
    assert lines[0] == (
        "X1, 4 × Cortex-A0 at 1500 MHz, instructions: aarch64, asimddp "
        "([source](https://example.org/b))."
    )
    assert lines[4:] == [
        "| net int8 |  | 2.5 | p50 | 4 |  | one thread | 1 |",
        "| net |  | 12.5 | p50 |  | 80 | Model B at 2 GHz | 1 |",
        "| finder |  | 123.5 | mean |  |  | 320×240 | 2 |",
        "",
        "1. [A table](https://example.org/table)",
        "2. [Another table](https://example.org/table)",
    ]


def test_the_page_in_the_docs_is_made_from_the_files():
    made = page(boards().values())
    assert (ROOT / "docs/boards.md").read_text("utf-8") == made, (
        "run: python -m edge.devices.page > docs/boards.md"
    )


def test_the_page_says_whose_figures_these_are():
    head = " ".join(page([]).split())
    assert "**other software**" in head
    assert "once a real board has been measured" in head
    assert "nothing emulated is shown as one" in head
