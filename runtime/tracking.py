"""Faces from frame to frame: who is who, and where they went while nobody detected.

A face is followed by the optical flow of a few points from a small grey patch of its detection to
the same patch of each later frame, which is cut, turned and scaled where the face was last. What is
left to find is small, and as it is measured from the detection itself, errors do not add up.

Sources: Lucas and Kanade, "An Iterative Image Registration Technique with an Application to Stereo
Vision", IJCAI 1981; Bouguet, "Pyramidal Implementation of the Lucas Kanade Feature Tracker", Intel
2000; Kalal et al., "Forward-Backward Error: Automatic Detection of Tracking Failures", ICPR 2010.
"""

import cmath
import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract import Picture
from edge.faces import Box, Detection

# uint8 (side, side), grey: a face with some room, scaled.
Patch = NDArray[np.uint8]

# A detection that overlaps a face of before by less (IoU) is somebody else.
_LEAST_OVERLAP = 0.2
# Frames for which a face that is gone keeps its id: a second of most cameras.
_PATIENCE = 30

# Side of a patch in pixels, and how many face boxes it is wide: the rest is room to move.
_SIDE, _REACH = 64, 1.4
# The middle of a patch, as OpenCV counts pixels: their centres are whole numbers.
_MIDDLE = complex(_SIDE - 1, _SIDE - 1) / 2
# Points are followed on a grid of so many by so many over this part of the face box.
_GRID, _COVERED = 5, 0.9
_FLOW: dict[str, Any] = {
    "winSize": (7, 7),
    "maxLevel": 2,
    "criteria": (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 5, 0.05),
    "flags": cv2.OPTFLOW_USE_INITIAL_FLOW,
}
# Back from where they were found, without a search at lower resolutions.
_BACK = _FLOW | {"maxLevel": 0}
# A point counts if it is found again at most so many patch pixels off where it came from, and if
# the pixels around it differ by at most so many grey levels in the mean.
_RETURNS, _RESEMBLES = 1.0, 40.0
# Points that move together to within so many patch pixels, and how many of them make a face.
_AGREES, _LEAST_POINTS = 1.5, 6
# Below the first share of agreeing points a face has changed, and from the second one on it is what
# it was in the frame before.
_CHANGED, _ALIKE = 0.5, 0.9
# What no face does between two frames: a scale by more than this, a turn by more radians.
_LARGEST_SCALE, _LARGEST_TURN = 1.25, 0.35

_STEPS = ((np.arange(_GRID) + 0.5) / _GRID - 0.5) * (_COVERED * _SIDE / _REACH) + (_SIDE - 1) / 2
# float32 (n, 1, 2): x and y in a patch.
_POINTS = np.stack(np.meshgrid(_STEPS, _STEPS), axis=-1).reshape(-1, 1, 2).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Track:
    """A face with a name for as long as it is seen.

    Args:
        id: Counts the faces of a run from 1; no other face of the run has it.
        detection: Where the face is in the newest frame. Of a face that was followed, the score is
            that of its last detection.
    """

    id: int
    detection: Detection


