"""How much of a frame's time is not the networks', and how others compare?

    python -m edge.benchmarks.realtime --markdown realtime.md

All sides of a table are timed in turns in one process: our networks on one thread each, others on
as many as they take by themselves. Each frame is read from a video of the demo's portrait just
before, as a run does, and untimed; for several at once, frames are read beforehand. Sides whose
packages are missing are left out. Prints one JSON object, and with --markdown tables.
"""

import itertools
import json
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.assets import home
from edge.benchmarks import told
from edge.benchmarks.cases import FRAME_SIDE
from edge.benchmarks.prepare import demo_frames
from edge.benchmarks.subjects import Endless
from edge.benchmarks.zoo import build_zoo, demo_crops
from edge.contract import Picture
from edge.environment import fingerprint
from edge.errors import EdgeError
from edge.measure import Call, Protocol, alternate, ratio, summarise
from edge.modelfile import read_model, resolve_model
from edge.runtime.classifier import Classifier, FaceClassifier
from edge.runtime.demo import Demo
from edge.runtime.detectors import Detector, create_detector
from edge.runtime.locator import Locator
from edge.runtime.pipeline import Overlapped, Pipeline, Report
from edge.runtime.sources import Frame, Source, open_source

PROTOCOL = Protocol(rounds=5, min_samples=200, min_seconds=2.5)
FACES = (1, 2, 4, 8)
_BLAZE = "blazeface"
_TOGETHER = 20


def measure() -> dict[str, Any]:
    """Measure all tables."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(prefix="edge-realtime-") as scratch:
        video = Path(scratch, "face.avi")
        write_video(video, demo_frames(60, create_detector(_BLAZE)))
        return {
            "benchmark": "realtime",
            "one face": _one_face(video),
            "faces": _by_faces(Path(scratch)),
            "frame size": _by_size(Path(scratch)),
            "start": _start(video),
            "environment": fingerprint(1, "litert"),
        }


def walls(faces: int, count: int) -> list[Picture]:
    """Return frames of 640×320 pixels with so many faces of about 100 pixels, 8 at most."""
    detector, found = create_detector(_BLAZE), []
    demo = Demo()
    for picture in (demo.render(index) for index in itertools.count(step=7)):
        best = next(iter(detector.detect(picture)), None)
        if best is None:
            continue
        x, y, width, height = best.box.in_pixels(picture.shape[1], picture.shape[0])
        side, middle = int(1.5 * width), (x + width / 2, y + height / 2)
        tile = cv2.resize(
            cv2.getRectSubPix(picture, (side, side), middle), (160, 160),
            interpolation=cv2.INTER_AREA,
        )  # fmt: skip
        frame = np.full((320, 640, 3), 90, np.uint8)
        for at in range(faces):
            row, column = divmod(at, 4)
            frame[160 * row : 160 * row + 160, 160 * column : 160 * column + 160] = tile
        if len(detector.detect(frame)) == faces:
            found.append(frame)
        if len(found) == count:
            return found
    raise AssertionError("the demo has no end")


def write_video(path: Path, pictures: Sequence[Picture]) -> None:
    """Write pictures as a video that every build of OpenCV reads: Motion JPEG."""
    height, width = pictures[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (width, height))
    for picture in pictures:
        writer.write(picture)
    writer.release()


class Clip(Source):
    """A video without an end, of which each frame is read when it is asked for.

    Args:
        path: The video.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._frames = self._read(path)
        self._frame = next(self._frames)

    def _read(self, path: Path) -> Iterator[Frame]:
        while True:
            with open_source(str(path), warn=_never) as source:
                yield from source

    def read(self) -> None:
        """Read the next frame."""
        self._frame = next(self._frames)

    @property
    def picture(self) -> Picture:
        """The frame that was read last: uint8 (height, width, 3), BGR."""
        return self._frame.picture

    def __iter__(self) -> Iterator[Frame]:
        while True:
            yield self._frame


