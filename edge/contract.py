"""The input contract: how a face in a picture becomes what a network sees.

Training, calibration, evaluation, `edge run` and `edge bench` all cut faces with
`InputContract.cut`; no other place knows a margin, a size, a kernel or a value range.
"""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import EdgeError
from edge.faces import Detection

Picture = NDArray[np.uint8]

# No network wants more of a pixel; numbers beyond what a float holds are no use to any.
_FARTHEST = 1e6

_FOUR = {"RGB": cv2.COLOR_BGR2RGBA, "BGR": cv2.COLOR_BGR2BGRA}
_BORDERS = {"replicate": cv2.BORDER_REPLICATE, "black": cv2.BORDER_CONSTANT}


@dataclass(frozen=True, kw_only=True)
class InputContract:
    """What a network was trained to see; stored beside every `.keras` and in every `.tflite`.

    Args:
        width: Width of the crop in pixels.
        height: Height of the crop in pixels.
        margin: What is added on each side of the face box, as a fraction of the box.
        square: True widens the shorter side of the box so that the crop is not distorted;
            False stretches the box to the crop.
        align_eyes: Turn the crop so that the eyes are level, where the detector finds eyes.
        border: What stands outside the picture: its edge pixels, or black.
        kernel: "area" averages before it samples, so that a large face does not alias;
            "linear" only samples.
        colour: Channel order of the crop.
        value_range: What the network wants for pixel values 0 and 255.
        dtype: Type of the crop.
        detector: The detector whose boxes the network was trained on.
    """

    width: int = 128
    height: int = 128
    margin: float = 0.2
    square: bool = True
    align_eyes: bool = True
    border: Literal["replicate", "black"] = "replicate"
    kernel: Literal["area", "linear"] = "area"
    colour: Literal["RGB", "BGR"] = "RGB"
    value_range: tuple[float, float] = (0.0, 255.0)
    dtype: Literal["uint8"] = "uint8"
    detector: str = "blazeface"

    def __post_init__(self) -> None:
        object.__setattr__(self, "value_range", tuple(self.value_range))
        _require(
            0 < self.width <= 4096 and 0 < self.height <= 4096,
            "size",
            "1 to 4096 pixels",
            f"{self.width}×{self.height}",
        )
        _require(-0.5 < self.margin <= 4, "margin", "above -0.5 and at most 4", self.margin)
        _require(self.border in _BORDERS, "border", "replicate or black", self.border)
        _require(self.kernel in ("area", "linear"), "kernel", "area or linear", self.kernel)
        _require(self.colour in ("RGB", "BGR"), "colour", "RGB or BGR", self.colour)
        _require(
            len(self.value_range) == 2
            and all(isinstance(limit, (int, float)) for limit in self.value_range)
            and -_FARTHEST <= self.value_range[0] < self.value_range[1] <= _FARTHEST,
            "value_range",
            f"two rising numbers within ±{_FARTHEST:,.0f}",
            self.value_range,
        )
        _require(self.dtype == "uint8", "dtype", "uint8", self.dtype)

    def values(self) -> NDArray[np.float32]:
        """Return what the network wants for each value of a pixel: float32 (256,)."""
        return np.linspace(*self.value_range, 256, dtype=np.float32)

    def cut(self, picture: Picture, face: Detection) -> Picture:
        """Cut one face out of a picture.

        Args:
            picture: uint8 (height, width, 3), BGR, as OpenCV decodes it.
            face: Where the face is.

        Returns:
            uint8 (`height`, `width`, 3) in the channel order of the contract.
        """
        rows, columns = picture.shape[:2]
        _, _, face_width, face_height = face.box.in_pixels(columns, rows)
        if self.square:
            unit = max(face_width / self.width, face_height / self.height)
            steps = unit, unit
        else:
            steps = face_width / self.width, face_height / self.height
        grow = 1 + 2 * self.margin
        angle = face.tilt(columns, rows) if self.align_eyes else 0.0
        center = (
            (face.box.x + face.box.width / 2) * columns,
            (face.box.y + face.box.height / 2) * rows,
        )
        return self._sample(picture, center, (steps[0] * grow, steps[1] * grow), angle)

    def cut_whole(self, picture: Picture) -> Picture:
        """Take the whole picture as the crop: no face box, no margin, no turn.

        Args:
            picture: uint8 (height, width, 3), BGR.

        Returns:
            As `cut`.
        """
        rows, columns = picture.shape[:2]
        steps = columns / self.width, rows / self.height
        if self.square:
            steps = max(steps), max(steps)
        return self._sample(picture, (columns / 2, rows / 2), steps, 0.0)

    def _sample(
        self,
        picture: Picture,
        center: tuple[float, float],
        steps: tuple[float, float],
        angle: float,
    ) -> Picture:
        """Sample the crop: `center` in pixels, `steps` in picture pixels for one crop pixel."""
        cosine, sine = math.cos(angle), math.sin(angle)
        # Picture position (continuous, pixel centres at .5) of a crop position:
        # p = linear @ (u - crop centre) + center.
        a, b, c, d = cosine * steps[0], -sine * steps[1], sine * steps[0], cosine * steps[1]
        x = center[0] - (a * self.width / 2 + b * self.height / 2)
        y = center[1] - (c * self.width / 2 + d * self.height / 2)
        if self.kernel == "area" and min(steps) >= 2:
            factor = min(int(min(steps)), *picture.shape[:2])
            across = _reach(x, a * self.width, b * self.height, factor, picture.shape[1])
            down = _reach(y, c * self.width, d * self.height, factor, picture.shape[0])
            picture = _block_means(picture, across, down, factor, _BORDERS[self.border])
            # OpenCV turns four channels in little more than half of the time of three.
            picture = cv2.cvtColor(picture, _FOUR[self.colour])
            a, b, c, d = a / factor, b / factor, c / factor, d / factor
            x, y = x / factor - across.start, y / factor - down.start
        # OpenCV counts pixel centres as whole numbers.
        matrix = np.array(((a, b, x + (a + b) / 2 - 0.5), (c, d, y + (c + d) / 2 - 0.5)))
        crop = cv2.warpAffine(
            picture,
            matrix,
            (self.width, self.height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=_BORDERS[self.border],
        )
        if crop.shape[2] == 4:
            return cv2.cvtColor(crop, cv2.COLOR_RGBA2RGB)
        if self.colour == "RGB":
            cv2.cvtColor(crop, cv2.COLOR_BGR2RGB, dst=crop)
        return crop

    def to_json(self) -> dict[str, Any]:
        """Return the contract as plain JSON values."""
        return asdict(self) | {"value_range": list(self.value_range)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "InputContract":
        """Read a contract back.

        Raises:
            EdgeError: A field is unknown, of another type or out of range.
        """
        known = {field.name: type(field.default) for field in fields(cls)}
        _require(isinstance(value, dict), "fields", "an object", repr(value))
        unknown = sorted(set(value) - set(known))
        _require(not unknown, "fields", "those of this version of edge", ", ".join(unknown))
        for name, found in value.items():
            kinds = {float: (float, int), tuple: (list, tuple)}.get(known[name], (known[name],))
            _require(type(found) in kinds, name, f"of type {kinds[0].__name__}", repr(found))
        return cls(**value)

    def require_same(self, other: "InputContract", mine: str, its: str) -> None:
        """Refuse a contract that would show a network other pixels than it was trained on.

        Another detector is allowed: callers warn and record it.

        Args:
            other: The contract to compare with.
            mine: Name of what holds this contract, for the message.
            its: Name of what holds the other one.

        Raises:
            EdgeError: Names the first field that differs, with both values.
        """
        for field in fields(self):
            ours, theirs = getattr(self, field.name), getattr(other, field.name)
            if ours != theirs and field.name != "detector":
                raise EdgeError(
                    f"{field.name} of the input contract is {ours} in {mine} but {theirs} in {its}",
                    "use files that were made together, or train again with one contract",
                )


def _reach(start: float, first: float, second: float, factor: int, limit: int) -> range:
    """Return the blocks of `factor` pixels along one axis where a crop looks, with some room.

    Blocks begin at multiples of `factor` in the picture: what a crop shows of a place does not
    depend on how far it reaches.

    Args:
        start: Where the crop's first corner lies, in pixels.
        first: From there to the end of its first side.
        second: From there to the end of its second side.
        factor: Pixels of a block.
        limit: Pixels of the picture.
    """
    corners = (start, start + first, start + second, start + first + second)
    last = (limit - 1) // factor
    low = min(max(math.floor(min(corners) / factor) - 2, 0), last)
    return range(low, min(max(math.ceil(max(corners) / factor) + 2, low + 1), last + 1))


def _block_means(picture: Picture, across: range, down: range, factor: int, border: int) -> Picture:
    """Average blocks of `factor` × `factor` pixels, of those alone that are asked for."""
    rows, columns = picture.shape[:2]
    bottom, right = down.stop * factor, across.stop * factor
    region = picture[down.start * factor : bottom, across.start * factor : right]
    if bottom > rows or right > columns:
        region = cv2.copyMakeBorder(
            region, 0, max(bottom - rows, 0), 0, max(right - columns, 0), border
        )
    return cv2.resize(region, (len(across), len(down)), interpolation=cv2.INTER_AREA)


def _require(valid: bool, name: str, expected: str, found: object) -> None:
    if not valid:
        raise EdgeError(
            f"{name} of an input contract must be {expected}, not {found}",
            "mend the contract in edge.json, or train again",
        )
