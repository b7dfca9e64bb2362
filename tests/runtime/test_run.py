from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.assets import fetch
from edge.errors import EdgeError
from edge.runtime.outputs import Output
from edge.runtime.pipeline import STAGES, Overlapped, Result
from edge.runtime.run import RunOptions, Statistics, run
from edge.runtime.sources import Frame


class Kept(Output):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.summaries: list[dict] = []

    def show(self, result: Result) -> None:
        self.results.append(result)

    def finish(self, summary: dict) -> None:
        self.summaries.append(summary)


class Interrupted(Kept):
    """The user presses Ctrl-C at the third frame."""

    def show(self, result: Result) -> None:
        if len(self.results) == 2:
            raise KeyboardInterrupt
        super().show(result)


def options(model: Path, *, source: Path | None = None, frames: int | None = None,
            detector: str | None = None) -> RunOptions:  # fmt: skip
    return RunOptions(source=source and str(source), camera="0", demo=source is None,
                      frames=frames, model=str(model), detector=detector, runtime="auto",
                      threads=1)  # fmt: skip


def test_a_run_over_a_folder(small_model: Path, tmp_path: Path) -> None:
    face = cv2.imread(str(fetch("demo")))[:300, 80:380]
    cv2.imwrite(str(tmp_path / "1-two.png"), np.hstack([face, face]))
    cv2.imwrite(str(tmp_path / "2-none.png"), np.zeros((50, 50, 3), np.uint8))
    (tmp_path / "3-bad.png").write_bytes(b"no picture")
    kept, warnings = Kept(), list[str]()
    summary = run(options(small_model, source=tmp_path), kept, warn=warnings.append)
    two, none = kept.results
    assert len(two.faces) == 2
    assert none.faces == []
    assert (none.latency_ms["crop"], none.latency_ms["classify"]) == (0.0, 0.0)
    for result in kept.results:
        stages = [result.latency_ms[name] for name in STAGES[:-1]]
        assert result.latency_ms["total"] == pytest.approx(sum(stages))
        assert result.latency_ms["detect"] > 0
        assert result.age_ms > 0
    face_of_two = two.faces[0]
    assert list(face_of_two.attributes) == ["Smiling", "Male"]
    assert face_of_two.labels == tuple(n for n, p in face_of_two.attributes.items() if p >= 0.5)
    assert kept.summaries == [summary]
    assert (summary["frames"], summary["dropped"], summary["unreadable"]) == (2, 0, 1)
    assert len(warnings) == 1


def test_the_summary_says_what_was_measured_with_what(small_model: Path) -> None:
    summary = run(options(small_model, frames=12), Kept(), warn=pytest.fail)
    assert summary["frames"] == 12
    assert summary["first_result_ms"] > 0
    assert 10 < summary["peak_rss_mb"] < 100_000
    assert set(summary["latency_ms"]) == set(STAGES)
    assert set(summary["latency_ms"]["total"]) == {"mean", "p50", "p95", "p99", "max", "std"}
    assert summary["latency_ms"]["total"]["p99"] is None
    assert summary["fps"] > 0
    assert summary["model"]["name"] == "default"
    assert len(summary["model"]["sha256"]) == 64
    assert summary["environment"]["threads"] == 1
    assert summary["runtime"].startswith("litert")


def test_another_detector_is_warned_about_once_and_recorded(small_model: Path) -> None:
    warnings: list[str] = []
    asked = options(small_model, frames=3, detector="blazeface-full")
    summary = run(asked, Kept(), warn=warnings.append)
    assert len(warnings) == 1
    assert summary["warnings"] == warnings
    told = {"name": "blazeface-full", "trained_with": "blazeface", "every": 1}
    assert summary["detector"] == told


