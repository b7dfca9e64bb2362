"""BlazeFace, MediaPipe's face detector, straight on the TFLite runtime.

Source: Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs",
arXiv 1907.05047; anchors, decoding and non-maximum suppression follow the graph options that
MediaPipe publishes for the same two files.
"""

import math
from dataclasses import dataclass
from operator import mul

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.assets import fetch
from edge.contract import Picture
from edge.faces import Box, Detection
from edge.runtime.interpreter import Interpreter

Floats = NDArray[np.float32]

# Columns of a face, and its score.
Candidate = tuple[list[float], float]
# Left, top, right, bottom and area of a box.
Edges = tuple[float, float, float, float, float]

# Columns of a decoded face: x, y, width, height, then six (x, y) points, of which the first two
# are the eyes (the person's right one first, which stands left in the picture).
_COLUMNS = 16
# As many as a detection is made of.
_USED = 8

_PIXEL, _ONE = np.float32(1 / 127.5), np.float32(1)


@dataclass(frozen=True)
class Variant:
    """One published file: its asset, input size in pixels, and (stride, anchors a cell)."""

    asset: str
    size: int
    layers: tuple[tuple[int, int], ...]


SHORT_RANGE = Variant("blazeface", 128, ((8, 2), (16, 6)))
FULL_RANGE = Variant("blazeface-full", 192, ((4, 1),))


