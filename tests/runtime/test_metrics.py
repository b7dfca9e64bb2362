import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge.errors import EdgeError
from edge.faces import Box, Detection, Face
from edge.runtime.controls import Running
from edge.runtime.pipeline import STAGES, Result
from edge.runtime.sources import Frame

parser = pytest.importorskip("prometheus_client.parser")

from edge.runtime.metrics import Metrics  # noqa: E402

FACE = Face(Detection(Box(0.1, 0.2, 0.3, 0.4), 0.9), {"Smiling": 0.98, "Male": 0.1}, ("Smiling",))
FRAME = Frame(0, "camera 0", np.zeros((10, 10, 3), np.uint8), 0.0)
LATENCY = dict(zip(STAGES, (10.0, 4.0, 1.0, 2.0, 17.0), strict=True))


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    served = Metrics("127.0.0.1", 0)
    controls: Any = SimpleNamespace(paused=True)
    about = {"source": "camera 0", "model": "default int8", "runtime": "litert 2"}
    served.begin(Running(about, controls, lambda: 41))
    yield served
    served.close()


def read(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Return the samples by name and, where there is one, by stage, label or source."""
    with urllib.request.urlopen(metrics.url) as answer:
        text = answer.read().decode()
    found = {}
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            labels = sample.labels
            of = labels.get("stage") or labels.get("label") or labels.get("source", "")
            if "le" not in labels:
                found[sample.name, of] = sample.value
    return found


def test_a_run_is_counted_as_it_was(metrics: Metrics) -> None:
    for number in range(10):
        faces = [FACE] * (number % 3)
        metrics.show(Result(FRAME, faces, LATENCY, 25.0))
    found = read(metrics)
    assert found["edge_frames_total", ""] == 10
    assert found["edge_faces_total", ""] == 9
    assert found["edge_labels_total", "Smiling"] == 9
    assert ("edge_labels_total", "Male") not in found
    assert found["edge_stage_seconds_count", "detect"] == 10
    assert found["edge_stage_seconds_sum", "detect"] == pytest.approx(0.04)
    # A frame without a face was not cropped in no time: it was not at all.
    assert found["edge_stage_seconds_count", "crop"] == 6
    assert found["edge_stage_seconds_sum", "total"] == pytest.approx(0.17)
    assert found["edge_frame_age_seconds_sum", ""] == pytest.approx(0.25)
    assert found["edge_dropped_total", ""] == 41
    assert found["edge_paused", ""] == 1
    assert found["edge_run_info", ""] == 1


def test_it_tells_of_nobody(metrics: Metrics) -> None:
    ann = replace(FACE, labels=("Ann",), attributes={"Ann": 0.9}, task="identity")
    metrics.show(Result(FRAME, [ann], LATENCY, 25.0))
    with urllib.request.urlopen(metrics.url) as answer:
        text = answer.read().decode()
    assert "Ann" not in text
    assert "camera 0" not in text
    assert read(metrics)["edge_faces_total", ""] == 1


def test_it_ends_with_the_run() -> None:
    served = Metrics("127.0.0.1", 0)
    served.close()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(served.url)


def test_an_address_in_use_is_an_error() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(EdgeError, match="cannot listen on"),
    ):
        Metrics("127.0.0.1", taken.getsockname()[1])


def test_two_runs_in_one_process_do_not_mix(metrics: Metrics) -> None:
    other = Metrics("127.0.0.1", 0)
    metrics.show(Result(replace(FRAME, index=1), [], LATENCY, 1.0))
    assert read(metrics)["edge_frames_total", ""] == 1
    assert read(other)["edge_frames_total", ""] == 0
    other.close()


def test_a_foreign_name_that_points_here_is_refused(metrics: Metrics) -> None:
    asked = urllib.request.Request(metrics.url, headers={"Host": "rebound.example"})
    with pytest.raises(urllib.error.HTTPError, match="421"):
        urllib.request.urlopen(asked)
    everywhere = Metrics("0.0.0.0", 0)
    port = everywhere.url.rpartition(":")[2]
    for name in ("127.0.0.1", "localhost", socket.gethostname(), f"{socket.gethostname()}.local"):
        asked = urllib.request.Request(f"http://127.0.0.1:{port}", headers={"Host": name})
        assert b"edge_frames_total" in urllib.request.urlopen(asked).read()
    asked = urllib.request.Request(f"http://127.0.0.1:{port}", headers={"Host": "rebound.example"})
    with pytest.raises(urllib.error.HTTPError, match="421"):
        urllib.request.urlopen(asked)
    everywhere.close()
