"""Augmentation of face crops with NumPy and OpenCV, cheap enough to never hold up training.

OpenCV does every operation on pixels: it is well kept, it is here already because the device cuts
faces with it, and its calls work in place on one crop, so that an operation costs nothing for the
faces that it does not fall on. One warp per face does all the geometry straight from the crop with
its rim, one table does brightness, contrast and gamma, one matrix everything about colour.
`python -m edge.benchmarks.augmentation` compares it with the layers that Keras has.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from edge.errors import EdgeError
from edge.train.facecache import Faces

Kernel = Literal["blur", "motion", "median", "sharpen", "resolution"]

_KERNELS: tuple[Kernel, ...] = ("blur", "motion", "median", "sharpen", "resolution")

# Grey levels of one standard deviation in the grain that noise is taken from, and the qualities
# of JPEG that leave a face recognisable.
_GRAIN = 32
_WORST_JPEG, _BEST_JPEG = 15, 85


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far a face is changed; every value is drawn anew for each face.

    What is drawn is uniform between nothing and the value, to both sides. `NONE` changes nothing,
    the sets below it are those of the seeds.

    Args:
        flip: Probability of a mirror image, left to right.
        turn: Largest turn in degrees.
        shift: Largest shift to the side and up or down, as a fraction of the crop.
        zoom: Largest zoom in or out, as a fraction.
        stretch: Largest zoom of the width and of the height, each drawn on its own, as a fraction.
        shear: Largest shear, as a fraction of the height that the top moves against the bottom.
        light: Largest change of brightness and of contrast, as a fraction; gamma goes with them.
        colour: Largest change of each channel and, twice as far, of saturation, as a fraction.
        hue: Largest turn of the colours about the grey axis, in degrees.
        kernel: Probability that one of `kernels` is applied.
        kernels: Of these one is drawn: "blur" (Gaussian), "motion" (blur along a line), "median",
            "sharpen" (unsharp mask), "resolution" (as from a smaller face).
        noise: Largest standard deviation of added Gaussian noise, in grey levels; half of the
            faces get none.
        jpeg: Probability of the blocks and smears of a JPEG file of low quality.
    """

    flip: float = 0.5
    turn: float = 15.0
    shift: float = 0.1
    zoom: float = 0.1
    stretch: float = 0.0
    shear: float = 0.1
    light: float = 0.3
    colour: float = 0.15
    hue: float = 0.0
    kernel: float = 0.3
    kernels: tuple[Kernel, ...] = ("blur", "motion", "sharpen", "resolution")
    noise: float = 8.0
    jpeg: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernels", tuple(self.kernels))
        unknown = sorted(set(self.kernels) - set(_KERNELS))
        if unknown or (self.kernel and not self.kernels):
            raise EdgeError(
                f"kernels of an augmentation are {', '.join(unknown) or 'none'}",
                f"choose of {', '.join(_KERNELS)}",
            )


NONE = Augmentation(flip=0, turn=0, shift=0, zoom=0, shear=0, light=0, colour=0, kernel=0, noise=0)

# Width and height shift 0.2, zoom 0.2 and horizontal flip of Keras' ImageDataGenerator, whose zoom
# draws width and height apart.
S0B = replace(NONE, flip=0.5, shift=0.2, stretch=0.2)

# Mirroring, stretching and scaling; how far, the source does not say.
S1 = replace(NONE, flip=0.5, zoom=0.15, stretch=0.1)

# Flip, rotation 15°, shift 0.1, shear 0.1 and zoom 0.1 of Keras' ImageDataGenerator; brightness and
# contrast, hue and saturation, Gaussian noise, motion and median blur and sharpening of
# Albumentations, how far the source does not say. ImageDataGenerator takes its shear in degrees,
# and a tenth of one is nothing to see: it is taken for the fraction that was meant.
S2 = Augmentation(
    zoom=0.0, stretch=0.1, colour=0.1, hue=10.0, kernels=("motion", "median", "sharpen")
)