class Tracker:
    """Names the faces of a run, and follows them through frames without a detector.

    Every frame goes to either `detected` or `follow`, in order.

    Args:
        follows: False where every frame is detected: pictures are not looked at then.
    """

    def __init__(self, *, follows: bool = True) -> None:
        self._follows = follows
        self._tracks: list[Track] = []
        self._faces: dict[int, _Face] = {}
        # Faces that are gone, and the number of the frame in which they were missed.
        self._gone: list[tuple[int, Track]] = []
        self._frame = self._named = 0

    def detected(self, picture: Picture, detections: list[Detection]) -> list[Track]:
        """Name the faces that were detected in a frame.

        A face keeps its id where the detections overlap, best ones first, also after it was not
        seen for some frames.

        Args:
            picture: uint8 (height, width, 3), BGR.
            detections: What a detector found in it.

        Returns:
            A track for each detection, in their order.
        """
        self._frame += 1
        names = self._names(detections)
        tracks = []
        for place, detection in enumerate(detections):
            if place not in names:
                self._named += 1
            tracks.append(Track(names.get(place, self._named), detection))
        self._leave(tracks)
        if self._follows:
            self._faces = {
                track.id: _Face(picture, track.detection)
                for track in tracks
                if _has_area(track.detection.box)
            }
        return tracks

    def follow(self, picture: Picture) -> list[Track]:
        """Find the faces of the last detection in this frame, without a detector.

        Args:
            picture: uint8 (height, width, 3), BGR.

        Returns:
            The tracks of the faces that were found, in the order of the detections. One that was
            not found, behind a hand, may be in a later frame, from where it was last.

        Raises:
            ValueError: The tracker was made to follow nothing.
        """
        if not self._follows:
            raise ValueError("a tracker that follows nothing was asked to follow")
        self._frame += 1
        tracks = []
        for name, face in self._faces.items():
            detection = face.find(picture)
            if detection is not None:
                tracks.append(Track(name, detection))
        self._leave(tracks)
        return tracks

    def _names(self, detections: list[Detection]) -> dict[int, int]:
        """Return the ids of those detections that are faces of before, by their place."""
        missing = [track for _, track in self._gone]
        pairs = [
            (here, overlap, track.id, place)
            for here, tracks in ((True, self._tracks), (False, missing))
            for track in tracks
            for place, detection in enumerate(detections)
            if (overlap := track.detection.box.intersection_over_union(detection.box))
            >= _LEAST_OVERLAP
        ]
        names: dict[int, int] = {}
        for _, _, name, place in sorted(pairs, reverse=True):
            if place not in names and name not in names.values():
                names[place] = name
        return names

    def _leave(self, tracks: list[Track]) -> None:
        """Make these the tracks of now, and remember for a while who is missing among them."""
        here = {track.id for track in tracks}
        gone = self._gone + [(self._frame, track) for track in self._tracks]
        self._gone = [
            (since, track)
            for since, track in gone
            if track.id not in here and self._frame - since < _PATIENCE
        ]
        self._tracks = tracks


@dataclass(frozen=True, slots=True)
class _Motion:
    """How a face moved in its patch.

    Args:
        turn: Scale and turn about the middle of the patch.
        shift: In pixels of the patch.
        share: Of the points that moved so, 0 to 1.
    """

    turn: complex
    shift: complex
    share: float

    def points(self) -> NDArray[np.float32]:
        """Return where the points of the face are now: float32 (n, 1, 2)."""
        places = (_complex(_POINTS) - _MIDDLE) * self.turn + (_MIDDLE + self.shift)
        return places.astype(np.complex64).view(np.float32).reshape(-1, 1, 2)


