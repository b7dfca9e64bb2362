"""Checkpoints: all that a training needs to go on, in one file that is whole or absent."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import EdgeError
from edge.files import replacing

# 1: arrays "live/NNN" (network, optimiser, averaged weights) and "best/NNN", the loop's state as
#    JSON.
SCHEMA = 1


def save(
    path: Path, live: Sequence[NDArray[Any]], best: Sequence[NDArray[Any]], state: dict[str, Any]
) -> None:
    """Write a checkpoint atomically.

    Raises:
        EdgeError: The folder cannot be written or the disk is full; the previous one is intact.
    """
    arrays = {f"live/{at:03d}": value for at, value in enumerate(live)}
    arrays |= {f"best/{at:03d}": value for at, value in enumerate(best)}
    arrays["state"] = np.array(json.dumps({"schema": SCHEMA, **state}))
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def load(path: Path) -> tuple[list[NDArray[Any]], list[NDArray[Any]], dict[str, Any]]:
    """Read a checkpoint: live arrays, best arrays, state.

    Raises:
        EdgeError: It is damaged or of another version.
    """
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            state = json.loads(str(arrays["state"]))
            live, best = (
                [arrays[name] for name in sorted(arrays.files, key=_place) if name.startswith(kind)]
                for kind in ("live/", "best/")
            )
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise EdgeError(
            f"{path} cannot be read: {error}", "start again without --resume"
        ) from error
    if state.pop("schema") != SCHEMA:
        raise EdgeError(
            f"{path} is a checkpoint of another version of edge",
            "finish with that version, or start again without --resume",
        )
    return live, best, state


def _place(name: str) -> int:
    """Return the number of an array; there may be more of them than its digits were made for."""
    number = name.rpartition("/")[2]
    return int(number) if number.isdecimal() else -1