def _one_face(path: Path) -> dict[str, Any]:
    video = Clip(path)
    detector, classifier = create_detector(_BLAZE), _default()
    with open_source(str(path), warn=_never) as source:
        pictures = Endless([frame.picture for frame in source])
    work = Overlapped([_pipeline() for _ in range(2)], pictures, Report(classifier))
    overlapped = "edge, 2 frames at once"
    ours = {
        "edge": _frames(detector, classifier, video),
        # Two frames are often done at once: many are timed together.
        overlapped: lambda: [next(work.results) for _ in range(_TOGETHER)],
        "invoke alone": _invoke(detector, classifier),
    }
    peers = _peers(video)
    read = dict.fromkeys(["edge", *peers], video.read)
    blocks = alternate(ours | peers, PROTOCOL, read)
    work.close()
    blocks[overlapped] = [[ms / _TOGETHER for ms in block] for block in blocks[overlapped]]
    table = _table(blocks, "edge")
    table["rows"][overlapped]["latency_ms"]["p95"] = None  # of means, that of a frame is unknown
    return table


def _pipeline() -> Pipeline:
    return Pipeline(Locator(create_detector(_BLAZE)).locate, _default())


def _frames(detector: Detector, classifier: FaceClassifier, video: Clip) -> Call:
    results = Pipeline(Locator(detector).locate, classifier).results(video)
    return lambda: next(results)


def _invoke(detector: Any, classifier: Any) -> Call:
    """Return the two networks by themselves, on what is in their inputs."""
    both = [network._engine._interpreter for network in (detector.network, classifier.network)]

    def invoke() -> None:
        for one in both:
            one.invoke()

    return invoke


def _peers(video: Clip) -> dict[str, Call]:
    """Return what others make of the same frames, each with the threads that it takes by itself."""
    try:
        peers = {"MediaPipe Tasks, same int8": _mediapipe_tasks(video)}
    except EdgeError:
        return {}
    if find_spec("tensorflow"):
        from edge.train.single import SingleCalls

        [seed] = {
            model.keras for model in build_zoo(["proposed"], home() / "bench" / "zoo", demo_crops)
        }
        for name, compiled in (("predict", False), ("call", True)):
            network = SingleCalls(seed, compiled=compiled)
            detector = create_detector("mediapipe")
            peers[f"seed: MediaPipe, Keras {name}"] = _frames(detector, network, video)
    return peers


def _mediapipe_tasks(video: Clip) -> Call:
    """Return MediaPipe's detector and its ImageClassifier, as its own examples join them."""
    from edge.runtime.mediapipe_detector import import_mediapipe

    mediapipe = import_mediapipe()
    base, vision = mediapipe.tasks.BaseOptions, mediapipe.tasks.vision
    detector: Any = create_detector("mediapipe")
    classifier = vision.ImageClassifier.create_from_options(
        vision.ImageClassifierOptions(
            base_options=base(model_asset_path=str(resolve_model("default")))
        )
    )
    weakref.finalize(detector, classifier.close)  # else it complains when Python ends

    def image(pixels: Picture) -> Any:
        return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)

    def frame() -> None:
        pixels = cv2.cvtColor(video.picture, cv2.COLOR_BGR2RGB)
        for face in detector._detector.detect(image(pixels)).detections:
            box = face.bounding_box
            crop = pixels[box.origin_y : box.origin_y + box.height,
                          box.origin_x : box.origin_x + box.width]  # fmt: skip
            classifier.classify(image(np.ascontiguousarray(crop)))

    return frame


def _by_faces(folder: Path) -> dict[str, Any]:
    """Tell what each further face costs, beside one run of the classifier."""
    videos = {str(count): _video(folder / f"{count}.avi", walls(count, 20)) for count in FACES}
    network: Any = _default().network
    invoke = {"invoke of the classifier": network._engine._interpreter.invoke}
    table = _by_video(videos, "1", invoke)
    table["further_face_ms"] = (_p50(table, str(FACES[-1])) - _p50(table, "1")) / (FACES[-1] - 1)
    return table


