"""How a score depends on the size of the face in the frame and on the tilt of the head.

The pictures are scaled into a frame, or turned about the face, and go through the detector, the
crop and the classifier of `edge run`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract import Picture
from edge.errors import EdgeError
from edge.faces import Detection
from edge.progress import progress
from edge.runtime.detectors import Detector
from edge.runtime.identity import best
from edge.runtime.judge import Judgement, Subject

# Side of the face as a fraction of the side of the frame, and degrees, clockwise.
SIZES = (0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.5, 0.7)
TILTS = tuple(float(tilt) for tilt in range(-90, 91, 15))

# Side of the square frame in pixels: about that of a VGA camera.
FRAME = 640
_NEUTRAL = (128, 128, 128)


@dataclass(frozen=True)
class Step:
    """One size or tilt.

    Args:
        at: The size as a fraction of the frame's side, or the tilt in degrees.
        detected: Share of the pictures in which the detector's best face was the right one.
        accuracy: Share in which it was, and was judged as its label says.
        positive: Mean probability of found faces with the label yes, or of the right person;
            None where none was found.
        negative: Likewise with the label no.
    """

    at: float
    detected: float
    accuracy: float
    positive: float | None
    negative: float | None


@dataclass(frozen=True)
class Sensitivity:
    """What was measured on some pictures.

    Args:
        attribute: The one that was judged.
        threshold: Where its yes begins.
        pictures: How many pictures were scaled and turned.
        sizes: From the smallest face to the largest.
        tilts: From anticlockwise to clockwise.
    """

    attribute: str
    threshold: float
    pictures: int
    sizes: tuple[Step, ...]
    tilts: tuple[Step, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the measurement as plain JSON values."""
        steps = {"sizes": self.sizes, "tilts": self.tilts}
        about = {"attribute": self.attribute, "threshold": self.threshold}
        return about | {"pictures": self.pictures} | {
            name: [vars(step) for step in values] for name, values in steps.items()
        }  # fmt: skip


@dataclass(frozen=True)
class _Known:
    """A picture with its face and its label: 1 or 0, of people the number of the person."""

    picture: Picture
    face: Detection
    label: float


# Draws a picture with its face at a size or tilt, and says where the corners of the face then are.
_Render = Callable[[Picture, Detection, float], tuple[Picture, NDArray[np.float64]]]


def measure(
    subject: Subject,
    detector: Detector,
    judgement: Judgement,
    *,
    most: int = 60,
    seed: int = 0,
    sizes: Sequence[float] = SIZES,
    tilts: Sequence[float] = TILTS,
) -> Sensitivity:
    """Measure the first labelled attribute, or who it is, on scaled and on turned pictures.

    Args:
        subject: The classifier.
        detector: Finds the faces.
        judgement: The pictures; those are taken in which a face was found.
        most: Pictures to take, half of each label where there are enough.
        seed: Chooses them.
        sizes: Sides of the face as fractions of the frame's.
        tilts: Degrees, clockwise.

    Raises:
        EdgeError: There is no picture with both a face and a label.
    """
    column, chosen = _chosen(judgement, most, seed)
    known = []
    for index in chosen:
        picture = _small(judgement.dataset.samples[index].read())
        if faces := detector.detect(picture):
            known.append(_Known(picture, faces[0], float(judgement.labels[index, column])))
    if not known:
        raise _nothing_to_measure(judgement)
    steps: dict[_Render, list[Step]] = {scaled: [], turned: []}
    total = len(known) * (len(sizes) + len(tilts))
    with progress("scaling and turning faces", total, "pictures") as advance:
        for render, places in ((scaled, sizes), (turned, tilts)):
            for at in places:
                values = _judged(subject, detector, known, render, at)
                steps[render].append(_step(subject, values, known, column, at))
                advance(len(known))
    return Sensitivity(
        judgement.dataset.attributes[column],
        float(subject.thresholds[column]),
        len(known),
        tuple(steps[scaled]),
        tuple(steps[turned]),
    )


def scaled(picture: Picture, face: Detection, size: float) -> tuple[Picture, NDArray[np.float64]]:
    """Scale a picture into the middle of a neutral frame, so that its face has a given size.

    Args:
        picture: uint8 (height, width, 3).
        face: Its face, which comes to stand in the middle.
        size: Longer side of the face as a fraction of the frame's side.

    Returns:
        uint8 (640, 640, 3), and where the corners of the face now are: (4, 2) in pixels.
    """
    _, _, width, height = face.box.in_pixels(picture.shape[1], picture.shape[0])
    scale = size * FRAME / max(width, height)
    corners = _corners(picture, face)
    if scale < 1:  # averages, as a lens does; sampling alone would alias
        rows, columns = (max(1, round(side * scale)) for side in picture.shape[:2])
        factors = np.array([columns / picture.shape[1], rows / picture.shape[0]])
        picture = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA)
        corners, scale = corners * factors, 1.0
    shift = np.full(2, FRAME / 2) - corners.mean(axis=0) * scale
    # OpenCV counts pixel centres as whole numbers.
    at = shift + (scale - 1) / 2
    matrix = np.array([[scale, 0, at[0]], [0, scale, at[1]]])
    frame = cv2.warpAffine(picture, matrix, (FRAME, FRAME), flags=cv2.INTER_LINEAR,
                           borderMode=cv2.BORDER_CONSTANT, borderValue=_NEUTRAL)  # fmt: skip
    return frame, corners * scale + shift


