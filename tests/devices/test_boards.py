"""Boards as data: what their files must say, how they are read, and the page made from them."""

import json
import re
import tomllib
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from edge import environment
from edge.devices.boards import Board, board, boards, facts, read_board, to_json
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
memory_gb = [0.5, 1, 2]
os = { "System 1" = "3.11", "System 2" = "3.13" }
cameras = ["ribbon", "usb"]
thermal = "/sys/b/temp"
throttled = "/sys/b/throttled"
throttles_at_c = 80
notes = ["it gets hot"]
facts = ["https://example.org/b", "https://example.org/c"]

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
        assert re.fullmatch(r"[a-z0-9+-]+", key)
    names = [one.name for one in boards().values()]
    assert len(names) == len(set(names))


def test_the_boards_that_are_asked_for_are_there_under_the_names_that_users_type():
    wanted = {"pi-3b+", "pi-4", "pi-5", "pi-zero-2w", "arm64", "x86-64", "laptop"}
    assert wanted <= set(boards())


def test_nothing_is_said_of_a_board_without_a_source():
    said = {field.name for field in fields(Board)} - {"key", "name", "facts", "published"}
    for one in boards().values():
        assert any(getattr(one, name) for name in said) == bool(one.facts), one.key
        assert one.facts or one.published, one.key
        for address in one.facts:
            assert re.fullmatch(r"https://[^\s/]+/\S*", address), one.key
        assert len(one.facts) == len(set(one.facts)), one.key
        for figure in one.published:
            assert figure.url.startswith("https://")
            assert figure.hardware.startswith(one.name)
            assert figure.device == "cpu"
            assert not figure.seed


def test_a_box_of_any_kind_has_no_chip_of_its_own():
    for key in ("arm64", "x86-64", "laptop"):
        one = board(key)
        assert not any((one.soc, one.cpu, one.cores, one.clock_mhz, one.memory_gb))
        assert not any((one.throttled, one.throttles_at_c, one.published))
    assert [board(key).isa for key in ("arm64", "x86-64", "laptop")] == [
        ("aarch64",), ("x86_64",), (),
    ]  # fmt: skip


def test_the_instructions_of_a_board_are_those_of_its_cores():
    # The A53 and the A72 are of Armv8.0; the A76 is of Armv8.2 with dotprod, without i8mm.
    words = {
        "Cortex-A53": ("aarch64", "asimd"),
        "Cortex-A72": ("aarch64", "asimd"),
        "Cortex-A76": ("aarch64", "asimd", "asimdhp", "asimddp"),
    }
    for one in boards().values():
        assert one.isa == words.get(one.cpu, one.isa[:1]), one.key
    assert {one.cpu for one in boards().values()} >= set(words)
    assert dict(facts(board("pi-4")))["int8 instructions"] == "dotprod no, i8mm no"
    assert dict(facts(board("pi-5")))["int8 instructions"] == "dotprod yes, i8mm no"


def test_what_a_board_says_of_instructions_and_clocks_is_in_the_words_and_units_of_a_fingerprint():
    machines = {"aarch64", "x86_64"}
    for one in boards().values():
        assert set(one.isa[1:]) <= set(environment._ISA), one.key
        assert set(one.isa[:1]) <= machines, one.key
        assert one.clock_mhz is None or 500 <= one.clock_mhz <= 6000, one.key
        assert all(0.25 <= size <= 64 for size in one.memory_gb), one.key
        assert list(one.memory_gb) == sorted(one.memory_gb), one.key
        assert one.throttles_at_c is None or 50 <= one.throttles_at_c <= 110, one.key


def test_the_files_of_a_board_are_those_that_a_fingerprint_reads():
    for one in boards().values():
        assert re.fullmatch(r"/sys/class/thermal/thermal_zone[0*]/temp", one.thermal), one.key
        assert one.throttled in ("", str(environment._PI_THROTTLED)), one.key


def test_a_board_that_runs_64_bits_has_a_python_that_edge_runs_on():
    for key in ("pi-3b+", "pi-4", "pi-5", "pi-zero-2w", "arm64", "x86-64", "laptop"):
        for system, python in board(key).os.items():
            assert "32-bit" not in system
            assert re.match(r"3\.1[1-9]", python)
        assert board(key).os


def test_the_threads_of_a_board_follow_the_rule_of_a_network(monkeypatch):
    for cores in range(1, 33):
        monkeypatch.setattr(environment, "cores_worth", lambda cores=cores: cores)
        assert Board(key="b", name="B", cores=cores).threads == environment.threads_of_a_network()
    assert Board(key="b", name="B").threads is None
    assert board("pi-5").threads == 2
    assert board("pi-zero-w").threads == 1


def test_no_figure_is_of_edge_or_of_an_emulator():
    for one in boards().values():
        for figure in one.published:
            assert not re.search(r"qemu|emulat|\bedge\b", str(figure), re.IGNORECASE)


