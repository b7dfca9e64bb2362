"""Pictures of faces on one sheet as PNG files: what a network sees, and what it makes of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edge.train.canvas import DPI, Colour, in_rgb, said_only, save, words

Crops = NDArray[np.uint8]

MOST_SAMPLES = 64
_AUGMENTED = 10
_MAPS_A_LAYER = 3
_LAYERS_A_ROW = 3

# One cell of a sheet in inches: a face, and the line or two of words under it.
_FACE = 1.25
_LINE = 0.17
_GAP = 0.1
_HEADER = 0.45
_LETTER = 0.1  # of the title


def sample_grid(
    crops: Crops,
    captions: Sequence[str],
    path: Path,
    *,
    colour: Colour = "RGB",
    title: str = "faces as the network sees them",
) -> None:
    """Draw faces in rows of eight, each with its caption.

    Args:
        crops: uint8 (n, height, width, 3), at most 64.
        captions: One a face, of one or two lines.
        path: The PNG to write.
        colour: Channel order of the crops.
        title: Of the sheet.
    """
    if len(crops) > MOST_SAMPLES:
        raise ValueError(f"{len(crops)} faces, at most {MOST_SAMPLES} can be told apart")
    if not len(crops):
        said_only(path, title, "no faces")
        return
    lines = max(caption.count("\n") + 1 for caption in captions)
    columns = min(8, len(crops))
    sheet = _Sheet(-(-len(crops) // columns), columns, lines, title)
    for at, (crop, caption) in enumerate(zip(in_rgb(crops, colour), captions, strict=True)):
        sheet.put(at // columns, at % columns, crop, caption)
    save(sheet.figure, path)


def augmentation_grid(
    originals: Crops,
    augmented: Crops,
    path: Path,
    *,
    colour: Colour = "RGB",
    title: str = "faces and what training makes of them",
) -> None:
    """Draw one face a row, with ten augmentations beside it.

    Args:
        originals: uint8 (rows, height, width, 3).
        augmented: uint8 (rows, 10, height, width, 3).
        path: The PNG to write.
        colour: Channel order of the crops.
        title: Of the sheet.
    """
    if augmented.shape[:2] != (len(originals), _AUGMENTED):
        raise ValueError(f"{augmented.shape[:2]} augmentations of {len(originals)} faces")
    sheet = _Sheet(len(originals), 1 + _AUGMENTED, 0, title, first_gap=2 * _GAP)
    for row, (original, others) in enumerate(zip(originals, augmented, strict=True)):
        for column, crop in enumerate((original, *others)):
            sheet.put(row, column, in_rgb(crop, colour), "")
    save(sheet.figure, path)


def feature_maps(
    maps: Sequence[tuple[str, NDArray[np.float32]]],
    crop: Crops,
    path: Path,
    *,
    colour: Colour = "RGB",
    seed: int = 0,
    title: str = "feature maps of one face",
) -> None:
    """Draw three feature maps of each layer for one face, each from its own least to its most.

    Args:
        maps: (layer, float32 (height, width, channels)) in the order of the network.
        crop: uint8 (height, width, 3), the face.
        path: The PNG to write.
        colour: Channel order of the crop.
        seed: Chooses the maps.
        title: Of the sheet.
    """
    random = np.random.default_rng(seed)
    layers = [("input", [in_rgb(crop, colour)], crop.shape)]
    for name, values in maps:
        chosen = [_coloured(values[:, :, at]) for at in chosen_maps(values, random)]
        layers.append((name, chosen, values.shape))
    rows = -(-len(layers) // _LAYERS_A_ROW)
    sheet = _Sheet(rows, _LAYERS_A_ROW * (_MAPS_A_LAYER + 1) - 1, 1, title, narrow=_MAPS_A_LAYER)
    for at, (name, pictures, shape) in enumerate(layers):
        row, column = at // _LAYERS_A_ROW, at % _LAYERS_A_ROW * (_MAPS_A_LAYER + 1)
        for place, picture in enumerate(pictures):
            height, width, channels = shape
            caption = f"{name}  {height}×{width}×{channels}" if place == 0 else ""
            sheet.put(row, column + place, picture, caption, of_map=at > 0)
    save(sheet.figure, path)


def chosen_maps(
    values: NDArray[np.float32], random: np.random.Generator, count: int = _MAPS_A_LAYER
) -> list[int]:
    """Return channels drawn at random, those that show anything before the constant ones.

    Args:
        values: float32 (height, width, channels).
        random: Draws them.
        count: How many, if there are so many.
    """
    order = random.permutation(values.shape[2])
    constant = np.ptp(values, axis=(0, 1))[order] == 0
    return [int(at) for at in order[np.argsort(constant, kind="stable")][:count]]


def _coloured(values: NDArray[np.float32]) -> Crops:
    """Return one map as uint8 (height, width, 3) RGB; a constant one in the darkest colour."""
    span = float(np.ptp(values)) or 1.0
    shades: Any = colormaps["viridis"]((values - values.min()) / span, bytes=True)
    return np.asarray(shades[..., :3], np.uint8)


class _Sheet:
    """Cells of one size in rows, each a picture with words under it.

    Args:
        rows: How many.
        columns: How many.
        lines: Lines of words under a picture.
        title: Above it all.
        first_gap: Inches between the first column and the others; 0 for the common gap.
        narrow: Every so many columns one is but a gap; 0 for none.
    """

    def __init__(
        self,
        rows: int,
        columns: int,
        lines: int,
        title: str,
        *,
        first_gap: float = 0.0,
        narrow: int = 0,
    ) -> None:
        steps = np.full(columns, _FACE + _GAP)
        if first_gap:
            steps[0] += first_gap
        if narrow:
            steps[narrow :: narrow + 1] = _GAP
        self._lefts = np.concatenate([[0], np.cumsum(steps)]) + _GAP
        self._step = _FACE + _GAP + lines * _LINE
        title = words(title, 120)
        # As wide as the title at least.
        width = max(float(self._lefts[-1]), len(title) * _LETTER + 2 * _GAP)
        self._size = width, rows * self._step + _HEADER + _GAP
        self.figure = Figure(figsize=self._size)
        self._axis = self.figure.add_axes((0, 0, 1, 1))
        self._axis.set(xlim=(0, self._size[0]), ylim=(self._size[1], 0))
        self._axis.axis("off")
        self._axis.text(_GAP, _HEADER / 2, title, va="center", fontsize=12)

    def put(
        self, row: int, column: int, picture: Crops, caption: str, *, of_map: bool = False
    ) -> None:
        """Draw one picture in its cell, in its own proportions.

        Args:
            row: Of the cell.
            column: Of the cell.
            picture: uint8 (height, width, 3), RGB.
            caption: Words under it.
            of_map: True leaves a map's few values as squares; its words begin at the left, and
                may go on under the maps beside it.
        """
        x, y = float(self._lefts[column]), _HEADER + row * self._step
        scale = _FACE / max(picture.shape[:2])
        width, height = picture.shape[1] * scale, picture.shape[0] * scale
        left, top = x + (_FACE - width) / 2, y + (_FACE - height) / 2
        size = max(1, round(width * DPI)), max(1, round(height * DPI))
        up = cv2.INTER_NEAREST if of_map else cv2.INTER_LINEAR
        sized = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale * DPI < 1 else up)
        self._axis.imshow(
            sized, extent=(left, left + width, top + height, top), aspect="auto",
            interpolation="nearest",
        )  # fmt: skip
        self._axis.text(
            x if of_map else x + _FACE / 2,
            y + _FACE + 0.03,
            "\n".join(words(line, 50 if of_map else 22) for line in caption.splitlines()),
            ha="left" if of_map else "center",
            va="top",
            fontsize=7.5,
        )
