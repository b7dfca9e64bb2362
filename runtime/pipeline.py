"""The pipeline: capture, detect, crop, classify, on the frames of one source."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from edge.contract import Picture
from edge.faces import Face
from edge.measure import Stopwatch
from edge.runtime.ahead import Ahead
from edge.runtime.classifier import FaceClassifier, labels, named
from edge.runtime.sources import Frame, Source
from edge.runtime.steady import Steady
from edge.runtime.tracking import Track

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


class Pipeline:
    """Finds the faces of frames and says what is true of each.

    Args:
        locate: Finds the faces of the next picture.
        classifier: Judges them.
        steady: Smooths what is said of a face over time.
    """

    def __init__(
        self, locate: Locate, classifier: FaceClassifier, steady: Steady | None = None
    ) -> None:
        self._locate = locate
        self._classifier = classifier
        self._steady = steady

    def results(self, frames: Iterable[Frame]) -> Iterator[Result]:
        """Yield one result a frame, each done before the next frame is taken."""
        return map(self.judge, self.located(timed(frames)))

    def located(self, captured: Iterable[tuple[Frame, float]]) -> Iterator[Located]:
        """Find the faces of each frame."""
        for frame, capture in captured:
            watch = Stopwatch()
            tracks = self._locate(frame.picture)
            yield Located(frame, tracks, capture, watch.lap())

    def judge(self, located: Located) -> Result:
        """Say what is true of each face of a frame."""
        frame, contract = located.frame, self._classifier.contract
        crop = classify = 0.0
        faces: list[Face] = []
        if located.tracks:
            watch = Stopwatch()
            # One step for all faces after the other: the next one finds the caches warm.
            crops = [contract.cut(frame.picture, track.detection) for track in located.tracks]
            crop = watch.lap()
            told = [self._classifier.probabilities(pixels) for pixels in crops]
            pairs = zip(located.tracks, told, strict=True)
            faces = [self._face(track, values, frame.captured) for track, values in pairs]
            classify = watch.lap()
        stages = (located.capture, located.detect, crop, classify)
        latency = dict(zip(STAGES, (*stages, sum(stages)), strict=True))
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
    """A pipeline that takes frames, finds faces and judges them side by side.

    Each of the three has a thread, the last one that of the caller. Of a live source only the
    newest frame waits for the detector.

    Args:
        pipeline: Does the work.
        source: Opened.

    Attributes:
        results: One a frame, in the order of the frames.
    """

    def __init__(self, pipeline: Pipeline, source: Source) -> None:
        self._source = source
        self._captured = Ahead(timed(source), newest=source.live)
        self._located = Ahead(pipeline.located(self._captured))
        self.results = map(pipeline.judge, self._located)

    @property
    def dropped(self) -> int:
        """Frames that came too fast."""
        return self._captured.dropped

    def close(self) -> None:
        """End the threads, then the source."""
        self._source.stop()
        patience_s = _PATIENCE_S if self._source.live else None
        self._captured.close(patience_s)
        self._located.close(patience_s)
        self._source.close()


def timed(frames: Iterable[Frame]) -> Iterator[tuple[Frame, float]]:
    """Yield each frame with the milliseconds that it was waited for."""
    taking = iter(frames)
    watch = Stopwatch()
    while (frame := next(taking, None)) is not None:
        yield frame, watch.lap()
        watch.lap()
