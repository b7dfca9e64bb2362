import os
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.errors import EdgeError
from edge.faces import Box, Detection, Face
from edge.runtime.controls import Running
from edge.runtime.demo import Demo
from edge.runtime.pipeline import STAGES, Result
from edge.runtime.recording import Recording, drawn, fitted
from edge.runtime.sources import Frame

FACE = Face(Detection(Box(0.25, 0.5, 0.5, 0.25), 0.9), {"Smiling": 0.98}, ("Smiling",))


def running(*, live: bool = False, fps: float | None = None) -> Any:
    return Running({}, None, lambda: 0, live=live, fps=fps)  # type: ignore[arg-type]


def results(count: int, *, every_s: float = 1 / 30) -> list[Result]:
    return [
        Result(replace(frame, captured=100 + frame.index * every_s), [FACE],
               dict.fromkeys(STAGES, 1.0), 5.0)
        for frame in islice(Demo(), count)
    ]  # fmt: skip


def frames_of(path: Path) -> tuple[list[Any], float]:
    capture = cv2.VideoCapture(str(path))
    fps = capture.get(cv2.CAP_PROP_FPS)
    found = []
    while True:
        read, picture = capture.read()
        if not read:
            break
        found.append(picture)
    capture.release()
    return found, fps


def saved(path: Path, shown: list[Result], given: Any) -> None:
    recording = Recording(path)
    recording.begin(given)
    for one in shown:
        recording.show(one)
    recording.close()


def test_each_frame_of_a_file_is_there_with_its_boxes(tmp_path: Path) -> None:
    shown = results(40)
    saved(tmp_path / "run.mp4", shown, running(fps=25.0))
    found, fps = frames_of(tmp_path / "run.mp4")
    assert (len(found), fps) == (40, 25)
    for one, picture in zip(shown, found, strict=True):
        expected = drawn(one.frame.picture, one.faces)
        assert picture.shape == expected.shape
        assert np.abs(picture.astype(int) - expected).mean() < 6
    assert [path.name for path in tmp_path.iterdir()] == ["run.mp4"]


def test_a_box_and_its_label_are_drawn_where_the_face_is() -> None:
    picture = np.zeros((400, 600, 3), np.uint8)
    found = drawn(picture, [FACE])
    assert not picture.any()
    assert found[200:300, 150].any(axis=1).all()
    assert found[200, 150:450].any(axis=1).all()
    assert not found[220:280, 170:430].any()
    assert found[180:199, 155:200].any()
    nobody = drawn(picture, [replace(FACE, labels=())])
    assert not nobody[:195].any()


@pytest.mark.parametrize(("every_s", "count", "expected"), [(0.1, 20, 58), (0.01, 100, 31)])
def test_the_video_of_a_camera_lasts_as_long_as_the_run(
    tmp_path: Path, every_s: float, count: int, expected: int
) -> None:
    shown = results(count, every_s=every_s)
    saved(tmp_path / "run.mp4", shown, running(live=True, fps=30.0))
    found, _ = frames_of(tmp_path / "run.mp4")
    assert len(found) == pytest.approx(expected, abs=1)


def test_a_long_pause_is_left_out(tmp_path: Path) -> None:
    first, *later = results(20)
    shown = [first, *(
        replace(one, frame=replace(one.frame, captured=one.frame.captured + 3600)) for one in later
    )]  # fmt: skip
    saved(tmp_path / "run.mp4", shown, running(live=True, fps=30.0))
    assert len(frames_of(tmp_path / "run.mp4")[0]) == pytest.approx(20, abs=1)


def test_no_stream_has_90_000_frames_a_second(tmp_path: Path) -> None:
    saved(tmp_path / "run.mp4", results(3), running(fps=90_000.0))
    assert frames_of(tmp_path / "run.mp4")[1] == 30


def test_pictures_of_other_sizes_fit_into_the_first_one(tmp_path: Path) -> None:
    shown = [
        Result(Frame(at, "", np.full((*size, 3), 200, np.uint8), 0.0), [], {}, 1.0)
        for at, size in enumerate([(101, 201), (400, 100), (50, 50), (1, 1)])
    ]
    saved(tmp_path / "run.mp4", shown, running())
    found, fps = frames_of(tmp_path / "run.mp4")
    assert fps == 30
    assert [picture.shape for picture in found] == [(100, 200, 3)] * 4


def test_a_picture_is_fitted_whole_and_undistorted() -> None:
    wide = np.full((100, 400, 3), 255, np.uint8)
    found = fitted(wide, (200, 200))
    assert found.shape == (200, 200, 3)
    assert found[75:125].all()
    assert not found[:75].any()
    assert not found[125:].any()


@pytest.mark.timeout(60)
def test_a_failing_encoder_is_told_of_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(picture: Any, faces: Any) -> Any:
        raise ValueError("broken")

    monkeypatch.setattr("edge.runtime.recording.drawn", broken)
    recording = Recording(tmp_path / "run.mp4")
    recording.begin(running())
    with pytest.raises(ValueError, match="broken"):
        list(map(recording.show, results(60)))
    with pytest.raises(ValueError, match="broken"):
        recording.close()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_run_without_frames(tmp_path: Path) -> None:
    saved(tmp_path / "run.mp4", [], running())
    Recording(tmp_path / "other.mp4").close()
    assert list(tmp_path.iterdir()) == []


def test_an_old_video_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.mp4"
    path.write_bytes(b"old")
    recording = Recording(path)
    recording.begin(running())
    recording.show(results(1)[0])
    assert path.read_bytes() == b"old"
    recording.close()
    assert len(frames_of(path)[0]) == 1


@pytest.mark.parametrize("name", ["run.avi", "run", "run.mp3"])
def test_another_ending_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(EdgeError, match="cannot be saved as"):
        Recording(tmp_path / name)


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    saved(tmp_path / "a" / "b" / "run.mp4", results(2), running())
    assert (tmp_path / "a" / "b" / "run.mp4").is_file()


def test_what_cannot_be_written_is_refused_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(EdgeError, match="is a folder"):
        Recording(tmp_path / "folder.mp4")
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgeError):
        Recording(tmp_path / "file" / "run.mp4")


@pytest.mark.skipif(os.getuid() != 0, reason="a small disk is mounted by root")
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    import subprocess

    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=False
    )
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with pytest.raises(EdgeError, match="could not be written whole"):
            saved(disk / "run.mp4", results(60), running())
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)
