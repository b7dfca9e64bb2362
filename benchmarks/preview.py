"""What does a preview cost a run?

    python -m edge.benchmarks.preview --markdown preview.md

`edge run` on a video, in turns without a preview, with one that nobody watches, with one that
another process watches, and with a viewer more who does not read: frames a second of each. Prints
one JSON object, and with --markdown a table.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from edge.benchmarks import told
from edge.benchmarks.prepare import demo_frames
from edge.benchmarks.realtime import write_video
from edge.environment import fingerprint
from edge.measure import Protocol, ratio, shuffled
from edge.runtime.detectors import create_detector

_FRAMES = 4_000
_ROUNDS = Protocol(rounds=7)
_WITHOUT, _UNWATCHED = "no preview", "a preview, nobody watches"
_WATCHED, _STALLED = "one viewer", "one viewer, and one who does not read"

# Reads all that comes, as a viewer's network does; what it draws is the viewer's own business.
_VIEWER = """
import sys, urllib.request
stalled = [urllib.request.urlopen(sys.argv[1] + "frames") for _ in range(int(sys.argv[2]))]
with urllib.request.urlopen(sys.argv[1] + "frames") as frames:
    while frames.read1(1 << 20):
        pass
"""


def measure() -> dict[str, Any]:
    """Measure all."""
    rates: dict[str, list[list[float]]] = {
        name: [] for name in (_WITHOUT, _UNWATCHED, _WATCHED, _STALLED)
    }
    with tempfile.TemporaryDirectory(prefix="edge-preview-") as scratch:
        video = Path(scratch, "face.avi")
        frames = demo_frames(40, create_detector("blazeface"))
        write_video(video, frames * (_FRAMES // len(frames)))
        for order in shuffled(list(rates), _ROUNDS):
            for name in order:
                rates[name].append([_frame_ms(video, name)])
    return {
        "benchmark": "preview",
        "rows": {
            name: {
                "fps": float(np.median([1000 / ms for [ms] in blocks])),
                "slower": dict(
                    zip(("value", "low", "high"), ratio(rates[_WITHOUT], blocks), strict=True)
                ),
            }
            for name, blocks in rates.items()
        },
        "environment": fingerprint(1, "litert"),
    }


def _frame_ms(video: Path, name: str) -> float:
    """Return the milliseconds of a frame of one run, from its frames a second."""
    command = [sys.executable, "-m", "edge", "run", str(video), "--json"]
    if name != _WITHOUT:
        command += ["--preview", "127.0.0.1:0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        url = re.findall(r"http://\S+", run.stderr.readline()) if name != _WITHOUT else []
        watched = name in (_WATCHED, _STALLED)
        with _viewer(url[0], int(name == _STALLED)) if watched else nullcontext():
            *_, last = run.stdout
    return 1000 / float(json.loads(last)["summary"]["fps"])


@contextmanager
def _viewer(url: str, stalled: int) -> Iterator[None]:
    command = [sys.executable, "-c", _VIEWER, url, str(stalled)]
    viewer = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        viewer.kill()
        viewer.wait()


def tables(report: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    lines = ["| `edge run` on a video | FPS | time of a frame |", "|---|--:|--:|"]
    for name, row in report["rows"].items():
        slower = row["slower"]
        lines.append(
            f"| {name} | {row['fps']:.0f} | {slower['value']:.2f} "
            f"({slower['low']:.2f}–{slower['high']:.2f}) |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    told.run(__doc__, measure, tables)
