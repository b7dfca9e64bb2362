"""The face detectors by name."""

from typing import Protocol

from edge.contract import InputContract, Picture
from edge.errors import EdgeError
from edge.faces import Detection

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
    if name in ("blazeface", "blazeface-full"):
        from edge.runtime.blazeface import FULL_RANGE, SHORT_RANGE, BlazeFace

        variant = SHORT_RANGE if name == "blazeface" else FULL_RANGE
        return BlazeFace(variant, runtime=runtime, threads=threads)
    if name == "mediapipe":
        from edge.runtime.mediapipe_detector import MediaPipeDetector

        return MediaPipeDetector(threads=threads)
    if name in ("yunet", "haar"):
        from edge.runtime.opencv_detectors import HaarCascade, YuNet

        return YuNet(threads=threads) if name == "yunet" else HaarCascade(threads=threads)
    raise EdgeError(f"unknown detector {name}", f"choose one of {', '.join(DETECTORS)}")


def other_than_trained(name: str, contract: InputContract) -> list[str]:
    """Return what to warn of where a model sees faces of another detector than in training."""
    if name == contract.detector:
        return []
    return [
        f"the model was trained on faces found by {contract.detector}, not by {name}: "
        "its accuracy may differ"
    ]