def test_published_anchors_are_on_their_boards():
    def ms(key, name, variant, runtime):
        wanted = (name, variant, runtime)
        found = [f for f in board(key).published if (f.name, f.variant, f.runtime) == wanted]
        assert len(found) == 1
        return found[0].ms

    assert ms("pi-5", "mobilenet-v2", "int8", "executorch") == 4.01
    assert ms("pi-5", "ultraface-rfb-320", "int8", "onnxruntime") == 6.66
    assert ms("pi-4", "mobilenet-v2", "int8", "xnnpack") == 17
    assert ms("pi-3b+", "mobilenet-v3-small", "float32", "xnnpack") == 22
    assert ms("pi-2", "mobilenet-v3-small", "float32", "xnnpack") == 50
    assert ms("pi-zero-w", "mobilenet-v3-small", "float32", "xnnpack") == 474


def test_an_unknown_board_is_refused_with_those_there_are():
    with pytest.raises(EdgeError) as refused:
        board("pi-6")
    assert refused.value.message == "unknown board pi-6"
    assert "pi-5" in refused.value.hint


def test_a_file_is_read_whole(made_up):
    assert (made_up.key, made_up.name, made_up.soc) == ("model-b", "Model B", "X1")
    assert (made_up.cpu, made_up.cores, made_up.clock_mhz) == ("Cortex-A0", 4, 1500)
    assert (made_up.isa, made_up.memory_gb) == (("aarch64", "asimddp"), (0.5, 1, 2))
    assert made_up.os == {"System 1": "3.11", "System 2": "3.13"}
    assert (made_up.cameras, made_up.notes) == (("ribbon", "usb"), ("it gets hot",))
    assert (made_up.thermal, made_up.throttled) == ("/sys/b/temp", "/sys/b/throttled")
    assert (made_up.throttles_at_c, made_up.threads) == (80, 2)
    assert made_up.facts == ("https://example.org/b", "https://example.org/c")
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
    assert (bare.memory_gb, bare.os, bare.cameras, bare.facts) == ((), {}, (), ())
    assert facts(bare) == [
        ("name", "Bare"), ("threads of a network", "half of its cores, from 1 to 4"),
    ]  # fmt: skip
    assert page([bare]).endswith(
        "## bare\n\n- name: Bare\n- threads of a network: half of its cores, from 1 to 4\n\n"
        "No figures are known.\n"
    )


def test_one_address_needs_no_brackets():
    assert read_board("b", 'name = "B"\nfacts = "https://b.org/"').facts == ("https://b.org/",)


def test_the_facts_of_a_board_can_be_read_by_people(made_up):
    assert facts(made_up) == [
        ("name", "Model B"),
        ("chip", "X1"),
        ("processor", "4 × Cortex-A0 at up to 1500 MHz"),
        ("int8 instructions", "dotprod yes, i8mm no"),
        ("memory", "0.5, 1 or 2 GB"),
        ("system", "System 1 (Python 3.11)"),
        ("system", "System 2 (Python 3.13)"),
        ("cameras", "ribbon (--camera picamera), USB (--camera 0)"),
        ("threads of a network", "2"),
        ("temperature", "/sys/b/temp"),
        ("slows down from", "80 °C"),
        ("throttled", "/sys/b/throttled"),
        ("note", "it gets hot"),
        ("source", "https://example.org/b"),
        ("source", "https://example.org/c"),
    ]


def test_what_depends_on_the_processor_of_a_box_is_said_to():
    assert dict(facts(board("arm64")))["int8 instructions"] == (
        "dotprod and i8mm depend on its processor"
    )
    assert dict(facts(board("x86-64")))["int8 instructions"] == (
        "AVX-VNNI, AVX-512 VNNI and AMX depend on its processor"
    )
    assert "int8 instructions" not in dict(facts(board("laptop")))


def test_a_board_as_json_has_all_of_it(made_up):
    found = json.loads(json.dumps(to_json(made_up)))
    assert set(found) == {field.name for field in fields(Board)} | {"threads"}
    assert (found["key"], found["threads"], found["memory_gb"]) == ("model-b", 2, [0.5, 1, 2])
    assert found["os"] == {"System 1": "3.11", "System 2": "3.13"}
    assert [figure["ms"] for figure in found["published"]] == [2.5, 12.5, 123.456]
    assert found["published"][0]["url"] == "https://example.org/table"
    for one in boards().values():
        assert json.loads(json.dumps(to_json(one)))["name"] == one.name


def test_what_is_misspelt_is_not_dropped():
    with pytest.raises(TypeError, match="clock_ghz"):
        read_board("b", 'name = "B"\nclock_ghz = 1.5')
    with pytest.raises(tomllib.TOMLDecodeError):
        read_board("b", "name = B")


def test_a_board_on_the_page(made_up):
    text = page([made_up]).split("## model-b\n\n")[1]
    said, table, cited = text.removesuffix("\n").split("\n\n")
    assert said.splitlines() == [f"- {name}: {value}" for name, value in facts(made_up)]
    assert table.splitlines()[2:] == [
        "| net int8 |  | 2.5 | p50 | 4 |  | one thread | 1 |",
        "| net |  | 12.5 | p50 |  | 80 | Model B at 2 GHz | 1 |",
        "| finder |  | 123.5 | mean |  |  | 320×240 | 2 |",
    ]
    assert cited.splitlines() == [
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
