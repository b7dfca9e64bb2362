"""Boards that cannot take a version now: refused with the reason, and whole as before."""

import io
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.devices import flash as flashing
from edge.devices.bundle import Bundle, make_bundle, read_bundle
from edge.devices.flash import FlashOptions, flash, status
from edge.devices.reach import Session
from edge.devices.wheels import Runtime
from edge.errors import EdgeError


def put(device, bundle: Path, **options) -> dict:
    chosen = FlashOptions(config=device.config, **options)
    return flash(str(bundle), device.host, chosen, say=lambda sentence: None)


def refused(device, bundle: Path, **options) -> EdgeError:
    with pytest.raises(EdgeError) as caught:
        put(device, bundle, **options)
    return caught.value


def send(session: Session, bundle: Bundle, missing: list[dict]) -> None:
    for file in missing:
        body = bundle.path_of(file["sha256"]).read_bytes()
        session.ask("receive", sha256=file["sha256"], offset=0, size=len(body),
                    body=io.BytesIO(body))  # fmt: skip


def current(device) -> str | None:
    found = status(device.host, config=device.config)["current"]
    assert found is None or found["whole"]
    return found and found["version"]


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
    error = refused(board, bundles[0])
    assert "MB are needed" in error.message
    assert current(board) is None
    small("remount,size=80m")
    assert put(board, bundles[0])["changed"]


def test_a_disk_that_fills_up_meanwhile(board, bundles, small) -> None:
    small("size=80m")
    first = put(board, bundles[0])["version"]
    bundle = read_bundle(bundles[1])
    with Session("board", config=board.config) as session:
        session.ask("begin", patience_s=0)
        staged = session.ask("stage", manifest=bundle.manifest, signature=None,
                             no_downgrade=False, dry=False)  # fmt: skip
        # Others write as well.
        room = os.statvfs(board.root)
        (board.root / "home" / "others").write_bytes(b"\0" * (room.f_bavail * room.f_frsize - 4096))
        with pytest.raises(EdgeError, match="No space left on device"):
            send(session, bundle, staged["missing"])
    assert current(board) == first
    (board.root / "home" / "others").unlink()
    assert put(board, bundles[1])["replaced"] == first


def test_a_disk_without_room_for_a_switch_keeps_what_runs(board, bundles, small) -> None:
    small("size=80m")
    first = put(board, bundles[0])["version"]
    bundle = read_bundle(bundles[1])
    with Session("board", config=board.config) as session:
        session.ask("begin", patience_s=0)
        staged = session.ask("stage", manifest=bundle.manifest, signature=None,
                             no_downgrade=False, dry=False)  # fmt: skip
        send(session, bundle, staged["missing"])
        room = os.statvfs(board.root)
        (board.root / "home" / "others").write_bytes(b"\0" * (room.f_bavail * room.f_frsize))
        with pytest.raises(EdgeError, match="No space left on device"):
            session.ask("make")
    assert current(board) == first
    (board.root / "home" / "others").unlink()
    assert put(board, bundles[1])["replaced"] == first


def test_a_read_only_disk(board, bundles, small) -> None:
    small("size=80m")
    first = put(board, bundles[0])["version"]
    small("remount,ro")
    error = refused(board, bundles[1])
    assert "cannot write to" in error.message
    assert current(board) == first
    small("remount,rw")
    assert put(board, bundles[1])["changed"]


@pytest.mark.parametrize(
    ("off", "words"), [(86_400.0, "24 hours behind"), (-9e4, "25 hours ahead")]
)
def test_a_wrong_clock(board, bundles, monkeypatch, off: float, words: str) -> None:
    real = time.time
    monkeypatch.setattr(flashing.time, "time", lambda: real() + off)
    error = refused(board, bundles[0])
    assert words in error.message
    assert error.hint == "sudo timedatectl set-ntp true"
    assert not board.root.exists()


@pytest.mark.parametrize(("python", "machine"), [("3.11", "riscv64"), ("2.7", os.uname().machine)])
def test_the_runtime_of_another_board(board, python: str, machine: str) -> None:
    bundle = make_bundle("default", runtime=Runtime(python, machine, ()), key=None)
    error = refused(board, bundle.folder)
    assert f"the bundle's runtime is for {machine} and Python {python}" in error.message
    assert current(board) is None
