"""What OpenCV reads frame by frame: videos and network streams."""

import math
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2

from edge.errors import EdgeError
from edge.images import SUFFIXES, require_size, silence_opencv
from edge.runtime.reconnect import TIMEOUT_S, Live, Read, Taken
from edge.runtime.sources import Frame, Source, Warn, without_secrets

# OpenCV says the same of a frame that cannot be decoded and of the end. It says so at once where
# there is nothing more, so that asking on costs milliseconds.
_MOST_FAILURES = 1000

# Twice 8K: 200 MB a frame, of which several are on their way at once.
_MAX_PIXELS = 1 << 26

# A read that the end of the run finds under way cannot be interrupted.
_CLOSE_WAIT_S = 1.0


class Capture:
    """A video, stream or camera that OpenCV has open.

    Args:
        capture: Opened.
    """

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        self._reading = threading.Lock()
        self._closed = False
        size = [int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
                int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))]  # fmt: skip
        fps = capture.get(cv2.CAP_PROP_FPS)
        self.got: dict[str, Any] = {
            "size": size if min(size) > 0 else None,
            "fps": round(fps, 3) if 0 < fps < math.inf else None,
            "format": _letters(capture.get(cv2.CAP_PROP_FOURCC)),
        }

    def read(self, stopped: threading.Event) -> Taken | None:
        """Wait for the next frame that can be decoded.

        Args:
            stopped: Ends the wait.

        Returns:
            The frame; None where there will be no more, or where the wait was ended.
        """
        with self._reading:
            taken = None if self._closed else self._read(stopped)
        if self._closed:
            self.close()
        return taken

    def _read(self, stopped: threading.Event) -> Taken | None:
        began = time.perf_counter()
        for failures in range(_MOST_FAILURES):
            # A camera's broken JPEG may end in an exception.
            with suppress(cv2.error):
                if self._capture.grab():
                    captured = self.captured(began)
                    decoded, picture = self._capture.retrieve()
                    if decoded and picture.ndim == 3:
                        # It may grow on the way.
                        require_size("a frame", picture.shape[1::-1], _MAX_PIXELS)
                        return Taken(picture, captured, failures)
            if stopped.is_set() or time.perf_counter() - began > TIMEOUT_S:
                break
        return None

    def captured(self, began: float) -> float:
        """Say when the frame was taken that was grabbed just now.

        Args:
            began: When the wait for it began.
        """
        return time.perf_counter()

    def close(self) -> None:
        """Release it, or have the thread that reads release it."""
        self._closed = True
        if self._reading.acquire(timeout=_CLOSE_WAIT_S):
            self._capture.release()
            self._reading.release()


class Recording(Capture):
    """A video that has an end.

    Args:
        capture: Opened.
    """

    def __init__(self, capture: cv2.VideoCapture) -> None:
        super().__init__(capture)
        self.position_s = 0.0
        frames, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), self.got["fps"]
        self.duration_s = frames / fps if fps and 0 < frames < math.inf else None

    def captured(self, began: float) -> float:
        """Say when reading the frame began: it was taken long ago."""
        self.position_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return began

    def cut_short(self) -> bool:
        """Say whether it ended well before the length that it claims."""
        if self.duration_s is None:
            return False
        missing = self.duration_s - self.position_s - 1 / self.got["fps"]
        return missing > max(1.0, self.duration_s / 10)


class Video(Read):
    """A video that has an end, in a file or at an address.

    Args:
        recording: Opened.
        name: What the user calls it.
        warn: Called with a sentence where it ends too early.
        remote: Whether it is at an address.
    """

    def __init__(self, recording: Recording, name: str, *, warn: Warn, remote: bool) -> None:
        super().__init__(name)
        self._recording = recording
        self._warn = warn
        self._remote = remote

    def __iter__(self) -> Iterator[Frame]:
        yield from self.frames_of(self._recording)
        if not self._stopped.is_set() and self._recording.cut_short():
            self._warn(
                f"{self.name} should last {self._recording.duration_s:.1f} s, but nothing after "
                f"{self._recording.position_s:.1f} s can be read"
            )

    @property
    def fps(self) -> float | None:
        """Frames a second of the video."""
        return float(self._recording.got["fps"]) if self._recording.got["fps"] else None

    def about(self) -> dict[str, Any] | None:
        """Return what an address gives; None for a file."""
        return {"asked": {}, "got": self._recording.got} if self._remote else None

    def close(self) -> None:
        """Release the file or the connection."""
        self._recording.close()


def open_video(path: Path, *, name: str, warn: Warn, expected: str) -> Source:
    """Open a video file.

    Args:
        path: The file.
        name: What the user calls it.
        warn: Called with a sentence where the video ends too early.
        expected: What to say that a source may be.

    Raises:
        EdgeError: It cannot be decoded, or its frames are too large.
    """
    # Absolute, so that no name is taken for a protocol of FFmpeg's.
    capture = _open(str(path.absolute()), [])
    if not capture.isOpened():
        raise EdgeError(f"{path} is neither a picture nor a video that can be decoded", expected)
    return Video(Recording(capture), name, warn=warn, remote=False)


def open_stream(address: str, *, warn: Warn, until_lost: bool) -> Source:
    """Open a network stream, or a video or picture at an address.

    What says how long it lasts, and a picture, ends there. Anything else is live.

    Args:
        address: Begins with a protocol.
        warn: Called with a sentence each time that the stream is lost.
        until_lost: End when it is lost.

    Raises:
        EdgeError: Nothing answers, or nothing that can be decoded.
    """
    name = without_secrets(address)
    capture = _connect(address)
    recording = Recording(capture)
    if recording.duration_s is not None or urlsplit(address).path.lower().endswith(SUFFIXES):
        return Video(recording, name, warn=warn, remote=True)
    return Live(Capture(capture), name, reopen=lambda: Capture(_connect(address)), asked={},
                warn=warn, until_lost=until_lost)  # fmt: skip


def _connect(address: str) -> cv2.VideoCapture:
    # FFmpeg's threads each hold back one frame: on four cores the picture would be three frames
    # old. Its option `nobuffer` is none: it throws away the first key frame, without which OpenCV
    # gives up. RTSP goes over TCP, OpenCV's choice where the server has it.
    timeout = int(TIMEOUT_S * 1000)
    options = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, timeout,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC, timeout,
        cv2.CAP_PROP_N_THREADS, 1,
    ]  # fmt: skip
    capture = _open(address, options)
    if not capture.isOpened():
        raise EdgeError(
            f"the stream {without_secrets(address)} cannot be opened",
            "check the address, or that it is sending",
        )
    return capture


def _open(target: str, options: Sequence[int]) -> cv2.VideoCapture:
    """Open a capture without OpenCV's and FFmpeg's own words on stderr."""
    silence_opencv()
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        target.encode()
    except UnicodeEncodeError as error:
        # OpenCV 5 crashes on such a name.
        raise EdgeError(
            f"{without_secrets(target)} is not valid text", "rename the video"
        ) from error
    capture = cv2.VideoCapture(target, cv2.CAP_FFMPEG, options)
    size = [int(capture.get(of)) for of in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
    require_size(without_secrets(target), (size[0], size[1]), _MAX_PIXELS)
    return capture


def _letters(code: float) -> str | None:
    """Return a code of four letters as text."""
    letters = (int(code) & 0xFFFFFFFF).to_bytes(4, "little").decode("latin-1")
    return letters if letters.isascii() and letters.isprintable() else None
