"""Cameras: the kernel's virtual one where there is one, and doubles that give recorded frames."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from importlib.machinery import ModuleSpec
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from edge.contract import Picture
from edge.errors import EdgeError
from edge.runtime import camera as cameras
from edge.runtime import reconnect
from edge.runtime.sources import CameraSettings, open_camera

VIVID = Path("/sys/bus/platform/drivers/vivid")


def never(sentence: str) -> None:
    raise AssertionError(sentence)


def recorded_frames() -> list[Picture]:
    """What a camera saw, blue to the left and red to the right, kept as JPEG."""
    frames = []
    for shade in (120, 160, 200):
        frame = np.zeros((48, 64, 3), np.uint8)
        frame[:, :32, 0] = frame[:, 32:, 2] = shade
        jpeg = cv2.imencode(".jpg", frame)[1]
        frames.append(cv2.imdecode(jpeg, cv2.IMREAD_COLOR))
    return frames


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "FIRST_WAIT_S", 0.05)
    monkeypatch.setattr(cameras, "TIMEOUT_S", 0.5)


class RecordedCapture:
    """A `cv2.VideoCapture` of a camera that knows 640×480 and 1280×720, at 30 FPS, as YUYV."""

    asked: list[int]
    stamp: float = 0.0

    def __init__(self, path: str, backend: int) -> None:
        assert (path, backend) == ("/dev/video0", cv2.CAP_V4L2)
        RecordedCapture.asked = []
        self._frames = recorded_frames()
        self._values: dict[int, float] = {
            cv2.CAP_PROP_FRAME_WIDTH: 640,
            cv2.CAP_PROP_FRAME_HEIGHT: 480,
            cv2.CAP_PROP_FPS: 30,
            cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"YUYV"),
        }

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def set(self, name: int, value: float) -> bool:
        self.asked.append(name)
        if name == cv2.CAP_PROP_FRAME_WIDTH and value == 1280:
            self._values |= {name: 1280, cv2.CAP_PROP_FRAME_HEIGHT: 720}
        return True

    def get(self, name: int) -> float:
        if name == cv2.CAP_PROP_POS_MSEC:
            return self.stamp * 1000
        return self._values[name]

    def grab(self) -> bool:
        return bool(self._frames)

    def retrieve(self) -> tuple[bool, Picture | None]:
        return True, self._frames.pop(0)

    def release(self) -> None:
        pass


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch) -> type[RecordedCapture]:
    monkeypatch.setattr(cv2, "VideoCapture", RecordedCapture)
    monkeypatch.setattr(RecordedCapture, "stamp", 0.0)
    return RecordedCapture


def test_a_camera_is_asked_in_the_order_that_works(capture: type[RecordedCapture]) -> None:
    asked = CameraSettings(size=(1280, 720), fps=29.97, format="YUYV")
    with open_camera("0", asked=asked, warn=never) as source:
        assert source.about() == {
            "asked": {"size": [1280, 720], "fps": 29.97, "format": "YUYV"},
            "got": {"size": [1280, 720], "fps": 30.0, "format": "YUYV"},
        }
    assert source.live
    assert source.name == "camera 0"
    assert capture.asked == [
        cv2.CAP_PROP_FOURCC,
        cv2.CAP_PROP_FRAME_WIDTH,
        cv2.CAP_PROP_FRAME_HEIGHT,
        cv2.CAP_PROP_FPS,
        cv2.CAP_PROP_BUFFERSIZE,
    ]


def test_a_camera_that_gives_something_else_is_told_of(capture: type[RecordedCapture]) -> None:
    warnings: list[str] = []
    asked = CameraSettings(size=(1920, 1080), fps=60, format="MJPG")
    open_camera("/dev/video0", asked=asked, warn=warnings.append).close()
    assert warnings == [
        "camera 0 gives 640×480 instead of 1920×1080, 30 FPS instead of 60, YUYV instead of MJPG"
    ]


def test_what_was_not_asked_for_is_left_to_the_camera(capture: type[RecordedCapture]) -> None:
    open_camera("0", warn=never).close()
    assert capture.asked == [cv2.CAP_PROP_BUFFERSIZE]


def test_frames_are_as_old_as_the_driver_says(capture: type[RecordedCapture]) -> None:
    with open_camera("0", warn=never, until_lost=True) as source:
        capture.stamp = time.monotonic() - 0.3
        frames = list(source)
    assert [frame.index for frame in frames] == [0, 1, 2]
    # perf_counter is the monotonic clock on Linux.
    assert frames[0].captured == pytest.approx(capture.stamp, abs=0.002)


@pytest.mark.parametrize("stamp", [0.0, 5.0, 1e9])
def test_a_time_stamp_that_cannot_be_true_is_not_believed(
    capture: type[RecordedCapture], stamp: float
) -> None:
    before = time.perf_counter()
    with open_camera("0", warn=never, until_lost=True) as source:
        capture.stamp = stamp
        frame = next(iter(source))
    assert before <= frame.captured <= time.perf_counter()


def test_time_stamps_of_both_clocks_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.perf_counter()
    slept = 5000.0
    clocks = {time.CLOCK_MONOTONIC: now, time.CLOCK_BOOTTIME: now + slept}
    monkeypatch.setattr(time, "clock_gettime", clocks.get)
    assert reconnect.when(now - 0.2) == pytest.approx(now - 0.2, abs=0.05)
    assert reconnect.when(now + slept - 0.2) == pytest.approx(now - 0.2, abs=0.05)
    assert reconnect.when(now - 2) is None
    assert reconnect.when(now + 1) is None


def test_a_camera_that_is_there_but_does_not_open_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    device = tmp_path / "video7"
    assert "connect one" in cameras._no_camera(str(device), "7").hint
    device.touch()
    assert "end what else uses it" in cameras._no_camera(str(device), "7").hint
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "usermod -aG video" in cameras._no_camera(str(device), "7").hint


@pytest.fixture
def virtual_camera() -> Iterator[str]:
    """A camera of the kernel's own: modprobe vivid n_devs=1 num_inputs=1 input_types=0."""
    for name in sorted(Path("/sys/class/video4linux").glob("video*/name")):
        if name.read_text().startswith("vivid") and "vid-cap" in name.read_text():
            yield f"/dev/{name.parent.name}"
            return
    pytest.skip("the kernel has no virtual camera: modprobe vivid")


