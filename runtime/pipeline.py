"""The pipeline: capture, detect, crop, classify, one frame after the other."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from edge.conditions import Observer
from edge.environment import fingerprint
from edge.faces import Face
from edge.measure import Stopwatch, peak_rss_mb, since_process_start_ms, summarise
from edge.modelfile import read_model, resolve_model
from edge.runtime.classifier import Classifier, FaceClassifier, labels, named
from edge.runtime.detectors import Detector, create_detector, other_than_trained
from edge.runtime.sources import Frame, Source, Warn, open_camera, open_source

STAGES = ("capture", "detect", "crop", "classify", "total")

# Statistics are those of the newest frames, so that a run of weeks does not fill the memory.
_KEPT_FRAMES = 100_000


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What `edge run` was asked to do.

    Args:
        source: A path or an address; None for the camera.
        camera: The camera's number or device file.
        demo: Show the demo instead of a source.
        frames: Stop after so many frames; None for all there are.
        model: Name of a bundled model, or a path.
        detector: Name of a detector; None for the one that the model was trained with.
        runtime: Name of a TFLite runtime, or "auto".
        threads: Threads that the networks may use.
    """

    source: str | None
    camera: str
    demo: bool
    frames: int | None
    model: str
    detector: str | None
    runtime: str
    threads: int


@dataclass(frozen=True, slots=True)
class Result:
    """What the pipeline says of one frame.

    Args:
        frame: The frame.
        faces: Its faces, the one that the detector is surest of first.
        latency_ms: Milliseconds of each of `STAGES`; crop and classify are 0 without a face.
        age_ms: Milliseconds from the capture of the frame to this result.
    """

    frame: Frame
    faces: list[Face]
    latency_ms: dict[str, float]
    age_ms: float


class Output(Protocol):
    """Shows results."""

    def show(self, result: Result) -> None:
        """Show one result, at once."""

    def finish(self, summary: dict[str, Any]) -> None:
        """Show the summary of the run."""


class Pipeline:
    """Finds the faces of a frame and says what is true of each.

    Args:
        detector: Finds the faces.
        classifier: Judges them.
    """

    def __init__(self, detector: Detector, classifier: FaceClassifier) -> None:
        self._detector = detector
        self._classifier = classifier

    def results(self, source: Source) -> Iterator[Result]:
        """Yield one result a frame.

        "total" runs from the wait for the frame to the result; what the caller does with a result
        is no part of it.
        """
        frames = iter(source)
        watch = Stopwatch()
        while (frame := next(frames, None)) is not None:
            capture = watch.lap()
            yield self._judge(frame, capture, watch)
            watch.lap()

    def _judge(self, frame: Frame, capture: float, watch: Stopwatch) -> Result:
        picture, classifier = frame.picture, self._classifier
        detections = self._detector.detect(picture)
        detect = watch.lap()
        crop = classify = 0.0
        faces = []
        if detections:
            crops = [classifier.contract.cut(picture, face) for face in detections]
            crop = watch.lap()
            for detection, pixels in zip(detections, crops, strict=True):
                values = classifier.probabilities(pixels)
                told = named(classifier, values), labels(classifier, values)
                faces.append(Face(detection, *told, classifier.task))
            classify = watch.lap()
        stages = (capture, detect, crop, classify, capture + detect + crop + classify)
        latency = dict(zip(STAGES, stages, strict=True))
        return Result(frame, faces, latency, (time.perf_counter() - frame.captured) * 1000)


class Statistics:
    """What a run adds up to."""

    def __init__(self) -> None:
        self.frames = 0
        self.first_result_ms: float | None = None
        self._samples = {name: deque[float](maxlen=_KEPT_FRAMES) for name in STAGES}
        self._first = self._last = 0.0

    def add(self, result: Result) -> None:
        """Count a result that was just shown."""
        self._last = time.perf_counter()
        if self.frames == 0:
            self._first = self._last
            self.first_result_ms = since_process_start_ms()
        self.frames += 1
        for name, samples in self._samples.items():
            # A frame without a face was not cropped or classified in no time: it was not at all.
            if result.faces or name not in ("crop", "classify"):
                samples.append(result.latency_ms[name])

    def summary(self) -> dict[str, Any]:
        """Return the counts and statistics of a summary."""
        return {
            "frames": self.frames,
            "dropped": 0,
            "fps": self._fps(),
            "first_result_ms": self.first_result_ms,
            "latency_ms": {name: summarise(samples) for name, samples in self._samples.items()},
        }

    def _fps(self) -> float | None:
        """Return frames a second, over the intervals between results: one fewer than results."""
        if self.frames > 1:
            return (self.frames - 1) / (self._last - self._first)
        return 1000 / self._samples["total"][0] if self.frames else None


def run(options: RunOptions, output: Output, *, warn: Warn) -> dict[str, Any]:
    """Run the pipeline over a source and show every result.

    Args:
        options: What to run.
        output: Where the results go.
        warn: Called with each sentence that the user should read.

    Returns:
        The summary that `output` showed.

    Raises:
        EdgeError: The source, the model or the detector cannot be used.
    """
    classifier = Classifier(read_model(resolve_model(options.model)), runtime=options.runtime,
                            threads=options.threads)  # fmt: skip
    name = options.detector or classifier.contract.detector
    warnings = other_than_trained(name, classifier.contract)
    statistics, observer = Statistics(), Observer()
    with _source(options, warn) as source:
        detector = create_detector(name, runtime=options.runtime, threads=options.threads)
        for sentence in warnings:
            warn(sentence)
        results = Pipeline(detector, classifier).results(source)
        try:
            for result in islice(results, options.frames or _default_frames(options)):
                output.show(result)
                statistics.add(result)
        finally:
            # Also for Ctrl-C: a run that was stopped has a result all the same.
            if statistics.frames:
                summary = statistics.summary() | {"unreadable": source.unreadable}
                summary |= _provenance(name, classifier, options.threads)
                summary |= {"warnings": warnings, "conditions": observer.conditions().to_json()}
                output.finish(summary)
    return summary


def _source(options: RunOptions, warn: Warn) -> Source:
    if options.demo:
        from edge.runtime.demo import Demo

        return Demo()
    if options.source is None:
        return open_camera(options.camera)
    return open_source(options.source, warn=warn)


def _default_frames(options: RunOptions) -> int | None:
    if options.demo:
        from edge.runtime.demo import FRAMES

        return FRAMES
    return None


def _provenance(detector: str, classifier: Classifier, threads: int) -> dict[str, Any]:
    return {
        "peak_rss_mb": peak_rss_mb(),
        "model": classifier.identity,
        "detector": {"name": detector, "trained_with": classifier.contract.detector},
        "runtime": classifier.runtime,
        "environment": fingerprint(threads, classifier.runtime),
    }
