"""Figures that others published, each with its source, hardware, runtime and statistic."""

import tomllib
from importlib.resources import files

from edge.devices.boards import boards
from edge.devices.figures import Figure, read_figures

__all__ = ["Figure", "figures"]


def figures() -> list[Figure]:
    """Return every published figure: those of `published.toml`, then those of each board."""
    text = files("edge.benchmarks").joinpath("published.toml").read_text("utf-8")
    found = list(read_figures(tomllib.loads(text)["published"]))
    return found + [figure for board in boards().values() for figure in board.published]
