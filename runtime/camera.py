"""Cameras: on USB through V4L2, and on the ribbon connector of a Raspberry Pi through picamera2."""

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2

from edge.errors import EdgeError, first_line
from edge.images import silence_opencv
from edge.runtime.reconnect import TIMEOUT_S, Device, Live, Taken, when
from edge.runtime.sources import CameraSettings, Source, Warn, size_in_words
from edge.runtime.streams import Capture

_V4L2 = re.compile(r"(?:/dev/video)?(\d{1,3})|/dev/v4l/by-(?:id|path)/.+")
_PICAMERA = re.compile(r"picamera(?::(\d))?")

# Where Raspberry Pi OS installs it, out of the sight of a virtual environment.
_APT_PACKAGE = Path("/usr/lib/python3/dist-packages/picamera2")

# With one buffer cameras are reported to reach half of their rate: it is not back in time for the
# next frame.
_BUFFERS = 2

# What picamera2 and libcamera raise where a camera is busy, gone or out of memory.
_CAMERA_ERRORS = (RuntimeError, ValueError, OSError, LookupError)

# How soon a wait for a frame notices that the run is over.
_SLICE_S = 0.2


def open_camera(camera: str, *, asked: CameraSettings, warn: Warn, until_lost: bool) -> Source:
    """Open a camera.

    Args:
        camera: Its number or its device file, or "picamera", or "picamera:1" for the second.
        asked: What it should give.
        warn: Called with a sentence where it gives something else, and each time it is lost.
        until_lost: End when it is lost, instead of opening it again.

    Raises:
        EdgeError: There is no such camera, or it cannot be opened.
    """
    reopen: Callable[[], Device]
    if match := _V4L2.fullmatch(camera):
        name = f"camera {match[1] or camera}"
        path = f"/dev/video{match[1]}" if match[1] else camera
        reopen = partial(V4l2Camera, path, camera, asked)
    elif match := _PICAMERA.fullmatch(camera):
        name = camera
        reopen = partial(Picamera, int(match[1] or 0), asked)
    else:
        raise EdgeError(f"{camera} is not a camera", "expected a number, /dev/videoN, or picamera")
    device = reopen()
    if other := _other_than_asked(asked, device.got):
        warn(f"{name} gives {other}")
    return Live(device, name, reopen=reopen, asked=asked.to_json(), warn=warn,
                until_lost=until_lost)  # fmt: skip


class V4l2Camera(Capture):
    """A camera that the kernel knows, opened by OpenCV.

    Args:
        path: Its device file.
        camera: What the user calls it.
        asked: What it should give.

    Raises:
        EdgeError: There is none, or it cannot be opened.
    """

    def __init__(self, path: str, camera: str, asked: CameraSettings) -> None:
        silence_opencv()
        capture = cv2.VideoCapture(path, cv2.CAP_V4L2)
        if not capture.isOpened():
            raise _no_camera(path, camera)
        # In this order: the format decides which sizes there are, and both which rates.
        if asked.format is not None:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*asked.format))
        if asked.size is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, asked.size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, asked.size[1])
        if asked.fps is not None:
            capture.set(cv2.CAP_PROP_FPS, asked.fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, _BUFFERS)
        super().__init__(capture)

    def captured(self, began: float) -> float:
        """Say when the kernel had the frame, or now where the driver does not know."""
        stamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return when(stamp) or time.perf_counter()


class Picamera:
    """A camera on the ribbon connector, through picamera2.

    Args:
        number: Counts the connected ones from 0.
        asked: What it should give; its pixels always come as BGR.

    Raises:
        EdgeError: picamera2 is not to be had here, or the camera cannot be opened.
    """

    def __init__(self, number: int, asked: CameraSettings) -> None:
        picamera2 = _import_picamera2()
        try:
            connected = picamera2.Picamera2.global_camera_info()
            if number >= len(connected):
                raise _not_connected(number, connected)
            self._camera = picamera2.Picamera2(number)
        except _CAMERA_ERRORS as error:
            raise _not_opened(number, error) from error
        try:
            self.got = self._start(asked)
        except _CAMERA_ERRORS as error:
            self.close()
            raise _not_opened(number, error) from error

    def _start(self, asked: CameraSettings) -> dict[str, Any]:
        """Configure and start it, and return what it gives."""
        # What libcamera calls RGB888 lies in memory as blue, green, red.
        main: dict[str, Any] = {"format": "RGB888"}
        main |= {"size": asked.size} if asked.size else {}
        controls = {"FrameRate": asked.fps} if asked.fps else {}
        self._camera.configure(
            self._camera.create_video_configuration(main=main, controls=controls, buffer_count=4)
        )
        self._camera.start()
        given = self._camera.camera_configuration()["main"]
        request = self._request(threading.Event())
        if request is None:
            raise RuntimeError("it gave no frame")
        duration_us = request.get_metadata().get("FrameDuration")
        request.release()
        return {
            "size": list(given["size"]),
            "fps": round(1e6 / duration_us, 3) if duration_us else None,
            "format": given["format"],
        }

    def _request(self, stopped: threading.Event) -> Any:
        job = self._camera.capture_request(wait=False)
        until = time.perf_counter() + TIMEOUT_S
        while not stopped.is_set() and time.perf_counter() < until:
            with suppress(TimeoutError):
                return job.get_result(timeout=_SLICE_S)
        return None

    def read(self, stopped: threading.Event) -> Taken | None:
        """Wait for the next frame; None where the camera gives no more, or where it was stopped."""
        with suppress(*_CAMERA_ERRORS):
            request = self._request(stopped)
            if request is None:
                return None
            try:
                stamp = request.get_metadata().get("SensorTimestamp", 0) / 1e9
                captured = when(stamp) or time.perf_counter()
                return Taken(request.make_array("main"), captured, 0)
            finally:
                # The camera has but a few buffers, and stops when it misses all of them.
                request.release()
        return None

    def close(self) -> None:
        """Stop the camera and let others have it."""
        for end in (self._camera.stop, self._camera.close):
            with suppress(*_CAMERA_ERRORS):
                end()


