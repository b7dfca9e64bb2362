"""What may come onto a board: a manifest that is checked, and the files that it names.

Sent to a board as text, so the standard library alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from edge.devices.onboard_probe import find_installed
from edge.devices.onboard_store import (
    MANIFEST,
    SIGNATURE,
    RefusedError,
    Store,
    is_manifest,
    remove_tree,
    sync,
)
from edge.devices.onboard_whole import altered, digest, is_runtime_whole, is_whole, verify

SCHEMA = 1
SIGNERS = "allowed_signers"
# What a signature is for: one made for something else is none.
NAMESPACE = "edge-bundle"
IDENTITY = "edge"

_BLOCK = 1 << 16
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*(/[A-Za-z0-9_][A-Za-z0-9._+-]*)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_BYTES = 1 << 31


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
        self.id = hashlib.sha256(self._text).hexdigest()[:16]
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
        if words is None or words["files"] == self.files:
            return
        here, there = self.words["release"], words["release"]
        older = [name for name in ("edge", "made") if here[name] < there[name]]
        if older:
            raise RefusedError(
                f"it is older than the version that runs ({older[0]} {_shown(here[older[0]])}, "
                f"there {_shown(there[older[0]])})",
                "leave out --no-downgrade to put the older one there",
            )

    def installed(self) -> str | None:
        """Return the version that is this bundle, where it is there and complete."""
        found = self._store.pointed("current"), self._store.pointed("previous")
        others = sorted(self._store.versions.glob(f"{self.id}*"))
        for name in [*filter(None, found), *(other.name for other in others)]:
            if name.split("-")[0] != self.id:
                continue
            version = self._store.version(name)
            if is_whole(version) and self.has_runtime(version):
                return name
        return None

    def has_runtime(self, version: Path) -> bool:
        """Tell whether a version has the runtime that it wants."""
        try:
            link = (version / "runtime").readlink()
            if self.words["runtime"] is None:
                return link == self._runtime(None) and (version / "runtime/bin/edge").exists()
        except (OSError, RefusedError):
            return False
        return is_runtime_whole(version / "runtime")

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

    def receive(self, name: str, offset: int, size: int, data: BinaryIO) -> None:
        """Take the rest of a file; all of it is read whatever becomes of it.

        Raises:
            RefusedError: What is there now is not what it should be; it is removed.
        """
        part, left = self._store.staging / f"{name}.part", size
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
            with os.fdopen(os.open(str(part), flags, 0o644), "wb") as file:
                file.truncate(offset)
                file.seek(offset)
                while left and (block := data.read(min(left, _BLOCK))):
                    left -= len(block)
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                part.unlink()  # the room is for others
            raise
        finally:
            while left and (block := data.read(min(left, _BLOCK))):
                left -= len(block)
        if left:
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
        done = runtime and whole_runtime(self._store, runtime["digest"])
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


def read_manifest(text: bytes) -> dict[str, Any]:
    """Return a manifest whose every name stays inside of its bundle.

    Raises:
        RefusedError: It is none, or is of another schema, or names something outside.
    """
    try:
        words = json.loads(text)
    except ValueError:
        words = None
    if not is_manifest(words) or not {"edge", "model.tflite", "golden.json"} <= set(words["files"]):
        raise RefusedError("the manifest is damaged", "make the bundle again")
    files, runtime = words["files"], words["runtime"]
    if runtime is not None and not _SHA256.fullmatch(runtime["digest"]):
        raise RefusedError("the manifest's runtime is damaged", "make the bundle again")
    if words.get("schema") != SCHEMA:
        raise RefusedError(
            f"the bundle is of schema {words.get('schema')}, expected {SCHEMA}",
            "flash with the edge that made it",
        )
    for name, entry in files.items():
        if not _NAME.fullmatch(name) or name.split("/")[0] in (MANIFEST, SIGNATURE, "runtime"):
            raise RefusedError(
                f"the manifest names {name!r}, which is no file of a bundle", "make it again"
            )
        if not 0 <= entry["size"] < _MOST_BYTES:
            raise RefusedError(f"the manifest gives {name} no size", "make the bundle again")
        if not _SHA256.fullmatch(entry["sha256"]):
            raise RefusedError(f"the manifest gives {name} no sha256", "make the bundle again")
    return dict(words)


def whole_runtime(store: Store, digest: str) -> str | None:
    """Return the name of a complete virtual environment of some wheels; None for none."""
    for path in sorted(store.runtimes.glob(f"{digest}*")):
        if is_runtime_whole(path):
            return path.name
    return None


def check_signature(signers: Path, manifest: bytes, signature: str | None) -> None:
    """Check who signed a manifest; where nobody is named who may, anybody may.

    Raises:
        RefusedError: It is not signed, or by a stranger, or for something else, or altered since.
    """
    if not os.path.lexists(str(signers)):
        return
    if signature is None:
        raise RefusedError(
            "the bundle is not signed, and only signed ones may come here", "sign it: --sign KEY"
        )
    if shutil.which("ssh-keygen") is None:
        raise RefusedError(
            "a signature cannot be verified without ssh-keygen",
            "sudo apt install -y openssh-client",
        )
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(signature)
        file.flush()
        done = subprocess.run(
            ["ssh-keygen", "-Y", "verify", "-f", str(signers), "-I", IDENTITY, "-n", NAMESPACE,
             "-s", file.name],
            input=manifest, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    if done.returncode:
        said = " ".join(done.stdout.decode(errors="replace").split())
        raise RefusedError(
            f"the signature is not of one who may sign, or the manifest was altered: {said}",
            f"sign it with a key of {signers}",
        )


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
    return ".".join(map(str, value)) if isinstance(value, list) else str(value)
