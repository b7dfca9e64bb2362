"""Days in minutes: a run that twenty people watch, and whose broker dies again and again."""

import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.runtime.conftest import Listener, Mosquitto

pytest.importorskip("paho.mqtt")
pytest.importorskip("uvicorn")


FRAMES = int(os.environ.get("EDGE_SOAK_FRAMES", "100000"))
KILLED = 10
GROWTH_MB = 5.0

# Eighteen read, one connects and never reads, one comes and goes forever.
VIEWERS = """
import http.client, sys, threading, time
host = sys.argv[1]

def opened():
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.request("GET", "/frames")
    return connection

def watch():
    answer = opened().getresponse()
    while answer.read1(1 << 16):
        pass

def come_and_go():
    while True:
        try:
            connection = opened()
            connection.getresponse().read1(1000)
            connection.close()
        except OSError:
            time.sleep(0.1)

stalled = opened()
for work in [come_and_go] + 18 * [watch]:
    threading.Thread(target=work, daemon=True).start()
threading.Event().wait()
"""


def resident_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_viewers_and_a_dying_broker(
    mosquitto: Callable[..., Mosquitto], listen: Callable[..., Listener]
) -> None:
    broker = mosquitto()
    listener = listen(broker.port, "soak/frames")
    # Only numbers are kept: this process is not what is measured.
    heard: list[int] = []
    listener._client.on_message = lambda _, __, one: heard.append(
        int(re.search(rb'"frame": (\d+)', one.payload)[1])
    )
    command = [sys.executable, "-m", "edge", "run", "--demo", "--frames", str(FRAMES), "--json",
               "--preview", "127.0.0.1:0",
               "--mqtt", f"mqtt://127.0.0.1:{broker.port}/soak"]  # fmt: skip
    memory: list[tuple[float, float]] = []
    last = [b""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        url = re.search(rb"http://([^/]+)/", run.stderr.readline())[1].decode()
        viewers = subprocess.Popen([sys.executable, "-c", VIEWERS, url])
        count = [0]

        def read() -> None:
            for line in run.stdout:
                count[0] += 1
                last[0] = line

        reader, began = threading.Thread(target=read), time.monotonic()
        reader.start()
        killed = 0
        while reader.is_alive():
            time.sleep(0.5)
            if run.poll() is None:
                memory.append((time.monotonic() - began, resident_mb(run.pid)))
            if killed < KILLED and count[0] > FRAMES * (killed + 1) / (KILLED + 1):
                broker.kill()
                time.sleep(1)
                broker.start()
                killed += 1
        errors = run.stderr.read().decode()
        viewers.kill()
        viewers.wait()
    assert run.returncode == 0, errors
    assert "Traceback" not in errors
    summary = json.loads(last[0])["summary"]
    assert (summary["frames"], count[0], killed) == (FRAMES, FRAMES + 1, KILLED)
    end = time.monotonic() + 20
    while (not heard or heard[-1] != FRAMES - 1) and time.monotonic() < end:
        time.sleep(0.1)
    # In their order but for what was sent again, and nothing is missing but where the broker died.
    numbers = sorted(set(heard))
    gaps = [(before, after) for before, after in pairwise(numbers) if after > before + 1]
    assert (numbers[0], numbers[-1]) == (0, FRAMES - 1)
    assert len(gaps) <= KILLED, gaps
    settled = [rss for at, rss in memory if at >= 60] or [rss for _, rss in memory]
    growth = np.median(settled[-20:]) - np.median(settled[:20])
    logging.getLogger(__name__).info(
        "%d frames in %.0f s, %d heard, %d gaps, %.1f MB after a minute, %+.1f MB since",
        FRAMES, memory[-1][0], len(numbers), len(gaps), settled[0], growth,
    )  # fmt: skip
    assert growth < GROWTH_MB
