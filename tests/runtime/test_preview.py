"""The preview over real connections: who is answered, and what viewers see."""

import base64
import http.client
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.contract import InputContract
from edge.errors import EdgeError
from edge.runtime.controls import Controls, Running
from edge.runtime.demo import Demo
from edge.runtime.detectors import create_detector
from edge.runtime.locator import Locator
from edge.runtime.outputs import frame_json
from edge.runtime.pipeline import Pipeline, Result

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

from edge.runtime import guard, preview_app
from edge.runtime.preview import Preview, kept_token

ANSWERED = ("/", "/preview.js", "/preview.css", "/state", "/frames")


class Changed:
    """A run that remembers what it was told."""

    def __init__(self) -> None:
        self.detector = "blazeface"
        self.thresholds = {"Smiling": 0.5, "Male": 0.5}

    def use_detector(self, name: str) -> None:
        if name == "mediapipe":
            raise EdgeError("mediapipe is not installed", "pip install mediapipe")
        self.detector = name

    def use_thresholds(self, thresholds: dict[str, float]) -> None:
        self.thresholds = thresholds


class Bright:
    """Says how bright a crop is."""

    contract = InputContract(width=8, height=8)
    attributes = ("Smiling", "Male")
    thresholds = (0.3, 0.9)
    task = "attributes"

    def probabilities(self, crop: Any) -> Any:
        return np.array([crop.mean() / 255, 0.5], np.float32)


@pytest.fixture(scope="module")
def results() -> list[Result]:
    pipeline = Pipeline(Locator(create_detector("blazeface")).locate, Bright())
    return list(islice(pipeline.results(Demo()), 30))


@pytest.fixture
def serve() -> Iterator[Callable[..., Preview]]:
    """A function that starts a preview."""
    started: list[Preview] = []

    def start(host: str = "127.0.0.1", token: str | None = None) -> Preview:
        preview = Preview(host, 0, token)
        started.append(preview)
        about = {"source": "demo", "model": "default int8", "runtime": "litert 2"}
        preview.begin(Running(about, Controls(Changed()), lambda: 7))
        return preview

    yield start
    for preview in started:
        preview.close()


def port_of(preview: Preview) -> int:
    return int(preview.url.rstrip("/").rpartition(":")[2])


