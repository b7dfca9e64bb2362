"""The folder that edge keeps on a board: trials, what is kept and removed, and the journal."""

import errno
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.devices import onboard_store
from edge.devices.onboard_store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """One with the versions a, b and c, of which b runs as a service, and a ran before."""
    store = Store(tmp_path / "root")
    store.claim()
    for name in ("a", "b", "c"):
        make(store, name)
    for name in ("a", "b"):
        store.begin_trial(name, service("--camera", name))
        store.pass_trial(keep=True)
    return store


def service(*options: str) -> dict[str, object]:
    return {"options": list(options), "memory_mb": 500.0}


def make(store: Store, name: str, *wheels: str) -> None:
    """Make a version, with a runtime of its own where it has wheels."""
    folder = store.version(name)
    folder.mkdir(parents=True)
    files = {f"wheels/{wheel}": {"size": 1, "sha256": wheel} for wheel in wheels}
    words = {"model": {}, "release": {"edge": [0, 1], "made": 1}, "runtime": None, "files": files}
    (folder / "manifest.json").write_text(json.dumps(words))
    (folder / "edge").write_text('#!/bin/sh\necho "$0" "$@"\n')
    (folder / "edge").chmod(0o755)
    (folder / "runtime").symlink_to(f"../../runtimes/{name}")
    if wheels:
        (store.runtimes / name).mkdir(parents=True)
        store.wheels.mkdir(exist_ok=True)
    for wheel in wheels:
        (store.wheels / wheel).write_text("")


def state(store: Store) -> tuple[object, ...]:
    """Return what is current, what was before, and how a service runs each version."""
    services = {path.name: store.service_of(path.name) for path in store.services.glob("*")}
    return store.pointed("current"), store.pointed("previous"), services


def events(store: Store) -> list[str]:
    return [line["event"] for line in store.journal(100)]


BEFORE = ("b", "a", {"a": service("--camera", "a"), "b": service("--camera", "b")})
DEMO = service("--demo")


class CutError(BaseException):
    """The power goes."""


@contextmanager
def changes(told: Callable[[str, str], None]) -> Iterator[None]:
    """Tell of each change of a name, before it is made: how, and of which name."""

    def telling(kind: str, at: int) -> Callable[..., object]:
        real = getattr(os, kind)

        def change(*given, **more):
            told(kind, Path(given[at]).name)
            return real(*given, **more)

        return change

    with pytest.MonkeyPatch.context() as patch:
        for kind, at in (("replace", 1), ("rename", 1), ("symlink", 1), ("unlink", 0)):
            patch.setattr(os, kind, telling(kind, at))
        yield


def test_a_version_that_proves_itself_makes_the_one_before_the_previous(store) -> None:
    assert state(store) == BEFORE
    store.begin_trial("c", DEMO)
    assert store.trial() == {"to": "c", "from": "b", "previous": "a", "service": DEMO}
    assert (state(store), store.served()) == (("c", "a", BEFORE[2]), ("c", DEMO))
    store.pass_trial(keep=True)
    assert (state(store), store.trial()) == (("c", "b", {**BEFORE[2], "c": DEMO}), None)
    assert store.served() == ("c", DEMO)
    assert events(store) == ["switched", "good"] * 3
    # There is nothing more to pass.
    store.pass_trial(keep=True)
    assert events(store) == ["switched", "good"] * 3


def test_what_is_nothing_to_go_back_to_does_not_become_the_previous(store) -> None:
    store.begin_trial("c", None)
    store.pass_trial(keep=False)
    assert state(store) == ("c", "a", BEFORE[2])
    # Nor does what is current again stay the one before.
    store.begin_trial("a", BEFORE[2]["a"])
    store.pass_trial(keep=False)
    assert state(store) == ("a", None, BEFORE[2])


