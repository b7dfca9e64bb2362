"""Files that are whole or absent, and digests of what is in them."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge.errors import EdgeError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place when the block succeeds.

    The file is fsynced and renamed, then the folder is fsynced: after a crash or a power cut
    `path` is either the old file or the complete new one. Two writers of one path never mix.

    Raises:
        EdgeError: The folder cannot be written, the disk is full, or `path` is something else
            than a file, such as /dev/null, which a rename would destroy.
    """
    # A link stays a link: what it points to is replaced.
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise EdgeError(f"cannot write {path}: it is not a file", "choose another place with --out")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent
        )
        os.close(handle)
    except OSError as error:
        raise _cannot_write(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes the file private; a result is as readable as any other file of the user.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        _fsync(temporary)
        temporary.replace(path)
        _fsync(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder, and be the only process that changes it within the block.

    Raises:
        EdgeError: The folder cannot be written.
    """
    import fcntl

    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise _cannot_write(folder, error) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def require_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written, there or not yet, before time is spent on its files.

    Raises:
        EdgeError: It, or what it would lie in, is no folder or not writable.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise EdgeError(f"cannot write into {existing}", "choose another --out")


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically.

    Raises:
        EdgeError: The folder cannot be written or the disk is full.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` atomically as indented JSON.

    Raises:
        EdgeError: The folder cannot be written or the disk is full.
    """
    write_bytes(path, (json.dumps(value, indent=2) + "\n").encode())


def sha256_of(path: Path) -> str:
    """Return the hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(path: Path, error: OSError) -> EdgeError:
    return EdgeError(
        f"cannot write {path}: {error.strerror or error}",
        "check the folder and its free space, or choose another place",
    )
