"""Where pictures come from: a file, a folder, a video, a camera, a stream."""

import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from edge.contract import Picture
from edge.errors import EdgeError
from edge.images import SUFFIXES, is_picture, read_picture

Warn = Callable[[str], None]

_STREAMS = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "udp://", "tcp://")
_EXPECTED = "give a picture, a folder of pictures, a video, or a rtsp:// or http:// address"

# An address may hold a user and a password before its host, or a password or token among its
# parameters, which some cameras keep in the path.
_USER = re.compile(r"(?<=://).*@")
_SECRET = re.compile(r"((?:pass|pwd|token|secret|key|auth|sig)\w*=)[^&;/?#\s]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture on its way through the pipeline.

    Args:
        index: Counts the frames that a source gave, from 0.
        source: Path of the picture or video, address of the stream, or name of the camera.
        picture: uint8 (height, width, 3), BGR.
        captured: When it was taken, or when reading it began: seconds of `time.perf_counter`.
    """

    index: int
    source: str
    picture: Picture
    captured: float


@dataclass(frozen=True, kw_only=True)
class CameraSettings:
    """What a camera is asked for; None leaves it to the camera.

    Args:
        size: Width and height in pixels.
        fps: Frames a second.
        format: How the camera hands pixels over: a code of four letters, such as MJPG or YUYV.

    Raises:
        EdgeError: No camera could give that.
    """

    size: tuple[int, int] | None = None
    fps: float | None = None
    format: str | None = None

    def __post_init__(self) -> None:
        if self.size is not None and min(self.size) < 1:
            raise EdgeError(
                f"no camera gives {size_in_words(self.size)} pixels", "ask for 640x480, say"
            )
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise EdgeError(f"no camera gives {self.fps:g} frames a second", "ask for 30, say")
        if self.format is not None and not re.fullmatch(r"[!-~]{3}[ -~]", self.format):
            raise EdgeError(
                f"{self.format} is not a pixel format",
                "expected the four letters of one, such as MJPG or YUYV",
            )

    def to_json(self) -> dict[str, Any]:
        """Return what was asked for, and nothing of what was not."""
        size = list(self.size) if self.size else None
        every = {"size": size, "fps": self.fps, "format": self.format}
        return {name: value for name, value in every.items() if value is not None}


_ANY = CameraSettings()


class Source:
    """Frames, one after the other; leaving its `with` block releases the device.

    One thread iterates; `stop` may be called from any other.

    Args:
        name: What the user calls it.

    Attributes:
        live: A frame that is not taken in time is stale. Otherwise every frame is wanted.
        related: Each picture shows what the one before it showed, a little later.
        most: How many frames it can give; None where that is not known.
        unreadable: Pictures and frames that could not be decoded so far.
        reconnects: How often it was lost and came back.
        lost: It is away, and is waited for.
    """

    live = False
    related = True
    most: int | None = None

    def __init__(self, name: str) -> None:
        self.name = name
        self.unreadable = 0
        self.reconnects = 0
        self.lost = False
        self._stopped = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        raise NotImplementedError

    @property
    def fps(self) -> float | None:
        """Frames a second, as the source says; None where it does not."""
        return None

    def stop(self) -> None:
        """Let the iteration end soon, also where it waits for a lost device."""
        self._stopped.set()

    def close(self) -> None:
        """Release what the source holds."""

    def about(self) -> dict[str, Any] | None:
        """Return what a camera or stream was asked for and what it gives; None for others."""
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_source(
    spec: str, *, asked: CameraSettings = _ANY, warn: Warn, until_lost: bool = False
) -> Source:
    """Open a picture, a folder, a video file, a stream, or the device file of a camera.

    Args:
        spec: A path or an address.
        asked: What a camera should give.
        warn: Called with a sentence for each picture of a folder that cannot be read, and each
            time that a stream is lost.
        until_lost: End when a stream is lost, instead of opening it again.

    Raises:
        EdgeError: There is nothing, or nothing that can be decoded.
    """
    from edge.runtime import streams

    if spec.lower().startswith(_STREAMS):
        return streams.open_stream(spec, warn=warn, until_lost=until_lost)
    path = Path(spec)
    if path.is_dir():
        return Pictures(spec, _pictures_in(path), warn=warn)
    if spec.startswith(("/dev/video", "/dev/v4l/")):
        return open_camera(spec, asked=asked, warn=warn, until_lost=until_lost)
    if not path.is_file():
        what = "a stream of another kind" if "://" in spec else "no such file"
        raise EdgeError(f"cannot open {without_secrets(spec)}: {what}", _EXPECTED)
    if path.suffix.lower() in SUFFIXES:
        return Pictures(spec, [path], warn=warn, alone=True)
    if path.stat().st_size == 0:
        raise EdgeError(f"{spec} is empty", "copy the video again")
    return streams.open_video(path, name=spec, warn=warn, expected=_EXPECTED)


def open_camera(
    camera: str, *, asked: CameraSettings = _ANY, warn: Warn, until_lost: bool = False
) -> Source:
    """Open a camera.

    Args:
        camera: Its number or its device file; "picamera" or "picamera:1" for one on the ribbon
            connector of a Raspberry Pi.
        asked: What it should give.
        warn: Called with a sentence where it gives something else, and each time it is lost.
        until_lost: End when it is lost, instead of opening it again.

    Raises:
        EdgeError: There is no such camera, or it cannot be opened.
    """
    from edge.runtime import camera as cameras

    return cameras.open_camera(camera, asked=asked, warn=warn, until_lost=until_lost)


def without_secrets(address: str) -> str:
    """Return an address as it may be shown: without user, password and token."""
    if "://" not in address:
        return address
    return _SECRET.sub(r"\1…", _USER.sub("…@", address))


def size_in_words(size: tuple[int, int] | list[int]) -> str:
    """Return width and height as they are shown."""
    return "×".join(map(str, size))


class Pictures(Source):
    """Picture files, in the order given.

    Args:
        name: What the user calls them.
        paths: The files.
        warn: Called with a sentence for each file that cannot be read.
        alone: The one file that was asked for: that it cannot be read is an error.
    """

    related = False

    def __init__(self, name: str, paths: list[Path], *, warn: Warn, alone: bool = False) -> None:
        super().__init__(name)
        self._paths = paths
        self.most = len(paths)
        self._warn = warn
        self._alone = alone

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        for path in self._paths:
            if self._stopped.is_set():
                return
            captured = time.perf_counter()
            try:
                picture = read_picture(path)
            except EdgeError as error:
                if self._alone:
                    raise
                self.unreadable += 1
                self._warn(error.message)
                continue
            yield Frame(index, str(path), picture, captured)
            index += 1
        if index == 0:
            raise EdgeError(
                f"none of the {self.unreadable} pictures in {self.name} can be read",
                "copy the folder again",
            )


def _pictures_in(folder: Path) -> list[Path]:
    try:
        found = sorted(path for path in folder.iterdir() if is_picture(path.name))
    except OSError as error:
        raise EdgeError(f"cannot read {folder}: {error.strerror}", "check the folder") from error
    if not found:
        raise EdgeError(f"there is no picture in {folder}", f"expected {', '.join(SUFFIXES)}")
    return found
