"""Where pictures come from: a file, a folder, a video, a camera, a stream."""

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cv2

from edge.contract import Picture
from edge.errors import EdgeError
from edge.images import SUFFIXES, is_picture, read_picture, silence_opencv

Warn = Callable[[str], None]

_STREAMS = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "udp://", "tcp://")
_CAMERA = re.compile(r"(?:/dev/video)?(\d{1,3})")
_STREAM_TIMEOUT_MS = 10_000
_EXPECTED = "give a picture, a folder of pictures, a video, or a rtsp:// or http:// address"


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture on its way through the pipeline.

    Args:
        index: Counts the frames of a run from 0, without gaps.
        source: Path of the picture or video, address of the stream, or name of the camera.
        picture: uint8 (height, width, 3), BGR.
        captured: When it was taken, or when reading it began: seconds of `time.perf_counter`.
    """

    index: int
    source: str
    picture: Picture
    captured: float


class Source:
    """Frames, one after the other; leaving its `with` block releases the device.

    Args:
        name: What the user calls it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.unreadable = 0

    def __iter__(self) -> Iterator[Frame]:
        raise NotImplementedError

    def close(self) -> None:
        """Release what the source holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_source(spec: str, *, warn: Warn) -> Source:
    """Open a picture, a folder, a video file or a stream.

    Args:
        spec: A path or an address.
        warn: Called with a sentence for each picture of a folder that cannot be read.

    Raises:
        EdgeError: There is nothing, or nothing that can be decoded.
    """
    if spec.startswith(_STREAMS):
        return Video(_open_stream(spec), spec)
    path = Path(spec)
    if path.is_dir():
        return Pictures(spec, _pictures_in(path), warn=warn)
    if _CAMERA.fullmatch(spec) and spec.startswith("/dev/"):
        return open_camera(spec)
    if not path.is_file():
        what = "a stream of another kind" if "://" in spec else "no such file"
        raise EdgeError(f"cannot open {spec}: {what}", _EXPECTED)
    if path.suffix.lower() in SUFFIXES:
        return Pictures(spec, [path])
    if path.stat().st_size == 0:
        raise EdgeError(f"{spec} is empty", "copy the video again")
    return Video(_open_file(path), spec)


def open_camera(camera: str) -> Source:
    """Open a camera by its number or its device file.

    Raises:
        EdgeError: There is no such camera, or it cannot be opened.
    """
    match = _CAMERA.fullmatch(camera)
    if match is None:
        raise EdgeError(f"{camera} is not a camera", "expected a number or /dev/videoN")
    capture = _capture(int(match[1]))
    if not capture.isOpened():
        found = ", ".join(map(str, sorted(Path("/dev").glob("video*")))) or "none"
        raise EdgeError(
            f"camera {camera} cannot be opened (found: {found})",
            "connect one, choose it with --camera, or try `edge run --demo`",
        )
    # A queue of old frames only adds to their age.
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return Video(capture, f"camera {match[1]}")


class Pictures(Source):
    """Picture files, in the order given.

    Args:
        name: What the user calls them.
        paths: The files.
        warn: Called with a sentence for each file that cannot be read; None makes that an error.
    """

    def __init__(self, name: str, paths: list[Path], *, warn: Warn | None = None) -> None:
        super().__init__(name)
        self._paths = paths
        self._warn = warn

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        for path in self._paths:
            captured = time.perf_counter()
            try:
                picture = read_picture(path)
            except EdgeError as error:
                if self._warn is None:
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


class Video(Source):
    """What OpenCV decodes frame by frame: a file, a camera or a stream.

    Args:
        capture: Opened.
        name: What the user calls it.
    """

    def __init__(self, capture: cv2.VideoCapture, name: str) -> None:
        super().__init__(name)
        self._capture = capture

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while self._capture.grab():
            captured = time.perf_counter()
            decoded, picture = self._capture.retrieve()
            if not decoded:
                self.unreadable += 1
                continue
            yield Frame(index, self.name, picture, captured)
            index += 1
        if index == 0:
            raise EdgeError(f"{self.name} gave no frame", "check that it plays elsewhere")

    def close(self) -> None:
        """Release the file, the camera or the connection."""
        self._capture.release()


def _pictures_in(folder: Path) -> list[Path]:
    try:
        found = sorted(path for path in folder.iterdir() if is_picture(path.name))
    except OSError as error:
        raise EdgeError(f"cannot read {folder}: {error.strerror}", "check the folder") from error
    if not found:
        raise EdgeError(f"there is no picture in {folder}", f"expected {', '.join(SUFFIXES)}")
    return found


def _open_file(path: Path) -> cv2.VideoCapture:
    # Absolute, so that no name is taken for a protocol of FFmpeg's.
    capture = _capture(str(path.absolute()))
    if not capture.isOpened():
        raise EdgeError(f"{path} is neither a picture nor a video that can be decoded", _EXPECTED)
    return capture


def _open_stream(address: str) -> cv2.VideoCapture:
    capture = _capture(address)
    if not capture.isOpened():
        raise EdgeError(
            f"the stream {address} cannot be opened", "check the address, or that it is sending"
        )
    return capture


def _capture(target: str | int) -> cv2.VideoCapture:
    """Open a capture without OpenCV's and FFmpeg's own words on stderr."""
    silence_opencv()
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if isinstance(target, int):
        return cv2.VideoCapture(target)
    try:
        target.encode()
    except UnicodeEncodeError as error:
        # OpenCV 5 crashes on such a name.
        raise EdgeError(f"{target} is not valid text", "rename the video") from error
    timeouts = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _STREAM_TIMEOUT_MS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC, _STREAM_TIMEOUT_MS,
    ]  # fmt: skip
    return cv2.VideoCapture(target, cv2.CAP_FFMPEG, timeouts)
