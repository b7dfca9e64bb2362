"""The two detectors that OpenCV brings: YuNet, a small network, and the Haar cascade of 2001.

Each has its own idea of what belongs to a face. Their boxes are turned into those of BlazeFace,
a square from the brow to the chin, so that a classifier sees the crop that it was trained on.
"""

from dataclasses import dataclass
from typing import Any

import cv2

from edge.assets import fetch
from edge.contract import Picture
from edge.errors import EdgeError
from edge.faces import Box, Detection
from edge.images import silence_opencv

# The settings of the published comparison that the Haar figures are held against.
_SCALE_STEP = 1.3
_NEIGHBOURS = 6

# Pixels. In a strip of a single row OpenCV 4 makes up a face, with a box beyond all numbers.
_SMALLEST_YUNET_FACE = 10


@dataclass(frozen=True)
class Framing:
    """How a detector's box becomes that of BlazeFace.

    Args:
        side: Side of BlazeFace's square, as a multiple of the root of the box's area.
        drop: How far its centre lies below that of the box, as a fraction of the box's height.
    """

    side: float
    drop: float

    def frame(self, box: tuple[float, ...], width: int, height: int) -> Box:
        """Return the normalised square for a box in pixels.

        Args:
            box: x, y, width, height in pixels.
            width: Of the picture, in pixels.
            height: Of the picture, in pixels.
        """
        x, y, box_width, box_height = box
        side = self.side * (box_width * box_height) ** 0.5
        left = x + (box_width - side) / 2
        top = y + box_height / 2 + self.drop * box_height - side / 2
        return Box(left / width, top / height, side / width, side / height)


# Medians over training pictures of CelebA and MTFL in which BlazeFace finds the same face.
YUNET_FRAMING = Framing(side=0.97, drop=0.078)
HAAR_FRAMING = Framing(side=0.92, drop=0.102)


class YuNet:
    """Finds faces of about 10 to 300 pixels, and their eyes; the best comes first.

    Source: Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence
    Research 2023. The network sees the picture in its own size.

    Args:
        min_score: Faces below this confidence are dropped.
        max_overlap: Detections that overlap by more than this (IoU) are one face.
        threads: For the whole process: OpenCV has one setting for all that it does.
    """

    def __init__(
        self, *, min_score: float = 0.6, max_overlap: float = 0.3, threads: int = 1
    ) -> None:
        cv2.setNumThreads(threads)
        silence_opencv()  # OpenCV 5 remarks on a setting that its own detector makes
        self._detector = cv2.FaceDetectorYN.create(
            str(fetch("yunet")), "", (320, 320), min_score, max_overlap
        )

    def detect(self, picture: Picture) -> list[Detection]:
        """Find the faces of a picture.

        Args:
            picture: uint8 (height, width, 3), BGR.

        Returns:
            Detections in falling order of score.
        """
        height, width = picture.shape[:2]
        if min(height, width) < _SMALLEST_YUNET_FACE:
            return []
        self._detector.setInputSize((width, height))
        _, rows = self._detector.detect(picture)
        found = [] if rows is None else [_seen(row, width, height) for row in rows.tolist()]
        return sorted(found, key=lambda face: -face.score)


class HaarCascade:
    """Finds upright frontal faces from 24 pixels on, without their eyes; the best comes first.

    Source: Viola and Jones, "Rapid Object Detection using a Boosted Cascade of Simple Features",
    CVPR 2001, with the cascade that OpenCV publishes. A cascade knows no confidence: the score
    grows with the number of windows that agree on a face, from 0.5 at the fewest accepted.

    Args:
        threads: For the whole process: OpenCV has one setting for all that it does.

    Raises:
        EdgeError: The installed OpenCV has no cascades.
    """

    def __init__(self, *, threads: int = 1) -> None:
        create = cascade_classifier()
        cv2.setNumThreads(threads)
        self._cascade = create(str(fetch("haar")))

    def detect(self, picture: Picture) -> list[Detection]:
        """Find the faces of a picture.

        Args:
            picture: uint8 (height, width, 3), BGR.

        Returns:
            Detections in falling order of score.
        """
        height, width = picture.shape[:2]
        boxes, counts = self._cascade.detectMultiScale2(
            cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY),
            scaleFactor=_SCALE_STEP,
            minNeighbors=_NEIGHBOURS,
        )
        found = [
            Detection(
                HAAR_FRAMING.frame(tuple(map(float, box)), width, height),
                float(count / (count + _NEIGHBOURS)),
            )
            for box, count in zip(boxes, counts, strict=True)
        ]
        return sorted(found, key=lambda face: -face.score)


def cascade_classifier() -> Any:
    """Return OpenCV's class for cascades, which OpenCV 5 has in its contrib packages alone.

    Raises:
        EdgeError: The installed OpenCV has none.
    """
    if not hasattr(cv2, "CascadeClassifier"):
        raise EdgeError(
            f"detector haar needs OpenCV's cascades, which OpenCV {cv2.__version__} lacks",
            "pip install 'opencv-python-headless<5', or choose --detector yunet",
        )
    return cv2.CascadeClassifier


def _seen(row: list[float], width: int, height: int) -> Detection:
    """Turn a row of YuNet into a detection: box, five points (the eyes first), score."""
    right_x, right_y, left_x, left_y = row[4:8]
    return Detection(
        YUNET_FRAMING.frame(tuple(row[:4]), width, height),
        row[14],
        ((right_x / width, right_y / height), (left_x / width, left_y / height)),
    )
