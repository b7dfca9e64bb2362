"""Videos and streams, the latter from real servers: Python's for HTTP, GStreamer's for RTSP."""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import EdgeError
from edge.runtime import reconnect, streams
from edge.runtime.sources import Frame, Source, open_source, without_secrets

SIZE = (64, 48)
FPS = 20

# The system's Python: the bindings of GStreamer come with it.
PYTHON = "/usr/bin/python3"
RTSP_SERVER = """
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer(address="127.0.0.1", service=sys.argv[1])
for path, launch in zip(sys.argv[2::2], sys.argv[3::2]):
    factory = GstRtspServer.RTSPMediaFactory(launch=launch, shared=True)
    server.get_mount_points().add_factory(path, factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
"""
LIVE = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=64,height=48,framerate=20/1 "
    "! vp8enc deadline=1 keyframe-max-dist=10 ! rtpvp8pay name=pay0 )"
)


def never(sentence: str) -> None:
    raise AssertionError(sentence)


def write_video(path: Path, codec: str = "MJPG", frames: int = 40) -> Path:
    """Write a video whose frames differ in shade."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), FPS, SIZE)
    for at in range(frames):
        writer.write(np.full((SIZE[1], SIZE[0], 3), 4 * at, np.uint8))
    writer.release()
    return path


def damage(path: Path, frames: slice) -> Path:
    """Overwrite the coded data of some frames of an AVI file."""
    data = bytearray(path.read_bytes())
    at, starts = data.index(b"movi") + 4, []
    while (kind := data[at : at + 4]) in (b"00dc", b"JUNK"):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if kind == b"00dc":
            starts.append((at + 8, length))
        at += 8 + length + length % 2
    for start, length in starts[frames]:
        data[start : start + length] = bytes(length)
    path.write_bytes(data)
    return path


def take(source: Source, count: int) -> list[Frame]:
    return list(islice(source, count))


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests wait for no more than they must."""
    monkeypatch.setattr(reconnect, "FIRST_WAIT_S", 0.05)
    monkeypatch.setattr(streams, "TIMEOUT_S", 2.0)


