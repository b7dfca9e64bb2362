"""Hours in minutes: faces that come and go, and a camera on the network that is unplugged."""

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.runtime.demo import Demo

FRAMES = int(os.environ.get("EDGE_SOAK_FRAMES", "100000"))
UNPLUGGED = 20
GROWTH_MB = 5.0
# What a run may take to come back: the wait before it opens a lost stream again, and the opening.
PATIENCE_S = 60

SERVER = """
import socketserver, sys, time
from pathlib import Path

parts = [part.read_bytes() for part in sorted(Path(sys.argv[2]).iterdir())]

class Camera(socketserver.StreamRequestHandler):
    def handle(self):
        self.request.recv(65536)
        self.wfile.write(
            b"HTTP/1.0 200 OK\\r\\n"
            b"Content-Type: multipart/x-mixed-replace; boundary=frame\\r\\n\\r\\n"
        )
        at = 0
        while True:
            part = parts[at % len(parts)]
            self.wfile.write(
                b"--frame\\r\\nContent-Type: image/jpeg\\r\\nContent-Length: %d\\r\\n\\r\\n%b\\r\\n"
                % (len(part), part)
            )
            at += 1
            time.sleep(1 / 400)

socketserver.ThreadingTCPServer.allow_reuse_address = True
with socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Camera) as server:
    server.serve_forever()
"""


def portraits(folder: Path) -> None:
    """Write frames with one face, with two, and with nobody, a second of each in turn."""
    demo = Demo()
    for at in range(120):
        picture = demo.render(5 * at)[:, 80:560]
        shown = at // 30 % 4
        if shown in (1, 3):
            picture = np.zeros_like(picture) + 20 * np.uint8(shown)
        elif shown == 2:
            picture = np.hstack([picture[:, 90:390]] * 2)
        cv2.imwrite(str(folder / f"{at:03}.jpg"), cv2.resize(picture, (350, 350)))


def plugged_in(port: int, folder: Path) -> subprocess.Popen[bytes]:
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(port), str(folder)], stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server
        time.sleep(0.02)
    raise AssertionError("the server does not answer")


def resident_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


class Reader(threading.Thread):
    """Reads the lines of a run, and tells how many there were."""

    def __init__(self, run: subprocess.Popen[bytes]) -> None:
        super().__init__()
        self.run_, self.count, self.indices = run, 0, []
        self.faces: set[int] = set()
        self.summary: dict = {}
        self.start()

    def run(self) -> None:
        for line in self.run_.stdout:
            value = json.loads(line)
            if "summary" in value:
                self.summary = value["summary"]
            else:
                self.indices.append(value["frame"])
                self.faces.add(len(value["faces"]))
                self.count += 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_camera_that_is_unplugged_again_and_again(tmp_path: Path) -> None:
    portraits(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = plugged_in(port, tmp_path)
    command = [sys.executable, "-m", "edge", "run", f"http://127.0.0.1:{port}/", "--json",
               "--frames", str(FRAMES), "--detect-every", "2", "--steady"]  # fmt: skip
    memory: list[tuple[float, float]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        reader, began = Reader(run), time.monotonic()
        unplugged = 0
        while reader.is_alive():
            time.sleep(0.5)
            if run.poll() is None:
                memory.append((time.monotonic() - began, resident_mb(run.pid)))
            if unplugged < UNPLUGGED and reader.count > FRAMES * (unplugged + 1) / (UNPLUGGED + 1):
                server.kill()
                server.wait()
                unplugged += 1
                seen = reader.count
                server = plugged_in(port, tmp_path)
                end = time.monotonic() + PATIENCE_S
                while reader.count < seen + 50 and reader.is_alive():
                    assert time.monotonic() < end, f"nothing came after loss {unplugged}"
                    time.sleep(0.05)
        errors = run.stderr.read().decode()
    server.kill()
    server.wait()
    assert run.returncode == 0, errors
    summary = reader.summary
    assert "Traceback" not in errors
    assert summary["frames"] == reader.count == FRAMES
    assert summary["reconnects"] == unplugged == UNPLUGGED
    # No line is lost: the numbers rise, and what is missing in them was dropped.
    steps = np.diff(reader.indices)
    assert steps.min() >= 1
    missing = reader.indices[-1] + 1 - FRAMES
    assert missing <= summary["dropped"] <= missing + 3
    assert reader.faces >= {0, 1, 2}
    settled = [rss for at, rss in memory if at >= 60] or [rss for _, rss in memory]
    growth = np.median(settled[-20:]) - np.median(settled[:20])
    logging.getLogger(__name__).info(
        "%d frames in %.0f s, %d dropped, %.1f MB after a minute, %+.1f MB since",
        FRAMES, memory[-1][0], summary["dropped"], settled[0], growth,
    )  # fmt: skip
    assert growth < GROWTH_MB