def _other_than_asked(asked: CameraSettings, got: dict[str, Any]) -> str:
    """Return in words where a camera gives something else than it was asked for."""
    differences = []
    if asked.size and got["size"] != list(asked.size):
        given = size_in_words(got["size"]) if got["size"] else "an unknown size"
        differences.append(f"{given} instead of {size_in_words(asked.size)}")
    # 29.97 is what cameras call 30.
    if asked.fps and (got["fps"] is None or abs(got["fps"] - asked.fps) > asked.fps / 50):
        given = f"{got['fps']:g}" if got["fps"] else "an unknown number of"
        differences.append(f"{given} FPS instead of {asked.fps:g}")
    if asked.format and got["format"] != asked.format:
        differences.append(f"{got['format'] or 'an unknown format'} instead of {asked.format}")
    return ", ".join(differences)


def _no_camera(path: str, camera: str) -> EdgeError:
    found = ", ".join(map(str, sorted(Path("/dev").glob("video*")))) or "none"
    if not Path(path).exists():
        hint = "connect one, choose it with --camera, or try `edge run --demo`"
    elif not os.access(path, os.R_OK | os.W_OK):
        hint = "you may not use it: sudo usermod -aG video $USER, then log in again"
    else:
        hint = "end what else uses it, or choose another with --camera; some give no pictures"
    return EdgeError(f"camera {camera} cannot be opened (found: {found})", hint)


def _import_picamera2() -> Any:
    if find_spec("picamera2") is None:
        raise _not_installed()
    # libcamera tells its version and each configuration on stderr.
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:ERROR")
    logging.getLogger("picamera2").setLevel(logging.CRITICAL)
    try:
        import picamera2
    except (ImportError, ValueError, OSError) as error:
        # ValueError: the system's simplejpeg was built for an older NumPy than this one.
        newer = "numpy" in str(error)
        raise EdgeError(
            f"picamera2 cannot be loaded: {first_line(error)}",
            f"{sys.executable} -m pip install --force-reinstall simplejpeg" if newer
            else "sudo apt install -y --reinstall python3-picamera2 python3-libcamera",
        ) from error  # fmt: skip
    return picamera2


def _not_installed() -> EdgeError:
    # Run on a virtual environment that is there, this lets it see the system's packages and keeps
    # what it holds.
    folder = sys.prefix if sys.prefix != sys.base_prefix else ".venv"
    visible = f"/usr/bin/python3 -m venv --system-site-packages {folder}"
    if _APT_PACKAGE.is_dir():
        return EdgeError(
            f"picamera2 is installed for the system's Python, but {sys.executable} does not see it",
            f"{visible}, and install edge there if it is gone",
        )
    return EdgeError(
        "picamera2 is not installed here",
        f"on a Raspberry Pi: sudo apt install -y python3-picamera2 && {visible}; elsewhere use a "
        "USB camera: --camera 0",
    )


def _not_connected(number: int, connected: list[dict[str, Any]]) -> EdgeError:
    found = ", ".join(camera.get("Model", "unnamed") for camera in connected) or "none"
    return EdgeError(
        f"picamera {number} is not connected (found: {found})",
        "check its ribbon cable with `rpicam-hello --list-cameras`, or use --camera 0",
    )


def _not_opened(number: int, error: Exception) -> EdgeError:
    return EdgeError(
        f"picamera {number} cannot be opened: {first_line(error)}",
        "end what else uses it, and see whether `rpicam-hello` shows its picture",
    )
