"""MediaPipe's own FaceDetector around the BlazeFace file: the reference for `blazeface`."""

import weakref
from typing import Any

import cv2
import numpy as np

from edge.assets import fetch
from edge.contract import Picture
from edge.errors import EdgeError
from edge.faces import Box, Detection, Point
from edge.quiet import quiet

_MIN_SCORE = 0.5
_MAX_OVERLAP = 0.3

# Of the six points: eyes first, the person's right one before the left one.
_MOUTH, _RIGHT_EAR, _LEFT_EAR = 3, 4, 5


class MediaPipeDetector:
    """Finds faces with MediaPipe Tasks; the best comes first.

    MediaPipe 1.2 gives boxes in whole pixels, cut off downwards, and moves those that begin
    outside the picture to its border; here both are undone as far as can be, so that the crop of
    a face does not depend on which of the two detectors found it.

    Args:
        threads: Not used: MediaPipe chooses for itself and offers no setting.

    Raises:
        EdgeError: mediapipe, or a system library that it needs, is not installed.
    """

    def __init__(self, *, threads: int = 1) -> None:
        del threads
        model = str(fetch("blazeface"))
        self._mediapipe = import_mediapipe()
        tasks = self._mediapipe.tasks
        options = tasks.vision.FaceDetectorOptions(
            base_options=tasks.BaseOptions(model_asset_path=model),
            min_detection_confidence=_MIN_SCORE,
            min_suppression_threshold=_MAX_OVERLAP,
        )
        try:
            with quiet(Exception):
                self._detector = tasks.vision.FaceDetector.create_from_options(options)
        except OSError as error:
            raise _missing_library(error) from error
        weakref.finalize(self, _close, self._detector)
        # MediaPipe writes to stderr while it loads and with its first picture.
        with quiet(Exception):
            self.detect(np.zeros((128, 128, 3), np.uint8))

    def detect(self, picture: Picture) -> list[Detection]:
        """Find the faces of a picture.

        Args:
            picture: uint8 (height, width, 3), BGR.

        Returns:
            Detections in falling order of score.
        """
        height, width = picture.shape[:2]
        image = self._mediapipe.Image(
            image_format=self._mediapipe.ImageFormat.SRGB,
            data=cv2.cvtColor(picture, cv2.COLOR_BGR2RGB),
        )
        found = [
            to_detection(
                (box.origin_x, box.origin_y, box.width, box.height),
                [(point.x, point.y) for point in face.keypoints],
                face.categories[0].score,
                (width, height),
            )
            for face in self._detector.detect(image).detections
            for box in [face.bounding_box]
        ]
        return sorted(found, key=lambda face: -face.score)


def to_detection(
    box: tuple[int, int, int, int], points: list[Point], score: float, size: tuple[int, int]
) -> Detection:
    """Turn what MediaPipe says of a face into a detection.

    Args:
        box: x, y, width, height in whole pixels, as MediaPipe gives them.
        points: Right eye, left eye, nose, mouth, right ear, left ear; normalised.
        score: 0 to 1.
        size: Width and height of the picture in pixels.
    """
    width, height = size
    # BlazeFace boxes are square; a side that is longer than the picture is cut to it.
    side = max(box[2:]) + 0.5
    around = [points[i] for i in (_MOUTH, _RIGHT_EAR, _LEFT_EAR)]
    x, y = (
        _unbounded(origin, sum(point[axis] for point in around) / 3 * size[axis], side)
        for axis, origin in enumerate(box[:2])
    )
    return Detection(
        Box(x / width, y / height, side / width, side / height), score, (points[0], points[1])
    )


def _unbounded(origin: int, center: float, side: float) -> float:
    """Return where a box begins, in pixels, from its origin cut off to a whole one in the picture.

    An origin of 0 may be that of a box that begins outside. Its centre is then told from the
    points: the mean of mouth and ears lies within 5 % of a side of it in 19 of 20 faces.
    """
    return min(center - side / 2, 0.5) if origin == 0 else origin + 0.5


def import_mediapipe() -> Any:
    """Import MediaPipe without its words.

    Raises:
        EdgeError: It, or a system library that it needs, is not installed.
    """
    try:
        with quiet(Exception):
            import mediapipe
    except ImportError as error:
        raise EdgeError(
            f"detector mediapipe needs the package mediapipe ({error})",
            "pip install 'edge-tflite[mediapipe]', or choose --detector blazeface",
        ) from error
    except OSError as error:
        raise _missing_library(error) from error
    return mediapipe


def _close(detector: Any) -> None:
    try:
        detector.close()
    except RuntimeError:
        # At exit the thread that closes it is gone already; `__del__` would try once more, aloud.
        detector._handle = None


def _missing_library(error: OSError) -> EdgeError:
    return EdgeError(
        f"mediapipe lacks a system library ({error})", "apt-get install libgl1 libegl1 libgles2"
    )
