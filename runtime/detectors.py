"""The face detectors by name."""

from typing import Protocol

from edge.assets import assets, fetch
from edge.contract import InputContract, Picture
from edge.errors import EdgeError
from edge.faces import Detection
from edge.runtime.blazeface import FULL_RANGE, SHORT_RANGE, BlazeFace
from edge.runtime.choice import Choice, candidates, choose
from edge.runtime.trial import detector_trial

_VARIANTS = {"blazeface": SHORT_RANGE, "blazeface-full": FULL_RANGE}

# Those that run on a TFLite runtime; the others bring an engine and threads of their own.
ON_TFLITE = tuple(_VARIANTS)

DETECTORS = ("blazeface", "blazeface-full", "mediapipe", "yunet", "haar")


class Detector(Protocol):
    """Finds faces."""

    def detect(self, picture: Picture) -> list[Detection]:
        """Find the faces of a picture: uint8 (height, width, 3), BGR; the best comes first."""


def create_detector(name: str, *, runtime: str = "auto", threads: int = 1) -> Detector:
    """Load a detector.

    Args:
        name: One of `DETECTORS`.
        runtime: The TFLite runtime of the detectors that run on one; see `Interpreter`.
        threads: How many threads it may use.

    Raises:
        EdgeError: The name is unknown, or what the detector needs is not here.
    """
    if name in _VARIANTS:
        return BlazeFace(_VARIANTS[name], runtime=runtime, threads=threads)
    if name == "mediapipe":
        from edge.runtime.mediapipe_detector import MediaPipeDetector

        return MediaPipeDetector(threads=threads)
    if name in ("yunet", "haar"):
        from edge.runtime.opencv_detectors import HaarCascade, YuNet

        return YuNet(threads=threads) if name == "yunet" else HaarCascade(threads=threads)
    raise EdgeError(f"unknown detector {name}", f"choose one of {', '.join(DETECTORS)}")


def choose_detector(name: str, *, runtime: str, threads: int | None) -> Choice:
    """Choose the engine and threads that suit a detector best here.

    Args:
        name: One of `DETECTORS`.
        runtime: As `edge.runtime.choice.choose`; heeded by the detectors that run on one.
        threads: As `edge.runtime.choice.choose`.

    Raises:
        EdgeError: As `create_detector`.
    """
    if name in _VARIANTS:
        variant = _VARIANTS[name]
        graph = fetch(variant.asset).read_bytes()
        return choose(graph, assets()[variant.asset].sha256, name, detector_trial(variant.size),
                      runtime=runtime, threads=threads)  # fmt: skip
    _, count = candidates(threads=threads)[-1]
    return Choice(runtime=name, threads=count, measured_ms={}, refused={})


def other_than_trained(name: str, contract: InputContract) -> list[str]:
    """Return what to warn of where a model sees faces of another detector than in training."""
    if name == contract.detector:
        return []
    return [
        f"the model was trained on faces found by {contract.detector}, not by {name}: "
        "its accuracy may differ"
    ]
