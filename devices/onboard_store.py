"""The versions kept on a board, and how one takes the place of another without a gap.

    current          the version that runs: a link into versions/, only ever changed by rename
    previous         the good one before it
    trial            there while `current` has not yet proven itself: what, and what it replaced
    versions/        each a complete bundle, named by the digest of its manifest
    runtimes/        virtual environments, named by the digest of their wheels
    wheels/          what the runtimes were made of, so that only what is new has to be sent
    staging/         what has arrived so far, named by the sha256 that it should have
    services/        how a service runs a version: options of `edge run`, and memory in MB
    start.py         this file, where there is a service
    home/            what a run keeps: EDGE_HOME
    allowed_signers  who may sign, where that was ever said
    lock             held by who changes all this
    work-*/          what `edge bench` and `edge evaluate` were sent
    journal.jsonl

Whatever is killed at whatever moment, `current` is a complete and verified version: the old one or
the new one, with the options that it was given. Sent to a board as text, so the standard library
alone; with a service it stays there as `start.py`.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

MANIFEST, SIGNATURE = "manifest.json", "manifest.json.sig"
COMPLETE = "complete"
# What systemd does not try again.
NOTHING_TO_RUN = 78
_MOST_JOURNAL = 1 << 20
_KEPT_JOURNAL = 500


class RefusedError(Exception):
    """What is asked for is not done: why, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Store:
    """The folder that edge keeps on a board.

    Args:
        root: Where it is; made once something is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.versions = root / "versions"
        self.runtimes = root / "runtimes"
        self.wheels = root / "wheels"
        self.staging = root / "staging"
        self.home = root / "home"
        self.services = root / "services"
        self._lock: TextIO | None = None

    def lock(self) -> dict[str, Any] | None:
        """Make this the one that changes the store, until this process ends.

        Returns:
            None; or where another one changes it, what is known of that one.
        """
        if self._lock is None:
            self.claim()
            self._lock = (self.root / "lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            return {"held": self._lock.read().strip()}
        self._lock.truncate(0)
        self._lock.write(f"process {os.getpid()} since {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        self._lock.flush()
        return None

    def claim(self) -> None:
        """Make the folder, or see that it is one of edge's: what is in it is removed at will.

        Raises:
            RefusedError: It holds something else.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        lock = self.root / "lock"
        if not lock.exists() and {path.name for path in self.root.iterdir()} - {lock.name}:
            raise RefusedError(
                f"{self.root} holds something else than versions of edge",
                "set EDGE_DEVICE_ROOT to a folder that is empty, or not there yet",
            )
        lock.touch()

    def pointed(self, link: str) -> str | None:
        """Return the version that `current` or `previous` stands for."""
        try:
            return (self.root / link).readlink().name
        except OSError:
            return None

    def runtime_of(self, name: str | None) -> str | None:
        """Return the virtual environment below `runtimes` of a version; None for another edge."""
        try:
            target = (self.versions / str(name) / "runtime").readlink()
        except OSError:
            return None
        return target.name if target.parent.name == "runtimes" else None

    def trial(self) -> dict[str, Any] | None:
        """Return which version has not yet proven itself, and which it replaced; None for none."""
        try:
            value = json.loads((self.root / "trial").read_text())
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) and "to" in value and "from" in value else None

    def version(self, name: str) -> Path:
        """Return the folder of a version."""
        return self.versions / name

    def manifest(self, name: str) -> dict[str, Any] | None:
        """Return what a version says of itself; None where it is not there, or is damaged."""
        try:
            value = json.loads((self.version(name) / MANIFEST).read_text())
            return value if is_manifest(value) else None
        except (OSError, ValueError):
            return None

    def service_of(self, name: str | None) -> dict[str, Any] | None:
        """Return how a service runs a version; None for no service."""
        try:
            value = json.loads((self.services / str(name)).read_text())
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) and {"options", "memory_mb"} <= set(value) else None

    def served(self) -> tuple[str | None, dict[str, Any] | None]:
        """Return the current version, and how a service runs it."""
        name, trial = self.pointed("current"), self.trial()
        if trial is not None and trial["to"] == name and "service" in trial:
            return name, trial["service"]
        return name, self.service_of(name)

    def begin_trial(self, name: str, service: dict[str, Any] | None) -> None:
        """Switch to a complete version, which has yet to prove itself.

        Args:
            name: The version.
            service: How a service runs it; None for no service.
        """
        words = {"to": name, "from": self.pointed("current")}
        kept = {"previous": self.pointed("previous"), "service": service}
        if words["from"] not in (None, name):
            # Made now, so that no disk can be too full to go back.
            self._link("current", words["from"])
        self.write("trial", json.dumps({**words, **kept}).encode())
        self.point("current", name)
        self.note("switched", **words)

    def pass_trial(self, *, keep: bool) -> None:
        """Say that the version on trial is good.

        Args:
            keep: Whether the one before is something to go back to.
        """
        trial = self.trial()
        if trial is None:
            return
        service, kept = trial.get("service"), f"services/{trial['to']}"
        if service is None:
            self.remove(kept)
        elif service != self.service_of(trial["to"]):
            self.services.mkdir(exist_ok=True)
            self.write(kept, json.dumps(service).encode())
        if keep and trial["from"] not in (None, trial["to"]):
            self.point("previous", trial["from"])
        elif self.pointed("previous") == trial["to"]:
            self.remove("previous")
        self.remove(f".current-{trial['from']}")
        self.remove("trial")
        self.note("good", to=trial["to"], **{"from": trial["from"]})

    def fail_trial(self, why: str) -> str | None:
        """Go back from the version on trial to the one before, if there is one on trial.

        Returns:
            The version that is current now; None for none.
        """
        trial = self.trial()
        if trial is not None:
            self.point("current", trial["from"])
            if "previous" in trial:
                self.point("previous", trial["previous"])
            self.note("rolled back", to=trial["to"], **{"from": trial["from"]}, why=why)
        # One that was cut short while it was written comes before the switch.
        self.remove("trial")
        return self.pointed("current")

    def point(self, link: str, name: str | None) -> None:
        """Let a link stand for another version, at once and for good; None removes it."""
        if name is None:
            self.remove(link)
        elif name != self.pointed(link):
            self._link(link, name).replace(self.root / link)
            sync(self.root)

    def _link(self, link: str, name: str) -> Path:
        """Return a link that waits to take the place of another."""
        waiting, target = self.root / f".{link}-{name}", Path("versions") / name
        if not waiting.is_symlink():
            waiting.symlink_to(target)
        return waiting

    def write(self, name: str, data: bytes) -> None:
        """Write a file at once and for good; its name may lead into a folder."""
        path = self.root / name
        # Not beside it: a version is what its manifest names, and nothing else.
        temporary = self.root / f".{path.name}"
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync(path.parent)

    def remove(self, name: str) -> None:
        """Remove a file or link for good."""
        with suppress(FileNotFoundError):
            (self.root / name).unlink()
            sync((self.root / name).parent)

    def note(self, event: str, **words: Any) -> None:
        """Add a line to the journal, if it can be: nothing hangs on it."""
        path = self.root / "journal.jsonl"
        line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": event, **words})
        with suppress(OSError), path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # a power cut has cut it short
                    file.write(b"\n")
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(OSError):
            if path.stat().st_size > _MOST_JOURNAL:
                kept = path.read_bytes().splitlines(keepends=True)[-_KEPT_JOURNAL:]
                self.write("journal.jsonl", b"".join(kept))

    def journal(self, most: int) -> list[dict[str, Any]]:
        """Return the newest lines of the journal, oldest first."""
        try:
            lines = (self.root / "journal.jsonl").read_bytes().splitlines()[-most:]
        except OSError:
            return []
        found = []
        for line in lines:
            with suppress(ValueError):  # cut short by a power cut
                words = json.loads(line)
                if isinstance(words, dict) and {"time", "event"} <= set(words):
                    found.append(words)
        return found

    def clean(self) -> None:
        """Remove what was half made, or half removed, or belonged to one who has gone."""
        for folder in (self.root, self.versions, self.runtimes):
            for path in _listed(folder):
                if path.name.startswith("."):
                    remove_tree(path)
        linked = {self.runtime_of(version.name) for version in _listed(self.versions)}
        for runtime in _listed(self.runtimes):
            if runtime.name not in linked and not (runtime / COMPLETE).exists():
                remove_tree(runtime)
        for work in self.root.glob("work-*"):
            if not Path("/proc", work.name.split("-")[1]).exists():
                remove_tree(work)

    def prune(self) -> None:
        """Remove what neither the current version nor the one before stands on."""
        kept = {self.pointed("current"), self.pointed("previous")}
        for folder in _listed(self.versions):
            if folder.name not in kept:
                remove_tree(folder)
        used: set[str | None] = set()
        for folder in _listed(self.versions):
            used.add(self.runtime_of(folder.name))
            words = self.manifest(folder.name) or {"files": {}}
            used |= {entry["sha256"] for entry in words["files"].values()}
        for path in _listed(self.runtimes) + _listed(self.wheels):
            if path.name not in used:
                remove_tree(path)
        for path in _listed(self.services):
            if path.name not in kept:
                remove_tree(path)
        with suppress(OSError):
            self.services.rmdir()
        remove_tree(self.staging)