@pytest.mark.parametrize("how", [DEMO, None])
@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_a_version_that_fails_leaves_all_as_it_was(store, name: str, how) -> None:
    store.begin_trial(name, how)
    assert store.served() == (name, how)
    assert store.fail_trial("it smokes") == "b"
    assert (state(store), store.trial()) == (BEFORE, None)
    last = store.journal(1)[0]
    assert (last["event"], last["to"], last["from"], last["why"]) == (
        "rolled back", name, "b", "it smokes",
    )  # fmt: skip
    # There is nothing more to fail.
    assert store.fail_trial("again") == "b"
    assert (state(store), store.journal(1)) == (BEFORE, [last])


def test_other_options_of_the_same_version_leave_the_one_before(store) -> None:
    store.begin_trial("b", DEMO)
    store.pass_trial(keep=True)
    assert state(store) == ("b", "a", {**BEFORE[2], "b": DEMO})


def test_a_first_version_that_fails_leaves_none(tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    make(store, "a")
    store.begin_trial("a", DEMO)
    assert store.fail_trial("it smokes") is None
    assert state(store) == (None, None, {})


@pytest.mark.parametrize("end", ["begin", "pass", "fail"])
@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_a_trial_that_is_cut_off_anywhere_is_taken_back_whole(store, name: str, end: str) -> None:
    def go() -> None:
        store.begin_trial(name, DEMO)
        if end == "pass":
            store.pass_trial(keep=True)
        elif end == "fail":
            store.fail_trial("it smokes")

    for cut_at in range(100):
        left = cut_at

        def told(kind: str, changed: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise CutError

        try:
            with changes(told):
                go()
        except CutError:
            # As a service that starts does it.
            assert store.fail_trial("cut off") == "b"
            assert (state(store)[:2], store.trial()) == (BEFORE[:2], None)
            # Other options of the same version count once they have proven themselves.
            proven = [DEMO] if (name, end) == ("b", "pass") else []
            assert store.service_of("b") in [BEFORE[2]["b"], *proven]
            store.clean()
        else:
            break
    assert cut_at >= (1 if name == "b" else 4)


def test_links_are_never_away(store) -> None:
    kinds = set()

    def told(kind: str, changed: str) -> None:
        for link in ("current", "previous"):
            assert (store.root / link / "manifest.json").exists()
        if changed in ("current", "previous", "trial"):
            kinds.add((kind, changed))

    with changes(told):
        for how in (DEMO, None):
            store.begin_trial("c", how)
            store.fail_trial("it smokes")
        store.begin_trial("c", None)
        store.pass_trial(keep=True)
    assert kinds == {
        ("replace", "current"), ("replace", "previous"), ("replace", "trial"), ("unlink", "trial"),
    }  # fmt: skip


def test_a_version_is_never_current_without_its_options(store) -> None:
    def told(kind: str, changed: str) -> None:
        assert store.served() in (("b", BEFORE[2]["b"]), ("c", DEMO))

    with changes(told):
        store.begin_trial("c", DEMO)
        store.pass_trial(keep=True)


def test_no_disk_is_too_full_to_go_back(store) -> None:
    store.begin_trial("c", DEMO)

    def told(kind: str, changed: str) -> None:
        if kind == "symlink":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with changes(told):
        assert store.fail_trial("it smokes") == "b"


def test_what_is_half_written_is_removed(store) -> None:
    for name in (".current-c", ".trial", ".journal.jsonl", ".start.py"):
        (store.root / name).write_text("")
    (store.versions / ".new-d").mkdir()
    (store.runtimes / ".doomed-d").mkdir(parents=True)
    gone = subprocess.Popen(["true"])
    gone.wait()
    for name in ("made", "half-made", "a"):
        (store.runtimes / name).mkdir()
    (store.runtimes / "made" / "complete").write_text("")
    for process in (gone.pid, os.getpid()):
        (store.root / f"work-{process}-x").mkdir()
    store.clean()
    assert not [path for path in store.root.rglob("*") if path.name.startswith(".")]
    # What a version stands on is not half-made, but damaged.
    assert {path.name for path in store.runtimes.iterdir()} == {"made", "a"}
    assert [path.name for path in store.root.glob("work-*")] == [f"work-{os.getpid()}-x"]
    assert state(store) == BEFORE


def test_what_cannot_be_removed_keeps_its_name(store, monkeypatch) -> None:
    monkeypatch.setattr("shutil.rmtree", lambda path, ignore_errors: None)
    (store.versions / "stuck").mkdir()
    (store.versions / "stuck" / "file").write_text("")
    for _ in range(3):
        store.prune()
        store.clean()
    left = {path.name for path in store.versions.iterdir()}
    assert left == {"a", "b", ".doomed-c", ".doomed-stuck"}


def test_what_nothing_stands_on_is_removed_and_no_more(store, tmp_path: Path) -> None:
    make(store, "d", "of d", "of both")
    make(store, "e", "of e", "of both")
    make(store, "f", "of f", "of both")
    for name in ("d", "e", "f"):
        store.begin_trial(name, service(name))
        store.pass_trial(keep=True)
    store.begin_trial("e", service("e"))
    store.pass_trial(keep=True)
    store.staging.mkdir()
    (store.staging / "x").write_text("")
    (store.versions / "elsewhere").symlink_to(tmp_path)
    (store.home / "kept").mkdir(parents=True)
    store.prune()
    names = {path.name: {one.name for one in path.iterdir()} for path in store.root.iterdir()
             if path.is_dir() and not path.is_symlink()}  # fmt: skip
    assert names == {
        "versions": {"e", "f"}, "runtimes": {"e", "f"}, "wheels": {"of e", "of f", "of both"},
        "services": {"e", "f"}, "home": {"kept"},
    }  # fmt: skip
    assert state(store) == ("e", "f", {"e": service("e"), "f": service("f")})
    assert tmp_path.exists()


def test_services_of_nothing_leave_no_folder(store) -> None:
    for name in ("c", "a"):
        store.begin_trial(name, None)
        store.pass_trial(keep=True)
    store.prune()
    assert not store.services.exists()


def test_a_journal_does_not_grow_without_end(store) -> None:
    line = json.dumps({"time": "", "event": "x" * 2000}).encode()
    (store.root / "journal.jsonl").write_bytes((line + b"\n") * 500)
    store.note("fits", number=1)
    assert len(store.journal(10_000)) == 501
    for number in range(25):
        store.note("more" + "x" * 2000, number=number)
    found = store.journal(10_000)
    assert [one["number"] for one in found[-25:]] == list(range(25))
    assert len(found) <= onboard_store._KEPT_JOURNAL + 25
    assert (store.root / "journal.jsonl").stat().st_size <= 1 << 20
    assert not (store.root / ".journal.jsonl").exists()


def test_a_journal_that_was_cut_short_is_read(store) -> None:
    with (store.root / "journal.jsonl").open("ab") as file:
        file.write(b'{"event": "cut')
    assert events(store) == ["switched", "good"] * 2
    assert [line["event"] for line in store.journal(2)] == ["good"]
    for event in ("next", "last"):
        store.note(event)
    assert events(store) == [*["switched", "good"] * 2, "next", "last"]
    (store.root / "journal.jsonl").unlink()
    assert store.journal(9) == []


def started(store: Store) -> tuple[int, str]:
    """Return how the program that a service runs ended, and what the edge of a version was told."""
    program = store.root / "start.py"
    program.write_text(Path(onboard_store.__file__).read_text())
    for what in ("recover", "start"):
        command = [sys.executable, "-I", program, what]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.stderr == ""
    return done.returncode, done.stdout.strip()


def test_a_service_becomes_what_has_proven_itself(store) -> None:
    runs = (0, f"{store.version('b')}/edge run --camera b")
    assert started(store) == runs
    store.begin_trial("c", DEMO)
    assert started(store) == runs
    assert (state(store), store.trial()) == (BEFORE, None)
    # While a flash tries it, it runs.
    store.begin_trial("c", DEMO)
    with (store.root / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert started(store) == (0, f"{store.version('c')}/edge run --demo")
    assert store.pointed("current") == "c"


def test_a_service_of_nothing_is_not_tried_again(store) -> None:
    store.begin_trial("c", None)
    store.pass_trial(keep=True)
    assert started(store) == (onboard_store.NOTHING_TO_RUN, "")
