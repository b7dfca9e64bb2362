import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice, pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.contract import InputContract, Picture
from edge.errors import EdgeError
from edge.faces import Box, Detection
from edge.runtime.demo import Demo
from edge.runtime.detectors import create_detector
from edge.runtime.locator import NO_ID, Locator
from edge.runtime.pipeline import Overlapped, Pipeline, Report
from edge.runtime.sources import Frame, Source
from edge.runtime.steady import Steady
from edge.runtime.tracking import Track, Tracker

FACE = Detection(Box(0.25, 0.25, 0.5, 0.5), 0.9)


class Six:
    """Knows six people and is surest of the last one."""

    contract = InputContract(width=16, height=16)
    attributes = ("a", "b", "c", "d", "e", "f")
    thresholds = (0.0,) * 6
    task = "identity"

    def probabilities(self, crop: Picture) -> NDArray[np.float32]:
        return np.array([0.0, 0.05, 0.1, 0.15, 0.2, 0.5], np.float32)


def test_a_face_is_told_by_its_five_most_probable_people() -> None:
    pipeline = Pipeline(Locator(create_detector("blazeface")).locate, Six())
    (face, *_) = next(iter(pipeline.results(Demo()))).faces
    assert list(face.attributes) == ["f", "e", "d", "c", "b"]
    assert (face.labels, face.task) == (("f",), "identity")


class Numbered(Source):
    """Grey pictures, each as bright as its number; waits for `go` after the first."""

    def __init__(self, count: int, *, live: bool = False) -> None:
        super().__init__("numbered")
        self.live = live
        self.count = count
        self.go = threading.Event()
        self.closed = False

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.count):
            picture = np.full((32, 32, 3), index % 256, np.uint8)
            yield Frame(index, self.name, picture, time.perf_counter())
            self.go.wait()

    def close(self) -> None:
        self.closed = True


class Bright:
    """Says how bright a crop is, of 255."""

    contract = InputContract(width=8, height=8)
    attributes = ("bright",)
    thresholds = (0.5,)
    task = "attributes"

    def probabilities(self, crop: Picture) -> NDArray[np.float32]:
        return np.array([crop.mean() / 255], np.float32)


def one_face(picture: Picture) -> list[Track]:
    return [Track(NO_ID, FACE)]


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.parametrize("pipelines", [1, 4])
def test_side_by_side_the_results_are_those_of_one_after_the_other(pipelines: int) -> None:
    source = Numbered(200)
    source.go.set()
    pipeline = Pipeline(one_face, Bright())
    alone = list(pipeline.results(source))
    work = Overlapped([pipeline] * pipelines, source, Report(Bright()))
    together = list(work.results)
    work.close()
    assert [result.frame.index for result in together] == list(range(200))
    assert [result.faces for result in together] == [result.faces for result in alone]
    assert together[100].faces[0].attributes["bright"] == pytest.approx(100 / 255)
    assert (work.dropped, source.closed) == (0, True)


def test_of_a_camera_the_newest_frame_wins() -> None:
    source = Numbered(100, live=True)
    searching, slow = threading.Event(), threading.Event()

    def locate(picture: Picture) -> list[Track]:
        searching.set()
        slow.wait()
        return one_face(picture)

    work = Overlapped([Pipeline(locate, Bright())], source, Report(Bright()))
    # The first frame is being searched; all others come meanwhile.
    assert searching.wait(5)
    source.go.set()
    until(lambda: work.dropped == 98)
    slow.set()
    indices = [result.frame.index for result in work.results]
    work.close()
    assert indices == [0, 99]
    assert len(indices) + work.dropped == source.count


def test_the_age_of_a_result_counts_from_the_capture() -> None:
    source = Numbered(1)
    source.go.set()
    frames = [Frame(0, "", np.zeros((32, 32, 3), np.uint8), time.perf_counter() - 2)]
    [result] = Pipeline(one_face, Bright()).results(frames)
    assert 2000 < result.age_ms < 4000


