"""Figures that others published: their form, and how it is read from TOML."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One published speed, measured by others with other software.

    Args:
        suite: The suite that it may stand beside.
        name: The network, detector or pipeline.
        hardware: What it was measured on.
        statistic: What `ms` is: mean, p50 or unstated.
        ms: Duration of one call in milliseconds; the inverse of `fps` where only that is published.
        fps: Calls a second as published, or None.
        title: The source, down to its table.
        url: Where the source is, or "".
        seed: True for the systems that the toolkit rebuilds, which the charts show as hollow marks.
        variant: float32, int8 … or "" where the source does not say.
        runtime: The software that ran it, or "".
        device: cpu or gpu.
        input: What one call works on, or "".
        note: What the reader has to know to compare, or "".
        max_ms: The longest call, or None.
        std_ms: Standard deviation of the calls, or None.
        accuracy: Accuracy of Smiling by data set, 0 to 1.
    """

    suite: str
    name: str
    hardware: str
    statistic: str
    ms: float
    fps: float | None = None
    title: str
    url: str
    seed: bool = False
    variant: str = ""
    runtime: str = ""
    device: str = "cpu"
    input: str = ""
    note: str = ""
    max_ms: float | None = None
    std_ms: float | None = None
    accuracy: Mapping[str, float] = field(default_factory=dict)


def read_figures(
    published: Iterable[Mapping[str, Any]], *, hardware: str | None = None
) -> tuple[Figure, ...]:
    """Return the figures of `[[published]]` tables, in their order.

    Args:
        published: Tables whose `figures` each add to, or say anew, what the table says of all.
        hardware: What they were measured on where neither says it.
    """
    common = {} if hardware is None else {"hardware": hardware}
    return tuple(
        _figure(common | {key: value for key, value in source.items() if key != "figures"} | own)
        for source in published
        for own in source["figures"]
    )


def _figure(values: dict[str, Any]) -> Figure:
    if "ms" not in values:
        values["ms"] = 1000 / values["fps"]
    return Figure(**values)
