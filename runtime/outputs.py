"""Results for programs: strict JSON, one object a line while a run goes on."""

import json
import math
import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, TextIO

from edge.faces import Face
from edge.runtime.controls import Running
from edge.runtime.pipeline import Result


class Output:
    """Shows results; what one of them does not care for is nothing."""

    def begin(self, running: Running) -> None:
        """Make ready, before the first result."""

    def show(self, result: Result) -> None:
        """Show one result, at once."""

    def finish(self, summary: dict[str, Any]) -> None:
        """Show the summary of a run that had results."""

    def close(self) -> None:
        """Let go of everything, whatever came before."""


class Outputs(Output):
    """Several outputs.

    Args:
        outputs: In the order in which they show a result.
    """

    def __init__(self, outputs: Sequence[Output]) -> None:
        self._outputs = outputs

    def begin(self, running: Running) -> None:
        """Make all of them ready."""
        for output in self._outputs:
            output.begin(running)

    def show(self, result: Result) -> None:
        """Show one result in all of them."""
        for output in self._outputs:
            output.show(result)

    def finish(self, summary: dict[str, Any]) -> None:
        """Show the summary in all of them."""
        for output in self._outputs:
            output.finish(summary)

    def close(self) -> None:
        """Close all of them, also where one cannot be closed."""
        with ExitStack() as stack:
            for output in self._outputs:
                stack.callback(output.close)


class JsonLines(Output):
    """One JSON object a line: one a frame, then the summary.

    Args:
        stream: Where they go; flushed after each line.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, result: Result) -> None:
        """Write one frame."""
        self._write(frame_json(result))

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the summary, the last line."""
        self._write({"summary": summary})

    def _write(self, value: dict[str, Any]) -> None:
        self._stream.write(to_json(value) + "\n")
        self._stream.flush()


def frame_json(result: Result) -> dict[str, Any]:
    """Return what is said of one frame, as JSON values."""
    rows, columns = result.frame.picture.shape[:2]
    return {
        "frame": result.frame.index,
        "source": readable(result.frame.source),
        "faces": [_face(face, columns, rows) for face in result.faces],
        "latency_ms": {name: round(ms, 3) for name, ms in result.latency_ms.items()},
        "age_ms": round(result.age_ms, 3),
    }


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