@pytest.mark.parametrize("pipelines", [1, 3])
@pytest.mark.parametrize("at", ["capture", "locate"])
def test_a_failing_stage_is_told_after_the_results_before_it(at: str, pipelines: int) -> None:
    class Failing(Numbered):
        def __iter__(self) -> Iterator[Frame]:
            yield from super().__iter__()
            if at == "capture":
                raise EdgeError("gone", "look")

    def locate(picture: Picture) -> list[Track]:
        if at == "locate" and picture.max() == 4:
            raise EdgeError("gone", "look")
        return one_face(picture)

    source = Failing(5)
    source.go.set()
    work = Overlapped([Pipeline(locate, Bright())] * pipelines, source, Report(Bright()))
    seen = []
    with pytest.raises(EdgeError, match="gone"):
        seen.extend(result.frame.index for result in work.results)
    work.close()
    assert seen == ([0, 1, 2, 3, 4] if at == "capture" else [0, 1, 2, 3])
    assert source.closed


@pytest.mark.parametrize("pipelines", [1, 3])
def test_a_stage_that_stops_an_iteration_does_not_end_the_run(pipelines: int) -> None:
    def locate(picture: Picture) -> list[Track]:
        return next(iter([])) if picture.max() == 4 else one_face(picture)

    source = Numbered(10)
    source.go.set()
    work = Overlapped([Pipeline(locate, Bright())] * pipelines, source, Report(Bright()))
    with pytest.raises(RuntimeError, match="StopIteration"):
        list(work.results)
    work.close()


def test_several_pipelines_name_the_faces_as_one_does() -> None:
    def ids(count: int) -> list[list[int | None]]:
        pipelines = [
            Pipeline(Locator(create_detector("blazeface")).locate, Bright()) for _ in range(count)
        ]
        report = Report(Bright(), names=Tracker(follows=False))
        work = Overlapped(pipelines, Demo(), report)
        found = [[face.id for face in result.faces] for result in islice(work.results, 60)]
        work.close()
        return found

    alone = ids(1)
    assert alone == ids(3)
    assert {1, 2} <= {one for frame in alone for one in frame}


def test_faces_of_a_video_keep_their_id_and_those_of_pictures_have_none() -> None:
    detector = create_detector("blazeface")
    video = Pipeline(Locator(detector, every=3, related=True).locate, Bright())
    frames = [frame for frame, _ in zip(Demo(), range(9), strict=False)]
    ids = [[face.id for face in result.faces] for result in video.results(frames)]
    assert {frozenset(one) for one in ids} == {frozenset({1, 2})}
    pictures = Pipeline(Locator(detector).locate, Bright())
    assert {face.id for result in pictures.results(frames) for face in result.faces} == {None}


def test_between_detections_no_detector_runs() -> None:
    class Counting:
        calls = 0

        def detect(self, picture: Picture) -> list[Detection]:
            self.calls += 1
            return [FACE]

    detector = Counting()
    locator = Locator(detector, every=4, related=True)
    picture = Demo().render(0)
    for _ in range(9):
        locator.locate(picture)
    assert detector.calls == 3


def test_a_face_that_is_lost_is_detected_at_once() -> None:
    class Counting:
        calls = 0

        def detect(self, picture: Picture) -> list[Detection]:
            self.calls += 1
            return [FACE] if picture.any() else []

    detector = Counting()
    locator = Locator(detector, every=10, related=True)
    picture = Demo().render(0)
    found = [len(locator.locate(one)) for one in (picture, picture, picture * 0, picture * 0)]
    assert found == [1, 1, 0, 0]
    # Nobody is lost any more in the last one.
    assert detector.calls == 2


def test_steady_labels_do_not_flicker() -> None:
    def flickering() -> Iterator[Frame]:
        for index in range(60):
            shade = 140 if index % 2 else 116
            picture = np.full((32, 32, 3), shade, np.uint8)
            yield Frame(index, "", picture, index / 30)

    def locate(picture: Picture) -> list[Track]:
        return [Track(1, FACE)]

    def flips(report: Report) -> int:
        results = Pipeline(locate, Bright()).results(flickering(), report)
        held = [result.faces[0].labels for result in results]
        return sum(one != other for one, other in pairwise(held))

    assert flips(Report(Bright())) == 59
    assert flips(Report(Bright(), Steady(Bright.thresholds))) <= 1
