"""Boards that cannot take a version now: refused with the reason, and whole as before."""

import io
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.devices import flash as flashing
from edge.devices.bundle import Bundle, make_bundle, read_bundle
from edge.devices.onboard_store import RefusedError, Store
from edge.devices.onboard_whole import verify
from edge.devices.reach import Session
from edge.devices.wheels import Runtime
from edge.errors import EdgeError


def begun(session: Session, folder: Path) -> tuple[Bundle, list[dict]]:
    """Begin a flash; return the bundle, and what has to be sent of it."""
    bundle = read_bundle(folder)
    session.ask("begin", patience_s=0)
    staged = session.ask("stage", manifest=bundle.manifest, signature=None, no_downgrade=False,
                         dry=False)  # fmt: skip
    return bundle, staged["missing"]


def others_fill(board) -> None:
    """Have something else take all that is left of the board's disk."""
    room = os.statvfs(board.root)
    (board.root / "home" / "others").write_bytes(b"\0" * (room.f_bavail * room.f_frsize))


def send(session: Session, bundle: Bundle, missing: list[dict]) -> None:
    for file in missing:
        body = bundle.path_of(file["sha256"]).read_bytes()
        session.ask("receive", sha256=file["sha256"], offset=0, size=len(body),
                    body=io.BytesIO(body))  # fmt: skip


@pytest.fixture
def small(board) -> Iterator[Callable[[str], None]]:
    """A function that gives the board's folder a disk of its own, mounted with options."""
    board.root.mkdir(parents=True)
    mounted = []

    def mount(options: str) -> None:
        verb = [] if mounted else ["-t", "tmpfs", "tmpfs"]
        done = subprocess.run(["mount", *verb, "-o", options, board.root], check=False)
        if done.returncode:
            pytest.skip("nothing can be mounted here")
        mounted.append(options)

    yield mount
    if mounted:
        subprocess.run(["umount", board.root], check=True)


def test_too_little_room_is_seen_before_anything_is_sent(board, bundles, small) -> None:
    small("size=51m")
    error = board.refused(bundles[0])
    assert "MB are needed" in error.message
    assert board.current() is None
    small("remount,size=80m")
    assert board.flash(bundles[0])["changed"]


def test_a_disk_that_fills_up_meanwhile(board, bundles, store, small) -> None:
    small("size=80m")
    shutil.copytree(store, board.root, symlinks=True, dirs_exist_ok=True)
    with Session("board", config=board.config) as session:
        bundle, missing = begun(session, bundles[1])
        others_fill(board)
        with pytest.raises(EdgeError, match="No space left on device"):
            send(session, bundle, missing)
    assert board.current() == bundles[0].name
    (board.root / "home" / "others").unlink()
    assert board.flash(bundles[1])["replaced"] == bundles[0].name


def test_a_disk_without_room_for_a_switch_keeps_what_runs(board, bundles, store, small) -> None:
    small("size=80m")
    shutil.copytree(store, board.root, symlinks=True, dirs_exist_ok=True)
    with Session("board", config=board.config) as session:
        send(session, *begun(session, bundles[1]))
        others_fill(board)
        with pytest.raises(EdgeError, match="No space left on device"):
            session.ask("make")
    assert board.current() == bundles[0].name
    (board.root / "home" / "others").unlink()
    assert board.flash(bundles[1])["replaced"] == bundles[0].name


def test_a_read_only_disk(board, bundles, store, small) -> None:
    small("size=80m")
    shutil.copytree(store, board.root, symlinks=True, dirs_exist_ok=True)
    small("remount,ro")
    error = board.refused(bundles[1])
    assert "cannot write to" in error.message
    assert board.current() == bundles[0].name
    small("remount,rw")
    assert board.flash(bundles[1])["changed"]


@pytest.mark.parametrize(
    ("off", "words"), [(86_400.0, "24 hours behind"), (-9e4, "25 hours ahead")]
)
def test_a_wrong_clock(board, bundles, monkeypatch, off: float, words: str) -> None:
    real = time.time
    monkeypatch.setattr(flashing.time, "time", lambda: real() + off)
    error = board.refused(bundles[0])
    assert words in error.message
    assert error.hint == "sudo timedatectl set-ntp true"
    assert not board.root.exists()


def test_a_folder_that_holds_something_else_is_left_alone(board, bundles) -> None:
    (board.root / "wheels").mkdir(parents=True)
    (board.root / "wheels" / "mine.whl").write_text("mine")
    (board.root / ".ssh").mkdir()
    error = board.refused(bundles[0])
    assert "holds something else" in error.message
    assert {path.name for path in board.root.iterdir()} == {"wheels", ".ssh"}
    assert (board.root / "wheels" / "mine.whl").read_text() == "mine"


def test_what_is_damaged_there_is_replaced(flashed, bundles) -> None:
    manifest = flashed.root / "current" / "manifest.json"
    manifest.unlink()
    manifest.write_text('{"files": [1]}')
    assert not flashed.status()["current"]["whole"]
    assert flashed.flash(bundles[0], no_downgrade=True)["changed"]
    assert flashed.current() is not None


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 1}', '{"files": [1]}'])
def test_a_damaged_manifest_is_none(tmp_path, text: str) -> None:
    store = Store(tmp_path)
    store.version("one").mkdir(parents=True)
    (store.version("one") / "manifest.json").write_text(text)
    assert store.manifest("one") is None
    with pytest.raises(RefusedError, match=r"one/manifest\.json is not what the manifest says"):
        verify(store.version("one"))


def test_an_edge_that_is_gone_is_told_and_another_one_is_found(flashed, bundles) -> None:
    link = flashed.root / "current" / "runtime"
    link.unlink()
    link.symlink_to("/nonexistent/venv")
    assert not flashed.status()["current"]["whole"]
    assert flashed.flash(bundles[0])["changed"]
    assert flashed.status()["current"]["whole"]


def test_what_fails_as_nobody_thought_of_is_taken_back(flashed, bundles) -> None:
    with Session("board", config=flashed.config) as session:
        send(session, *begun(session, bundles[1]))
        name = session.ask("make")
        # Where a run keeps what it keeps is no folder all of a sudden.
        shutil.rmtree(flashed.root / "home")
        (flashed.root / "home").write_text("")
        with pytest.raises(EdgeError, match=f"it is back at {bundles[0].name}"):
            session.ask("activate", name=name, max_memory_mb=500, window_s=1, options=None)
    (flashed.root / "home").unlink()
    assert flashed.current() == bundles[0].name
    assert flashed.flash(bundles[1])["changed"]


@pytest.mark.slow
def test_one_who_holds_a_board_and_is_silent_is_not_waited_for(board, bundles) -> None:
    with Session("board", config=board.config) as other:
        other.ask("begin", patience_s=0)
        assert board.flash(bundles[0], patience_s=60)["changed"]


@pytest.mark.parametrize(("python", "machine"), [("3.11", "riscv64"), ("2.7", os.uname().machine)])
def test_the_runtime_of_another_board(board, python: str, machine: str) -> None:
    bundle = make_bundle("default", runtime=Runtime(python, machine, ()), key=None)
    error = board.refused(bundle.folder)
    assert f"the bundle's runtime is for {machine} and Python {python}" in error.message
    assert board.current() is None
