"""What every figure shares: colours, panels, words that can be drawn, and whole files."""

import textwrap
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edge.files import replacing
from edge.runtime.outputs import readable

# Okabe and Ito's, told apart by readers of any colour vision.
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
COLOURS = (BLUE, ORANGE, GREEN, PINK, "#E69F00", "#56B4E9", "#000000", "#8C6D00")
GREY = "#8A8A8A"

# More attributes than this are not drawn as lines in one panel.
MANY = len(COLOURS)

Colour = Literal["RGB", "BGR"]

DPI = 120
_LEAST_WIDTH = 4.4
_LETTERS_AN_INCH = 11


def panels(
    count: int,
    title: str,
    *,
    width: float,
    height: float,
    a_row: int = 5,
    parts: tuple[float, ...] = (1.0,),
) -> tuple[Figure, list[Any]]:
    """Return a figure with `count` panels in rows.

    Args:
        count: How many panels, 1 or more.
        title: Of the whole figure.
        width: Of one panel, in inches.
        height: Of one panel, in inches.
        a_row: Most panels in a row.
        parts: Heights of the axes that stand above each other in a panel, to one another.

    Returns:
        The figure, and the axes of one panel after the other, from its top.
    """
    columns = min(count, a_row)
    rows = -(-count // columns)
    # A single panel is narrower than most titles.
    size = max(width * columns, _LEAST_WIDTH), height * rows
    lines = textwrap.wrap(words(title, 200), int(size[0] * _LETTERS_AN_INCH))
    figure = Figure(figsize=(size[0], size[1] + 0.25 * len(lines)), layout="constrained")
    figure.suptitle("\n".join(lines), fontsize=11)
    grid = figure.add_gridspec(rows * len(parts), columns, height_ratios=parts * rows)
    axes = [
        figure.add_subplot(grid[at // columns * len(parts) + part, at % columns])
        for at in range(count)
        for part in range(len(parts))
    ]
    return figure, axes


def words(text: str, most: int = 40) -> str:
    """Return a text of one line that can be drawn, shortened in its middle.

    Args:
        text: Any, such as the file name of somebody's picture.
        most: Letters to keep.
    """
    line = " ".join(readable(text).split())
    if len(line) > most:
        tail = most // 2
        line = f"{line[: most - tail - 1]}…{line[-tail:]}"
    return line.replace("$", r"\$")  # else two of them would make a formula


def in_rgb(pictures: NDArray[np.uint8], colour: Colour) -> NDArray[np.uint8]:
    """Return pictures, uint8 (…, 3) in a channel order, as matplotlib wants them."""
    return pictures if colour == "RGB" else pictures[..., ::-1]


def tone(at: int) -> dict[str, Any]:
    """Return colour and dashes of the line number `at`: no two of the first 32 are alike."""
    dashes = ("-", "--", ":", "-.")
    return {"color": COLOURS[at % MANY], "linestyle": dashes[at // MANY % len(dashes)]}


def heat(axis: Any, shares: NDArray[np.float64]) -> Any:
    """Draw a matrix of shares, 0 to 1, as a heat map."""
    return axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")


def said_only(path: Path, title: str, sentence: str) -> None:
    """Write a figure that says why there is nothing to draw: an old one would mislead."""
    figure, (axis,) = panels(1, title, width=5, height=1.4)
    axis.axis("off")
    axis.text(0.5, 0.5, words(sentence, 100), ha="center", va="center")
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG that is whole or absent."""
    with warnings.catch_warnings(), replacing(path) as temporary:
        # Names in other scripts than the font has are drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(temporary, dpi=DPI)
