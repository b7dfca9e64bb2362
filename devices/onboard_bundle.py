"""A bundle on its way onto a board: the files that its manifest names.

Sent to a board as text, so the standard library alone.
"""

from __future__ import annotations

import os
import platform
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from edge.devices.onboard_manifest import SIGNERS, check_signature, read_manifest
from edge.devices.onboard_probe import find_installed
from edge.devices.onboard_store import (
    MANIFEST,
    SIGNATURE,
    RefusedError,
    Store,
    remove_tree,
    sync,
)
from edge.devices.onboard_whole import (
    altered,
    bundle_id,
    digest,
    id_in,
    is_ready,
    is_runtime_whole,
    verify,
)

_BLOCK = 1 << 16


class Body:
    """The bytes that follow a request: all of them are read, whatever becomes of them.

    Args:
        data: Where they come from.
        size: How many they are.

    Attributes:
        left: How many have not come yet.
    """

    def __init__(self, data: BinaryIO, size: int) -> None:
        self._data = data
        self.left = size

    def __enter__(self) -> Body:
        return self

    def __exit__(self, *error: object) -> None:
        while self._block(_BLOCK):
            pass

    def write(self, file: BinaryIO, size: int) -> None:
        """Write so many of them to a file, or those that come before the end."""
        while size and (block := self._block(size)):
            size -= len(block)
            file.write(block)

    def _block(self, most: int) -> bytes:
        block = self._data.read(min(most, self.left, _BLOCK))
        self.left -= len(block)
        return block


