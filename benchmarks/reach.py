"""How far a detector reaches: the smallest face that it finds, and the most tilted one."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from edge.assets import fetch
from edge.benchmarks.cases import FRAME_SIDE
from edge.contract import Picture
from edge.errors import EdgeError
from edge.images import read_picture
from edge.quiet import quiet
from edge.runtime.detectors import Detector, create_detector

# Widths of a face in pixels, each by a root of two narrower than the one before; tilts in degrees.
WIDTHS = (160, 113, 80, 57, 40, 28, 20, 14, 10)
TILTS = tuple(range(15, 181, 15))
# That many of the faces are to be found.
_ENOUGH = 0.9
_TILTED_WIDTH = 113
_FACES = 16
# Where faces stand, in parts of the frame; the widest ones still fit.
_PLACES = ((0.5, 0.5), (0.3, 0.3), (0.7, 0.3), (0.3, 0.7), (0.7, 0.7))
_GREY = (114, 114, 114)
# A detector's box may be as many times narrower or wider than the face, as BlazeFace draws it.
_NARROWER, _WIDER = 0.4, 2.5


@dataclass(frozen=True)
class Portrait:
    """A picture and where its face is: middle and width in pixels."""

    picture: Picture
    middle: tuple[float, float]
    width: float


def portraits(pictures: Iterable[Picture], detector: Detector) -> Iterator[Portrait]:
    """Yield those pictures in which a detector finds one face."""
    for picture in pictures:
        found = detector.detect(picture)
        if len(found) == 1:
            x, y, width, height = found[0].box.in_pixels(picture.shape[1], picture.shape[0])
            yield Portrait(picture, (x + width / 2, y + height / 2), width)


def shown(labelled: str | None) -> list[Portrait]:
    """Return the demo's face, and with labelled pictures some of theirs.

    Args:
        labelled: A file that lists pictures, one a line.
    """
    paths = [fetch("demo")]
    if labelled is not None:
        paths += map(Path, Path(labelled).read_text("utf-8").splitlines())
    found = portraits(_readable(paths), create_detector("blazeface"))
    return list(itertools.islice(found, _FACES))


def _readable(paths: Iterable[Path]) -> Iterator[Picture]:
    for path in paths:
        try:
            with quiet():  # OpenCV 4's PNG reader has words for colour profiles
                picture = read_picture(path)
        except EdgeError:
            continue
        yield picture


def reach(detector: Detector, faces: list[Portrait]) -> dict[str, Any]:
    """Show a detector faces that get smaller, then faces that get more tilted.

    Args:
        detector: What is measured.
        faces: Each is scaled, turned and put on a grey frame of 350×350 pixels.

    Returns:
        Of `smallest_px`, the narrowest face of which 90 % are found, and of all wider ones, in
        pixels; of `tilt_degrees`, the same of faces a third of the frame wide that are turned to
        either side. None where not even the easiest are found. And how many `faces` there were.
    """

    def small(width: int) -> Iterator[bool]:
        for face, (x, y) in itertools.product(faces, _PLACES):
            yield _finds(detector, face, width, (x * FRAME_SIDE, y * FRAME_SIDE), 0)

    def tilted(degrees: int) -> Iterator[bool]:
        for face, angle in itertools.product(faces, (-degrees, degrees)):
            yield _finds(detector, face, _TILTED_WIDTH, (FRAME_SIDE / 2, FRAME_SIDE / 2), angle)

    return {
        "smallest_px": _last(WIDTHS, small),
        "tilt_degrees": _last((0, *TILTS), tilted),
        "faces": len(faces),
    }


def _last(steps: Iterable[int], found: Callable[[int], Iterator[bool]]) -> int | None:
    """Return the last step at which, and at all before, enough is found."""
    last = None
    for step in steps:
        seen = list(found(step))
        if sum(seen) < _ENOUGH * len(seen):
            break
        last = step
    return last


def _finds(
    detector: Detector, face: Portrait, width: int, middle: tuple[float, float], degrees: float
) -> bool:
    """Tell whether a detector finds a face of this width, turned, in this place."""
    frame = _frame(face, width, middle, degrees)
    for one in detector.detect(frame):
        x, y, wide, high = one.box.in_pixels(FRAME_SIDE, FRAME_SIDE)
        off = max(abs(x + wide / 2 - middle[0]), abs(y + high / 2 - middle[1]))
        if off <= width / 2 and _NARROWER <= wide / width <= _WIDER:
            return True
    return False


def _frame(face: Portrait, width: int, middle: tuple[float, float], degrees: float) -> Picture:
    scale = width / face.width
    # Averaged before it is turned: a small face does not alias.
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture = cv2.resize(face.picture, None, fx=scale, fy=scale, interpolation=way)
    x, y = (at * scale for at in face.middle)
    matrix = cv2.getRotationMatrix2D((x, y), degrees, 1.0)
    matrix[:, 2] += middle[0] - x, middle[1] - y
    return cv2.warpAffine(
        picture, matrix, (FRAME_SIDE, FRAME_SIDE), flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT, borderValue=_GREY,
    )  # fmt: skip
