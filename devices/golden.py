"""Golden pictures: what a model says of them here it has to say on every board."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2

from edge.runtime.demo import Demo
from edge.runtime.outputs import Output, frame_json
from edge.runtime.pipeline import Result
from edge.runtime.run import RunOptions, run

# Of the demo, far enough apart to differ in size, place and tilt of the faces.
_FRAMES = (0, 45, 90, 135, 180, 225)
_SIZE = (320, 240)
# Arm rounds integers otherwise than x86, and detectors move a crop by a fraction of a pixel; a
# wrong model, a wrong crop or swapped labels are further off by far.
_TOLERANCE = {"score": 0.1, "box": 0.05}


def write_golden(folder: Path) -> None:
    """Write the golden pictures, PNG of 320×240 pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    demo = Demo()
    for index in _FRAMES:
        small = cv2.resize(demo.render(index), _SIZE, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / f"{index:03d}.png"), small)


def expectations(model: Path, folder: Path) -> dict[str, Any]:
    """Return what a model says of golden pictures, by LiteRT on this machine.

    Args:
        model: A model file.
        folder: Where the pictures are.

    Returns:
        The content of `golden.json`: how far boxes (in sizes of the face) and scores may be off,
        and the faces of each picture.

    Raises:
        EdgeError: The model or its detector cannot be used.
    """
    kept = _Kept()
    options = RunOptions(
        source=str(folder), camera="0", demo=False, frames=None, model=str(model), detector=None,
        runtime="litert", threads=1,
    )  # fmt: skip
    run(options, kept, warn=lambda sentence: None)
    return {"tolerance": _TOLERANCE, "frames": kept.frames}


class _Kept(Output):
    """Keeps the faces of each frame."""

    def __init__(self) -> None:
        self.frames: list[list[Mapping[str, Any]]] = []

    def show(self, result: Result) -> None:
        """Keep those of one."""
        faces = frame_json(result)["faces"]
        self.frames.append(
            [{key: face[key] for key in ("box", "score", "attributes")} for face in faces]
        )
