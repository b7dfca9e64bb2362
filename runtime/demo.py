"""The demo: an endless camera pan over portraits side by side, the same for the same seed."""

import math
import time
from collections.abc import Iterator

import cv2
import numpy as np

from edge.assets import fetch
from edge.contract import Picture
from edge.images import read_picture
from edge.quiet import quiet
from edge.runtime.sources import Frame, Source

FRAMES = 300

_SIZE = (640, 480)
_FRAMES_A_SECOND = 30
# The part of the demo picture that is repeated, in its columns, and the middle of its face.
_COLUMNS = (64, 384)
_FACE = (225 - _COLUMNS[0], 130)
_COPIES = 5
# Half of the face with some room, in pixels of the demo picture.
_ROOM = 90.0


class Demo(Source):
    """Pans, zooms and tilts smoothly; one face fills a third of the frame, or several stand in it.

    Args:
        seed: Chooses the movement.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__("demo")
        with quiet():  # OpenCV 4's PNG reader has words for its colour profile
            portrait = read_picture(fetch("demo"))[:, _COLUMNS[0] : _COLUMNS[1]]
        self._wall = np.tile(portrait, (1, _COPIES, 1))
        random = np.random.default_rng(seed)
        # x, y, zoom, tilt: radians a frame, and where each begins.
        self._speeds = 2 * math.pi / (random.uniform(5, 11, 4) * _FRAMES_A_SECOND)
        self._starts = random.uniform(0, 2 * math.pi, 4)

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while True:
            captured = time.perf_counter()
            yield Frame(index, self.name, self.render(index), captured)
            index += 1

    def render(self, index: int) -> Picture:
        """Return one frame: uint8 (480, 640, 3), BGR."""
        x, y, zoom, tilt = np.sin(self._starts + index * self._speeds).tolist()
        width, height = _SIZE
        scale = 1.65 + 0.6 * zoom
        # Never so far that the face in the middle leaves the frame.
        slack_x = max(0.0, width / scale / 2 - _ROOM)
        slack_y = max(0.0, height / scale / 2 - _ROOM)
        center_x = _COPIES // 2 * (_COLUMNS[1] - _COLUMNS[0]) + _FACE[0] + slack_x * x
        center_y = _FACE[1] + slack_y * (0.6 + 0.3 * y)
        matrix = cv2.getRotationMatrix2D((center_x, center_y), 12 * tilt, scale)
        matrix[:, 2] += width / 2 - center_x, height / 2 - center_y
        return cv2.warpAffine(self._wall, matrix, _SIZE, flags=cv2.INTER_LINEAR,
                               borderMode=cv2.BORDER_REFLECT_101)  # fmt: skip