def is_manifest(value: Any) -> bool:
    """Tell whether a JSON value has the form of a manifest."""
    try:
        runtime, release = value["runtime"], value["release"]
        return (
            all(
                isinstance(one["size"], int) and isinstance(one["sha256"], str)
                for one in value["files"].values()
            )
            and isinstance(value["model"], dict)
            and all(isinstance(number, int) for number in release["edge"])
            and isinstance(release["made"], int)
            and (runtime is None or isinstance(runtime["digest"], str))
        )
    except (KeyError, TypeError, AttributeError):
        return False


def sync(path: Path) -> None:
    """Bring a file or folder to the disk."""
    descriptor = os.open(str(path), os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(folder: Path) -> None:
    """Remove a file, or a folder under another name: half of it is never taken for the whole."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
        return
    doomed = folder
    if not folder.name.startswith("."):
        doomed = folder.with_name(f".doomed-{folder.name}")
        shutil.rmtree(str(doomed), ignore_errors=True)
        with suppress(OSError):  # not there; or what cannot be removed has taken the name
            folder.replace(doomed)
    shutil.rmtree(str(doomed), ignore_errors=True)


def _listed(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def recover(root: Path) -> None:
    """Go back from a version that never proved itself, unless it is being tried right now.

    Where nothing ran before, the unproven one is better than none.
    """
    store = Store(root)
    trial = store.trial()
    if trial is not None and trial["from"] is not None and store.lock() is None:
        store.fail_trial("the service started before it had proven itself")


def start(root: Path) -> None:
    """Become the current version's `edge run`, as its service."""
    store = Store(root)
    name, service = store.served()
    if name is None or service is None:
        raise SystemExit(NOTHING_TO_RUN)
    edge = str(store.version(name) / "edge")
    os.execv(edge, [edge, "run", *service["options"]])


if __name__ == "__main__":
    {"recover": recover, "start": start}[sys.argv[1]](Path(__file__).resolve().parent)
