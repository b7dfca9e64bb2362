"""Results for programs: strict JSON, one object a line while a run goes on."""

import json
import math
import os
from typing import Any, TextIO

from edge.faces import Face
from edge.runtime.pipeline import Result


class JsonLines:
    """One JSON object a line: one a frame, then the summary.

    Args:
        stream: Where they go; flushed after each line.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, result: Result) -> None:
        """Write one frame."""
        rows, columns = result.frame.picture.shape[:2]
        self._write(
            {
                "frame": result.frame.index,
                "source": readable(result.frame.source),
                "faces": [_face(face, columns, rows) for face in result.faces],
                "latency_ms": {name: round(ms, 3) for name, ms in result.latency_ms.items()},
                "age_ms": round(result.age_ms, 3),
            }
        )

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the summary, the last line."""
        self._write({"summary": summary})

    def _write(self, value: dict[str, Any]) -> None:
        self._stream.write(to_json(value) + "\n")
        self._stream.flush()


def readable(name: str) -> str:
    """Return a file name as text that any program can read; bytes that are no text as escapes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name).decode("utf-8", "backslashreplace")
    return name


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Return strict JSON; NaN and infinity, which it does not know, become null."""
    try:
        return json.dumps(value, allow_nan=False, indent=indent)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False, indent=indent)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _face(face: Face, columns: int, rows: int) -> dict[str, Any]:
    known = {} if face.id is None else {"id": face.id}
    return known | {
        "box": face.detection.box.in_whole_pixels(columns, rows),
        "score": round(face.detection.score, 4),
        "attributes": {name: round(value, 6) for name, value in face.attributes.items()},
        "labels": list(face.labels),
    }
