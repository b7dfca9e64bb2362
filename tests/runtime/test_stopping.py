"""SIGTERM and systemd, with real signals and a real socket."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import pytest

from edge.runtime import systemd
from edge.runtime.stopping import terminable
from edge.runtime.systemd import Systemd

RUN = [sys.executable, "-m", "edge", "run", "--demo", "--frames", "1000000", "--json"]


def start(*arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*RUN, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | environment,
    )  # fmt: skip


def test_sigterm_ends_a_run_with_whole_lines_and_whole_files(tmp_path: Path) -> None:
    with start("--save", tmp_path / "run.mp4", "--log", tmp_path / "run.jsonl") as run:
        assert run.stdout is not None
        assert run.stderr is not None
        first = [run.stdout.readline() for _ in range(20)]
        run.send_signal(signal.SIGTERM)
        # Not `communicate`, which would lose what was read ahead.
        rest, err = run.stdout.readlines(), run.stderr.read()
    assert (run.returncode, err) == (0, "")
    lines = list(map(json.loads, [*first, *rest]))
    count = lines[-1]["summary"]["frames"]
    assert [line["frame"] for line in lines[:-1]] == list(range(count))
    capture = cv2.VideoCapture(str(tmp_path / "run.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == count
    capture.release()
    assert len((tmp_path / "run.jsonl").read_text().splitlines()) == count + 1


def terminated(code: str) -> str:
    """Run code that is sent SIGTERM, in a process of its own; return what it printed."""
    program = (
        "import os, signal, threading\n"
        "from edge.runtime.ahead import Ahead\n"
        "from edge.runtime.stopping import terminable\n"
        "def term(): os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program + code], capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def test_a_wait_for_a_frame_is_broken_off() -> None:
    assert (
        terminated("""
woken = threading.Event()
def never():
    yield 1
    if not woken.wait(60):
        yield 2
with terminable() as stop:
    threading.Timer(0.2, term).start()
    print(list(stop.results(never(), lambda: None, woken.set)))
print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
""")
        == "[1]\nTrue\n"
    )


def test_so_is_a_pause() -> None:
    assert (
        terminated("""
going = threading.Event()
with terminable() as stop:
    threading.Timer(0.2, term).start()
    results = stop.results(iter([1, 2]), lambda: going.wait(60) and None, going.set)
    print(list(results))
""")
        == "[]\n"
    )


def test_the_end_comes_at_any_moment() -> None:
    """A signal may come while a lock is held: many of them, at all sorts of moments."""
    assert (
        terminated("""
for number in range(300):
    items = Ahead(iter(range(1_000_000)))
    with terminable() as stop:
        timer = threading.Timer(number % 30 / 10_000, term)
        timer.start()
        for _ in stop.results(items, lambda: None, items.end):
            pass
        timer.join()
    items.close(10)
    assert not items._thread.is_alive()
print("ended")
""")
        == "ended\n"
    )


def test_nothing_of_a_run_is_held_once_it_is_over() -> None:
    """A thread that lets go of an engine while Python ends aborts the process."""
    for _ in range(200):
        with terminable() as stop:
            assert list(stop.results(iter([1, 2]), lambda: None, lambda: None)) == [1, 2]
        assert "edge stop" not in {thread.name for thread in threading.enumerate()}


def test_what_is_being_shown_is_shown_whole() -> None:
    assert (
        terminated("""
shown = []
with terminable() as stop:
    for result in stop.results(iter(range(10)), lambda: None, lambda: None):
        if result == 3:
            term()
        shown.append(result)
print(shown)
""")
        == "[0, 1, 2, 3]\n"
    )


def test_another_thread_is_left_alone() -> None:
    found: list[int] = []

    def work() -> None:
        with terminable() as stop:
            found.extend(stop.results(iter([1, 2]), lambda: None, lambda: None))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [1, 2]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """What systemd listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(30)
        yield listening


def test_a_service_says_that_it_is_ready_lives_and_ends(manager: socket.socket) -> None:
    run = start(NOTIFY_SOCKET=manager.getsockname(), WATCHDOG_USEC="300000")
    assert manager.recv(100) == b"READY=1"
    assert [manager.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
    reader = threading.Thread(target=run.communicate)
    run.send_signal(signal.SIGTERM)
    reader.start()
    said = [manager.recv(100)]
    while said[-1] != b"STOPPING=1":
        said.append(manager.recv(100))
    reader.join(30)
    assert run.returncode == 0
    assert any(one.startswith(b"STATUS=") for one in said)


def test_a_run_that_hangs_is_left_to_the_watchdog(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "_HANGS_S", 0.3)
    controls, lost = SimpleNamespace(paused=False), [False]
    service = Systemd(manager.getsockname(), 0.15)
    running: Any = SimpleNamespace(controls=controls, lost=lambda: lost[0], waits=set())
    service.begin(running)
    assert manager.recv(100) == b"WATCHDOG=1"

    def silent() -> bool:
        manager.settimeout(0.4)
        try:
            while True:
                manager.recv(100)
        except TimeoutError:
            return True

    assert silent()
    # These explain why nothing comes.
    for explain in (
        lambda: setattr(controls, "paused", True),
        lambda: lost.__setitem__(0, True),
        lambda: running.waits.add("the broker"),
    ):
        explain()
        manager.settimeout(5)
        assert manager.recv(100) == b"WATCHDOG=1"
        controls.paused, lost[0] = False, False
        running.waits.clear()
        assert silent()
    service.close()


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({"NOTIFY_SOCKET": "/x"}, None),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "2000000"}, 2.0),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, None),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_variables_of_a_service(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], watchdog_s: float | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    service = Systemd.of_environment()
    assert service is not None
    assert service._watchdog_s == watchdog_s
    service.close()


def test_outside_of_a_service_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert Systemd.of_environment() is None
