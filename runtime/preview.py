"""The preview: a web page with what a run sees, while it runs."""

import asyncio
import os
import secrets
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from tempfile import NamedTemporaryFile
from typing import Any

import cv2

from edge.assets import home
from edge.environment import temperature_c, throttled
from edge.errors import EdgeError
from edge.runtime.controls import Running
from edge.runtime.guard import is_loopback
from edge.runtime.outputs import Output, frame_json, to_json
from edge.runtime.pipeline import Result
from edge.runtime.preview_app import preview_app
from edge.runtime.serving import Server

# Frames a second for those who watch, however many they are.
_RATE = 25
_WIDEST = 960
_QUALITY = 80
# A rate is counted over so long at least; temperature and throttling are as old at most.
_FIGURES_EVERY_S = 1.0
_VARIABLE = "EDGE_PREVIEW_TOKEN"


class Preview(Output):
    """Serves a page with the newest frame and its faces.

    Frames are encoded only while somebody watches, in the server's threads, once for all; a viewer
    who is not ready for one gets a newer one later.

    Args:
        host: Address or name to listen on.
        port: Likewise; 0 for any that is free.
        token: What viewers have to know where the address is not loopback; None for a new one.

    Attributes:
        url: Of the page.
        token: What viewers have to know; None on loopback.

    Raises:
        EdgeError: The address cannot be listened on.
    """

    def __init__(self, host: str, port: int, token: str | None = None) -> None:
        self.token = None if is_loopback(host) else token or secrets.token_urlsafe(24)
        self._server = Server(preview_app(self), host, port, option="--preview", token=self.token)
        self.url = self._server.url
        self._newest: Result | None = None
        self._viewers = self._count = 0
        self._due = 0.0
        self._figures = _Figures()
        self._frames = _Newest(self._message)

    def begin(self, running: Running) -> None:
        """Serve from now on."""
        self._running = running
        self._server.start()

    def show(self, result: Result) -> None:
        """Take a result; without viewers that is all."""
        self._newest = result
        self._count += 1
        if self._viewers and (now := time.monotonic()) >= self._due:
            self._due = max(self._due + 1 / _RATE, now)
            self._server.tell(self._frames.put, result)

    def close(self) -> None:
        """Tell the viewers that the run is over, and end."""
        self._server.close(self._frames.close)

    def state(self) -> dict[str, Any]:
        """Return what the run is, and what can be changed of it."""
        return self._running.about | self._running.controls.state()

    def change(self, asked: Any) -> None:
        """Change the run; raises `EdgeError` where it cannot be changed so."""
        self._running.controls.change(asked)
        if self._newest is not None:
            self._server.tell(self._frames.put, self._newest)  # everyone sees what was changed

    async def messages(self) -> AsyncIterator[bytes]:
        """Yield the newest frame again and again, each once."""
        self._viewers += 1
        try:
            if self._newest is not None and self._viewers == 1:
                self._frames.put(self._newest)
            async for message in self._frames.messages():
                yield message
        finally:
            self._viewers -= 1

    def _message(self, result: Result) -> bytes:
        """Return a frame with what is said of it: two lengths, JSON, JPEG."""
        picture = result.frame.picture
        height, width = picture.shape[:2]
        if width > _WIDEST:
            size = (_WIDEST, max(1, round(height * _WIDEST / width)))
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        _, jpeg = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
        told = frame_json(result) | self._figures.at(self._count) | {
            "size": [width, height], "dropped": self._running.dropped(),
            "state": self.state(),
        }  # fmt: skip
        text = to_json(told).encode()
        return struct.pack(">II", len(text), len(jpeg)) + text + jpeg.tobytes()


class _Figures:
    """What is measured now and then, whoever asks how often: rate, temperature, throttling."""

    def __init__(self) -> None:
        self._time = self._count = 0.0
        self._kept: dict[str, Any] = {}

    def at(self, count: int) -> dict[str, Any]:
        """Return the figures, given how many frames there were so far."""
        now = time.monotonic()
        elapsed = now - self._time
        if elapsed >= _FIGURES_EVERY_S:
            # The first time nothing is known of before.
            fps = (count - self._count) / elapsed if self._kept else None
            self._kept = {"fps": fps, "temperature_c": temperature_c(), "throttled": throttled()}
            self._time, self._count = now, count
        return self._kept


class _Newest:
    """The newest item for any number of takers, made ready once for all; of one event loop.

    Args:
        make: Makes an item ready, in another thread.
    """

    def __init__(self, make: Callable[[Result], bytes]) -> None:
        self._make = make
        self._number = 0
        self._item: Result | None = None
        self._over = False
        self._changed = asyncio.Event()
        self._made: tuple[int, asyncio.Future[bytes]] | None = None

    def put(self, item: Result) -> None:
        """Take an item instead of the one before."""
        # What was on its way when a newer one was put comes too late.
        if self._item is None or item.frame.index >= self._item.frame.index:
            self._item = item
            self._number += 1
            self._wake()

    def close(self) -> None:
        """End all `messages`."""
        self._over = True
        self._wake()

    async def messages(self) -> AsyncIterator[bytes]:
        """Yield the newest item whenever there is another one than before."""
        seen = 0
        while True:
            while self._number == seen and not self._over:
                await self._changed.wait()
            if self._over:
                return
            seen = self._number
            if self._made is None or self._made[0] != seen:
                loop = asyncio.get_running_loop()
                assert self._item is not None
                self._made = seen, loop.run_in_executor(None, self._make, self._item)
            # One taker who leaves must not take it from the others.
            yield await asyncio.shield(self._made[1])

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def kept_token() -> tuple[str, str]:
    """Return the token of this user's previews, and where it is kept.

    `EDGE_PREVIEW_TOKEN`, or a file that only the user can read, made where there is none: a
    bookmark is good for the next run too.
    """
    if token := os.environ.get(_VARIABLE):
        return token, _VARIABLE
    path = home() / "preview-token"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not there, and for nobody else's eyes, which is what temporary files are.
        with NamedTemporaryFile("w", dir=path.parent) as file:
            file.write(secrets.token_urlsafe(24))
            file.flush()
            with suppress(FileExistsError):
                os.link(file.name, path)
        token = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise EdgeError(
            f"cannot keep a token in {path}: {error}", f"set {_VARIABLE} to one"
        ) from error
    if not token:
        raise EdgeError(f"{path} is empty", "delete it: a new token is made")
    return token, str(path)
