"""The versions kept on a board, and how one takes the place of another without a gap.

    current      the version that runs: a link into versions/, only ever changed by rename
    previous     the good one before it
    trial        there while `current` has not yet proven itself: {"to": …, "from": …, …}
    versions/    each a complete bundle, named by the digest of its manifest
    runtimes/    virtual environments, named by the digest of their wheels; versions link to them
    wheels/      what the runtimes were made of, so that only what is new has to be sent
    staging/     what has arrived so far, named by the sha256 that it should have
    options/     of `edge run` in a service, by the name of the version
    home/        what a run keeps: EDGE_HOME
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
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

MANIFEST, SIGNATURE = "manifest.json", "manifest.json.sig"
# Names under which a file or link waits to take its place.
_WAITING = (
    ".current", ".previous", ".trial", ".options", ".start.py", ".allowed_signers",
    ".journal.jsonl",
)  # fmt: skip
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
        self.options = root / "options"
        self._lock = None  # type: Any

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
        if not lock.exists() and any(self.root.iterdir()):
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

    def runtime_of(self, link: str) -> str | None:
        """Return the name of the virtual environment that a version runs in; None for another."""
        try:
            target = (self.root / link / "runtime").readlink()
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

    def options_of(self, name: str | None) -> list[str] | None:
        """Return with which options a service runs a version; None for no service."""
        try:
            value = json.loads((self.options / str(name)).read_text())
        except (OSError, ValueError):
            return None
        return value if isinstance(value, list) else None

    def begin_trial(self, name: str, options: list[str] | None) -> None:
        """Switch to a complete version, which has yet to prove itself.

        Args:
            name: The version.
            options: Of `edge run` in a service; None for no service.
        """
        words = {"to": name, "from": self.pointed("current")}
        kept = {"previous": self.pointed("previous"), "options": self.options_of(name)}
        self.write("trial", json.dumps({**words, **kept}).encode())
        self._set_options(name, options)
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
        if keep and trial["from"] not in (None, trial["to"]):
            self.point("previous", trial["from"])
        self.remove("trial")
        self.note("good", to=trial["to"], **{"from": trial["from"]})

    def fail_trial(self, why: str) -> str | None:
        """Go back from the version on trial to the one before, if there is one on trial.

        Returns:
            The version that is current now; None for none.
        """
        trial = self.trial()
        if trial is not None:
            if "options" in trial:
                self._set_options(trial["to"], trial["options"])
            self.point("current", trial["from"])
            if "previous" in trial:
                self.point("previous", trial["previous"])
            self.note("rolled back", to=trial["to"], **{"from": trial["from"]}, why=why)
        # One that was cut short while it was written comes before the switch.
        self.remove("trial")
        return self.pointed("current")

    def _set_options(self, name: str, options: list[str] | None) -> None:
        if options == self.options_of(name):
            return
        self.options.mkdir(exist_ok=True)
        if options is None:
            self.remove(f"options/{name}")
        else:
            self.write("options", json.dumps(options).encode(), into=self.options / name)

    def point(self, link: str, name: str | None) -> None:
        """Let a link stand for another version, at once and for good; None removes it."""
        if name is None:
            self.remove(link)
            return
        temporary = self.root / f".{link}"
        with suppress(FileNotFoundError):
            temporary.unlink()
        temporary.symlink_to(Path("versions") / name)
        temporary.replace(self.root / link)
        sync(self.root)

    def write(self, name: str, data: bytes, into: Path | None = None) -> None:
        """Write a file at once and for good.

        Args:
            name: Of the file, and of the one that waits to take its place.
            data: What it holds.
            into: The file, where it is not beside that one.
        """
        temporary, final = self.root / f".{name}", into or self.root / name
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(final)
        sync(final.parent)

    def remove(self, name: str) -> None:
        """Remove a file or link for good."""
        with suppress(FileNotFoundError):
            (self.root / name).unlink()
            sync((self.root / name).parent)

    def note(self, event: str, **words: Any) -> None:
        """Add a line to the journal, if it can be: nothing hangs on it."""
        path = self.root / "journal.jsonl"
        line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": event, **words})
        with suppress(OSError), path.open("ab") as file:
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
                found.append(json.loads(line))
        return found

    def clean(self) -> None:
        """Remove what was half made, or half removed."""
        for name in _WAITING:
            self.remove(name)
        for folder in (self.versions, self.runtimes):
            for path in _listed(folder):
                if path.name.startswith("."):
                    remove_tree(path)

    def prune(self) -> None:
        """Remove what neither the current version nor the one before stands on."""
        kept = {self.pointed("current"), self.pointed("previous")}
        for folder in _listed(self.versions):
            if folder.name not in kept:
                remove_tree(folder)
        used = set()
        for folder in _listed(self.versions):
            with suppress(OSError):
                used.add((folder / "runtime").readlink().name)
            words = self.manifest(folder.name) or {"files": {}}
            used |= {entry["sha256"] for entry in words["files"].values()}
        for path in _listed(self.runtimes) + _listed(self.wheels):
            if path.name not in used:
                remove_tree(path)
        for path in _listed(self.options):
            if path.name not in kept:
                remove_tree(path)
        with suppress(OSError):
            self.options.rmdir()
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
    doomed = folder.with_name(f".doomed-{folder.name.lstrip('.')}")
    shutil.rmtree(str(doomed), ignore_errors=True)
    with suppress(FileNotFoundError):
        folder.replace(doomed)
    shutil.rmtree(str(doomed), ignore_errors=True)


def _listed(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def start(root: Path) -> None:
    """Become the current version's `edge run`, as its service; called by systemd.

    A version that never proved itself before the power went is taken back first, unless it is being
    tried right now. Where nothing ran before, the unproven one is better than none.
    """
    store = Store(root)
    with suppress(OSError):  # a full disk, on which the new one has to do
        trial = store.trial()
        if trial is not None and trial["from"] is not None and store.lock() is None:
            store.fail_trial("the service started before it had proven itself")
    name = store.pointed("current")
    options = store.options_of(name)
    if name is None or options is None:
        raise SystemExit(NOTHING_TO_RUN)
    edge = str(store.version(name) / "edge")
    os.execv(edge, [edge, "run", *options])


if __name__ == "__main__":
    start(Path(__file__).resolve().parent)
