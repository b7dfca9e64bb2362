"""One labelled picture, on its own or in a zip."""

import functools
import os
import threading
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from edge.contract import Picture
from edge.errors import EdgeError
from edge.images import decode_picture, read_picture

# One reader of the zip at a time: its file has one position.
_archive_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled picture.

    Args:
        path: The picture, or the zip that holds it.
        member: Its name inside the zip; None for a file of its own.
        labels: One an attribute of the data set: 1.0 yes, 0.0 no, nan unknown.
        split: "train", "val" or "test".
    """

    path: Path
    member: str | None
    labels: tuple[float, ...]
    split: str

    @property
    def name(self) -> str:
        """The picture's file name, the same on every machine."""
        return self.path.name if self.member is None else self.member.rpartition("/")[2]

    def read(self) -> Picture:
        """Decode the picture.

        Returns:
            uint8 (height, width, 3), BGR.

        Raises:
            EdgeError: The picture is missing, not a picture, or cut short.
        """
        if self.member is None:
            return read_picture(self.path)
        name = f"{self.path}:{self.member}"
        try:
            with _archive_lock:
                data = _archive(self.path, os.getpid()).read(self.member)
        except (
            OSError,
            KeyError,
            RuntimeError,
            NotImplementedError,
            EOFError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise EdgeError(f"cannot read {name}: {error}", "copy the zip again") from error
        return decode_picture(data, name)


@functools.lru_cache(maxsize=4)
def _archive(path: Path, process: int) -> zipfile.ZipFile:
    """Open a zip once a process; a forked child must not share the parent's file position."""
    return zipfile.ZipFile(path)