def test_pictures_that_have_nothing_to_do_with_each_other_are_not_averaged(
    small_model: Path, tmp_path: Path
) -> None:
    face = cv2.imread(str(fetch("demo")))[:300, 80:380]
    cv2.imwrite(str(tmp_path / "1.png"), face)
    cv2.imwrite(str(tmp_path / "2.png"), 255 - face // 2)
    told = []
    for steady in (False, True):
        kept = Kept()
        asked = replace(options(small_model, source=tmp_path), steady=steady)
        run(asked, kept, warn=pytest.fail)
        told.append([result.faces for result in kept.results])
    assert told[0] == told[1]


def test_a_run_says_how_its_figures_stand_beside_another_machine(small_model: Path) -> None:
    asked: list[str] = []

    def reference(sha256: str) -> dict:
        asked.append(sha256)
        p50 = {"detect": 1e-3, "crop": 1e3, "classify": 1.0, "total": 1.0}
        return {
            "cpu": "Other", "runtime": "litert 0", "threads": 1, "detector": "blazeface",
            "p50_ms": p50,
        }  # fmt: skip

    summary = run(options(small_model, frames=5), Kept(), warn=pytest.fail, reference=reference)
    assert asked == [summary["model"]["sha256"]]
    assert summary["reference"]["times"]["detect"] > 1
    assert summary["reference"]["times"]["crop"] < 1
    seldom = replace(options(small_model, frames=5), detect_every=4)
    summary = run(seldom, Kept(), warn=pytest.fail, reference=reference)
    assert summary["reference"]["times"]["detect"] is None


@pytest.mark.parametrize(
    ("cores", "changes", "at_once"),
    [
        (1, {}, 1), (2, {}, 2), (3, {}, 3), (64, {}, 4),
        (4, {"threads": 2}, 2), (2, {"threads": 4}, 1), (4, {"threads": 1}, 4),
        (4, {"detect_every": 2}, 1), (4, {"detector": "yunet"}, 1), (4, {"frames": 3}, 3),
    ],
)  # fmt: skip
def test_of_a_file_as_many_frames_as_there_are_cores_are_worked_on_at_once(
    small_model: Path, monkeypatch: pytest.MonkeyPatch, cores: int, changes: dict, at_once: int
) -> None:
    monkeypatch.setattr("edge.runtime.assembly.cores_worth", lambda: cores)
    asked = replace(options(small_model, frames=12), **{"threads": None} | changes)
    kept = Kept()
    summary = run(asked, kept, warn=lambda sentence: None)
    assert summary["at_once"] == at_once
    assert [result.frame.index for result in kept.results] == list(range(asked.frames or 0))
    assert [face.id for face in kept.results[0].faces] == [1, 2]


def test_one_picture_is_not_worked_on_by_several(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.runtime.assembly.cores_worth", lambda: 4)
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((50, 50, 3), np.uint8))
    asked = replace(options(small_model, source=tmp_path / "1.png"), threads=None)
    assert run(asked, Kept(), warn=pytest.fail)["at_once"] == 1


def test_labels_are_as_steady_with_several_frames_at_once(
    small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spread(at_once: int, *, steady: bool) -> float:
        monkeypatch.setattr("edge.runtime.assembly.cores_worth", lambda: at_once)
        kept = Kept()
        asked = replace(options(small_model, frames=40), threads=None, steady=steady)
        assert run(asked, kept, warn=pytest.fail)["at_once"] == at_once
        told = [result.faces[0].attributes["Male"] for result in kept.results]
        return float(np.abs(np.diff(told)).sum())

    loose = spread(3, steady=False)
    assert spread(1, steady=True) < loose / 2
    assert spread(3, steady=True) < loose / 2


@pytest.mark.parametrize(("related", "every"), [(True, 4), (False, 1)])
def test_the_summary_says_how_often_was_detected(
    small_model: Path, tmp_path: Path, related: bool, every: int
) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((50, 50, 3), np.uint8))
    source = None if related else tmp_path
    asked = replace(options(small_model, source=source, frames=1), detect_every=4)
    assert run(asked, Kept(), warn=pytest.fail)["detector"]["every"] == every


def test_statistics_are_those_of_the_newest_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.runtime.run._KEPT_FRAMES", 4)
    statistics = Statistics()
    picture = np.zeros((8, 8, 3), np.uint8)
    for index in range(10):
        frame = Frame(index, "", picture, 0.0)
        statistics.add(Result(frame, [], dict.fromkeys(STAGES, float(index)), 0.0))
    summary = statistics.summary()
    assert summary["frames"] == 10
    assert summary["latency_ms"]["detect"]["max"] == 9
    assert summary["latency_ms"]["detect"]["mean"] == 7.5
    # Nobody was there to be cut out.
    assert summary["latency_ms"]["crop"]["mean"] is None


def test_a_stopped_run_still_has_a_summary(small_model: Path) -> None:
    kept = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        run(options(small_model), kept, warn=pytest.fail)
    assert [summary["frames"] for summary in kept.summaries] == [2]


def test_so_has_one_that_is_stopped_twice(
    small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hanging(self: Overlapped) -> None:
        close(self)
        raise KeyboardInterrupt

    close = Overlapped.close
    monkeypatch.setattr(Overlapped, "close", hanging)
    kept = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        run(options(small_model), kept, warn=pytest.fail)
    assert [summary["frames"] for summary in kept.summaries] == [2]


def test_nothing_is_shown_of_a_source_that_cannot_be_read(
    small_model: Path, tmp_path: Path
) -> None:
    kept = Kept()
    with pytest.raises(EdgeError, match="no such file"):
        run(options(small_model, source=tmp_path / "gone.jpg"), kept, warn=pytest.fail)
    assert not kept.results
    assert not kept.summaries
