import os
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.errors import EdgeError
from edge.runtime.sources import CameraSettings, open_camera, open_source

SHADES = (40, 120, 200)


def never(sentence: str) -> None:
    raise AssertionError(sentence)


def write_picture(path: Path, shade: int) -> Path:
    cv2.imwrite(str(path), np.full((20, 30, 3), shade, np.uint8))
    return path


def write_video(path: Path) -> Path:
    codec = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), codec, 10, (64, 48))
    for shade in SHADES:
        writer.write(np.full((48, 64, 3), shade, np.uint8))
    writer.release()
    return path


def test_a_picture_is_one_frame(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "face.png", 90)
    with open_source(str(path), warn=never) as source:
        [frame] = source
    assert (frame.index, frame.source, frame.picture.shape) == (0, str(path), (20, 30, 3))
    assert frame.captured <= time.perf_counter()


def test_a_folder_comes_in_name_order_and_skips_what_cannot_be_read(tmp_path: Path) -> None:
    for name, shade in (("c.png", 3), ("a.JPG", 1), ("d.bmp", 4)):
        write_picture(tmp_path / name, shade)
    (tmp_path / "b.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("not looked at")
    warnings: list[str] = []
    with open_source(str(tmp_path), warn=warnings.append) as source:
        frames = list(source)
    assert [Path(frame.source).name for frame in frames] == ["a.JPG", "c.png", "d.bmp"]
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert source.unreadable == 1
    assert len(warnings) == 1
    assert "b.png" in warnings[0]


def test_a_folder_of_unreadable_pictures_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    warnings: list[str] = []
    with (
        open_source(str(tmp_path), warn=warnings.append) as source,
        pytest.raises(EdgeError, match="none of the 1 pictures"),
    ):
        list(source)


def test_a_folder_stops_when_it_is_told_to(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        write_picture(tmp_path / name, 9)
    with open_source(str(tmp_path), warn=never) as source:
        frames = iter(source)
        next(frames)
        source.stop()
        assert list(frames) == []
    assert (source.live, source.reconnects, source.about()) == (False, 0, None)


def test_a_video_gives_its_frames_in_order(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.avi")
    with open_source(str(path), warn=never) as source:
        frames = list(source)
    assert [frame.index for frame in frames] == [0, 1, 2]
    means = [float(frame.picture.mean()) for frame in frames]
    assert means == pytest.approx(SHADES, abs=4)


def test_a_file_named_like_a_camera_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "clip.avi").rename("7")
    with open_source("7", warn=never) as source:
        assert len(list(source)) == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("zero.mp4", b"", "is empty"),
        ("text.mp4", b"hello", "neither a picture nor a video"),
        ("text", b"hello", "neither a picture nor a video"),
    ],
)
def test_what_is_no_video_is_refused(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EdgeError, match=message):
        open_source(str(tmp_path / name), warn=never)


def test_a_missing_file_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="no such file"):
        open_source(str(tmp_path / "gone.jpg"), warn=never)
    with pytest.raises(EdgeError, match="no picture in"):
        open_source(str(tmp_path), warn=never)


def test_an_unknown_kind_of_stream_is_refused() -> None:
    with pytest.raises(EdgeError, match="stream of another kind"):
        open_source("gopher://host/faces", warn=never)


def test_a_stream_that_nobody_sends_is_refused() -> None:
    with pytest.raises(EdgeError, match="cannot be opened"):
        open_source("http://127.0.0.1:9/faces", warn=never)


def test_a_video_whose_name_is_no_text_is_refused_in_words(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4")
    Path(name).write_bytes(b"hello")
    with pytest.raises(EdgeError, match="is not valid text"):
        open_source(name, warn=never)


@pytest.mark.parametrize("camera", ["99", "/dev/video99", "/dev/v4l/by-id/usb-none"])
def test_a_camera_that_is_not_there_is_refused(camera: str) -> None:
    with pytest.raises(EdgeError, match=f"camera {camera} cannot be opened"):
        open_camera(camera, warn=never)


def test_a_device_file_is_a_camera_as_a_source_as_well() -> None:
    with pytest.raises(EdgeError, match="camera /dev/video99 cannot be opened"):
        open_source("/dev/video99", warn=never)


@pytest.mark.parametrize("camera", ["front", "picamera:x", "-1"])
def test_a_word_is_no_camera(camera: str) -> None:
    with pytest.raises(EdgeError, match=f"{camera} is not a camera"):
        open_camera(camera, warn=never)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": (640, 0)}, "no camera gives 640×0 pixels"),
        ({"fps": 0.0}, "no camera gives 0 frames"),
        ({"fps": float("nan")}, "no camera gives nan frames"),
        ({"format": "MJPEG"}, "MJPEG is not a pixel format"),
    ],
)
def test_settings_that_no_camera_has_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(EdgeError, match=message):
        CameraSettings(**wrong)


def test_settings_tell_what_was_asked_for_alone() -> None:
    assert CameraSettings().to_json() == {}
    assert CameraSettings(size=(640, 480)).to_json() == {"size": [640, 480]}


@pytest.mark.data
def test_a_real_video(data_dir: Path) -> None:
    with open_source(str(data_dir / "videos/book.mkv"), warn=never) as source:
        first = next(iter(source))
    assert first.picture.shape == (480, 640, 3)