def _by_size(folder: Path) -> dict[str, Any]:
    detector, videos = create_detector(_BLAZE), {}
    for width, height in ((FRAME_SIDE, FRAME_SIDE), (1920, 1080)):
        name = f"{width}×{height}"
        pictures = demo_frames(20, detector, width=width, height=height)
        videos[name] = _video(folder / f"{name}.avi", pictures)
    return _by_video(videos, f"{FRAME_SIDE}×{FRAME_SIDE}", {})


def _video(path: Path, pictures: Sequence[Picture]) -> Clip:
    write_video(path, pictures)
    return Clip(path)


def _by_video(videos: dict[str, Clip], base: str, others: dict[str, Call]) -> dict[str, Any]:
    """Time ours on each video, beside other calls."""
    detector, classifier = create_detector(_BLAZE), _default()
    calls = {name: _frames(detector, classifier, video) for name, video in videos.items()}
    reads = {name: video.read for name, video in videos.items()}
    return _table(alternate(calls | others, PROTOCOL, reads), base)


def _start(video: Path) -> dict[str, float]:
    """Run `edge run` on the video: memory, time to the first result, and what imports take."""
    command = [sys.executable, "-m", "edge", "run", str(video), "--json"]
    summaries = [_summary(command) for _ in range(5)]
    imports = (
        "import time; t = time.perf_counter(); import edge.cli_run, edge.runtime.run, "
        "edge.runtime.outputs; print(time.perf_counter() - t)"
    )
    seconds = [
        float(
            subprocess.run([sys.executable, "-c", imports], capture_output=True, check=True).stdout
        )
        for _ in range(5)
    ]
    return {
        "peak_rss_mb": max(one["peak_rss_mb"] for one in summaries),
        "first_result_ms": float(np.median([one["first_result_ms"] for one in summaries])),
        "fps": float(np.median([one["fps"] for one in summaries])),
        "import_ms": 1000 * float(np.median(seconds)),
    }


def _summary(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])["summary"]
    return summary


def _table(blocks: dict[str, list[list[float]]], base: str) -> dict[str, Any]:
    rows = {}
    for name, taken in blocks.items():
        value, low, high = ratio(blocks[base], taken)
        rows[name] = {
            "latency_ms": summarise([ms for block in taken for ms in block]),
            "ratio": value,
            "ci95": [low, high],
        }
    return {"base": base, "rows": rows}


def _p50(table: dict[str, Any], name: str) -> float:
    value: float = table["rows"][name]["latency_ms"]["p50"]
    return value


def _default() -> Classifier:
    return Classifier(read_model(resolve_model("default")))


def _never(sentence: str) -> None:
    raise AssertionError(sentence)


def tables(report: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    lines = []
    for title in ("one face", "faces", "frame size"):
        table = report[title]
        lines += [f"| {title} | p50, ms | p95, ms | × {table['base']} |", "|---|--:|--:|--:|"]
        for name, row in table["rows"].items():
            low, high = row["ci95"]
            latency = row["latency_ms"]
            p95 = "–" if latency["p95"] is None else f"{latency['p95']:.2f}"
            lines.append(
                f"| {name} | {latency['p50']:.2f} | {p95} "
                f"| {row['ratio']:.2f} ({low:.2f}–{high:.2f}) |"
            )
        lines.append("")
    further = report["faces"]["further_face_ms"]
    start = report["start"]
    lines += [
        f"Each further face: {further:.2f} ms. `edge run` on the video: first result after "
        f"{start['first_result_ms']:.0f} ms, {start['peak_rss_mb']:.0f} MB at most; its imports "
        f"take {start['import_ms']:.0f} ms.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    told.run(__doc__, measure, tables)
