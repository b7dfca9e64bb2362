"""What `edge run` is watched with, as a user types it."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import cv2
import pytest
import typer

from edge.options import address, with_addresses


def edge(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge", "run", *map(str, arguments)], capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("run --preview", "run --preview 127.0.0.1:8088"),
        ("run --preview --json", "run --preview 127.0.0.1:8088 --json"),
        ("run --preview video.mp4", "run --preview 127.0.0.1:8088 video.mp4"),
        ("run --preview rtsp://door:554/live", "run --preview 127.0.0.1:8088 rtsp://door:554/live"),
        ("run --preview 0.0.0.0:80 a", "run --preview 0.0.0.0:80 a"),
        ("run --preview 8080", "run --preview 8080"),
        ("run --preview [::1]:8080", "run --preview [::1]:8080"),
        ("run --preview --metrics", "run --preview 127.0.0.1:8088 --metrics 127.0.0.1:9109"),
        ("run --camera 0", "run --camera 0"),
        ("run --preview=1.2.3.4:5", "run --preview=1.2.3.4:5"),
    ],
)
def test_an_option_without_an_address_has_its_own(given: str, meant: str) -> None:
    assert with_addresses(given.split()) == meant.split()


@pytest.mark.parametrize(
    ("words", "host", "port"),
    [("8080", "127.0.0.1", 8080), (":8080", "127.0.0.1", 8080), ("0.0.0.0:0", "0.0.0.0", 0),
     ("[::1]:80", "::1", 80), ("board.local:80", "board.local", 80)],
)  # fmt: skip
def test_addresses(words: str, host: str, port: int) -> None:
    assert address(words, "--preview") == (host, port)


@pytest.mark.parametrize("words", ["", "host", "host:", "host:99999", "::1:80", "a b:80", "1:2:3"])
def test_what_is_no_address_is_wrong_usage(words: str) -> None:
    with pytest.raises(typer.BadParameter, match="expected HOST:PORT"):
        address(words, "--preview")


def test_a_video_of_the_run_is_saved(tmp_path: Path) -> None:
    done = edge("--demo", "--frames", "20", "--json", "--save", tmp_path / "run.mp4")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 21
    capture = cv2.VideoCapture(str(tmp_path / "run.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 20
    capture.release()


@pytest.mark.parametrize("option", ["--save", "--log"])
def test_the_source_is_not_overwritten(tmp_path: Path, option: str) -> None:
    source = tmp_path / "clip.mp4"
    assert edge("--demo", "--frames", "5", "--json", "--save", source).returncode == 0
    before = source.read_bytes()
    done = edge(source, "--json", option, tmp_path / ".." / tmp_path.name / "clip.mp4")
    assert done.returncode == 2
    assert "overwrite the source" in " ".join(done.stderr.replace("│", " ").split())
    assert source.read_bytes() == before


def test_loopback_needs_no_place_for_a_token() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edge", "run", "--demo", "--frames", "2", "--json",
         "--detector", "yunet", "--preview", "127.0.0.1:0"],
        capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | {"EDGE_PREVIEW_TOKEN": ""},
    )  # fmt: skip
    assert done.returncode == 0
    assert "password" not in done.stderr


def test_metrics_are_served_while_it_runs() -> None:
    pytest.importorskip("prometheus_client")
    run = subprocess.Popen(
        [sys.executable, "-m", "edge", "run", "--demo", "--frames", "1000000", "--json",
         "--metrics", "0"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert run.stderr is not None
    url = run.stderr.readline().split()[-1]
    seen = 0.0
    end = time.monotonic() + 60
    while seen == 0 and time.monotonic() < end:
        with urllib.request.urlopen(url) as answer:
            lines = answer.read().decode().splitlines()
        seen = next(float(one.split()[-1]) for one in lines if one.startswith("edge_frames_total"))
    run.kill()
    run.communicate()
    assert seen > 0


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (("--mqtt", "http://broker"), 1, "no address of an MQTT broker"),
        (("--save", "run.avi"), 1, "cannot be saved as run.avi"),
        (("--preview", "no.such.host.invalid:80"), 1, "cannot listen on"),
        (("--metrics", "no.such.host.invalid:80"), 1, "cannot listen on"),
        (("--preview=80:80:80",), 2, "expected HOST:PORT"),
    ],
)
def test_what_cannot_be_watched_is_refused(
    arguments: tuple[str, ...], status: int, word: str
) -> None:
    pytest.importorskip("paho.mqtt")
    done = edge("--demo", "--frames", "2", "--json", *arguments)
    assert done.returncode == status
    assert word in " ".join(done.stderr.split())
    assert done.stdout == ""
    if status == 1:
        error, hint = done.stderr.splitlines()
        assert error.startswith("error: ")
        assert hint.startswith("hint: ")


def test_an_unreachable_broker_does_not_stop_a_run() -> None:
    pytest.importorskip("paho.mqtt")
    done = edge("--demo", "--frames", "5", "--json", "--mqtt", "mqtt://127.0.0.1:1/door")
    assert done.returncode == 0
    assert json.loads(done.stdout.splitlines()[-1])["summary"]["frames"] == 5
    assert "error" not in done.stderr