def test_a_virtual_camera_gives_what_it_is_asked_for(virtual_camera: str) -> None:
    asked = CameraSettings(size=(320, 180), fps=15, format="YUYV")
    with open_camera(virtual_camera, asked=asked, warn=never) as source:
        frames = list(islice(source, 10))
        now = time.perf_counter()
    about = source.about()
    assert about is not None
    assert about["got"] == about["asked"]
    assert {frame.picture.shape for frame in frames} == {(180, 320, 3)}
    taken = [frame.captured for frame in frames]
    assert taken == sorted(taken)
    assert now - 1 < taken[-1] <= now


def test_a_virtual_camera_that_does_not_know_a_size_is_told_of(virtual_camera: str) -> None:
    warnings: list[str] = []
    asked = CameraSettings(size=(123, 77))
    open_camera(virtual_camera, asked=asked, warn=warnings.append).close()
    assert len(warnings) == 1
    assert "320×180 instead of 123×77" in warnings[0]


def test_a_virtual_camera_that_is_pulled_out_comes_back(virtual_camera: str) -> None:
    if not os.access(VIVID / "unbind", os.W_OK):
        pytest.skip("only root can pull it out")
    warnings: list[str] = []
    with open_camera(virtual_camera, warn=warnings.append) as source:
        frames = iter(source)
        next(frames)
        (VIVID / "unbind").write_text("vivid.0")
        back = threading.Timer(0.5, (VIVID / "bind").write_text, ["vivid.0"])
        back.start()
        while not source.reconnects:
            next(frames)
        back.join()
    assert source.reconnects == 1
    assert len(warnings) == 1


