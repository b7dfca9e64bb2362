"""A run: a source through the pipeline to an output, and what it adds up to."""

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.conditions import Observer
from edge.measure import peak_rss_mb, since_process_start_ms, summarise
from edge.modelfile import read_model, resolve_model
from edge.runtime.assembly import Assembly
from edge.runtime.controls import Controls, Running
from edge.runtime.outputs import Output
from edge.runtime.pipeline import STAGES, Overlapped, Result
from edge.runtime.sources import CameraSettings, Source, Warn, open_camera, open_source
from edge.runtime.stopping import terminable

# What another machine took: cpu, runtime, threads, detector, and p50_ms by stage.
Reference = Callable[[str], dict[str, Any] | None]

# Statistics are those of the newest frames, so that a run of weeks does not fill the memory.
_KEPT_FRAMES = 100_000


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What `edge run` was asked to do.

    Args:
        source: A path or an address; None for the camera.
        camera: The camera's number or device file, or "picamera".
        asked: What the camera is asked for.
        until_lost: End when a camera or stream is lost, instead of waiting for its return.
        demo: Show the demo instead of a source.
        frames: Stop after so many frames; None for all there are.
        model: Name of a bundled model, or a path.
        detector: Name of a detector; None for the one that the model was trained with.
        runtime: Name of a runtime, or "auto" for the fastest one that can be trusted.
        threads: Threads that each network may use; None for as many as make it faster.
        detect_every: Detect in every so many frames, and follow the faces in between.
        steady: Smooth what is said of a face over time.
    """

    source: str | None
    camera: str
    demo: bool
    frames: int | None
    model: str
    detector: str | None
    runtime: str
    asked: CameraSettings = field(default_factory=CameraSettings)
    until_lost: bool = False
    threads: int | None = None
    detect_every: int = 1
    steady: bool = False


class _Newest:
    """The newest numbers, in memory that is there from the start."""

    def __init__(self, most: int) -> None:
        self._values = np.full(most, np.nan, np.float32)
        self._count = 0

    def append(self, value: float) -> None:
        self._values[self._count % len(self._values)] = value
        self._count += 1

    def values(self) -> NDArray[np.float32]:
        return self._values[: self._count]


class Statistics:
    """What a run adds up to."""

    def __init__(self) -> None:
        self.frames = 0
        self.first_result_ms: float | None = None
        self._samples = {name: _Newest(_KEPT_FRAMES) for name in STAGES}
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
            "fps": self._fps(),
            "first_result_ms": self.first_result_ms,
            "latency_ms": {name: summarise(some.values()) for name, some in self._samples.items()},
        }

    def _fps(self) -> float | None:
        """Return frames a second, over the intervals between results: one fewer than results."""
        if self.frames > 1:
            return (self.frames - 1) / (self._last - self._first)
        return 1000 / float(self._samples["total"].values()[0]) if self.frames else None


def run(
    options: RunOptions,
    output: Output,
    *,
    warn: Warn,
    reference: Reference = lambda sha256: None,
) -> dict[str, Any]:
    """Run the pipeline over a source and show every result.

    Args:
        options: What to run.
        output: Where the results go.
        warn: Called with each sentence that the user should read.
        reference: Tells what another machine took with a model, by the digest of its file.

    Returns:
        The summary that `output` showed; empty where SIGTERM came before the first result.

    Raises:
        EdgeError: The source, the model or the detector cannot be used.
    """
    summary: dict[str, Any] = {}
    with closing(output), terminable() as stop:
        model = read_model(resolve_model(options.model))
        with ExitStack() as stack:
            source = stack.enter_context(_source(options, warn))
            parts = Assembly(options, model, source)
            for sentence in parts.warnings:
                warn(sentence)
            statistics, observer = Statistics(), Observer()
            controls = Controls(parts)
            work = Overlapped(parts.pipelines, source, parts.report)
            # It closes the source once nobody reads from it any more.
            stack.pop_all()
        try:
            running = Running(
                parts.title(source), controls, lambda: work.dropped, lambda: source.lost,
                lambda: stop.asked, live=source.live, fps=source.fps,
            )  # fmt: skip
            output.begin(running)
            wanted = islice(work.results, options.frames or _default_frames(options))

            def wake() -> None:
                controls.go_on()
                work.end()

            for result in stop.results(wanted, controls.hold, wake):
                output.show(result)
                statistics.add(result)
        finally:
            try:
                work.close()
            finally:
                # A run that was stopped has a result all the same, also if it is stopped again
                # while it waits for a device.
                if statistics.frames:
                    summary = statistics.summary() | {
                        "dropped": work.dropped,
                        "unreadable": source.unreadable,
                        "reconnects": source.reconnects,
                        "source": source.about(),
                        "conditions": observer.conditions().to_json(),
                        "peak_rss_mb": peak_rss_mb(),
                    }
                    summary |= parts.about()
                    summary["reference"] = _beside(reference(model.sha256), summary)
                    output.finish(summary)
    return summary


def _beside(other: dict[str, Any] | None, summary: dict[str, Any]) -> dict[str, Any] | None:
    """Return what another machine took, and how many times as long each stage took here."""
    if other is None:
        return None
    ours = {name: summary["latency_ms"][name]["p50"] for name in ("detect", "crop", "classify")}
    detector = summary["detector"]
    if (detector["name"], detector["every"]) != (other["detector"], 1):
        ours["detect"] = None
    times = {name: ms and ms / other["p50_ms"][name] for name, ms in ours.items()}
    return other | {"times": times}


def _source(options: RunOptions, warn: Warn) -> Source:
    if options.demo:
        from edge.runtime.demo import Demo

        return Demo()
    if options.source is None:
        return open_camera(
            options.camera, asked=options.asked, warn=warn, until_lost=options.until_lost
        )
    return open_source(
        options.source, asked=options.asked, warn=warn, until_lost=options.until_lost
    )


def _default_frames(options: RunOptions) -> int | None:
    if options.demo:
        from edge.runtime.demo import FRAMES

        return FRAMES
    return None
