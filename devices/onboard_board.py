"""Who asks a board, and the board that answers.

Sent to a board as text, so the standard library alone.
"""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from edge.devices.onboard_bundle import Incoming
from edge.devices.onboard_store import Store

_DEFAULT_ROOT = "~/.local/share/edge"


class Impatient:
    """Bytes from somebody who is taken for dead once he is silent for too long.

    Args:
        data: Where they come from.
        seconds: How long that is; the process ends then.
    """

    def __init__(self, data: BinaryIO, seconds: int) -> None:
        self._data = data
        self._seconds = seconds

    def read(self, most: int) -> bytes:
        """Return at most so many bytes, or none at the end."""
        return self._awaited(lambda: self._data.read(most))

    def readline(self) -> bytes:
        """Return a line, or nothing at the end."""
        return self._awaited(self._data.readline)

    def _awaited(self, read: Callable[[], bytes]) -> bytes:
        signal.alarm(self._seconds)
        try:
            return read()
        finally:
            signal.alarm(0)


class Board:
    """The machine that this runs on, and the line to who asks.

    Args:
        root: The folder that edge keeps; "" for `EDGE_DEVICE_ROOT`, or the default.
        data: Requests, and the bytes of files.
        out: Where answers go.

    Attributes:
        store: What edge keeps here.
        incoming: The bundle that comes; None for none.
        work: A folder for this conversation; None until something was taken.
    """

    def __init__(self, root: str, data: BinaryIO, out: BinaryIO) -> None:
        chosen = root or os.environ.get("EDGE_DEVICE_ROOT") or _DEFAULT_ROOT
        self.store = Store(Path(os.path.expanduser(chosen)).absolute())  # noqa: PTH111 - never fails
        self.incoming: Incoming | None = None
        self.work: Path | None = None
        self.data: Any = data
        self._line: Any = data
        self._out = out

    def answer(self, **words: Any) -> None:
        """Write one line; who has gone hears no more, and what is begun is brought to its end."""
        with suppress(OSError):
            self._out.write(json.dumps(words).encode() + b"\n")
            self._out.flush()

    def has_lost_asker(self, *, wait_s: float) -> bool:
        """Wait a little for who asks to go; nothing may be asked meanwhile."""
        readable, _, _ = select.select([self._line], [], [], wait_s)
        return bool(readable) and not self._line.peek(1)

    @property
    def bundle(self) -> Incoming:
        """The bundle that comes."""
        assert self.incoming is not None
        return self.incoming