class RecordedRequest:
    """picamera2's `CompletedRequest`: one frame, on loan."""

    def __init__(self, camera: "RecordedPicamera2", frame: Picture) -> None:
        self._camera, self._frame = camera, frame

    def get_metadata(self) -> dict[str, Any]:
        return {
            "SensorTimestamp": time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 100_000_000,
            "FrameDuration": 33_333,
            "ExposureTime": 9_000,
        }

    def make_array(self, name: str) -> Picture:
        assert name == "main"
        return self._frame.copy()

    def release(self) -> None:
        self._camera.lent -= 1


class RecordedJob:
    """picamera2's `Job`."""

    def __init__(self) -> None:
        self.future: Future[RecordedRequest] = Future()

    def get_result(self, timeout: float | None = None) -> RecordedRequest:
        return self.future.result(timeout=timeout)


class RecordedPicamera2:
    """The documented part of picamera2's `Picamera2` that is used, over recorded frames."""

    connected = ("imx708",)
    # How many frames a camera gives before it hangs.
    frames = 4
    opened: list["RecordedPicamera2"]

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return [{"Model": model, "Id": "/base/soc"} for model in RecordedPicamera2.connected]

    def __init__(self, camera_num: int = 0) -> None:
        self.number, self.lent, self.state = camera_num, 0, "open"
        self.configuration: dict[str, Any] = {}
        self._given = 0
        self.opened.append(self)

    def create_video_configuration(
        self, main: dict[str, Any], controls: dict[str, Any], buffer_count: int = 6
    ) -> dict[str, Any]:
        assert set(main) <= {"size", "format"}
        main = {"format": "XBGR8888", "size": (1280, 720)} | main
        # The image processor wants even sides.
        main["size"] = tuple(side - side % 2 for side in main["size"])
        return {"main": main, "controls": controls, "buffer_count": buffer_count}

    def configure(self, camera_config: dict[str, Any]) -> None:
        self.configuration = camera_config

    def camera_configuration(self) -> dict[str, Any]:
        return self.configuration

    def start(self) -> None:
        self.state = "started"

    def capture_request(self, wait: bool | None = None) -> RecordedJob:
        assert wait is False
        assert self.state == "started"
        job = RecordedJob()
        if self._given < self.frames:
            assert self.lent < self.configuration["buffer_count"], "no buffer was given back"
            self.lent += 1
            frame = recorded_frames()[self._given % 3]
            job.future.set_result(RecordedRequest(self, frame))
            self._given += 1
        return job

    def stop(self) -> None:
        self.state = "stopped"

    def close(self) -> None:
        self.state = "closed"


@pytest.fixture
def picamera2(monkeypatch: pytest.MonkeyPatch) -> type[RecordedPicamera2]:
    module = ModuleType("picamera2")
    module.__spec__ = ModuleSpec("picamera2", None)
    module.Picamera2 = RecordedPicamera2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", module)
    monkeypatch.setenv("LIBCAMERA_LOG_LEVELS", "*:ERROR")
    monkeypatch.setattr(RecordedPicamera2, "opened", [], raising=False)
    return RecordedPicamera2


def test_picamera_gives_pictures_as_opencv_wants_them(picamera2: type[RecordedPicamera2]) -> None:
    asked = CameraSettings(size=(640, 480), fps=30)
    with open_camera("picamera", asked=asked, warn=never, until_lost=True) as source:
        before = time.perf_counter()
        frames = list(source)
    assert [frame.index for frame in frames] == [0, 1, 2]
    left, right = frames[0].picture[24, 8], frames[0].picture[24, 56]
    assert (left.argmax(), right.argmax()) == (0, 2)
    assert before - 0.1 <= frames[0].captured < before + 0.05
    assert source.live
    assert source.about() == {
        "asked": {"size": [640, 480], "fps": 30},
        "got": {"size": [640, 480], "fps": 30.0, "format": "RGB888"},
    }
    [camera] = picamera2.opened
    assert camera.configuration["controls"] == {"FrameRate": 30}
    assert (camera.state, camera.lent) == ("closed", 0)


