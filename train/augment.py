"""Augmentation of face crops with NumPy and OpenCV, cheap enough to never hold up training.

One warp per face does all the geometry straight from the crop with its rim; one table lookup does
brightness, contrast and gamma. The set is that of the `proposed` network's paper (seed S2g):
flip, turn, shift, shear and zoom before the face is cut, colour, noise, blur and sharpness after.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from edge.train.facecache import Faces


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far a face is changed; every value is drawn anew for each face.

    Args:
        flip: Probability of a mirror image.
        turn: Largest turn in degrees.
        shift: Largest shift as a fraction of the crop.
        zoom: Largest zoom in or out, as a fraction.
        shear: Largest shear, as a fraction.
        light: Largest change of brightness and of contrast, as a fraction.
        colour: Largest change of each channel and of saturation, as a fraction.
        kernel: Probability of a blur, a motion blur, a sharpening or a loss of resolution.
        noise: Largest standard deviation of added noise, in grey levels.
        erase: Probability that a rectangle is hidden.
    """

    flip: float = 0.5
    turn: float = 15.0
    shift: float = 0.1
    zoom: float = 0.1
    shear: float = 0.1
    light: float = 0.3
    colour: float = 0.15
    kernel: float = 0.3
    noise: float = 8.0
    erase: float = 0.0


NONE = Augmentation(flip=0, turn=0, shift=0, zoom=0, shear=0, light=0, colour=0, kernel=0, noise=0)


def augmented(
    faces: Faces, indices: NDArray[np.int64], how: Augmentation, random: Generator
) -> NDArray[np.uint8]:
    """Return augmented crops of some faces.

    Args:
        faces: Where to take them from.
        indices: Which, int64 (n,).
        how: How far to go.
        random: The only source of chance: the same generator state gives the same crops.

    Returns:
        uint8 (n, height, width, 3), in the channel order of the contract.
    """
    size = faces.contract.width, faces.contract.height
    crops = np.empty((len(indices), size[1], size[0], 3), np.uint8)
    draws = random.uniform(-1, 1, (len(indices), 24)).astype(np.float32)
    noise = random.standard_normal(4 * crops[0].size, np.float32) if how.noise else None
    for crop, index, draw in zip(crops, indices, draws.tolist(), strict=True):
        matrix = _geometry(how, draw, size, faces.rim)
        cv2.warpAffine(
            faces.with_rim(int(index)),
            matrix,
            size,
            dst=crop,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        _photometry(crop, how, draw, noise)
    return crops


def _geometry(
    how: Augmentation, draw: list[float], size: tuple[int, int], rim: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the 2×3 matrix from crop pixels to pixels of the crop with its rim."""
    angle = math.radians(how.turn * draw[0])
    scale = 1 + how.zoom * draw[1]
    mirror = -1.0 if abs(draw[2]) < how.flip else 1.0
    cosine, sine = math.cos(angle) * scale, math.sin(angle) * scale
    skew = how.shear * draw[3]
    linear = np.array(
        [[cosine * mirror, cosine * skew - sine], [sine * mirror, sine * skew + cosine]]
    )
    middle = np.array([(size[0] - 1) / 2, (size[1] - 1) / 2])
    shift = np.array([how.shift * draw[4] * size[0], how.shift * draw[5] * size[1]])
    offset = middle + np.array([rim[1], rim[0]]) + shift - linear @ middle
    return np.column_stack([linear, offset])


def _photometry(
    crop: NDArray[np.uint8], how: Augmentation, draw: list[float], noise: NDArray[np.float32] | None
) -> None:
    """Change light, colour, sharpness and noise of a crop in place."""
    if abs(draw[6]) < how.kernel:
        _kernel(crop, draw)
    if how.light or how.colour:
        cv2.LUT(crop, _tables(how, draw), dst=crop)
    if how.colour:
        _saturate(crop, 1 + 2 * how.colour * draw[13])
    if noise is not None and draw[14] > 0:
        start = int((draw[15] + 1) / 2 * (len(noise) - crop.size - 1))
        grain = noise[start : start + crop.size].reshape(crop.shape) * (how.noise * draw[14])
        cv2.add(crop, grain, dst=crop, dtype=cv2.CV_8U)
    if abs(draw[16]) < how.erase:
        _erase(crop, draw)


def _tables(how: Augmentation, draw: list[float]) -> NDArray[np.uint8]:
    """Return a uint8 (1, 256, 3) table: contrast, brightness, gamma and gain of each channel."""
    grey = np.arange(256, dtype=np.float32) / 255
    curve = grey ** math.exp(how.light * draw[7])
    curve = (curve - 0.5) * (1 + how.light * draw[8]) + 0.5 + how.light / 2 * draw[9]
    gains = 1 + how.colour * np.array(draw[10:13], np.float32)
    return np.clip(np.rint(curve[:, None] * gains * 255), 0, 255).astype(np.uint8)[None]


def _saturate(crop: NDArray[np.uint8], amount: float) -> None:
    """Move colours away from grey (above 1) or towards it (below 1)."""
    mix = np.full((3, 3), (1 - amount) / 3, np.float32) + np.eye(3, dtype=np.float32) * amount
    cv2.transform(crop, mix, dst=crop)


def _kernel(crop: NDArray[np.uint8], draw: list[float]) -> None:
    """Blur, smear, sharpen or lower the resolution, one of the four."""
    kind = int((draw[17] + 1) * 2)
    strength = (draw[18] + 1) / 2
    if kind == 0:
        cv2.GaussianBlur(crop, (0, 0), 0.5 + 1.5 * strength, dst=crop)
    elif kind == 1:
        length = 3 + 2 * int(3 * strength)
        smear = np.zeros((length, length), np.float32)
        angle = math.pi * draw[19]
        half = length // 2
        reach = np.linspace(-half, half, 2 * length)
        smear[
            np.rint(half + reach * math.sin(angle)).astype(int),
            np.rint(half + reach * math.cos(angle)).astype(int),
        ] = 1
        cv2.filter2D(crop, -1, smear / smear.sum(), dst=crop)
    elif kind == 2:
        soft = cv2.GaussianBlur(crop, (0, 0), 1.0)
        cv2.addWeighted(crop, 1 + strength, soft, -strength, 0, dst=crop)
    else:
        height, width = crop.shape[:2]
        factor = 1 - 0.7 * strength
        small = cv2.resize(crop, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        cv2.resize(small, (width, height), dst=crop, interpolation=cv2.INTER_LINEAR)


def _erase(crop: NDArray[np.uint8], draw: list[float]) -> None:
    """Hide a rectangle of up to a third of each side behind grey."""
    height, width = crop.shape[:2]
    tall, wide = (
        int(side * (0.1 + 0.12 * (draw[at] + 1))) for side, at in ((height, 20), (width, 21))
    )
    top, left = (
        int((side - part) * (draw[at] + 1) / 2)
        for side, part, at in ((height, tall, 22), (width, wide, 23))
    )
    crop[top : top + tall, left : left + wide] = 128