def turned(picture: Picture, face: Detection, tilt: float) -> tuple[Picture, NDArray[np.float64]]:
    """Turn a picture about its face, what comes in from outside being its border.

    Args:
        picture: uint8 (height, width, 3).
        face: Its face, which stays where it is.
        tilt: Degrees, clockwise.

    Returns:
        uint8 of the same shape, and where the corners of the face now are: (4, 2) in pixels.
    """
    corners = _corners(picture, face)
    center = corners.mean(axis=0)
    matrix = cv2.getRotationMatrix2D((center - 0.5).tolist(), -tilt, 1.0)
    frame = cv2.warpAffine(picture, matrix, (picture.shape[1], picture.shape[0]),
                           flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    return frame, (corners - center) @ matrix[:, :2].T + center


def _chosen(judgement: Judgement, most: int, seed: int) -> tuple[int, list[int]]:
    """Return the attribute's column and the pictures to take, in order."""
    usable = np.isfinite(judgement.labels) & judgement.detected[:, None]
    if not usable.any():
        raise _nothing_to_measure(judgement)
    column = int(np.argmax(usable.any(axis=0)))
    shuffled = np.random.default_rng(seed).permutation(np.flatnonzero(usable[:, column]))
    if judgement.dataset.classes:
        return column, sorted(shuffled[:most].tolist())
    positive = judgement.labels[shuffled, column] == 1
    yes, no = shuffled[positive].tolist(), shuffled[~positive].tolist()
    # A class that has too few leaves its places to the other one.
    half = most // 2
    return column, sorted(yes[: max(half, most - len(no))] + no[: max(half, most - len(yes))])


def _small(picture: Picture) -> Picture:
    """Return a picture no larger than needed: all that are measured are in memory at once."""
    scale = 2 * FRAME / max(picture.shape[:2])
    if scale >= 1:
        return picture
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _nothing_to_measure(judgement: Judgement) -> EdgeError:
    return EdgeError(
        f"no picture of {judgement.dataset.name} has both a face and a label",
        "measure on pictures of faces, with labels for one of the model's attributes",
    )


def _judged(
    subject: Subject, detector: Detector, known: Sequence[_Known], render: _Render, at: float
) -> NDArray[np.float32]:
    """Return what is said of all pictures at one size or tilt: float32 (n, answers), or nan."""
    values = np.full((len(known), len(subject.attributes)), np.nan, np.float32)
    crops = {}
    for place, one in enumerate(known):
        frame, corners = render(one.picture, one.face, at)
        faces = detector.detect(frame)
        if faces and _is_there(faces[0], frame, corners):
            crops[place] = subject.contract.cut(frame, faces[0])
    if crops:
        values[list(crops)] = subject.classify(np.stack(list(crops.values())))
    return values


def _step(
    subject: Subject, values: NDArray[np.float32], known: Sequence[_Known], column: int, at: float
) -> Step:
    """Score what was said at one size or tilt."""
    labels = np.array([one.label for one in known])
    found = np.isfinite(values[:, 0])
    if subject.task == "identity":
        places = labels.astype(np.int64)
        own, truth = values[np.arange(len(known)), places], np.ones(len(known), bool)
        right = best(values, subject.thresholds) == places
    else:
        own, truth = values[:, column], labels == 1
        right = (own >= subject.thresholds[column]) == truth
    return Step(
        at=at,
        detected=float(found.mean()),
        accuracy=float((right & found).mean()),
        positive=float(own[found & truth].mean()) if (found & truth).any() else None,
        negative=float(own[found & ~truth].mean()) if (found & ~truth).any() else None,
    )


def _is_there(found: Detection, frame: Picture, corners: NDArray[np.float64]) -> bool:
    """Say whether the middle of a detection lies within the face that we know of."""
    rows, columns = frame.shape[:2]
    x, y, width, height = found.box.in_pixels(columns, rows)
    side = np.linalg.norm(corners[1] - corners[0])
    distance = np.linalg.norm(corners.mean(axis=0) - (x + width / 2, y + height / 2))
    return bool(distance <= side / 2)


def _corners(picture: Picture, face: Detection) -> NDArray[np.float64]:
    """Return the corners of a face, (4, 2) in pixels: the upper ones first."""
    x, y, width, height = face.box.in_pixels(picture.shape[1], picture.shape[0])
    return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])