@contextmanager
def served(handler: Callable[..., BaseHTTPRequestHandler], port: int = 0) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Mjpeg(BaseHTTPRequestHandler):
    """Sends JPEG pictures without end, or as many as the path says; "broken" ones among them."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        _, kind, count = self.path.split("?")[0].split("/")
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            for at in range(int(count)):
                shade = np.full((SIZE[1], SIZE[0], 3), 50 + at % 100, np.uint8)
                part = cv2.imencode(".jpg", shade)[1].tobytes()
                if kind == "garbage" or (kind == "broken" and at % 3 == 1):
                    part = b"no picture" * 20
                self.wfile.write(
                    b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n"
                    % (len(part), part)
                )
                time.sleep(0.005)
        except OSError:
            pass


@pytest.fixture(scope="session")
def gstreamer() -> None:
    code = (
        "import gi; gi.require_version('GstRtspServer', '1.0'); gi.require_version('Gst', '1.0');"
        "from gi.repository import Gst, GstRtspServer; Gst.init(None);"
        "assert all(map(Gst.ElementFactory.find, ['vp8enc', 'rtpvp8pay', 'matroskademux']))"
    )
    found = Path(PYTHON).exists() and not subprocess.run(
        [PYTHON, "-c", code], capture_output=True, check=False
    ).returncode  # fmt: skip
    if not found:
        reason = (
            "no RTSP server: apt-get install python3-gi gir1.2-gst-rtsp-server-1.0 "
            "gstreamer1.0-plugins-good"
        )
        if os.environ.get("EDGE_REQUIRE_RTSP") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


@contextmanager
def rtsp(*paths: str, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(
        [PYTHON, "-c", RTSP_SERVER, str(port), *paths], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def test_broken_frames_of_a_video_are_counted_and_skipped(tmp_path: Path) -> None:
    path = damage(write_video(tmp_path / "clip.avi"), slice(10, 15))
    with open_source(str(path), warn=never) as source:
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(35))
    assert source.unreadable == 5
    assert frames[10].picture.mean() == pytest.approx(60, abs=4)
    assert (source.live, source.reconnects, source.about()) == (False, 0, None)


def test_a_video_of_broken_frames_is_an_error(tmp_path: Path) -> None:
    path = damage(write_video(tmp_path / "clip.avi"), slice(None))
    with (
        open_source(str(path), warn=never) as source,
        pytest.raises(EdgeError, match="gave no frame"),
    ):
        list(source)


def test_a_video_that_is_cut_short_says_so(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.avi", frames=60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    warnings: list[str] = []
    with open_source(str(path), warn=warnings.append) as source:
        frames = list(source)
    assert 10 < len(frames) < 40
    assert len(warnings) == 1
    assert re.search(r"should last 3\.0 s, but nothing after \d\.\d s can be read", warnings[0])


def test_a_video_that_claims_frames_of_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.avi", "VP80")
    small, large = (w.to_bytes(4, "little") + h.to_bytes(4, "little")
                    for w, h in (SIZE, (16_000, 16_000)))  # fmt: skip
    path.write_bytes(path.read_bytes().replace(small, large))
    with pytest.raises(EdgeError, match="16,000×16,000 pixels, at most 67 million"):
        open_source(str(path), warn=never)


def test_a_video_whose_frames_become_too_large_ends_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_source(str(write_video(tmp_path / "clip.avi")), warn=never) as source:
        frames = iter(source)
        next(frames)
        monkeypatch.setattr(streams, "_MAX_PIXELS", 64 * 48 - 1)
        with pytest.raises(EdgeError, match="64×48 pixels"):
            next(frames)


def test_a_video_stops_when_it_is_told_to(tmp_path: Path) -> None:
    with open_source(str(write_video(tmp_path / "clip.avi")), warn=never) as source:
        for frame in source:
            if frame.index == 4:
                source.stop()
    assert frame.index == 4


@pytest.mark.parametrize("name", ["clip.webm", "clip.avi"])
def test_a_video_at_an_address_ends_at_its_end(tmp_path: Path, name: str) -> None:
    write_video(tmp_path / name, "VP80" if name.endswith("webm") else "MJPG")
    with (
        served(partial(Quiet, directory=tmp_path)) as address,
        open_source(f"{address}/{name}", warn=never) as source,
    ):
        assert len(list(source)) == 40
    assert not source.live
    about = source.about()
    assert about is not None
    assert about["got"]["size"] == list(SIZE)
    assert about["got"]["fps"] == FPS


def test_a_picture_at_an_address_is_one_frame(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "face.jpg"), np.full((48, 64, 3), 90, np.uint8))
    with (
        served(partial(Quiet, directory=tmp_path)) as address,
        open_source(f"{address}/face.jpg?now", warn=never) as source,
    ):
        assert len(list(source)) == 1


def test_a_stream_that_is_lost_comes_back() -> None:
    warnings: list[str] = []
    with (
        served(Mjpeg) as address,
        open_source(f"{address}/good/20?token=1234", warn=warnings.append) as source,
    ):
        before = time.perf_counter()
        frames = take(source, 50)
    assert [frame.index for frame in frames] == list(range(50))
    assert source.live
    assert source.reconnects == 2
    assert (
        warnings
        == [f"{address}/good/20?token=… is lost; it is opened again as soon as it is back"] * 2
    )
    assert {frame.source for frame in frames} == {f"{address}/good/20?token=…"}
    assert all(before < frame.captured < time.perf_counter() for frame in frames)


# What is broken after the last good one cannot be told from the end; here there is none.
@pytest.mark.parametrize(("path", "unreadable"), [("good/20", 0), ("broken/30", 10)])
def test_until_lost_a_stream_ends_where_it_is_lost(path: str, unreadable: int) -> None:
    """What is broken on the way is counted and skipped."""
    with (
        served(Mjpeg) as address,
        open_source(f"{address}/{path}", warn=never, until_lost=True) as source,
    ):
        assert len(list(source)) == 20
    assert source.reconnects == 0
    assert source.unreadable == unreadable


def test_a_stream_of_broken_pictures_does_not_go_on_for_ever() -> None:
    with (
        served(Mjpeg) as address,
        open_source(f"{address}/garbage/100000", warn=never) as source,
        pytest.raises(EdgeError, match="gave no frame"),
    ):
        next(iter(source))


def test_each_loss_is_told_once_and_waits_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "LONGEST_WAIT_S", 0.15)
    warnings: list[str] = []
    waits: list[float] = []
    with served(Mjpeg) as address:
        source = open_source(f"{address}/good/20", warn=warnings.append)
        frames = iter(source)
        assert len(list(islice(frames, 20))) == 20

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) == 5

    monkeypatch.setattr(source._stopped, "wait", wait)
    with source:
        assert list(frames) == []
    assert waits == [0.05, 0.1, 0.15, 0.15, 0.15]
    assert len(warnings) == 1


def test_stop_ends_the_wait_for_a_lost_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "FIRST_WAIT_S", 60.0)
    lost = threading.Event()
    with (
        served(Mjpeg) as address,
        open_source(f"{address}/good/20", warn=lambda _: lost.set()) as source,
    ):
        thread = threading.Thread(target=lambda: list(source))
        thread.start()
        assert lost.wait(10)
        source.stop()
        thread.join(5)
        assert not thread.is_alive()


def test_close_waits_for_no_read_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "TIMEOUT_S", 15.0)
    hang = threading.Event()

    class Hanging(Mjpeg):
        def do_GET(self) -> None:
            super().do_GET()
            hang.wait(20)

    with served(Hanging) as address:
        source = open_source(f"{address}/good/20", warn=lambda _: None)
        frames: list[Frame] = []
        thread = threading.Thread(target=lambda: frames.extend(source))
        thread.start()
        # All that was sent is read soon, and the read of what was not is under way.
        time.sleep(0.5)
        source.stop()
        before = time.perf_counter()
        source.close()
        assert time.perf_counter() - before < 2
        hang.set()
        thread.join(10)
        assert not thread.is_alive()


def test_rtsp_comes_back_with_its_server(gstreamer: None) -> None:
    warnings: list[str] = []
    with rtsp("/live", LIVE) as (_, port):
        source = open_source(f"rtsp://me:secret@127.0.0.1:{port}/live", warn=warnings.append)
        frames = iter(source)
        assert next(frames).picture.shape == (48, 64, 3)
    assert source.live
    about = source.about()
    assert about == {"asked": {}, "got": {"size": [64, 48], "fps": 20.0, "format": "VP80"}}
    indexes: list[int] = []
    with source, rtsp("/live", LIVE, port=port):
        while not source.reconnects:
            indexes.append(next(frames).index)
    assert source.reconnects == 1
    assert indexes == list(range(1, 1 + len(indexes)))
    assert warnings == [
        f"rtsp://…@127.0.0.1:{port}/live is lost; it is opened again as soon as it is back"
    ]


def test_rtsp_that_falls_silent_is_lost(gstreamer: None) -> None:
    with rtsp("/live", LIVE) as (process, port):
        address = f"rtsp://127.0.0.1:{port}/live"
        with open_source(address, warn=never, until_lost=True) as source:
            frames = iter(source)
            next(frames)
            process.send_signal(signal.SIGSTOP)
            before = time.perf_counter()
            assert len(list(frames)) < 200
            assert time.perf_counter() - before < 8


def test_a_video_over_rtsp_ends_at_its_end(gstreamer: None, tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.webm", "VP80")
    launch = f"( filesrc location={path} ! matroskademux ! rtpvp8pay name=pay0 )"
    with (
        rtsp("/file", launch) as (_, port),
        open_source(f"rtsp://127.0.0.1:{port}/file", warn=never) as source,
    ):
        assert not source.live
        assert len(list(source)) == 40


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://host/live", "rtsp://host/live"),
        ("rtsp://me:secret@host:554/live", "rtsp://…@host:554/live"),
        ("rtsp://me:sec@ret@host/live", "rtsp://…@host/live"),
        ("rtsp://me:sec/ret@host/live", "rtsp://…@host/live"),
        ("http://host/video?user=me&pwd=secret&fps=5", "http://host/video?user=me&pwd=…&fps=5"),
        ("http://host/video?access_token=secret", "http://host/video?access_token=…"),
        ("rtsp://host/user=me&password=secret&channel=1", "rtsp://host/user=me&password=…&channel=1"),
        ("clips/me@home.mp4", "clips/me@home.mp4"),
    ],
)  # fmt: skip
def test_no_secret_is_shown(address: str, shown: str) -> None:
    assert without_secrets(address) == shown


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://me:secret@127.0.0.1:9/live",
        "http://127.0.0.1:9/video?password=secret",
        "srt://me:secret@host",
        "rtsp://me:secret\udcff@host",
    ],
)
def test_no_error_shows_a_secret(address: str) -> None:
    with pytest.raises(EdgeError) as caught:
        open_source(address, warn=never)
    assert "secret" not in caught.value.message + caught.value.hint
