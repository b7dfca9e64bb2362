"""What a report says of a sustained run: one sentence for its head, the facts, and its course."""

import math
from collections.abc import Sequence
from statistics import mean
from typing import Any

from edge.benchmarks.rows import NOTHING, label, number, percent, place

Soak = dict[str, Any]

# From here on the last quarter, which is the steady state, has nothing of the first minute.
_LEAST_S = 80.0

# More lines than this say no more of the course.
_LINES = 12


def headline(soak: Soak, *, finished: bool) -> str:
    """Say in one sentence whether the pipeline kept its speed, and for how long."""
    windows = _windows(soak)
    if not windows:
        return "The sustained run was stopped before anything was measured"
    lasted = float(windows[-1]["t_s"])
    over = _span(lasted) + ("" if finished else ", after which it was stopped")
    share, after = soak.get("steady_share"), soak.get("throttled_after_s")
    if share is None:
        return f"The pipeline ran for {over}: what it kept of its speed is not known"
    if lasted < _LEAST_S:
        return f"The pipeline ran for {over}: too short to tell whether it keeps its speed"
    kept = "its full speed" if share >= 0.995 else f"{100 * share:.0f} % of its speed"
    slowed = f"; the board slowed itself down after {_span(after)}" if after is not None else ""
    return f"The pipeline keeps {kept} over {over}{slowed}"


def case(soak: Soak) -> str:
    """Name what ran, such as "default int8 on litert, 1 thread"."""
    ran = soak.get("case") or {}
    return f"{label(ran)} on {place(ran)}"


def lasted(soak: Soak) -> str:
    """Say how long it ran."""
    windows = _windows(soak)
    return _span(float(windows[-1]["t_s"]) if windows else 0.0)


def sentences(soak: Soak) -> list[str]:
    """Return the figures and what the machine told of heat and throttling, in words."""
    windows = _windows(soak)
    if not windows:
        return [f"{case(soak)}: no window of the run has ended."]
    said = [
        f"{case(soak)}: {number(soak.get('first_minute_fps'))} FPS in the first minute, "
        f"{number(soak.get('steady_fps'))} in the steady state "
        f"({percent(soak.get('steady_share'))})."
    ]
    if soak.get("throttled_after_s") is not None:
        said.append(f"The board slowed itself down after {_span(soak['throttled_after_s'])}.")
    elif _told(windows, "throttled"):
        said.append("It was never throttled.")
    else:
        said.append("This machine does not tell of throttling.")
    warmth = _told(windows, "temperature_c")
    if warmth:
        said.append(f"Temperature {min(warmth):.0f} to {max(warmth):.0f} °C.")
    else:
        said.append("This machine does not tell its temperature.")
    return said


def course(soak: Soak) -> tuple[list[str], list[list[str]]]:
    """Return headings and lines of a table of the run's course, windows in a dozen groups.

    Columns that the machine tells nothing of are left out.
    """
    windows = _windows(soak)
    size = max(1, math.ceil(len(windows) / _LINES))
    groups = [windows[at : at + size] for at in range(0, len(windows), size)]
    columns = {
        "until, s": [f"{group[-1]['t_s']:.0f}" for group in groups],
        "FPS": [number(mean(one["fps"] for one in group)) for group in groups],
        "lowest FPS": [number(min(one["fps"] for one in group)) for group in groups],
        "°C": [_highest(group, "temperature_c") for group in groups],
        "lowest MHz": [
            number(min(_told(group, "frequency_mhz"), default=None)) for group in groups
        ],
        "throttled": [_throttled(group) for group in groups],
    }
    kept = {name: cells for name, cells in columns.items() if set(cells) - {NOTHING}}
    return list(kept), [list(line) for line in zip(*kept.values(), strict=True)]


def _windows(soak: Soak) -> list[dict[str, Any]]:
    return list(soak.get("windows") or [])


def _told(windows: Sequence[dict[str, Any]], name: str) -> list[Any]:
    return [window[name] for window in windows if window.get(name) is not None]


def _highest(windows: Sequence[dict[str, Any]], name: str) -> str:
    return number(max(_told(windows, name), default=None))


def _throttled(windows: Sequence[dict[str, Any]]) -> str:
    told = _told(windows, "throttled")
    return NOTHING if not told else "yes" if any(told) else "no"


def _span(seconds: float) -> str:
    if seconds < 2 * 60:
        return f"{seconds:.0f} second{'s' * (round(seconds) != 1)}"
    return f"{round(seconds / 60, 1):g} minutes"
