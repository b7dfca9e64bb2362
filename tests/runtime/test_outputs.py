import io
import json
import os
from dataclasses import replace

import numpy as np
import pytest

from edge.faces import Box, Detection, Face
from edge.runtime.outputs import JsonLines, readable, to_json
from edge.runtime.pipeline import STAGES, Result
from edge.runtime.run import Statistics
from edge.runtime.screen import Screen
from edge.runtime.sources import Frame


def result(index: int = 0, source: str = "clip.mp4", smiling: float = 0.98) -> Result:
    frame = Frame(index, source, np.zeros((100, 200, 3), np.uint8), 0.0)
    face = Face(
        Detection(Box(0.1, 0.2, 0.3, 0.4), 0.97), {"Smiling": smiling, "Male": 0.02}, ("Smiling",)
    )
    return Result(frame, [face], dict.fromkeys(STAGES, 1.25), 6.5)


def summary(shown: Result) -> dict:
    statistics = Statistics()
    statistics.add(shown)
    return statistics.summary() | {
        "dropped": 0,
        "at_once": 2,
        "unreadable": 0,
        "peak_rss_mb": 80.0,
        "model": {"name": "tiny", "variant": "int8", "sha256": "ab" * 32},
        "detector": {"name": "blazeface", "trained_with": "blazeface"},
        "runtime": "litert 2",
        "environment": {"threads": 1},
    }


def lines(*results: Result) -> list[str]:
    stream = io.StringIO()
    writer = JsonLines(stream)
    for one in results:
        writer.show(one)
    writer.finish(summary(results[-1]))
    return stream.getvalue().splitlines()


def strict(line: str) -> dict:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(line, parse_constant=refuse)


def test_a_frame_is_one_line_of_the_agreed_form() -> None:
    frame, last = map(strict, lines(result(3)))
    assert frame == {
        "frame": 3,
        "source": "clip.mp4",
        "faces": [
            {
                "box": [20.0, 20.0, 60.0, 40.0],
                "score": 0.97,
                "attributes": {"Smiling": 0.98, "Male": 0.02},
                "labels": ["Smiling"],
            }
        ],
        "latency_ms": dict.fromkeys(("capture", "detect", "crop", "classify", "total"), 1.25),
        "age_ms": 6.5,
    }
    assert last["summary"]["frames"] == 1


def person(labels: tuple[str, ...] = ("Ann",)) -> Result:
    shown = result()
    face = replace(
        shown.faces[0], attributes={"Ann": 0.62, "Bob": 0.2}, labels=labels, task="identity"
    )
    return replace(shown, faces=[face, replace(face, attributes={"Cyd": 0.9, "Ann": 0.1},
                                               labels=("Cyd",))])  # fmt: skip


def test_a_person_is_told_by_the_most_probable_ones() -> None:
    frame, _ = map(strict, lines(person()))
    assert list(frame["faces"][0]["attributes"].items()) == [("Ann", 0.62), ("Bob", 0.2)]
    assert frame["faces"][0]["labels"] == ["Ann"]
    assert frame["faces"][1]["labels"] == ["Cyd"]


@pytest.mark.parametrize(
    ("labels", "words"), [(("Ann",), "Ann 0.62"), ((), "nobody known (Ann 0.62)")]
)
def test_the_screen_names_the_best_person_alone(labels: tuple[str, ...], words: str) -> None:
    stream = io.StringIO()
    screen = Screen(stream)
    screen.show(person(labels))
    screen.finish(summary(person(labels)))
    log, table = stream.getvalue().split("frame 0 of")
    assert f"2 faces: {words}; Cyd 0.90" in log
    assert "person" in table
    assert words in table
    assert "Cyd 0.90" in table
    assert "Bob" not in stream.getvalue()


def test_every_line_is_flushed() -> None:
    class Pipe(io.StringIO):
        flushed = 0

        def flush(self) -> None:
            self.flushed = len(self.getvalue())

    stream = Pipe()
    JsonLines(stream).show(result())
    assert stream.flushed == len(stream.getvalue()) > 0


def test_nan_is_never_written() -> None:
    frame, _ = map(strict, lines(result(smiling=float("nan"))))
    assert frame["faces"][0]["attributes"]["Smiling"] is None
    assert to_json([float("inf"), {"a": (1, float("nan"))}]) == '[null, {"a": [1, null]}]'


def test_any_path_name_gives_valid_text() -> None:
    name = os.fsdecode(b'caf\xe9\n\x01 "q".jpg')
    frame, _ = map(strict, lines(result(source=name)))
    assert frame["source"] == 'caf\\xe9\n\x01 "q".jpg'
    frame["source"].encode()
    assert readable("Ümläut 顔.jpg") == "Ümläut 顔.jpg"


def test_the_screen_of_a_log_has_lines_tables_and_no_escapes() -> None:
    stream = io.StringIO()
    screen = Screen(stream)
    for index in range(50):
        screen.show(result(index))
    screen.finish(summary(result(49)))
    text = stream.getvalue()
    assert "\x1b" not in text
    # A few lines a second: fifty frames in no time are one line.
    assert text.count("1 face: Smiling 0.98, Male 0.02") == 1
    for words in ("frame 49 of clip.mp4", "yes 0.98", "no 0.02", "p99", "classify", "FPS",
                  "first result", "tiny int8", "litert 2", "blazeface"):  # fmt: skip
        assert words in text


def test_the_screen_ends_beside_the_reference() -> None:
    shown = result()
    reference = {
        "cpu": "Big Machine", "runtime": "litert 2", "threads": 1,
        "p50_ms": {"detect": 0.5, "crop": 1.25, "classify": 2.5, "total": 5.0},
        "times": {"detect": 2.5, "crop": 1.0, "classify": None},
    }  # fmt: skip
    stream = io.StringIO()
    screen = Screen(stream)
    screen.show(shown)
    screen.finish(summary(shown) | {"reference": reference})
    text = stream.getvalue()
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert rows["detect"][-2:] == ["0.50", "2.50×"]
    assert rows["classify"][-2:] == ["2.50", "–"]
    assert rows["total"][-2:] == ["–", "–"]
    assert "Big Machine" in text


def test_the_screen_tells_what_a_camera_gives_and_what_was_lost() -> None:
    shown = result()
    more = {"source": {"asked": {}, "got": {"size": [640, 480], "fps": 30.0}}, "reconnects": 2}
    stream = io.StringIO()
    screen = Screen(stream)
    screen.show(shown)
    screen.finish(summary(shown) | more)
    assert "size 640×480, fps 30.0" in stream.getvalue()
    assert "reconnects    2" in stream.getvalue()


def test_a_face_of_a_video_has_its_id() -> None:
    shown = result()
    known = replace(shown, faces=[replace(shown.faces[0], id=7)])
    frame, _ = map(strict, lines(known))
    assert frame["faces"][0]["id"] == 7
    assert "id" not in strict(lines(shown)[0])["faces"][0]


def test_the_screen_shows_each_picture_of_a_folder() -> None:
    stream = io.StringIO()
    screen = Screen(stream)
    for index in range(5):
        screen.show(result(index, f"[bold]{index}.jpg"))
    assert [f"[bold]{index}.jpg" in stream.getvalue() for index in range(5)] == [True] * 5


def test_a_name_that_is_no_text_can_be_shown() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8")
    screen = Screen(stream)
    shown = result(source="\udcff.jpg")
    screen.show(shown)
    screen.finish(summary(shown))
    stream.flush()