class _Face:
    """What is looked for in the frames after a detection, and where it is.

    A place in a patch is a complex number, counted in pixels from its middle; `turn` scales and
    turns it into pixels of the picture, counted from `center`.
    """

    def __init__(self, picture: Picture, detection: Detection) -> None:
        height, width = picture.shape[:2]
        x, y, box_width, box_height = detection.box.in_pixels(width, height)
        self._shape = picture.shape
        self._detection = detection
        self._center = complex(x + box_width / 2, y + box_height / 2)
        self._unit = max(box_width, box_height) * _REACH / _SIDE
        self._turn = complex(self._unit)
        places = [complex(x * width, y * height) for x, y in detection.eyes or ()]
        self._eyes = [(place - self._center) / self._unit for place in places]
        self._patch = self._cut(picture)
        self._before = self._patch, _Motion(1, 0, 1)

    def find(self, picture: Picture) -> Detection | None:
        """Find the face near where it was last; None where it is not."""
        if picture.shape != self._shape:
            return None
        patch = self._cut(picture)
        moved = _moved(self._patch, _POINTS, patch)
        if moved is None or moved.share < _CHANGED:
            moved = self._find_changed(patch, moved)
        if moved is None:
            return None
        self._before = patch, moved
        self._center += self._turn * moved.shift
        self._turn *= moved.turn
        return self._found(*picture.shape[:2])

    def _find_changed(self, patch: Patch, moved: _Motion | None) -> _Motion | None:
        """Find a face that looks otherwise than when it was detected.

        Another light is made up for. A face that turns away or speaks looks much as in the frame
        before, and all of it; one behind a hand that moves does not.
        """
        light = cv2.mean(self._patch)[0] / max(cv2.mean(patch)[0], 1.0)
        lit = _moved(self._patch, _POINTS, cv2.convertScaleAbs(patch, alpha=light))
        if moved is None or (lit is not None and lit.share > moved.share):
            moved = lit
        if moved is None or moved.share < _CHANGED:
            before, last = self._before
            step = _moved(before, last.points(), patch)
            if step is not None and step.share >= _ALIKE:
                return step
        return moved

    def _found(self, height: int, width: int) -> Detection | None:
        """Return where the face is; None if its middle has left the picture."""
        if not (0 <= self._center.real < width and 0 <= self._center.imag < height):
            return None
        box, scale = self._detection.box, abs(self._turn) / self._unit
        box_width, box_height = box.width * scale, box.height * scale
        x, y = self._center.real / width, self._center.imag / height
        eyes = [self._center + self._turn * eye for eye in self._eyes]
        places = [(eye.real / width, eye.imag / height) for eye in eyes]
        return Detection(
            Box(x - box_width / 2, y - box_height / 2, box_width, box_height),
            self._detection.score,
            (places[0], places[1]) if places else None,
        )

    def _cut(self, picture: Picture) -> Patch:
        """Return the patch at the face's place.

        Samples without averaging first: a patch costs the same in a picture of any size.
        """
        turn = self._turn
        start = self._center - turn * _MIDDLE - complex(0.5, 0.5)
        matrix = np.array([[turn.real, -turn.imag, start.real], [turn.imag, turn.real, start.imag]])
        patch = cv2.warpAffine(
            picture, matrix, (_SIDE, _SIDE),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        return cv2.cvtColor(patch, cv2.COLOR_BGR2GRAY)


def _moved(before: Patch, points: NDArray[np.float32], after: Patch) -> _Motion | None:
    """Return how most points moved away from where they were when the face was detected.

    Args:
        before: An earlier patch.
        points: float32 (n, 1, 2), x and y of the points of the face in it.
        after: The patch of now.

    Returns:
        None where too few points agree, or on what no face does.
    """
    found, seen, differences = cv2.calcOpticalFlowPyrLK(
        before, after, points, _POINTS.copy(), **_FLOW
    )
    back, seen_back, _ = cv2.calcOpticalFlowPyrLK(after, before, found, points.copy(), **_BACK)
    good = (np.abs(_complex(back) - _complex(points)) <= _RETURNS) & (
        (seen & seen_back)[:, 0].view(np.bool_) & (differences[:, 0] <= _RESEMBLES)
    )
    if np.count_nonzero(good) < _LEAST_POINTS:
        return None
    points, found = _POINTS[good], found[good]
    matrix, agreeing = cv2.estimateAffinePartial2D(
        points, found, method=cv2.RANSAC, ransacReprojThreshold=_AGREES, refineIters=0
    )
    if matrix is None or np.count_nonzero(agreeing) < _LEAST_POINTS:
        return None
    agree = agreeing[:, 0].view(np.bool_)
    old, new = _complex(points)[agree] - _MIDDLE, _complex(found)[agree] - _MIDDLE
    old_mean, new_mean = complex(old.mean()), complex(new.mean())
    old -= old_mean
    # The similarity with the least squares: a complex factor. vdot conjugates its first argument.
    turn = complex(np.vdot(old, new)) / float(np.vdot(old, old).real)
    if not 1 / _LARGEST_SCALE < abs(turn) < _LARGEST_SCALE:
        return None
    if abs(cmath.phase(turn)) > _LARGEST_TURN:
        return None
    return _Motion(turn, new_mean - turn * old_mean, len(old) / len(_POINTS))


def _complex(points: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Return points, float32 (n, 1, 2), as x + iy: complex64 (n,)."""
    return points.view(np.complex64)[:, 0, 0]


def _has_area(box: Box) -> bool:
    numbers = (box.x, box.y, box.width, box.height)
    return all(map(math.isfinite, numbers)) and box.width > 0 and box.height > 0
