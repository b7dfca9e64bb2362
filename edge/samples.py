"""One picture of a data set, on its own or in a zip."""

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


Place = tuple[str, str | None]  # path of a picture's file and, inside a zip, its member


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture of a data set, as small as can be: there may be millions.

    Args:
        file: Path of the picture, or of the zip that holds it.
        member: Its name inside the zip; None for a file of its own.
        split: "train", "val" or "test".
    """

    file: str
    member: str | None
    split: str

    @property
    def path(self) -> Path:
        """The picture, or the zip that holds it."""
        return Path(self.file)

    @property
    def name(self) -> str:
        """The picture's file name, the same on every machine."""
        return place_name((self.file, self.member))

    def read(self) -> Picture:
        """Decode the picture.

        Returns:
            uint8 (height, width, 3), BGR.

        Raises:
            EdgeError: The picture is missing, not a picture, or cut short.
        """
        if self.member is None:
            return read_picture(self.path)
        return decode_picture(self.content(), f"{self.file}:{self.member}")

    def content(self) -> bytes:
        """Return the bytes of the picture's file, or of the member of its zip.

        Raises:
            EdgeError: They cannot be read.
        """
        try:
            if self.member is None:
                return self.path.read_bytes()
            with _archive_lock:
                return _archive(self.file, os.getpid()).read(self.member)
        except (
            OSError,
            KeyError,
            RuntimeError,
            NotImplementedError,
            EOFError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            name = self.file if self.member is None else f"{self.file}:{self.member}"
            hint = "check the file" if self.member is None else "copy the zip again"
            raise EdgeError(f"cannot read {name}: {error}", hint) from error


def place_name(place: Place) -> str:
    """Return the file name of the picture at a place."""
    file, member = place
    return file.rpartition(os.sep)[2] if member is None else member.rpartition("/")[2]


@functools.lru_cache(maxsize=4)
def _archive(file: str, process: int) -> zipfile.ZipFile:
    """Open a zip once a process; a forked child must not share the parent's file position."""
    return zipfile.ZipFile(file)
