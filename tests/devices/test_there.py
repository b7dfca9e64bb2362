"""Measured on a board, over a real ssh server, and brought back."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from edge.devices.reach import Session
from edge.errors import EdgeError


@pytest.fixture
def board(start_device, tmp_path: Path):
    """A board whose edge writes down what it is asked, and then does it."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "edge").write_text(
        f'#!/bin/sh\necho "$@" >> {programs}/asked\nexec {Path(sys.executable).parent}/edge "$@"\n'
    )
    (programs / "edge").chmod(0o755)
    return start_device(tmp_path / "board", PATH=f"{programs}:{sys.base_prefix}/bin:/usr/bin:/bin")


@pytest.fixture
def asked(board, tmp_path: Path) -> Callable[[], list[str]]:
    """A function that returns what the board's edge was asked since the last time."""
    written = tmp_path / "programs" / "asked"

    def asked() -> list[str]:
        lines = written.read_text().splitlines() if written.exists() else []
        written.unlink(missing_ok=True)
        return lines

    return asked


def edge(device, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge", *map(str, arguments)], capture_output=True, text=True,
        check=False, env=os.environ | {"EDGE_SSH_CONFIG": str(device.config)},
    )  # fmt: skip


def pairs(line: str) -> list[str]:
    """Return each two words of a line that follow one another."""
    words = line.split()
    return [" ".join(two) for two in pairwise(words)]


def work(device) -> list[Path]:
    return list(device.root.glob("work-*"))


def test_accuracy_there_is_that_of_here(board, asked, portraits: Path) -> None:
    words = ["evaluate", "default", "--data", portraits, "--split", "all", "--json"]
    here = edge(board, *words)
    assert asked() == []
    there = edge(board, *words, "--host", "board")
    options = "--split all --crop detect --runtime auto --threads auto --json"
    assert asked() == [f"evaluate model.tflite --data data {options}"]
    # The demo's face is no label of the model's.
    assert (here.returncode, there.returncode) == (1, 1)
    assert "has no labels for Smiling, Male" in there.stderr
    assert there.stderr.count("error: ") == 1
    smiling = portraits.parent / "smiling"
    for number, path in enumerate(sorted((portraits / "test").rglob("*.png"))):
        to = smiling / ("smiling", "not_smiling")[number % 2] / path.name
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(path.read_bytes())
    (smiling / "smiling" / "broken.png").write_bytes(b"no picture")
    words[3] = smiling
    here, there = edge(board, *words), edge(board, *words, "--host", "board")
    assert there.returncode == 0, there.stderr
    assert len(asked()) == 1
    assert json.loads(there.stdout) == json.loads(here.stdout)
    assert json.loads(there.stdout)["unreadable"] == 1
    assert work(board) == []


def test_a_benchmark_there_is_kept_here(board, asked, tmp_path: Path) -> None:
    from edge.modelfile import resolve_model

    out, sent = tmp_path / "there.json", tmp_path / "sent.tflite"
    sent.write_bytes(resolve_model("default-float32").read_bytes())
    done = edge(board, "bench", "classifiers", "--model", f"default,{sent}", "--runtime",
                "litert", "--threads", "1", "--frames", "5", "--host", "board", "--out", out,
                "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    [line] = asked()
    assert line.startswith("bench classifiers ")
    assert line.endswith(" --model default,sent.tflite --json")
    assert {"--frames 5", "--runtime litert", "--threads 1"} <= set(pairs(line))
    document = json.loads(out.read_text())
    assert {entry["variant"] for entry in document["results"]} == {"int8", "float32"}
    assert out.with_suffix(".html").exists()
    assert json.loads(done.stdout)["results"]
    assert work(board) == []


def test_what_fails_there_is_said_here(board, tmp_path: Path) -> None:
    done = edge(board, "bench", "classifiers", "--model", "nosuch", "--host", "board", "--out",
                tmp_path / "x.json")  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2].startswith("error: board: ")
    assert "nosuch" in done.stderr
    assert not (tmp_path / "x.json").exists()
    assert edge(board, "bench", "--resume", "--host", "board").returncode == 2


def test_a_board_without_edge_is_told(device, portraits: Path) -> None:
    done = edge(device, "evaluate", "default", "--data", portraits, "--host", "board")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1, f"hint: edge flash default board --with-runtime --ssh-config {device.config}"
    )  # fmt: skip


def test_no_file_that_is_sent_leads_outside(board) -> None:
    with Session("board", config=board.config) as session:
        for name in ("../x", "/tmp/x", "a/../../x"):
            with pytest.raises(EdgeError, match="leads outside"):
                session.ask("take", files=[["fine", 3], [name, 3]], body=io.BytesIO(b"abcdef"))
        session.ask("take", files=[["a/b", 3]], body=io.BytesIO(b"abc"))
        [folder] = work(board)
        assert (folder / "a" / "b").read_bytes() == b"abc"
    assert work(board) == []
