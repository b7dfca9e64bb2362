"""Whether what lies on a board is complete: a version by its manifest, a runtime by its outline.

Sent to a board as text, so the standard library alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge.devices.onboard_store import (
    COMPLETE,
    MANIFEST,
    SIGNATURE,
    RefusedError,
    Store,
    is_manifest,
    sync,
)

_BLOCK = 1 << 20


def bundle_id(manifest: bytes) -> str:
    """Return what a bundle is called by."""
    return hashlib.sha256(manifest).hexdigest()[:16]


def verify(folder: Path) -> None:
    """Check that a version is complete: every file as its manifest says, and none besides.

    The manifest itself has to be the one by which the folder is called.

    Raises:
        RefusedError: It is not.
    """
    try:
        text = (folder / MANIFEST).read_bytes()
        words = json.loads(text)
    except (OSError, ValueError):
        text, words = b"", None
    if not is_manifest(words) or id_in(folder.name) != bundle_id(text):
        raise altered(f"{folder.name}/{MANIFEST}")
    files = words["files"]
    # A wheel is used up by the runtime that is made of it.
    expected = {name for name in files if not name.startswith("wheels/")}
    for name in sorted(expected | _present(folder) - {MANIFEST, SIGNATURE, "runtime"}):
        if name not in expected or digest(folder / name) != files[name]["sha256"]:
            raise altered(name)


def id_in(name: str) -> str:
    """Return the digest in the name of a version or runtime, of which there may be another."""
    return name.rpartition(".new-")[2].partition("-")[0]


def is_ready(store: Store, name: str | None) -> bool:
    """Tell whether a version is complete, and what it runs in."""
    if name is None or not is_whole(store.version(name)):
        return False
    runtime = store.runtime_of(name)
    if runtime is not None and not is_runtime_whole(store.runtimes / runtime):
        return False
    return (store.version(name) / "runtime" / "bin" / "edge").exists()


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
    """Return the sha256 of a plain file; None where there is none, it cannot be read, or a link."""
    try:
        # A link would be followed to what may change.
        descriptor = os.open(str(path), os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            total = hashlib.sha256()
            for block in iter(lambda: file.read(_BLOCK), b""):
                total.update(block)
    except OSError:
        return None
    return total.hexdigest()


def finish_runtime(folder: Path) -> None:
    """Say of a virtual environment that it is complete."""
    # Much faster than file by file, and there are thousands.
    os.sync()
    outline = {name: (size, digest(folder / name)) for name, size in _sizes(folder).items()}
    with (folder / COMPLETE).open("w") as file:
        file.write(json.dumps(outline))
        file.flush()
        os.fsync(file.fileno())
    sync(folder)


def is_runtime_whole(folder: Path) -> bool:
    """Tell whether a virtual environment is complete, and no file of it is missing or cut short."""
    outline = _outline(folder)
    found = _sizes(folder)
    return outline is not None and all(found.get(name) == outline[name][0] for name in outline)


def is_runtime_intact(folder: Path) -> bool:
    """Tell whether a virtual environment is as it was made, byte for byte; seconds on a board."""
    outline = _outline(folder)
    return outline is not None and all(
        digest(folder / name) == outline[name][1] for name in outline
    )


def _outline(folder: Path) -> dict[str, list[Any]] | None:
    """Return size and sha256 (None of a link) of each file of a complete environment."""
    try:
        value = json.loads((folder / COMPLETE).read_text())
        return {name: [size, sha256] for name, (size, sha256) in value.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _sizes(folder: Path) -> dict[str, int]:
    """Return the sizes of the files below a folder by their names, but for bytecode."""
    found = {}
    for place, folders, names in os.walk(str(folder)):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            path = Path(place) / name
            with suppress(OSError):  # a disk that has lost what it held
                if name != COMPLETE:
                    found[str(path.relative_to(folder))] = path.lstat().st_size
    return found
