"""The versions kept on a board, and how one takes the place of another without a gap.

    current      the version that runs: a link into versions/, only ever changed by rename
    previous     the good one before it
    trial        there while `current` has not yet proven itself: {"to": …, "from": …}
    versions/    each a complete bundle, named by the digest of its manifest
    runtimes/    virtual environments, named by the digest of their wheels; versions link to them
    wheels/      what the runtimes were made of, so that only what is new has to be sent
    staging/     what has arrived so far, named by the sha256 that it should have
    home/        what a run keeps: EDGE_HOME
    journal.jsonl

Whatever is killed at whatever moment, `current` is a complete and verified version: the old one or
the new one. Sent to a board as text, so the standard library alone; with a service it stays there
as `recover.py`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

MANIFEST, SIGNATURE = "manifest.json", "manifest.json.sig"
# Names under which a file or link waits to take its place.
_WAITING = (".current", ".previous", ".trial", ".recover.py", ".allowed_signers", ".journal.jsonl")
COMPLETE = "complete"
_BLOCK = 1 << 20
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

    def begin_trial(self, name: str) -> None:
        """Switch to a complete version, which has yet to prove itself."""
        words = {"to": name, "from": self.pointed("current")}
        kept = {**words, "previous": self.pointed("previous")}
        self.write("trial", json.dumps(kept).encode())
        self.point("current", name)
        self.note("switched", **words)

    def end_trial(self, *, good: bool, why: str = "") -> str | None:
        """Keep the version on trial, or go back to the one before.

        Returns:
            The version that is current now; None for none.
        """
        trial = self.trial()
        if trial is None:
            # Cut short while it was written: the switch had not yet come.
            self.remove("trial")
            return self.pointed("current")
        if good:
            # What was damaged is nothing to go back to.
            if trial["from"] is not None and is_whole(self.version(trial["from"])):
                self.point("previous", trial["from"])
        else:
            self.point("current", trial["from"])
            if "previous" in trial:
                self.point("previous", trial["previous"])
        self.remove("trial")
        words = {"to": trial["to"], "from": trial["from"], **({"why": why} if why else {})}
        self.note("good" if good else "rolled back", **words)
        return self.pointed("current")

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

    def write(self, name: str, data: bytes) -> None:
        """Write a file at once and for good."""
        temporary = self.root / f".{name}"
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.root / name)
        sync(self.root)

    def remove(self, name: str) -> None:
        """Remove a file or link for good."""
        with suppress(FileNotFoundError):
            (self.root / name).unlink()
            sync(self.root)

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


def verify(folder: Path) -> None:
    """Check that a version is complete: every file as its manifest says, and none besides.

    Raises:
        RefusedError: It is not.
    """
    try:
        words = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        words = None
    if not is_manifest(words):
        raise altered(f"{folder.name}/{MANIFEST}")
    files = words["files"]
    # A wheel is used up by the runtime that is made of it.
    expected = {name for name in files if not name.startswith("wheels/")}
    for name in sorted(expected | _present(folder) - {MANIFEST, SIGNATURE, "runtime"}):
        if name not in expected or digest(folder / name) != files[name]["sha256"]:
            raise altered(name)


def finish_runtime(folder: Path) -> None:
    """Say of a virtual environment that it is complete."""
    # Much faster than file by file, and there are thousands.
    os.sync()
    with (folder / COMPLETE).open("w") as file:
        file.write(json.dumps(_outline(folder)))
        file.flush()
        os.fsync(file.fileno())
    sync(folder)


def is_runtime_whole(folder: Path) -> bool:
    """Tell whether a virtual environment is complete, and no file of it is missing or cut short."""
    try:
        expected = json.loads((folder / COMPLETE).read_text())
        found = _outline(folder)
        return all(found.get(name) == size for name, size in expected.items())
    except (OSError, ValueError, AttributeError):
        return False


def _outline(folder: Path) -> dict[str, int]:
    """Return the sizes of the files below a folder by their names, but for bytecode."""
    found = {}
    for place, folders, names in os.walk(str(folder)):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            path = Path(place) / name
            if name != COMPLETE:
                found[str(path.relative_to(folder))] = path.lstat().st_size
    return found


def is_whole(folder: Path) -> bool:
    """Tell whether a version is complete."""
    try:
        verify(folder)
    except RefusedError:
        return False
    return True


def _present(folder: Path) -> set[str]:
    """Return the names of all files below a folder, and of links to folders: none is followed."""
    found = set()
    for place, folders, names in os.walk(str(folder)):
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        found |= {str((Path(place) / name).relative_to(folder)) for name in names + links}
    return found


def altered(name: str) -> RefusedError:
    """Return that a file is not what the manifest says."""
    return RefusedError(
        f"{name} is not what the manifest says: it was altered on the way or in its place",
        "flash again; should it happen again, look at the disk and at who else may write there",
    )


def digest(path: Path) -> str | None:
    """Return the sha256 of a plain file; None where there is none, or something else."""
    try:
        # A link would be followed to what may change.
        descriptor = os.open(str(path), os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return None
        total = hashlib.sha256()
        for block in iter(lambda: file.read(_BLOCK), b""):
            total.update(block)
    return total.hexdigest()


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


def recover(root: Path) -> None:
    """Go back from a version that never proved itself, unless it is being tried right now."""
    store = Store(root)
    trial = store.trial()
    # Where nothing ran before, the unproven one is better than none.
    if trial is not None and trial["from"] is not None and store.lock() is None:
        store.end_trial(good=False, why="the service started before it had proven itself")


if __name__ == "__main__":
    recover(Path(__file__).resolve().parent)
