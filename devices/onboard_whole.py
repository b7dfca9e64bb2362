"""Whether what lies on a board is complete: a version by its manifest, a runtime by its outline.

Sent to a board as text, so the standard library alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path

from edge.devices.onboard_store import MANIFEST, SIGNATURE, RefusedError, is_manifest, sync

_COMPLETE = "complete"
_BLOCK = 1 << 20


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


def finish_runtime(folder: Path) -> None:
    """Say of a virtual environment that it is complete."""
    # Much faster than file by file, and there are thousands.
    os.sync()
    with (folder / _COMPLETE).open("w") as file:
        file.write(json.dumps(_outline(folder)))
        file.flush()
        os.fsync(file.fileno())
    sync(folder)


def is_runtime_whole(folder: Path) -> bool:
    """Tell whether a virtual environment is complete, and no file of it is missing or cut short."""
    try:
        expected = json.loads((folder / _COMPLETE).read_text())
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
            if name != _COMPLETE:
                found[str(path.relative_to(folder))] = path.lstat().st_size
    return found