class BlazeFace:
    """Finds faces; the best comes first.

    Args:
        variant: `SHORT_RANGE` (faces within about 2 m) or `FULL_RANGE` (within about 5 m).
        min_score: Faces below this confidence are dropped.
        max_overlap: Detections that overlap by more than this (IoU) are one face.
        runtime: As `Interpreter`.
        threads: As `Interpreter`.
    """

    def __init__(
        self,
        variant: Variant = SHORT_RANGE,
        *,
        min_score: float = 0.5,
        max_overlap: float = 0.3,
        runtime: str = "auto",
        threads: int = 1,
    ) -> None:
        self._anchors = np.tile(anchor_centers(variant) * variant.size, _USED // 2)
        self._anchors[:, 2:4] = 0  # a width and a height have no place
        self._letterbox = Letterbox(variant.size)
        self._min_score = min_score
        self._max_overlap = max_overlap
        self.network = Interpreter(
            fetch(variant.asset).read_bytes(), variant.asset, runtime=runtime, threads=threads
        )
        shapes = [output.shape[-1] for output in self.network.outputs]
        self._boxes, self._scores = shapes.index(_COLUMNS), shapes.index(1)

    def detect(self, picture: Picture) -> list[Detection]:
        """Find the faces of a picture.

        Args:
            picture: uint8 (height, width, 3), BGR.

        Returns:
            Detections in falling order of score.
        """
        outputs = self.network.run_written(lambda values: self._letterbox.write(picture, values))
        boxes, logits = outputs[self._boxes][0, :, :_USED], outputs[self._scores][0, :, 0]
        found = decode(boxes, logits, self._anchors, self._min_score)
        return [
            self._letterbox.detection(face, score, picture)
            for face, score in merge_overlapping(found, self._max_overlap)
        ]


def anchor_centers(variant: Variant) -> Floats:
    """Return the centre of every anchor: float32 (anchors, 2), x and y from 0 to 1.

    All anchors are of size 1: the network's offsets are relative to the whole input.
    """
    centers = []
    for stride, count in variant.layers:
        cells = variant.size // stride
        y, x = np.mgrid[0:cells, 0:cells]
        grid = (np.stack([x.ravel(), y.ravel()], axis=1) + 0.5) / cells
        centers.append(np.repeat(grid, count, axis=0))
    return np.concatenate(centers).astype(np.float32)


class Letterbox:
    """Scales pictures into a black square, keeping their shape, as the network wants them.

    Samples bilinearly without averaging first and maps corner to corner, which is what MediaPipe
    does; the same boxes depend on it.

    Args:
        size: Side of the square in pixels.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._square = np.empty((size, size, 3), np.uint8)
        # For the last shape of a picture: those of a video are all of one.
        self._shape: tuple[int, ...] = ()
        self._map: tuple[NDArray[np.int16], NDArray[np.uint16]]

    def __call__(self, picture: Picture) -> Floats:
        """Return a picture as `write` writes it: float32 (size, size, 3)."""
        values = np.empty((self._size, self._size, 3), np.float32)
        self.write(picture, values)
        return values

    def write(self, picture: Picture, values: Floats) -> None:
        """Scale a picture into an array.

        Args:
            picture: uint8 (height, width, 3), BGR.
            values: float32 (size, size, 3), to become RGB, -1 to 1.
        """
        square = self._square
        if picture.shape != self._shape:
            self._shape, self._map = picture.shape, _sampling(picture.shape, self._size)
        cv2.remap(picture, *self._map, cv2.INTER_LINEAR, dst=square, borderMode=cv2.BORDER_CONSTANT)
        cv2.cvtColor(square, cv2.COLOR_BGR2RGB, dst=square)
        np.copyto(values, square)
        np.multiply(values, _PIXEL, out=values)
        np.subtract(values, _ONE, out=values)

    def detection(self, face: list[float], score: float, picture: Picture) -> Detection:
        """Map a face in the square back to the picture that it was found in.

        Args:
            face: x, y, width, height, then the two eyes, in pixels of the square.
            score: 0 to 1.
            picture: As it was scaled.
        """
        height, width = picture.shape[:2]
        side = max(width, height)
        across, down = side / (self._size * width), side / (self._size * height)
        left, top = (1 - side / width) / 2, (1 - side / height) / 2
        x, y, box_width, box_height, right_x, right_y, left_x, left_y = face
        return Detection(
            Box(x * across + left, y * down + top, box_width * across, box_height * down),
            score,
            (
                (right_x * across + left, right_y * down + top),
                (left_x * across + left, left_y * down + top),
            ),
        )


def _sampling(shape: tuple[int, ...], size: int) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
    """Return where a square looks in a picture, as `cv2.remap` takes it.

    In 32nds of a pixel, as OpenCV 3 and 4 sample whole transformations, MediaPipe's copy among
    them; OpenCV 5 samples those more finely.

    Args:
        shape: Height and width of the picture.
        size: Side of the square in pixels.

    Returns:
        Whole pixels, int16 (size, size, 2), and the 32nds beyond, uint16 (size, size).
    """
    height, width = shape[:2]
    step = max(width, height) / size
    # In 1,024ths first, as OpenCV does.
    along = np.rint(np.arange(size) * step * 1024)
    x, y = (
        (along + np.rint((side - max(width, height)) / 2 * 1024) + 16).astype(np.int64) >> 5
        for side in (width, height)
    )
    columns, rows = np.meshgrid(x, y)
    whole = np.dstack([columns >> 5, rows >> 5]).astype(np.int16)
    return whole, ((rows & 31) * 32 + (columns & 31)).astype(np.uint16)


def decode(boxes: Floats, logits: Floats, anchors: Floats, min_score: float) -> list[Candidate]:
    """Turn the network's outputs into faces above a score.

    Args:
        boxes: float32 (anchors, columns), offsets from the anchors in input pixels.
        logits: float32 (anchors,), scores before the sigmoid.
        anchors: float32 (anchors, columns), what each column is an offset from, in input pixels:
            the centre of the anchor, 0 for width and height.
        min_score: 0 to 1.

    Returns:
        Faces in input pixels, x and y being those of the centre, and scores; the best first.
    """
    kept = (logits >= math.log(min_score / (1 - min_score))).nonzero()[0]
    faces = (boxes[kept] + anchors[kept]).tolist()
    scores = [1 / (1 + math.exp(-min(logit, 80))) for logit in logits.take(kept).tolist()]
    return sorted(zip(faces, scores, strict=True), key=lambda candidate: -candidate[1])


def merge_overlapping(found: list[Candidate], max_overlap: float) -> list[Candidate]:
    """Weighted non-maximum suppression: each face becomes the score-weighted mean of its group.

    A handful of anchors see each face: plain numbers are faster here than arrays of them.

    Args:
        found: From `decode`, the best first.
        max_overlap: IoU above which two detections are one face.

    Returns:
        Each group's face, x and y being those of its corner, and the score of its best member.
    """
    edges = [
        (x - width / 2, y - height / 2, x + width / 2, y + height / 2, width * height)
        for (x, y, width, height, *_), _ in found
    ]
    left = list(range(len(found)))
    merged = []
    while left:
        best = left[0]
        # Even if it overlaps nothing, itself included: a box without area.
        group, others = [best], list[int]()
        for other in left[1:]:
            same = _overlap(edges[best], edges[other]) > max_overlap
            (group if same else others).append(other)
        weights = [found[one][1] for one in group]
        total = sum(weights)
        face = [
            sum(map(mul, weights, column)) / total
            for column in zip(*(found[one][0] for one in group), strict=True)
        ]
        face[0] -= face[2] / 2
        face[1] -= face[3] / 2
        merged.append((face, found[best][1]))
        left = others
    return merged


def _overlap(one: Edges, other: Edges) -> float:
    """Return the IoU of two boxes."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    if across <= 0 or down <= 0:
        return 0.0
    shared = across * down
    return shared / (one[4] + other[4] - shared)