class Incoming:
    """A bundle on its way into a store.

    Args:
        store: Where it goes.
        manifest: The bytes of its manifest.
        signature: The armoured signature of them; None for none.

    Attributes:
        id: What it is called by: the digest of its manifest.
        words: The manifest.

    Raises:
        RefusedError: The manifest is none, names what lies outside of it, or is not signed by one
            who may where somebody may.
    """

    def __init__(self, store: Store, manifest: str, signature: str | None) -> None:
        self._store = store
        self._text = manifest.encode()
        self._signature = signature
        self.id = bundle_id(self._text)
        check_signature(store.root / SIGNERS, self._text, signature)
        self.words = read_manifest(self._text)
        self.files = self.words["files"]
        _require_same_board(self.words["runtime"])

    def require_newer(self) -> None:
        """Refuse to replace a version by an older one.

        Raises:
            RefusedError: The current version is newer, and other than this one.
        """
        current = self._store.pointed("current")
        words = self._store.manifest(current) if current else None
        # What is damaged is mended, whatever it was.
        if words is None or words["files"] == self.files:
            return
        here, there = self.words["release"], words["release"]
        # Models that came with edge are as old as that.
        parts = ("edge", "made") if here["made"] and there["made"] else ("edge",)
        older = [name for name in parts if here[name] < there[name]]
        if older:
            raise RefusedError(
                f"it is older than the version that runs: {older[0]} {_shown(here[older[0]])}, "
                f"there {_shown(there[older[0]])}",
                "leave out --no-downgrade to put the older one there",
            )

    def installed(self) -> str | None:
        """Return the version that is this bundle, where it is there and complete."""
        found = [self._store.pointed("current"), self._store.pointed("previous")]
        found += sorted(other.name for other in self._store.versions.glob(f"{self.id}*"))
        for name in found:
            if name is not None and self._is(name) and is_ready(self._store, name):
                return name
        return None

    def _is(self, name: str) -> bool:
        """Tell whether a version is this bundle, if it is complete."""
        if self.words["runtime"] is not None:
            # The name is the digest of the manifest, which is checked by `is_ready`.
            return id_in(name) == self.id
        # The same but for wheels, which were brought before.
        files = (self._store.manifest(name) or {"files": {}})["files"]
        there = {key: file for key, file in files.items() if not key.startswith("wheels/")}
        try:
            runtime = (self._store.version(name) / "runtime").readlink()
            return there == self.files and runtime == self._runtime(None)
        except (OSError, RefusedError):
            return False

    def keep_signature(self, name: str) -> None:
        """Let a version that is there have the signature that came now, if that was verified."""
        known = (self._store.root / SIGNERS).exists()
        if self._signature is not None and id_in(name) == self.id and known:
            self._store.write(f"versions/{name}/{SIGNATURE}", self._signature.encode())

    def clear_staging(self) -> None:
        """Make the folder of what arrives, without what belongs to another bundle."""
        staging = self._store.staging
        staging.mkdir(parents=True, exist_ok=True)
        wanted = {entry["sha256"] for entry in self._wanted().values()}
        for path in staging.iterdir():
            if path.name.split(".")[0] not in wanted or path.is_symlink() or path.is_dir():
                remove_tree(path)

    def missing(self) -> list[dict[str, Any]]:
        """Return what has to be sent: sha256, size, and the offset from which on."""
        sizes = {entry["sha256"]: entry["size"] for entry in self._wanted().values()}
        found = []
        for name, size in sizes.items():
            whole, part = self._store.staging / name, self._store.staging / f"{name}.part"
            if _size(whole) == size or self._borrowed(name) is not None:
                continue
            offset = _size(part) if _size(part) <= size else 0
            found.append({"sha256": name, "size": size, "offset": offset})
        return found

    def receive(self, name: str, offset: int, body: Body) -> None:
        """Take the rest of a file.

        Raises:
            RefusedError: What is there now is not what it should be; it is removed.
        """
        if name not in {entry["sha256"] for entry in self.files.values()}:
            raise RefusedError("a file comes that the manifest does not name", "flash again")
        part = self._store.staging / f"{name}.part"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
            with os.fdopen(os.open(str(part), flags, 0o644), "wb") as file:
                file.truncate(offset)
                file.seek(offset)
                body.write(file, body.left)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                part.unlink()  # the room is for others
            raise
        if body.left:
            raise EOFError
        if digest(part) != name:
            part.unlink()
            raise altered(next(key for key, file in self.files.items() if file["sha256"] == name))
        part.replace(self._store.staging / name)

    def assemble(self, runtime: str | None) -> str:
        """Make a version of what is there, complete and verified; return its name.

        Args:
            runtime: Name of the virtual environment that was made for it; None for the edge that
                is there.
        """
        folder = self._store.versions / f".new-{self.id}"
        remove_tree(folder)
        for name, entry in self.files.items():
            if name.startswith("wheels/"):
                continue
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            arrived = self._store.staging / entry["sha256"]
            source = arrived if arrived.exists() else self._borrowed(entry["sha256"])
            if source is None:
                raise altered(name)
            shutil.copyfile(str(source), str(path), follow_symlinks=False)
            if digest(path) != entry["sha256"]:
                remove_tree(arrived)  # it is sent again
                raise altered(name)
            path.chmod(0o755 if name == "edge" else 0o644)
        (folder / MANIFEST).write_bytes(self._text)
        if self._signature is not None:
            (folder / SIGNATURE).write_text(self._signature)
        return self._settle(folder, runtime)

    def _settle(self, folder: Path, runtime: str | None) -> str:
        """Verify a new version and give it its name."""
        link = self._runtime(runtime)
        (folder / "runtime").symlink_to(link)
        verify(folder)
        for place, _, names in os.walk(str(folder)):
            for name in names:
                sync(Path(place) / name)
            sync(Path(place))
        # One that is there already is not this bundle, or is damaged; it may be running.
        name, number = self.id, 1
        while self._store.version(name).exists():
            number += 1
            name = f"{self.id}-{number}"
        folder.replace(self._store.version(name))
        sync(self._store.versions)
        return name

    def runtime(self) -> str | None:
        """Return the complete virtual environment that is there for it; None for none."""
        wanted = self.words["runtime"]["digest"]
        found = sorted(self._store.runtimes.glob(f"{wanted}*"))
        return next((path.name for path in found if is_runtime_whole(path)), None)

    def _runtime(self, name: str | None) -> Path:
        """Return what the link `runtime` of this version has to point to."""
        if name is not None:
            return Path("../../runtimes") / name
        # Another model for the edge that is there.
        current = self._store.root / "current" / "runtime"
        if (current / "bin" / "edge").exists():
            return current.readlink()
        edge = find_installed()
        if edge is None:
            raise RefusedError(
                "there is no edge that could run the model", "bring it as well: --with-runtime"
            )
        return Path(os.path.realpath(edge)).parent.parent

    def _wanted(self) -> dict[str, dict[str, Any]]:
        """Return the files that this board needs: no wheels where they are installed."""
        runtime = self.words["runtime"]
        done = runtime and self.runtime()
        return {
            name: entry
            for name, entry in self.files.items()
            if not (done and name.startswith("wheels/"))
        }

    def _borrowed(self, sha256: str) -> Path | None:
        """Return a file that is here already, and is what one of this bundle should be."""
        wheel = self._store.wheels / sha256
        if digest(wheel) == sha256:
            return wheel
        for link in ("current", "previous"):
            version = self._store.pointed(link)
            words = self._store.manifest(version) if version else None
            for name, entry in (words or {"files": {}})["files"].items():
                if entry["sha256"] == sha256 and version is not None:
                    path = self._store.version(version) / name
                    if digest(path) == sha256:
                        return path
        return None


def _require_same_board(runtime: dict[str, Any] | None) -> None:
    """Refuse wheels of another processor or Python."""
    if runtime is None:
        return
    here = platform.machine(), ".".join(platform.python_version_tuple()[:2])
    there = runtime.get("machine"), runtime.get("python")
    if there != here:
        raise RefusedError(
            f"the bundle's runtime is for {there[0]} and Python {there[1]}, "
            f"this is {here[0]} and Python {here[1]}",
            "make a bundle for this board: edge flash MODEL HOST --with-runtime",
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() and not path.is_symlink() else 0


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ".".join(map(str, value))
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
