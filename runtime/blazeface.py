"""BlazeFace, MediaPipe's face detector, straight on the TFLite runtime.

Source: Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs",
arXiv 1907.05047; anchors, decoding and non-maximum suppression follow the graph options that
MediaPipe publishes for the same two files.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.assets import fetch
from edge.contract import Picture
from edge.faces import Box, Detection
from edge.runtime.interpreter import Interpreter

Floats = NDArray[np.float32]

# Columns of a decoded face: x, y, width, height, then six (x, y) points, of which the first two
# are the eyes (the person's right one first, which stands left in the picture).
_COLUMNS = 16


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
        self._size = variant.size
        self._anchors = anchor_centers(variant)
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
        height, width = picture.shape[:2]
        outputs = self.network.run(letterbox(picture, self._size))
        faces, scores = decode(
            outputs[self._boxes][0],
            outputs[self._scores][0, :, 0],
            self._anchors,
            self._size,
            self._min_score,
        )
        faces, scores = merge_overlapping(faces, scores, self._max_overlap)
        return [
            _detection(face, score, width, height)
            for face, score in zip(faces.tolist(), scores.tolist(), strict=True)
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


def letterbox(picture: Picture, size: int) -> Floats:
    """Scale a picture into a black square, keeping its shape, as the network wants it.

    Samples bilinearly without averaging first and maps corner to corner, which is what MediaPipe
    does; the same boxes depend on it.

    Args:
        picture: uint8 (height, width, 3), BGR.
        size: Side of the square in pixels.

    Returns:
        float32 (size, size, 3), RGB, -1 to 1.
    """
    height, width = picture.shape[:2]
    scale = size / max(width, height)
    matrix = np.array(
        [[scale, 0, (size - width * scale) / 2], [0, scale, (size - height * scale) / 2]]
    )
    square = cv2.warpAffine(
        picture, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )
    cv2.cvtColor(square, cv2.COLOR_BGR2RGB, dst=square)
    values = np.multiply(square, np.float32(1 / 127.5))
    values -= 1
    return values


def decode(
    boxes: Floats, logits: Floats, anchors: Floats, size: int, min_score: float
) -> tuple[Floats, Floats]:
    """Turn the network's outputs into faces above a score.

    Args:
        boxes: float32 (anchors, 16), offsets from the anchors in input pixels.
        logits: float32 (anchors,), scores before the sigmoid.
        anchors: From `anchor_centers`.
        size: Side of the input in pixels.
        min_score: 0 to 1.

    Returns:
        Faces, float32 (n, 16): x, y, width, height, then six points, normalised to the input;
        and their scores, float32 (n,); in falling order of score.
    """
    kept = np.flatnonzero(logits >= math.log(min_score / (1 - min_score)))
    one = np.float32(1)
    scores = one / (one + np.exp(-np.clip(logits[kept], -80, 80)))
    order = np.argsort(-scores, kind="stable")
    kept, scores = kept[order], scores[order]
    faces = boxes[kept] / np.float32(size)
    centers = anchors[kept]
    faces[:, 0:2] += centers - faces[:, 2:4] / 2
    faces[:, 4:] += np.tile(centers, 6)
    return faces, scores


def merge_overlapping(faces: Floats, scores: Floats, max_overlap: float) -> tuple[Floats, Floats]:
    """Weighted non-maximum suppression: each face becomes the score-weighted mean of its group.

    Args:
        faces: From `decode`, in falling order of score.
        scores: From `decode`.
        max_overlap: IoU above which two detections are one face.

    Returns:
        Faces and scores of the groups; a group's score is that of its best member.
    """
    merged, best = [], []
    while len(faces):
        group = _overlaps(faces[0], faces) > max_overlap
        group[0] = True  # a box without area overlaps nothing, itself included
        weights = scores[group]
        merged.append(weights @ faces[group] / weights.sum())
        best.append(scores[0])
        faces, scores = faces[~group], scores[~group]
    return np.array(merged, np.float32).reshape(-1, _COLUMNS), np.array(best, np.float32)


def _overlaps(face: Floats, others: Floats) -> Floats:
    """Return the IoU of one face with each of several."""
    low = np.maximum(face[:2], others[:, :2])
    high = np.minimum(face[:2] + face[2:4], others[:, :2] + others[:, 2:4])
    sides = np.maximum(high - low, 0)
    shared = sides[:, 0] * sides[:, 1]
    total = face[2] * face[3] + others[:, 2] * others[:, 3] - shared
    return shared / np.maximum(total, np.finfo(np.float32).tiny)


def _detection(face: list[float], score: float, width: int, height: int) -> Detection:
    """Map a decoded face from the padded square back to a picture of `width` × `height`."""
    side = max(width, height)
    left, top = (side - width) / 2, (side - height) / 2
    x, y, box_width, box_height, right_x, right_y, left_x, left_y = (v * side for v in face[:8])
    return Detection(
        Box((x - left) / width, (y - top) / height, box_width / width, box_height / height),
        score,
        (
            ((right_x - left) / width, (right_y - top) / height),
            ((left_x - left) / width, (left_y - top) / height),
        ),
    )