# Ours: what else stands between a portrait and a photograph of a telephone.
PHONE = Augmentation(stretch=0.05, colour=0.12, hue=5.0, kernels=_KERNELS, jpeg=0.25)


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
    contract, count = faces.contract, len(indices)
    size = contract.width, contract.height
    crops = np.empty((count, size[1], size[0], 3), np.uint8)
    matrices = _geometry(how, count, size, faces.rim, random)
    for crop, index, matrix in zip(crops, indices.tolist(), matrices, strict=True):
        cv2.warpAffine(
            faces.with_rim(index),
            matrix,
            size,
            dst=crop,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    # In the order in which light meets a camera: lens, tone and colour, sensor, file.
    for crop in _hit(crops, how.kernel, random):
        _kernel(crop, how.kernels, random)
    if how.light:
        for crop, curve in zip(crops, _curves(how, count, random), strict=True):
            cv2.LUT(crop, curve, dst=crop)
    if how.colour or how.hue:
        for crop, mix in zip(crops, _mixes(how, count, random), strict=True):
            cv2.transform(crop, mix, dst=crop)
    if how.noise:
        _add_noise(crops, how.noise, random)
    for crop in _hit(crops, how.jpeg, random):
        _compress(crop, contract.colour == "RGB", random)
    return crops


def _hit(
    crops: NDArray[np.uint8], probability: float, random: Generator
) -> list[NDArray[np.uint8]]:
    """Draw the crops that something happens to."""
    if not probability:
        return []
    chosen = np.flatnonzero(random.random(len(crops)) < probability)
    return [crops[at] for at in chosen.tolist()]


def _either(how_far: float, count: int, random: Generator) -> NDArray[np.float64]:
    """Draw `count` values between minus and plus `how_far`."""
    return how_far * random.uniform(-1, 1, count)


def _geometry(
    how: Augmentation, count: int, size: tuple[int, int], rim: tuple[int, int], random: Generator
) -> NDArray[np.float64]:
    """Return the matrices from crop pixels to pixels of the crop with its rim, (n, 2, 3)."""
    mirror = np.where(random.random(count) < how.flip, -1.0, 1.0)
    angle = np.radians(_either(how.turn, count, random))
    zoom = 1 + _either(how.zoom, count, random)
    wide = zoom * (1 + _either(how.stretch, count, random)) * mirror
    tall = zoom * (1 + _either(how.stretch, count, random))
    skew = _either(how.shear, count, random)
    shift = np.stack([_either(how.shift * side, count, random) for side in size], axis=1)
    cosine, sine = np.cos(angle), np.sin(angle)
    linear = np.empty((count, 2, 2))
    linear[:, 0, 0], linear[:, 0, 1] = cosine * wide, (cosine * skew - sine) * tall
    linear[:, 1, 0], linear[:, 1, 1] = sine * wide, (sine * skew + cosine) * tall
    middle = (np.array(size) - 1) / 2
    offset = middle + np.array(rim)[::-1] + shift - linear @ middle
    return np.concatenate([linear, offset[:, :, None]], axis=2)


def _curves(how: Augmentation, count: int, random: Generator) -> NDArray[np.uint8]:
    """Return tables of gamma, contrast and brightness, uint8 (n, 256)."""
    # In double precision, which rounds to the same grey levels on every machine.
    logarithms = np.log(np.maximum(np.arange(256), 1e-9) / 255)
    gamma = np.exp(_either(how.light, count, random))[:, None]
    contrast = 1 + _either(how.light, count, random)[:, None]
    brightness = _either(how.light / 2, count, random)[:, None]
    curves = (np.exp(gamma * logarithms) - 0.5) * contrast + 0.5 + brightness
    return np.clip(np.rint(curves * 255), 0, 255).astype(np.uint8)


def _mixes(how: Augmentation, count: int, random: Generator) -> NDArray[np.float32]:
    """Return matrices of saturation, hue and the gain of each channel, float32 (n, 3, 3).

    Hue turns about the grey axis and saturation moves along the radius from it, so both leave the
    mean of the channels alone; after Haeberli, "Matrix Operations for Image Processing" (1993).
    """
    grey = np.full((3, 3), 1 / 3)
    across = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    angle = np.radians(_either(how.hue, count, random))[:, None, None]
    saturation = 1 + 2 * _either(how.colour, count, random)[:, None, None]
    turned = np.cos(angle) * (np.eye(3) - grey) + np.sin(angle) * across
    gains = 1 + _either(how.colour, 3 * count, random).reshape(count, 3, 1)
    return (gains * (grey + saturation * turned)).astype(np.float32)


def _kernel(crop: NDArray[np.uint8], kernels: tuple[Kernel, ...], random: Generator) -> None:
    """Apply one of some kernels to a crop in place, at a strength that is drawn."""
    kind = kernels[int(random.integers(len(kernels)))]
    strength = random.random()
    if kind == "blur":
        cv2.GaussianBlur(crop, (0, 0), 0.5 + 1.5 * strength, dst=crop)
    elif kind == "motion":
        cv2.filter2D(crop, -1, _smear(3 + 2 * int(3 * strength), random), dst=crop)
    elif kind == "median":
        cv2.medianBlur(crop, 3 + 2 * int(2 * strength), dst=crop)
    elif kind == "sharpen":
        soft = cv2.GaussianBlur(crop, (0, 0), 1.0)
        cv2.addWeighted(crop, 1 + strength, soft, -strength, 0, dst=crop)
    else:
        height, width = crop.shape[:2]
        factor = 1 - 0.7 * strength
        small = cv2.resize(crop, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        cv2.resize(small, (width, height), dst=crop, interpolation=cv2.INTER_LINEAR)


def _smear(length: int, random: Generator) -> NDArray[np.float32]:
    """Return a line of `length` pixels through the middle, float32 (length, length), of sum 1."""
    line = np.zeros((length, length), np.float32)
    angle = random.uniform(0, math.pi)
    half = length // 2
    reach = np.linspace(-half, half, 2 * length)
    line[
        np.rint(half + reach * math.sin(angle)).astype(int),
        np.rint(half + reach * math.cos(angle)).astype(int),
    ] = 1
    return line / line.sum()


def _add_noise(crops: NDArray[np.uint8], most: float, random: Generator) -> None:
    """Add Gaussian noise to half of the crops in place."""
    size = crops[0].size
    grain = random.standard_normal(2 * size, np.float32) * _GRAIN + 128
    grain = np.clip(np.rint(grain), 0, 255).astype(np.uint8)
    strengths = np.maximum(_either(most / _GRAIN, len(crops), random), 0)
    starts = random.integers(size, size=len(crops))
    for crop, strength, start in zip(crops, strengths.tolist(), starts.tolist(), strict=True):
        if strength:
            speckles = grain[start : start + size].reshape(crop.shape)
            cv2.addWeighted(crop, 1, speckles, strength, -128 * strength, dst=crop)


def _compress(crop: NDArray[np.uint8], rgb: bool, random: Generator) -> None:
    """Write a crop as JPEG and read it back, in place."""
    quality = int(random.integers(_WORST_JPEG, _BEST_JPEG + 1))
    if rgb:
        cv2.cvtColor(crop, cv2.COLOR_RGB2BGR, dst=crop)
    _, file = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(file, cv2.IMREAD_COLOR)
    assert decoded is not None
    crop[:] = decoded
    if rgb:
        cv2.cvtColor(crop, cv2.COLOR_BGR2RGB, dst=crop)
