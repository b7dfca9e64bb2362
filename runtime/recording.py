"""A video of a run, with its boxes and labels."""

import os
import queue
import threading
from pathlib import Path

import cv2

from edge.contract import Picture
from edge.errors import EdgeError
from edge.faces import Face
from edge.files import require_writable
from edge.runtime.controls import Running
from edge.runtime.outputs import Output
from edge.runtime.pipeline import Result

# Frames a second where the source does not say.
_RATE, _HIGHEST_RATE = 30.0, 240.0
_LONGEST_GAP_S = 10.0
_VIDEO = "its video"
# Frames that wait to be written: a run is not faster than its video.
_MOST_WAITING = 8
_COLOUR, _INK = (160, 211, 76), (28, 40, 6)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


class Recording(Output):
    """Writes a video; it appears under its name when it is whole.

    Of a camera or stream it lasts as long as the run did, whatever was dropped, but for pauses and
    outages of more than ten seconds; of a file it has one frame for each.

    Args:
        path: An .mp4 file.

    Raises:
        EdgeError: Nothing can be written there.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() != ".mp4":
            raise EdgeError(f"a video cannot be saved as {path.name}", "give a name ending in .mp4")
        if path.is_dir():
            raise EdgeError(f"{path} is a folder", "give a name that is free")
        require_writable(path.parent)
        self._path = path
        self._part = path.with_name(f".{path.stem}-{os.getpid()}.part.mp4")
        self._results: queue.Queue[Result | None] = queue.Queue(_MOST_WAITING)
        self._writer: cv2.VideoWriter | None = None
        self._written = 0
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._write_all, name="edge recording", daemon=True)

    def begin(self, running: Running) -> None:
        """Take frames from now on."""
        fps = running.fps or _RATE
        self._rate = fps if fps <= _HIGHEST_RATE else _RATE  # streams claim 90,000
        self._live = running.live
        self._running = running
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def show(self, result: Result) -> None:
        """Take one frame, once there is room for it."""
        if self._failure is not None:
            raise self._failure
        if self._results.full():
            self._running.waits.add(_VIDEO)
        self._results.put(result)
        self._running.waits.discard(_VIDEO)

    def close(self) -> None:
        """Finish the video.

        Raises:
            EdgeError: It could not be written.
        """
        if not self._thread.is_alive():
            return
        self._results.put(None)
        self._thread.join()
        if self._writer is not None:
            self._writer.release()
        try:
            if self._failure is not None:
                raise self._failure
            if self._written:
                self._require_whole()
                self._part.replace(self._path)
        finally:
            self._part.unlink(missing_ok=True)

    def _write_all(self) -> None:
        while (result := self._results.get()) is not None:
            if self._failure is None:
                try:
                    self._write(result)
                except Exception as failure:  # raised where frames are handed over
                    self._failure = failure

    def _write(self, result: Result) -> None:
        picture = drawn(result.frame.picture, result.faces)
        if self._writer is None:
            self._began = result.frame.captured
            # Encoders want even sides.
            self._size = (picture.shape[1] & ~1 or 2, picture.shape[0] & ~1 or 2)
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._part), code, self._rate, self._size)
            if not self._writer.isOpened():
                raise EdgeError(f"cannot write the video {self._path}", "choose another --save")
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = fitted(picture, self._size)
        copies = 1
        if self._live:
            due = round((result.frame.captured - self._began) * self._rate) + 1
            copies = max(due - self._written, 0)
            if copies > _LONGEST_GAP_S * self._rate:
                # A pause or an outage: left out, and the time begins anew.
                self._began = result.frame.captured - self._written / self._rate
                copies = 1
        for _ in range(copies):
            self._writer.write(picture)
        self._written += copies

    def _require_whole(self) -> None:
        """Refuse a video that cannot be read: OpenCV says nothing of a full disk."""
        capture = cv2.VideoCapture(str(self._part))
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        capture.release()
        if count < self._written:
            raise EdgeError(
                f"the video {self._path} could not be written whole",
                "is there room on the disk?",
            )


def drawn(picture: Picture, faces: list[Face]) -> Picture:
    """Return a picture with the boxes and labels of its faces: uint8 (height, width, 3), BGR."""
    picture = picture.copy()
    height, width = picture.shape[:2]
    line = max(1, round(width / 320))
    size = max(0.4, width / 900)
    for face in faces:
        x, y, wide, high = face.detection.box.in_whole_pixels(width, height)
        cv2.rectangle(picture, (x, y), (x + wide, y + high), _COLOUR, line)
        words = ", ".join(face.labels)
        if words:
            (long, tall), below = cv2.getTextSize(words, _FONT, size, line)
            bottom = y if y > tall + below else y + high + tall + below
            corner = (x, bottom - tall - below)
            cv2.rectangle(picture, corner, (x + long, bottom), _COLOUR, cv2.FILLED)
            cv2.putText(picture, words, (x, bottom - below), _FONT, size, _INK, line, cv2.LINE_AA)
    return picture


def fitted(picture: Picture, size: tuple[int, int]) -> Picture:
    """Return a picture of another size, whole and undistorted, with black beside it.

    Args:
        picture: uint8 (height, width, 3).
        size: Width and height in pixels.
    """
    height, width = picture.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    scaled = cv2.resize(picture, inner, interpolation=cv2.INTER_AREA)
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    return cv2.copyMakeBorder(
        scaled, top, size[1] - inner[1] - top, left, size[0] - inner[0] - left,
        cv2.BORDER_CONSTANT,
    )  # fmt: skip