def test_picamera_that_hangs_is_opened_again(picamera2: type[RecordedPicamera2]) -> None:
    warnings: list[str] = []
    with open_camera("picamera:0", warn=warnings.append) as source:
        frames = list(islice(source, 5))
    assert [frame.index for frame in frames] == list(range(5))
    assert source.reconnects == 1
    assert warnings == ["picamera:0 is lost; it is opened again as soon as it is back"]
    assert [camera.state for camera in picamera2.opened] == ["closed", "closed"]


def test_picamera_that_gives_something_else_is_told_of(picamera2: type[RecordedPicamera2]) -> None:
    warnings: list[str] = []
    asked = CameraSettings(size=(641, 481), fps=60)
    open_camera("picamera", asked=asked, warn=warnings.append).close()
    assert warnings == ["picamera gives 640×480 instead of 641×481, 30 FPS instead of 60"]


def test_picamera_that_hangs_stops_when_it_is_told_to(
    picamera2: type[RecordedPicamera2], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cameras, "TIMEOUT_S", 60.0)
    with open_camera("picamera", warn=never) as source:
        thread = threading.Thread(target=lambda: list(source))
        thread.start()
        time.sleep(0.1)
        source.stop()
        thread.join(5)
        assert not thread.is_alive()


def test_picamera_that_gives_no_frame_is_refused(
    picamera2: type[RecordedPicamera2], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picamera2, "frames", 0)
    with pytest.raises(EdgeError, match="picamera 0 cannot be opened: it gave no frame"):
        open_camera("picamera", warn=never)
    assert picamera2.opened[0].state == "closed"


def test_picamera_that_is_not_connected_is_refused(picamera2: type[RecordedPicamera2]) -> None:
    with pytest.raises(EdgeError, match=r"picamera 1 is not connected \(found: imx708\)"):
        open_camera("picamera:1", warn=never)


def test_picamera_that_is_not_installed_says_what_to_type(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cameras, "find_spec", lambda _: None)
    monkeypatch.setattr(cameras, "_APT_PACKAGE", tmp_path / "gone")
    with pytest.raises(EdgeError, match="picamera2 is not installed here") as caught:
        open_camera("picamera", warn=never)
    assert "sudo apt install -y python3-picamera2" in caught.value.hint
    assert "/usr/bin/python3 -m venv --system-site-packages" in caught.value.hint


def test_picamera_out_of_sight_of_the_environment_says_what_to_type(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cameras, "find_spec", lambda _: None)
    monkeypatch.setattr(cameras, "_APT_PACKAGE", tmp_path)
    with pytest.raises(EdgeError, match="does not see it") as caught:
        open_camera("picamera", warn=never)
    assert f"/usr/bin/python3 -m venv --system-site-packages {sys.prefix}" in caught.value.hint
    assert "apt install" not in caught.value.hint


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("raise ValueError('numpy.dtype size changed')", "--force-reinstall simplejpeg"),
        ("import a_libcamera_that_is_not_there", "--reinstall python3-picamera2 python3-libcamera"),
    ],
)
def test_picamera_that_cannot_be_loaded_says_what_to_type(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, hint: str
) -> None:
    (tmp_path / "picamera2").mkdir()
    (tmp_path / "picamera2" / "__init__.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("LIBCAMERA_LOG_LEVELS", "*:ERROR")
    with pytest.raises(EdgeError, match="picamera2 cannot be loaded") as caught:
        open_camera("picamera", warn=never)
    assert hint in caught.value.hint
