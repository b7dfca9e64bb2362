"""What the parts of a results file look like, so that an edited one is refused with a reason."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Beyond this a figure is a slip, and its square no float.
_LARGEST = 1e100


@dataclass(frozen=True)
class Leaf:
    """A value without parts.

    Args:
        name: What it is, for a sentence such as "plan is no object".
        fits: Tells whether a value is one.
    """

    name: str
    fits: Callable[[Any], bool]


# An object maps names to shapes, "*" alone standing for every name; a list has one shape for all
# its items. What is named without a "!" may be absent or null, and more may be there.
Shape = Leaf | dict[str, "Shape"] | list["Shape"]


def is_number(value: Any) -> bool:
    """Tell whether a value is a number that can be computed with."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -_LARGEST < value < _LARGEST
    )


def is_count(value: Any) -> bool:
    """Tell whether a value is a whole number from 0."""
    return isinstance(value, int) and is_number(value) and value >= 0


_TEXT = Leaf("text", lambda value: isinstance(value, str))
_NUMBER = Leaf("number", is_number)
_COUNT = Leaf("count", is_count)
_TRUTH = Leaf("truth value", lambda value: isinstance(value, bool))
_PAIR = Leaf(
    "pair of numbers",
    lambda value: isinstance(value, list) and len(value) == 2 and all(map(is_number, value)),
)

_CASE: dict[str, Shape] = {
    "suite": _TEXT, "name": _TEXT, "variant": _TEXT, "runtime": _TEXT, "device": _TEXT,
    "threads": _COUNT,
}  # fmt: skip

_CONDITIONS: dict[str, Shape] = {
    "others_busy": _NUMBER, "steal": _NUMBER, "held_back": _NUMBER, "temperature_c": _NUMBER,
    "frequency_mhz": _NUMBER, "throttled": _TRUTH,
}  # fmt: skip

# Beside its key and samples, without which an entry is none.
ENTRY: Shape = {
    "first_ms": _NUMBER, "start_ms": _NUMBER, "load_ms": _NUMBER, "peak_rss_mb": _NUMBER,
    "size_bytes": _NUMBER, "multiply_adds": _NUMBER, "batch": _COUNT,
    "runtime_version": _TEXT, "precision": _TEXT, "detector": _TEXT, "accuracy_from": _TEXT,
    "accuracy": {
        "*": {"accuracy": _NUMBER, "ci95": _PAIR, "samples": _COUNT},
    },
    "reach": {"smallest_px": _NUMBER, "tilt_degrees": _NUMBER, "faces": _COUNT},
    "adapter": {"name!": _TEXT, "software": _TRUTH},
    "model": {"name": _TEXT, "sha256": _TEXT, "trained": _TRUTH, "contract": {}},
    "stages_ms": {"*": [_NUMBER]},
    "processes": [
        _CONDITIONS | {
            "round": _COUNT, "samples": _COUNT, "first_ms": _NUMBER, "start_ms": _NUMBER,
            "load_ms": _NUMBER, "peak_rss_mb": _NUMBER, "warmup_ms": [_NUMBER],
        },
    ],
    "warnings": [_TEXT],
}  # fmt: skip

DOCUMENT: Shape = {
    "started": _TEXT, "finished": _TEXT, "command": _TEXT,
    "environment": {
        "cpu": _TEXT, "cores": _COUNT, "isa": [_TEXT], "load": [_NUMBER], "os": _TEXT,
        "python": _TEXT, "memory": _NUMBER, "versions": {}, "limits": {"memory": _NUMBER},
    },
    "protocol": {"text": _TEXT},
    "plan": {"suites": [_TEXT], "cases": [_CASE], "data": _TEXT},
    "skipped": [_CASE | {"reason": _TEXT}],
    "peak": {"*": {"*": _NUMBER}},
    "soak": {
        "case!": _CASE, "window_s": _NUMBER,
        "windows!": [_CONDITIONS | {"t_s!": _NUMBER, "fps!": _NUMBER}],
    },
    "warnings": [_TEXT],
}  # fmt: skip


def fault(value: Any, shape: Shape, where: str = "") -> str | None:
    """Say what first differs from a shape, such as "plan.cases[2].name is no text".

    Args:
        value: Of JSON.
        shape: What it is to be.
        where: Its place in the file.

    Returns:
        None where all fits.
    """
    if isinstance(shape, Leaf):
        return None if shape.fits(value) else f"{where} is no {shape.name}"
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{where} is no list"
        found = (fault(item, shape[0], f"{where}[{at}]") for at, item in enumerate(value))
    else:
        if not isinstance(value, dict):
            return f"{where} is no object"
        found = (_part(value, name, shape, where) for name in _names(value, shape))
    return next((one for one in found if one), None)


def _names(value: dict[str, Any], shape: dict[str, Shape]) -> list[str]:
    if "*" in shape:
        return list(value)
    return [name for name in shape if name.endswith("!") or value.get(name) is not None]


def _part(value: dict[str, Any], name: str, shape: dict[str, Shape], where: str) -> str | None:
    of = shape[name] if name in shape else shape["*"]
    name = name.removesuffix("!")
    return fault(value.get(name), of, f"{where}.{name}" if where else name)