def ask(
    preview: Preview, path: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(preview), timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    answer = connection.getresponse()
    # /frames has no end.
    body = b"" if path == "/frames" and answer.status == 200 else answer.read()
    connection.close()
    return answer.status, body


_OPENED: list[Any] = []


@pytest.fixture(autouse=True)
def closed_in_the_end() -> Iterator[None]:
    yield
    while _OPENED:
        _OPENED.pop().close()


def connect(preview: Preview, request: str = "") -> socket.socket:
    """Return a raw connection, over which a request was sent, with HOST in it."""
    connection = socket.create_connection(("127.0.0.1", port_of(preview)), timeout=10)
    _OPENED.append(connection)
    host = f"Host: 127.0.0.1:{port_of(preview)}\r\n"
    connection.sendall(request.replace("HOST", host).encode())
    return connection


class Viewer:
    """Reads /frames as the page does."""

    def __init__(self, preview: Preview) -> None:
        _OPENED.append(self)
        self._connection = http.client.HTTPConnection("127.0.0.1", port_of(preview), timeout=10)
        self._connection.request("GET", "/frames")
        self._answer = self._connection.getresponse()

    def next(self) -> tuple[dict[str, Any], bytes]:
        text, jpeg = struct.unpack(">II", self._answer.read(8))
        return json.loads(self._answer.read(text)), self._answer.read(jpeg)

    def ends(self) -> bool:
        return self._answer.read(8) == b""

    def close(self) -> None:
        self._answer.close()
        self._connection.close()


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_the_page_and_what_it_needs_are_there_and_nothing_else(
    serve: Callable[..., Preview],
) -> None:
    preview = serve()
    for path in ANSWERED:
        assert ask(preview, path)[0] == 200
    assert b"<canvas" in ask(preview, "/")[1]
    state = json.loads(ask(preview, "/state")[1])
    assert state["detector"] == "blazeface"
    assert (state["source"], state["paused"]) == ("demo", False)
    assert ask(preview, "/", "POST")[0] == 405
    assert ask(preview, "/control")[0] == 405


@pytest.mark.parametrize(
    "path",
    ["/../guard.py", "/..%2fguard.py", "/%2e%2e/guard.py", "//preview.js", "/preview.js/",
     "/preview.py", "/preview.html", "/./state", "/state/..", "/preview.js%00", "/etc/passwd"],
)  # fmt: skip
def test_other_paths_lead_nowhere(serve: Callable[..., Preview], path: str) -> None:
    assert ask(serve(), path)[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_another_name_is_not_answered(serve: Callable[..., Preview], host: str) -> None:
    preview = serve()
    for path in ANSWERED:
        assert ask(preview, path, Host=host)[0] == 421


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_the_names_of_this_machine_are(serve: Callable[..., Preview], name: str) -> None:
    assert ask(serve(), "/state", Host=f"{name}:8088")[0] == 200


def test_pages_of_other_sites_are_refused(serve: Callable[..., Preview]) -> None:
    preview = serve()
    own = f"127.0.0.1:{port_of(preview)}"
    for foreign in ("http://evil.example", "null", f"https://{own}", "http://127.0.0.1:1"):
        assert ask(preview, "/control", "POST", b'{"paused": true}', Origin=foreign)[0] == 403
        assert ask(preview, "/frames", Origin=foreign)[0] == 403
    for site in ("cross-site", "same-site"):
        assert ask(preview, "/state", Sec_Fetch_Site=site, Sec_Fetch_Mode="cors")[0] == 403
    # A link on another site may lead to the page, which cannot be framed.
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert ask(preview, "/", Sec_Fetch_Dest="document", **link)[0] == 200
    assert ask(preview, "/", Sec_Fetch_Dest="iframe", **link)[0] == 403
    assert ask(preview, "/control", "POST", b'{"paused": false}', Origin=f"http://{own}")[0] == 200


def test_off_loopback_nothing_is_answered_without_the_token(serve: Callable[..., Preview]) -> None:
    preview = serve("0.0.0.0")
    token = preview.token
    assert token is not None
    assert len(token) >= 32
    basic = base64.b64encode(f"edge:{token}".encode()).decode()
    wrong = base64.b64encode(f"{token}:edge".encode()).decode()
    for path in (*ANSWERED, "/nothing"):
        for given in ("", "Bearer", "Bearer wrong", f"Basic {wrong}", "Basic §", f"Digest {token}"):
            status, body = ask(preview, path, Authorization=given.encode("utf-8").decode("latin-1"))
            assert status == 401
            assert token.encode() not in body
        assert ask(preview, path)[0] == 401
    for given in (f"Basic {basic}", f"Bearer {token}"):
        for path in ANSWERED:
            assert ask(preview, path, Authorization=given)[0] == 200
        # A foreign name may have been made to point here.
        assert ask(preview, "/state", Authorization=given, Host="evil.example")[0] == 421
    assert ask(preview, f"/state?token={token}")[0] == 401


@pytest.mark.parametrize("domain", ["", ".", ".local", ".fritz.box", ".tail1234.ts.net."])
def test_with_the_token_the_machine_has_many_names(
    serve: Callable[..., Preview], domain: str
) -> None:
    preview = serve("0.0.0.0", "known")
    host = f"{socket.gethostname().partition('.')[0]}{domain}:{port_of(preview)}"
    assert ask(preview, "/state", Host=host, Authorization="Bearer known")[0] == 200
    assert ask(preview, "/state", Host=host)[0] == 401


def test_a_given_token_is_the_one_and_loopback_needs_none(serve: Callable[..., Preview]) -> None:
    assert serve("0.0.0.0", "known").token == "known"
    assert serve("127.0.0.1", "known").token is None


def test_what_is_too_large_is_refused(serve: Callable[..., Preview]) -> None:
    preview = serve()
    assert ask(preview, "/control", "POST", b" " * 5000)[0] == 413
    for headers in ({"X-Long": "x" * 200_000}, {f"X-{n}": "x" * 900 for n in range(100)}):
        # It may hang up before all was sent.
        with suppress(ConnectionError, http.client.HTTPException):
            assert ask(preview, "/state", **headers)[0] >= 400
    assert ask(preview, "/state")[0] == 200


def test_who_takes_too_long_is_hung_up_on(
    serve: Callable[..., Preview], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "_PATIENCE_S", 0.3)
    monkeypatch.setattr(preview_app, "_PATIENCE_S", 0.1)
    preview = serve()
    assert hangs_up(connect(preview))
    assert hangs_up(connect(preview, "GET /state HTTP/1.1\r\nHOST"))
    # Also where a whole request came before, on the same connection.
    second = connect(preview, "GET /state HTTP/1.1\r\nHOST\r\n")
    assert second.recv(10_000).startswith(b"HTTP/1.1 200")
    second.sendall(b"GET /st")
    assert hangs_up(second)
    slow = connect(preview, "POST /control HTTP/1.1\r\nHOSTContent-Length: 20\r\n\r\n{")
    assert slow.recv(1000).startswith(b"HTTP/1.1 408")
    assert ask(preview, "/state")[0] == 200


def hangs_up(connection: socket.socket) -> bool:
    """Wait for the other side to hang up."""
    with suppress(ConnectionResetError):
        while connection.recv(10_000):
            pass
    return True


def test_viewers_see_what_the_results_say(
    serve: Callable[..., Preview], results: list[Result]
) -> None:
    preview = serve()
    viewers = [Viewer(preview) for _ in range(3)]
    until(lambda: preview._viewers == 3)
    for result in results[:5]:
        preview._due = 0
        preview.show(result)
        for viewer in viewers:
            told, jpeg = viewer.next()
            expected = json.loads(json.dumps(frame_json(result)))
            assert told["state"]["detector"] == "blazeface"
            assert {name: told[name] for name in expected} == expected
            assert (told["size"], told["dropped"]) == ([640, 480], 7)
            picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
            assert picture.shape == result.frame.picture.shape
            difference = np.abs(picture.astype(int) - result.frame.picture)
            assert difference.mean() < 5
    preview.close()
    assert all(viewer.ends() for viewer in viewers)


def test_a_viewer_who_comes_late_sees_the_newest_frame(
    serve: Callable[..., Preview], results: list[Result]
) -> None:
    preview = serve()
    for result in results:
        preview.show(result)
    told, _ = Viewer(preview).next()
    assert told["frame"] == results[-1].frame.index


def test_wide_frames_are_made_smaller_and_boxes_stay_those_of_the_frame(
    serve: Callable[..., Preview], results: list[Result]
) -> None:

    wide = np.repeat(np.repeat(results[0].frame.picture, 3, 0), 3, 1)
    result = replace(results[0], frame=replace(results[0].frame, picture=wide))
    preview = serve()
    preview.show(result)
    told, jpeg = Viewer(preview).next()
    assert told["size"] == [1920, 1440]
    assert told["faces"][0]["box"] == list(frame_json(result)["faces"][0]["box"])
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape == (720, 960, 3)


def test_a_viewer_who_does_not_read_holds_up_nobody(
    serve: Callable[..., Preview], results: list[Result]
) -> None:
    preview = serve()
    stalled = connect(preview, "GET /frames HTTP/1.1\r\nHOST\r\n")
    until(lambda: preview._viewers == 1)
    other = Viewer(preview)
    until(lambda: preview._viewers == 2)
    for number in range(300):
        one = results[number % len(results)]
        preview._due = 0
        preview.show(replace(one, frame=replace(one.frame, index=number)))
        assert other.next()[0]["frame"] == number
    stalled.close()
    until(lambda: preview._viewers == 1)


def test_who_is_cut_off_at_the_end_is_no_news(
    serve: Callable[..., Preview],
    results: list[Result],
    capfd: pytest.CaptureFixture[str],
) -> None:
    preview = serve()
    for _ in range(3):
        connect(preview, "GET /frames HTTP/1.1\r\nHOST\r\n")
    until(lambda: preview._viewers == 3)
    for number in range(200):
        preview._due = 0
        preview.show(results[number % len(results)])
        time.sleep(0.001)
    preview.close()
    assert not preview._server._thread.is_alive()
    assert capfd.readouterr() == ("", "")


def test_nothing_is_encoded_while_nobody_watches(
    serve: Callable[..., Preview], results: list[Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    preview = serve()
    encoded = []
    monkeypatch.setattr(preview, "_message", lambda result: encoded.append(result) or b"")
    for result in results:
        preview.show(result)
    time.sleep(0.05)
    assert encoded == []
    viewer = Viewer(preview)
    until(lambda: preview._viewers == 1)
    viewer.close()
    until(lambda: preview._viewers == 0)


def test_changes_are_made_or_refused_in_words(serve: Callable[..., Preview]) -> None:
    preview = serve()

    def change(asked: Any) -> tuple[int, dict[str, Any]]:
        body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
        status, answer = ask(preview, "/control", "POST", body)
        return status, json.loads(answer)

    status, state = change({"paused": True, "thresholds": {"Male": 0.75}, "detector": "yunet"})
    assert status == 200
    assert (state["paused"], state["detector"]) == (True, "yunet")
    assert state["thresholds"] == {"Smiling": 0.5, "Male": 0.75}
    for asked in (
        {}, [], {"paused": 1}, {"detector": "eyes"}, {"detector": ["yunet"]}, {"speed": 3},
        {"thresholds": {"Male": 2}}, {"thresholds": {"Old": 0.5}}, {"thresholds": 3},
        {"thresholds": {"Male": True}}, {"thresholds": {"Male": None}}, b"{", b"\xff", b"[" * 4000,
    ):  # fmt: skip
        status, answer = change(asked)
        assert status == 400
        assert answer["error"]
    status, answer = change({"detector": "mediapipe", "thresholds": {"Male": 0.1}})
    assert (status, "pip install mediapipe" in answer["error"]) == (400, True)
    # Of what was refused nothing was changed.
    assert change({"paused": False})[1]["thresholds"] == {"Smiling": 0.5, "Male": 0.75}


def test_an_address_in_use_is_an_error() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(EdgeError, match="cannot listen on"),
    ):
        Preview("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(EdgeError, match="cannot listen"):
        Preview("no.such.host.invalid", 0)


def test_the_token_is_kept_for_its_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("EDGE_PREVIEW_TOKEN", raising=False)
    found: list[tuple[str, str]] = []
    makers = [threading.Thread(target=lambda: found.append(kept_token())) for _ in range(8)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(set(found)) == 1
    [(token, kept)] = set(found)
    assert len(token) >= 32
    assert Path(kept).stat().st_mode & 0o777 == 0o600
    assert kept_token() == (token, kept)
    assert [path.name for path in Path(kept).parent.iterdir()] == ["preview-token"]
    monkeypatch.setenv("EDGE_PREVIEW_TOKEN", "mine")
    assert kept_token() == ("mine", "EDGE_PREVIEW_TOKEN")


def test_a_token_that_cannot_be_kept_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGE_PREVIEW_TOKEN", raising=False)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGE_HOME", str(tmp_path / "file"))
    with pytest.raises(EdgeError, match="cannot keep a token"):
        kept_token()
    monkeypatch.setenv("EDGE_HOME", str(tmp_path))
    (tmp_path / "preview-token").write_text("\n")
    with pytest.raises(EdgeError, match="is empty"):
        kept_token()


def test_the_token_reaches_no_log(tmp_path: Path) -> None:
    """What is not a terminal is a log."""
    log = tmp_path / "log"
    with log.open("w") as out:
        ended = subprocess.run(
            [sys.executable, "-m", "edge", "run", "--demo", "--frames", "3", "--json",
             "--preview", "0.0.0.0:0"],
            stdout=out, stderr=out, timeout=60,
            env=os.environ | {"EDGE_PREVIEW_TOKEN": "s3cret-token"}, check=False,
        )  # fmt: skip
    text = log.read_text()
    assert ended.returncode == 0
    assert f"preview: http://{socket.gethostname()}:" in text
    assert "EDGE_PREVIEW_TOKEN" in text
    assert "s3cret-token" not in text
