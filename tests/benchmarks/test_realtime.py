import pytest

from edge.benchmarks import realtime
from edge.benchmarks.prepare import demo_frames
from edge.measure import Protocol
from edge.runtime.detectors import create_detector


def test_frames_of_the_demo_show_one_face_in_the_size_asked_for():
    detector = create_detector("blazeface")
    for width, height in ((350, 350), (640, 360)):
        [frame] = demo_frames(1, detector, width=width, height=height)
        assert frame.shape == (height, width, 3)
        assert len(detector.detect(frame)) == 1


@pytest.mark.parametrize("faces", realtime.FACES)
def test_walls_show_so_many_faces(faces):
    [frame] = realtime.walls(faces, 1)
    assert len(create_detector("blazeface").detect(frame)) == faces


def test_a_video_begins_anew_and_is_read_when_asked_for(tmp_path):
    path = tmp_path / "face.avi"
    realtime.write_video(path, demo_frames(2, create_detector("blazeface")))
    video = realtime.Clip(path)
    first = video.picture
    assert next(iter(video)).picture is first
    video.read()
    assert not (video.picture == first).all()
    video.read()
    assert (video.picture == first).all()


def test_the_tables_say_what_was_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(realtime, "PROTOCOL", Protocol(rounds=2, min_samples=4, min_seconds=0))
    monkeypatch.setattr(realtime, "_peers", lambda video: {"other": lambda: None})
    video = tmp_path / "face.avi"
    realtime.write_video(video, demo_frames(2, create_detector("blazeface")))
    start = {"first_result_ms": 700.0, "peak_rss_mb": 90.0, "import_ms": 300.0}
    report = {
        "one face": realtime._one_face(video),
        "faces": realtime._by_faces(tmp_path),
        "frame size": realtime._by_size(tmp_path),
        "start": start,
    }
    rows = report["one face"]["rows"]
    assert rows["edge"]["ratio"] == 1
    assert set(rows) == {"edge", "edge, 2 frames at once", "invoke alone", "other"}
    text = realtime.tables(report)
    assert "| edge | " in text
    assert "| 1920×1080 | " in text
    assert "first result after 700 ms, 90 MB at most" in text
