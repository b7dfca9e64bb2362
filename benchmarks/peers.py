"""Face detectors that are only compared with: other people's, as their packages ship them.

Their boxes and eyes are their own; nothing here is meant to feed a classifier.
"""

import math
import os
from types import ModuleType
from typing import Any

import cv2

from edge.contract import Picture
from edge.errors import EdgeError
from edge.faces import Box, Detection
from edge.quiet import quiet
from edge.runtime.detectors import Detector

PEERS = ("mtcnn", "dlib-hog")

# Doubles the picture once, as dlib's own examples do: its smallest face is then 40 pixels.
_DLIB_DOUBLINGS = 1


def create_peer(name: str, threads: int = 1) -> Detector:
    """Load a detector to compare with.

    Args:
        name: One of `PEERS`.
        threads: How many threads it may use, where it offers a choice.

    Raises:
        EdgeError: The name is unknown, or its package is not installed.
    """
    if name == "mtcnn":
        return Mtcnn(threads)
    if name == "dlib-hog":
        return DlibHog()
    raise EdgeError(f"unknown peer {name}", f"choose one of {', '.join(PEERS)}")


class Mtcnn:
    """MTCNN on TensorFlow: three networks in a row, over a pyramid of the picture.

    Source: Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded
    Convolutional Networks", arXiv 1604.02878; the package `mtcnn` with its own thresholds.

    Args:
        threads: Of each TensorFlow operation; heeded where TensorFlow has not run yet.
    """

    def __init__(self, threads: int) -> None:
        # TensorFlow reads them with its first operation and offers no later moment.
        os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
        os.environ["TF_NUM_INTEROP_THREADS"] = "1"
        with quiet(Exception):
            self._detector = _mtcnn().MTCNN(device="CPU:0")

    def detect(self, picture: Picture) -> list[Detection]:
        """Find the faces of a picture: uint8 (height, width, 3), BGR; the best comes first."""
        height, width = picture.shape[:2]
        faces = self._detector.detect_faces(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        found = [_from_mtcnn(face, width, height) for face in faces]
        return sorted(found, key=lambda face: -face.score)


class DlibHog:
    """dlib's frontal face detector: histograms of gradients under a linear classifier.

    It runs on one thread, finds no eyes and knows no confidence: the score is the logistic of the
    distance from the classifier's plane.
    """

    def __init__(self) -> None:
        self._detector = _dlib().get_frontal_face_detector()

    def detect(self, picture: Picture) -> list[Detection]:
        """Find the faces of a picture: uint8 (height, width, 3), BGR; the best comes first."""
        height, width = picture.shape[:2]
        rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        boxes, distances, _ = self._detector.run(rgb, _DLIB_DOUBLINGS, 0.0)
        found = [
            Detection(
                _normalised((box.left(), box.top(), box.width(), box.height()), width, height),
                1 / (1 + math.exp(-distance)),
            )
            for box, distance in zip(boxes, distances, strict=True)
        ]
        return sorted(found, key=lambda face: -face.score)


def _from_mtcnn(face: dict[str, Any], width: int, height: int) -> Detection:
    # The eyes are named as they stand in the picture, not as the person's.
    left, right = (face["keypoints"][name] for name in ("left_eye", "right_eye"))
    return Detection(
        _normalised(face["box"], width, height),
        float(face["confidence"]),
        (
            (float(left[0] / width), float(left[1] / height)),
            (float(right[0] / width), float(right[1] / height)),
        ),
    )


def _normalised(box: Any, width: int, height: int) -> Box:
    """Return x, y, width, height in pixels as a normalised box."""
    return Box(*(float(value / side) for value, side in zip(box, (width, height) * 2, strict=True)))


def _mtcnn() -> ModuleType:
    try:
        import mtcnn
    except ImportError as error:
        raise _missing("mtcnn", error) from error
    return mtcnn


def _dlib() -> ModuleType:
    try:
        import dlib
    except ImportError as error:
        raise _missing("dlib", error) from error
    return dlib


def _missing(package: str, error: ImportError) -> EdgeError:
    return EdgeError(
        f"the package {package} cannot be loaded ({error})", "pip install 'edge-tflite[peers]'"
    )
