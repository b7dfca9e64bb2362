"""The results of a run of days: a file that is turned over."""

import logging
from collections.abc import Callable
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from edge.errors import EdgeError
from edge.files import require_writable
from edge.runtime.outputs import Output, frame_json, to_json
from edge.runtime.pipeline import Result


class Log(Output):
    """The lines of `JsonLines` in a file that is turned over, so that it never fills a disk.

    Args:
        path: The file; the ones before it are called the same with .1, .2 and so on behind.
        warn: Called with a sentence when nothing can be written any more, and once again after
            that got better and worse.
        most_bytes: Of one file.
        kept: How many are kept beside the newest.

    Raises:
        EdgeError: The file cannot be written.
    """

    def __init__(
        self, path: Path, warn: Callable[[str], None], *, most_bytes: int = 10 << 20, kept: int = 5
    ) -> None:
        require_writable(path.parent)
        try:
            self._file = _Lines(path, maxBytes=most_bytes, backupCount=kept, encoding="utf-8")
        except OSError as error:
            raise EdgeError(
                f"cannot write {path}: {error.strerror}", "choose another --log"
            ) from error
        self._file.setFormatter(logging.Formatter("%(message)s"))
        self._path, self._warn = path, warn
        self._failing = False

    def show(self, result: Result) -> None:
        """Write one frame."""
        self._write(frame_json(result))

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the summary."""
        self._write({"summary": summary})

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            self._file.close()

    def _write(self, value: dict[str, Any]) -> None:
        try:
            self._file.emit(logging.makeLogRecord({"msg": to_json(value)}))
        except OSError as error:
            # A run goes on without its log.
            if not self._failing:
                self._warn(f"{self._path} cannot be written: {error.strerror}")
            self._failing = True
        else:
            self._failing = False


class _Lines(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        # The standard library would print a traceback, once a line.
        raise
