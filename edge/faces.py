"""Boxes, detections and labelled faces: small immutable results with their geometry."""

import math
from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle in a picture.

    All four values are normalised: x and width by the picture's width, y and height by its height.
    A box may reach outside the picture.
    """

    x: float
    y: float
    width: float
    height: float

    def intersection_over_union(self, other: "Box") -> float:
        """Return the overlap of two boxes as a fraction of the area that they cover, 0 to 1."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        if width <= 0 or height <= 0:
            return 0.0
        shared = width * height
        return shared / (self.width * self.height + other.width * other.height - shared)

    def in_pixels(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Return (x, y, width, height) in pixels of a picture of `width` × `height`."""
        return self.x * width, self.y * height, self.width * width, self.height * height

    def in_whole_pixels(self, width: int, height: int) -> tuple[int, ...]:
        """Return `in_pixels` cut off to whole ones, as MediaPipe prints its boxes."""
        return tuple(int(value) for value in self.in_pixels(width, height))


@dataclass(frozen=True, slots=True)
class Detection:
    """What a detector says of one face.

    Args:
        box: The face, normalised; see `Box`.
        score: The detector's confidence, 0 to 1.
        eyes: The two eyes, normalised, the one further left in the picture of an upright face
            first; None for a detector that finds none.
    """

    box: Box
    score: float
    eyes: tuple[Point, Point] | None = None

    def tilt(self, width: int, height: int) -> float:
        """Return the angle of the line through the eyes, in radians, clockwise in the picture."""
        if self.eyes is None:
            return 0.0
        (left_x, left_y), (right_x, right_y) = self.eyes
        return math.atan2((right_y - left_y) * height, (right_x - left_x) * width)


@dataclass(frozen=True, slots=True)
class Face:
    """A detection with what the classifier says of it.

    Args:
        detection: Where the face is.
        attributes: Probability of each attribute, 0 to 1; of the task "identity", the five most
            probable people, the best one first.
        labels: The attributes at or above the model's thresholds; of the task "identity", the one
            person that the face is taken for.
        task: One of `edge.modelfile.TASKS`.
        id: The same for one face in all frames of a run; None where frames are unrelated pictures.
    """

    detection: Detection
    attributes: dict[str, float]
    labels: tuple[str, ...]
    task: str = "attributes"
    id: int | None = None
