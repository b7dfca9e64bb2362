"""The pipeline: capture, detect, crop, classify, on the frames of one source."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from edge.contract import Picture
from edge.faces import Face
from edge.measure import Stopwatch
from edge.runtime.ahead import Ahead, SideBySide
from edge.runtime.classifier import FaceClassifier, labels, named
from edge.runtime.sources import Frame, Source
from edge.runtime.steady import Steady
from edge.runtime.tracking import Track, Tracker

# How long a device that gives nothing may keep its thread.
_PATIENCE_S = 2.0

Locate = Callable[[Picture], list[Track]]

STAGES = ("capture", "detect", "crop", "classify", "total")


@dataclass(frozen=True, slots=True)
class Result:
    """What the pipeline says of one frame.

    Args:
        frame: The frame.
        faces: Its faces, the one that the detector is surest of first.
        latency_ms: Milliseconds of each of `STAGES`, without what the frame waited between them;
            capture is the wait for the frame, of a camera also for the next one to be taken; crop
            and classify are 0 without a face.
        age_ms: Milliseconds from the capture of the frame to this result.
    """

    frame: Frame
    faces: list[Face]
    latency_ms: dict[str, float]
    age_ms: float


@dataclass(frozen=True, slots=True)
class Located:
    """A frame whose faces were found, with the milliseconds of both."""

    frame: Frame
    tracks: list[Track]
    capture: float
    detect: float


@dataclass(frozen=True, slots=True)
class Judged:
    """What the classifier says of each face of a frame.

    Args:
        frame: The frame.
        tracks: Its faces.
        told: Of each, what the classifier gave.
        stages: Milliseconds of capture, detect, crop and classify.
    """

    frame: Frame
    tracks: list[Track]
    told: list[NDArray[np.float32]]
    stages: tuple[float, float, float, float]


class Pipeline:
    """Finds the faces of frames and judges each.

    Args:
        locate: Finds the faces of the next picture.
        classifier: Judges them.

    Attributes:
        locate: As given; another one may take its place while the pipeline works.
    """

    def __init__(self, locate: Locate, classifier: FaceClassifier) -> None:
        self.locate = locate
        self._classifier = classifier

    def results(self, frames: Iterable[Frame], report: "Report | None" = None) -> Iterator[Result]:
        """Yield one result a frame, each done before the next frame is taken."""
        report = report or Report(self._classifier)
        for captured in timed(frames):
            yield report.result(self.see(captured))

    def see(self, captured: tuple[Frame, float]) -> Judged:
        """Find and judge the faces of a frame, given with the milliseconds of its capture."""
        return self.judge(self.find(captured))

    def find(self, captured: tuple[Frame, float]) -> Located:
        """Find the faces of a frame, given with the milliseconds of its capture."""
        frame, capture = captured
        watch = Stopwatch()
        tracks = self.locate(frame.picture)
        return Located(frame, tracks, capture, watch.lap())

    def judge(self, located: Located) -> Judged:
        """Judge each face of a frame."""
        picture, tracks = located.frame.picture, located.tracks
        crop = classify = 0.0
        told: list[NDArray[np.float32]] = []
        if tracks:
            watch = Stopwatch()
            # One step for all faces after the other: the next one finds the caches warm.
            cut = self._classifier.contract.cut
            crops = [cut(picture, track.detection) for track in tracks]
            crop = watch.lap()
            told = [self._classifier.probabilities(pixels) for pixels in crops]
            classify = watch.lap()
        stages = located.capture, located.detect, crop, classify
        return Judged(located.frame, tracks, told, stages)


class Report:
    """Says what is true of the faces of frames, which come in their order.

    Args:
        classifier: Judged them; its attributes and thresholds count.
        steady: Smooths what is said of a face over time.
        names: Names the faces, where they were not named when they were found.
    """

    def __init__(
        self,
        classifier: FaceClassifier,
        steady: Steady | None = None,
        names: Tracker | None = None,
    ) -> None:
        self._classifier = classifier
        self._steady = steady
        self._names = names

    @property
    def thresholds(self) -> tuple[float, ...]:
        """From which probability on each attribute is said to hold."""
        return self._classifier.thresholds

    @thresholds.setter
    def thresholds(self, thresholds: tuple[float, ...]) -> None:
        self._classifier.thresholds = thresholds
        if self._steady is not None:
            self._steady.use(thresholds)

    def result(self, judged: Judged) -> Result:
        """Say what is true of each face of the next frame."""
        frame, tracks, told = judged.frame, judged.tracks, judged.told
        if self._names is not None:
            found = [track.detection for track in tracks]
            tracks = self._names.detected(frame.picture, found)
        faces = [
            self._face(track, values, frame.captured)
            for track, values in zip(tracks, told, strict=True)
        ]
        latency = dict(zip(STAGES, (*judged.stages, sum(judged.stages)), strict=True))
        return Result(frame, faces, latency, (time.perf_counter() - frame.captured) * 1000)

    def _face(self, track: Track, values: NDArray[np.float32], captured: float) -> Face:
        classifier = self._classifier
        if self._steady is None:
            held = labels(classifier, values)
        else:
            values, states = self._steady.update(track.id, values, captured)
            # Of people there is one at most.
            held = (
                labels(classifier, values) if classifier.task == "identity"
                else tuple(compress(classifier.attributes, states.tolist()))
            )  # fmt: skip
        told = named(classifier, values)
        return Face(track.detection, told, held, classifier.task, track.id or None)


class Overlapped:
    """Pipelines that take frames, find faces and judge them side by side.

    Of one pipeline, capture, detection and judging have a thread each, the last one that of the
    caller; of a live source only the newest frame waits for the detector. Several pipelines work
    on as many frames at once.

    Args:
        pipelines: Do the work.
        source: Opened.
        report: Makes results of it.

    Attributes:
        results: One a frame, in the order of the frames.
    """

    def __init__(self, pipelines: Sequence[Pipeline], source: Source, report: Report) -> None:
        self._source = source
        self._captured = Ahead(timed(source), newest=source.live)
        self._working: Ahead[Located] | SideBySide[tuple[Frame, float], Judged]
        # Generators: of a `map`, a StopIteration of the work would be taken for the end.
        if len(pipelines) > 1:
            self._working = SideBySide(self._captured, [each.see for each in pipelines])
            self.results = (report.result(judged) for judged in self._working)
        else:
            [only] = pipelines
            self._working = Ahead(only.find(captured) for captured in self._captured)
            self.results = (report.result(only.judge(located)) for located in self._working)

    @property
    def dropped(self) -> int:
        """Frames that came too fast."""
        return self._captured.dropped

    def end(self) -> None:
        """Have no more results, also for who waits for one; from any thread."""
        self._working.end()

    def close(self) -> None:
        """End the threads, then the source."""
        self._source.stop()
        patience_s = _PATIENCE_S if self._source.live else None
        self._captured.close(patience_s)
        self._working.close(patience_s)
        self._source.close()


def timed(frames: Iterable[Frame]) -> Iterator[tuple[Frame, float]]:
    """Yield each frame with the milliseconds that it was waited for."""
    taking = iter(frames)
    watch = Stopwatch()
    while (frame := next(taking, None)) is not None:
        yield frame, watch.lap()
        watch.lap()
