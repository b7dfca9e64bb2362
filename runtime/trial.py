"""What engines are tried on before one of them is believed: a face, as cameras show it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.assets import fetch
from edge.contract import InputContract, Picture
from edge.faces import Box, Detection
from edge.images import read_picture
from edge.quiet import quiet
from edge.runtime.blazeface import Letterbox
from edge.runtime.interpreter import Interpreter

# Every int8 network that answered otherwise did so on a third of the faces at least.
COMPARED = 32

# The face of the demo picture, which is square: its middle and width, in parts of the picture.
_X, _Y, _WIDTH = 0.440, 0.255, 0.186

Outputs = list[NDArray[np.float32]]
Probe = Callable[[Interpreter], Outputs]


@dataclass(frozen=True)
class Trial:
    """What engines are tried on.

    Args:
        timed: The run that is timed.
        compared: Makes the runs whose outputs are compared; raises `EdgeError` where it cannot.
        difference: How far the second outputs are from the first, in units of which 0.02 is the
            most that is allowed; nan where one is not a number.
    """

    timed: Probe
    compared: Callable[[], list[Probe]]
    difference: Callable[[Outputs, Outputs], float]


def classifier_trial(contract: InputContract) -> Trial:
    """Return what classifiers are tried on: faces, on which no probability may be off."""

    def on(crop: Picture) -> Probe:
        return lambda network: network.run_pixels(crop, contract.value_range)

    noise = np.random.default_rng(0).integers(0, 256, (contract.height, contract.width, 3))
    return Trial(
        on(noise.astype(np.uint8)), lambda: [on(crop) for crop in demo_faces(contract)], farthest
    )


def detector_trial(size: int) -> Trial:
    """Return what BlazeFace is tried on: pictures, on which no score and no face may be off.

    Args:
        size: Side of the network's input in pixels.
    """

    def on(values: NDArray[np.float32]) -> Probe:
        return lambda network: network.run(values)

    noise = np.random.default_rng(0).uniform(-1, 1, (size, size, 3)).astype(np.float32)
    return Trial(
        on(noise), lambda: [on(Letterbox(size)(each)) for each in demo_scenes()], face_difference
    )


def farthest(expected: Outputs, found: Outputs) -> float:
    """Return the largest difference of two values; nan where one is not a number."""
    pairs = zip(expected, found, strict=True)
    return float(np.max([np.abs(ours - theirs).max() for ours, theirs in pairs]))


def face_difference(expected: Outputs, found: Outputs) -> float:
    """Return how far what BlazeFace sees is off.

    Args:
        expected: Scores (1, anchors, 1) and boxes (1, anchors, 16), in either order.
        found: The same, of another engine.

    Returns:
        The largest difference of a score, 0 to 1, or, where `expected` has a face, of a place in
        widths of that face; nan where one is not a number.
    """
    shapes = [output.shape[-1] for output in expected]
    scores, boxes = shapes.index(1), shapes.index(16)
    ours, theirs = (_sigmoid(outputs[scores][0, :, 0]) for outputs in (expected, found))
    seen = ours >= 0.5
    places, others = expected[boxes][0, seen], found[boxes][0, seen]
    moved = np.abs(places - others) / places[:, 2:3]
    return float(np.max([np.abs(ours - theirs).max(), moved.max(initial=0)]))


def demo_faces(contract: InputContract) -> list[Picture]:
    """Cut the face of the demo picture as careless detectors would, every other in other light.

    Noise would not do: of the wrong int8 that faces show, it shows little.

    Returns:
        uint8 (`contract.height`, `contract.width`, 3), in the channel order of the contract.

    Raises:
        EdgeError: The demo picture cannot be had.
    """
    random = np.random.default_rng(0)
    picture = _demo_picture()
    crops = [contract.cut(picture, _moved_face(random)) for _ in range(COMPARED)]
    for crop in crops[1::2]:
        gain, more = math.exp(random.uniform(-1, 0.4)), random.uniform(-30, 30)
        crop[:] = np.clip(crop * gain + more, 0, 255)
    return crops


def demo_scenes() -> list[Picture]:
    """Show the demo picture as cameras would: near, far, askew and aside.

    Returns:
        uint8 (480, 640, 3), BGR.

    Raises:
        EdgeError: The demo picture cannot be had.
    """
    random = np.random.default_rng(0)
    picture = _demo_picture()
    middle, size = (_X * len(picture), _Y * len(picture)), (640, 480)
    scenes = []
    for _ in range(COMPARED):
        turn = cv2.getRotationMatrix2D(middle, random.uniform(-30, 30), random.uniform(0.7, 2.4))
        turn[:, 2] += np.multiply(size, random.uniform(0.25, 0.75, 2)) - middle
        scenes.append(cv2.warpAffine(picture, turn, size, borderMode=cv2.BORDER_REFLECT_101))
    return scenes


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    one = np.float32(1)
    return one / (one + np.exp(-np.clip(logits, -80, 80)))


def _demo_picture() -> Picture:
    path = fetch("demo")
    with quiet():  # OpenCV 4's PNG reader has words for its colour profile
        return read_picture(path)


def _moved_face(random: np.random.Generator) -> Detection:
    x, y = _X + random.uniform(-0.3, 0.3) * _WIDTH, _Y + random.uniform(-0.3, 0.3) * _WIDTH
    width, tilt = _WIDTH * random.uniform(0.6, 1.8), random.uniform(-0.6, 0.6)
    # Of the eyes a crop follows the direction alone.
    across, down = width / 4 * math.cos(tilt), width / 4 * math.sin(tilt)
    box = Box(x - width / 2, y - width / 2, width, width)
    return Detection(box, 1.0, ((x - across, y - down), (x + across, y + down)))
