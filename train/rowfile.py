"""Arrays on disk, read a row at a time and written whole or not at all.

Rows are read when they are wanted and never mapped: pages of a mapped file count as memory, until
it holds the whole data set.
"""

import fcntl
import math
import os
import shutil
import tempfile
import time
import tokenize
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from edge.errors import EdgeError

_FILLING, _LOCK = ".filling-", "lock"
_DAY_S = 86_400.0
_KEPT_S = 30 * _DAY_S
_DIGEST = "[0-9a-f]" * 32

Scalar = TypeVar("Scalar", bound=np.generic)


class RowFile(Generic[Scalar]):
    """The rows of a .npy file, each read when it is asked for, by any thread.

    The file stays open until the object is gone, whatever happens to its name.

    Args:
        path: An array with any number of axes; the first counts the rows.
        dtype: Of its values.

    Raises:
        EdgeError: The file cannot be read, or is none of ours.
    """

    def __init__(self, path: Path, dtype: type[Scalar]) -> None:
        self.path, self.dtype = path, np.dtype(dtype)
        try:
            with path.open("rb") as file:
                npy.read_magic(file)
                self.shape, _, found = npy.read_array_header_1_0(file)
                self._start = file.tell()
            descriptor = os.open(path, os.O_RDONLY)
        except (OSError, ValueError, tokenize.TokenError) as error:
            raise damaged(path, str(error)) from error
        with suppress(OSError):
            os.utime(path.parent)  # a folder that nobody reads is swept
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)
        if found != self.dtype:
            raise damaged(path, f"holds {found}, not {self.dtype}")
        self._row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        needed = self._start + len(self) * self._row_bytes
        if path.stat().st_size < needed:
            held = (path.stat().st_size - self._start) // max(self._row_bytes, 1)
            raise damaged(path, f"ends in row {held} of {self.shape[0]}")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, row: int | NDArray[np.int64], /) -> NDArray[Scalar]:
        """Read one row, not writable, or several.

        Raises:
            IndexError: There is no such row.
            EdgeError: The file was cut short meanwhile.
        """
        if isinstance(row, np.ndarray):
            rows = np.empty((len(row), *self.shape[1:]), self.dtype)
            for place, one in zip(rows, row.tolist(), strict=True):
                place[...] = self[one]
            return rows
        if not 0 <= row < self.shape[0]:
            raise IndexError(f"row {row} of {self.shape[0]}")
        data = os.pread(self._descriptor, self._row_bytes, self._start + row * self._row_bytes)
        if len(data) < self._row_bytes:
            raise damaged(self.path, f"ends in row {row} of {self.shape[0]}")
        return np.frombuffer(data, self.dtype).reshape(self.shape[1:])


def damaged(path: Path, what: str) -> EdgeError:
    """Return the refusal of a file of the cache."""
    return EdgeError(
        f"{path} cannot be read: {what}", f"remove {path.parent}; it is made again when wanted"
    )


@contextmanager
def filling(folder: Path, needed: int, what: str) -> Iterator[Path]:
    """Yield a temporary folder to write into, which becomes `folder` when all went well.

    Where another process was faster, its folder stays. What a killed process has left beside it
    is removed, and folders named by a digest of 32 digits that nobody has read for a month.

    Args:
        folder: Absent yet.
        needed: Bytes that will be written.
        what: For the message, as in "cut faces".

    Raises:
        EdgeError: There is no room, or the disk refuses to be written.
    """
    beside = folder.parent
    try:
        beside.mkdir(parents=True, exist_ok=True)
        _require_room(beside, needed, what)
        _sweep(beside)
        temporary = Path(tempfile.mkdtemp(prefix=_FILLING, dir=beside))
    except OSError as error:
        raise _cannot_keep(what, beside, error) from error
    try:
        with (temporary / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield temporary
            (temporary / _LOCK).unlink()
            temporary.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # else another process has made the same in the meantime
            raise _cannot_keep(what, beside, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _cannot_keep(what: str, beside: Path, error: OSError) -> EdgeError:
    return EdgeError(
        f"cannot keep {what} in {beside}: {error.strerror or error}",
        "free some space, or set EDGE_HOME elsewhere",
    )


def _require_room(beside: Path, needed: int, what: str) -> None:
    free = shutil.disk_usage(beside).free
    if needed > free:
        raise EdgeError(
            f"{what} need {needed / 1e6:,.0f} MB, {beside} has {free / 1e6:,.0f} MB free",
            "free some space, or set EDGE_HOME elsewhere",
        )


def _sweep(beside: Path) -> None:
    """Remove folders that nobody has read for a month, and what a killed process has left.

    Nobody holds the lock of what a process was filling when it was killed.
    """
    for folder in beside.glob(_DIGEST):  # nothing that is not ours, wherever EDGE_HOME is
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _KEPT_S:
                shutil.rmtree(folder, ignore_errors=True)
    for leftover in beside.glob(_FILLING + "*"):
        try:
            with (leftover / _LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(leftover, ignore_errors=True)
        except FileNotFoundError:  # killed before it had a lock or after, if not just now
            if time.time() - leftover.stat().st_mtime > _DAY_S:
                shutil.rmtree(leftover, ignore_errors=True)
        except OSError:  # still being filled, or gone
            continue
