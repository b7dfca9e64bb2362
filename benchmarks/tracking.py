"""What does it save to detect in every N-th frame only, and what does it spoil?

    python -m edge.benchmarks.tracking
    python -m edge.benchmarks.tracking again.mkv book.mkv --detector blazeface-full --json

Without a VIDEO it looks at the demo's pan. Frames are read beforehand; each N finds and classifies
the faces of all frames, in turns with the others, one frame after the other on one thread, and is
compared with detection in every frame. Prints a Markdown table, with --json one JSON object.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract import Picture
from edge.environment import fingerprint
from edge.errors import EdgeError
from edge.measure import Protocol, Stopwatch, shuffled, summarise
from edge.modelfile import read_model, resolve_model
from edge.runtime.classifier import Classifier, FaceClassifier
from edge.runtime.demo import FRAMES, Demo
from edge.runtime.detectors import Detector, create_detector
from edge.runtime.locator import Locator
from edge.runtime.sources import open_source
from edge.runtime.steady import Steady
from edge.runtime.tracking import Track

EVERY = (1, 2, 3, 5, 10, 15, 30)
ROUNDS = 5
# Frames a second of the videos, for what depends on time.
_RATE = 30
# A located face is the detected one if they overlap by so much (IoU).
_SAME = 0.1
# What a classifier says before and after a real change, for the delay of `Steady`.
_CHANGES = ((0.05, 0.95), (0.2, 0.8), (0.35, 0.65))


@dataclass
class Seen:
    """What was found and said of each frame, and the milliseconds of both."""

    tracks: list[list[Track]]
    values: list[list[NDArray[np.float32]]]
    locate_ms: list[float]
    total_ms: list[float]


def look(
    pictures: Sequence[Picture], detector: Detector, classifier: FaceClassifier, every: int
) -> Seen:
    """Find and classify the faces of each picture, and time it.

    Args:
        pictures: uint8 (height, width, 3), BGR; frames of one video.
        detector: Finds faces.
        classifier: Judges them.
        every: Detect in every so many frames.
    """
    locator = Locator(detector, every=every, related=True)
    seen = Seen([], [], [], [])
    watch = Stopwatch()
    for picture in pictures:
        watch.lap()
        tracks = locator.locate(picture)
        located = watch.lap()
        crops = [classifier.contract.cut(picture, track.detection) for track in tracks]
        seen.values.append([classifier.probabilities(crop) for crop in crops])
        seen.total_ms.append(located + watch.lap())
        seen.locate_ms.append(located)
        seen.tracks.append(tracks)
    return seen


def measure(
    name: str,
    pictures: Sequence[Picture],
    detector: Detector,
    classifier: FaceClassifier,
    *,
    every: Sequence[int] = EVERY,
    rounds: int = ROUNDS,
) -> dict[str, Any]:
    """Measure one video.

    Args:
        name: Of the video.
        pictures: As `look`.
        detector: As `look`.
        classifier: As `look`.
        every: Each a number of frames, of which one is detected.
        rounds: Turns of each.

    Returns:
        The frames, how many of them have a face, for each N its costs and agreement with
        detection in every frame, and the label flips with and without `Steady`.
    """
    truth = look(pictures, detector, classifier, 1)
    runs: dict[int, list[Seen]] = {number: [] for number in every}
    for order in shuffled(list(every), Protocol(rounds=rounds)):
        for number in order:
            runs[number].append(look(pictures, detector, classifier, number))
    return {
        "source": name,
        "frames": len(pictures),
        "with a face": sum(bool(tracks) for tracks in truth.tracks),
        "rows": [_row(number, seen, truth, classifier) for number, seen in runs.items()],
        "flips": flips(truth, classifier.thresholds),
    }


def _row(every: int, seen: list[Seen], truth: Seen, classifier: FaceClassifier) -> dict[str, Any]:
    count = len(truth.tracks)
    held = [truth.tracks[at - at % every] for at in range(count)]
    followed = [ms for one in seen for at, ms in enumerate(one.locate_ms) if at % every]
    return {
        "every": every,
        "fps": 1000 * count / statistics.median([sum(one.total_ms) for one in seen]),
        "locate_ms": statistics.median([sum(one.locate_ms) for one in seen]) / count,
        "follow_ms": summarise(followed),
        "ids": len({track.id for tracks in seen[0].tracks for track in tracks}),
        "held_iou": overlaps(truth.tracks, held),
    } | agreement(truth, seen[0], classifier.thresholds)


def agreement(truth: Seen, seen: Seen, thresholds: Sequence[float]) -> dict[str, Any]:
    """Compare what was seen with what detection in every frame sees.

    Args:
        truth: Detected in every frame.
        seen: Of the same frames.
        thresholds: Of the classifier.

    Returns:
        iou (mean and 5th percentile over the faces of both; None without any), faces_agree (share
        of frames with as many faces) and labels_agree (share of labels of the faces of both).
    """
    same = [
        (before[a] >= thresholds) == (after[b] >= thresholds)
        for tracks, others, before, after in zip(
            truth.tracks, seen.tracks, truth.values, seen.values, strict=True
        )
        for a, b, _ in matches(tracks, others)
    ]
    counts = [len(a) == len(b) for a, b in zip(truth.tracks, seen.tracks, strict=True)]
    return {
        "iou": overlaps(truth.tracks, seen.tracks),
        "faces_agree": float(np.mean(counts)),
        "labels_agree": float(np.mean(same)) if same else None,
    }


def overlaps(truth: list[list[Track]], seen: list[list[Track]]) -> dict[str, float | None]:
    """Return the mean and the 5th percentile of the IoU of the faces of both."""
    pairs = zip(truth, seen, strict=True)
    values = [overlap for a, b in pairs for _, _, overlap in matches(a, b)]
    if not values:
        return {"mean": None, "p5": None}
    return {"mean": float(np.mean(values)), "p5": float(np.percentile(values, 5))}


def matches(truth: list[Track], seen: list[Track]) -> Iterator[tuple[int, int, float]]:
    """Yield the place of each true face that was seen, the place of the other, and their IoU."""
    for a, track in enumerate(truth):
        box = track.detection.box
        found = [box.intersection_over_union(other.detection.box) for other in seen]
        best = max(found, default=0.0)
        if best >= _SAME:
            yield a, found.index(best), best


def flips(seen: Seen, thresholds: Sequence[float]) -> dict[str, float | None]:
    """Return how often the labels of a face change in 100 frames, as they come and steady."""
    steady = Steady(thresholds)
    series: dict[str, dict[int, list[NDArray[np.bool_]]]] = {"raw": {}, "steady": {}}
    for at, (tracks, values) in enumerate(zip(seen.tracks, seen.values, strict=True)):
        for track, said in zip(tracks, values, strict=True):
            calm = steady.update(track.id, said, at / _RATE)[1]
            for kind, labels in (("raw", said >= thresholds), ("steady", calm)):
                series[kind].setdefault(track.id, []).append(labels)
    result: dict[str, float | None] = {}
    for kind, faces in series.items():
        changes = [(a != b).sum() for labels in faces.values() for a, b in pairwise(labels)]
        result[kind] = 100 * float(np.mean(changes)) if changes else None
    return result


def delays() -> list[dict[str, float]]:
    """Return the milliseconds, at 30 FPS, after which `Steady` shows a change of a probability."""
    found = []
    for low, high in _CHANGES:
        steady, frames = Steady((0.5,)), 0
        for at in range(_RATE):
            steady.update(1, np.array([low], np.float32), at / _RATE)
        while not steady.update(1, np.array([high], np.float32), 1 + frames / _RATE)[1][0]:
            frames += 1
        found.append({"from": low, "to": high, "delay_ms": 1000 * frames / _RATE})
    return found


def table(report: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    lines = []
    for video in report["videos"]:
        flip = " and ".join(f"{_cell(value, 1)} {kind}" for kind, value in video["flips"].items())
        lines += [
            f"{video['source']}: {video['frames']} frames, {video['with a face']} with a face; "
            f"label flips in 100 frames: {flip}",
            "",
            "| N | FPS | find, ms | IoU | 5 % below | not followed | 5 % below | same faces |"
            " same labels |",
            "|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
        ]
        for row in video["rows"]:
            ious = [row[kind][key] for kind in ("iou", "held_iou") for key in ("mean", "p5")]
            cells = [str(row["every"]), f"{row['fps']:.0f}", f"{row['locate_ms']:.2f}"]
            cells += [_cell(value, 3) for value in ious]
            cells += [_cell(row[key], 3) for key in ("faces_agree", "labels_agree")]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    for one in report["delays"]:
        lines.append(f"{one['from']} to {one['to']}: shown after {one['delay_ms']:.0f} ms")
    return "\n".join(lines) + "\n"


def _cell(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def pictures_of(video: Path | None, count: int) -> list[Picture]:
    """Read the first frames of a video; None for the demo.

    Raises:
        EdgeError: It cannot be read.
    """
    if video is None:
        demo = Demo()
        return [demo.render(index) for index in range(count)]
    with open_source(str(video), warn=_warn) as source:
        return [frame.picture for frame in islice(source, count)]


def _warn(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


def main() -> None:
    """Parse the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("videos", nargs="*", type=Path, metavar="VIDEO")
    parser.add_argument("--detector", default="blazeface")
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    try:
        classifier = Classifier(read_model(resolve_model("default")))
        detector = create_detector(options.detector)
        videos = [
            measure(video.name if video else "demo", pictures, detector, classifier)
            for video in options.videos or [None]
            if (pictures := pictures_of(video, options.frames))
        ]
    except EdgeError as error:
        parser.error(f"{error.message}: {error.hint}")
    report = {
        "benchmark": "tracking",
        "detector": options.detector,
        "videos": videos,
        "delays": delays(),
        "environment": fingerprint(1, classifier.runtime),
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n" if options.json else table(report))


if __name__ == "__main__":
    main()
