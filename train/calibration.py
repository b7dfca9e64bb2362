"""How far a probability is from how often it comes true."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.train.canvas import BLUE, GREY, panels, save, words
from edge.train.plots import Floats, known

_BINS = 10


def calibration(
    probabilities: Floats,
    labels: Floats,
    attributes: Sequence[str],
    path: Path,
    *,
    title: str = "calibration",
) -> None:
    """Draw how often a probability comes true, above how often it is said.

    Arguments as `confusion`. Each attribute gets its reliability curve of ten bins of equally many
    pictures, with the expected calibration error, and a histogram of its probabilities.
    """
    figure, axes = panels(len(attributes), title, width=2.9, height=4.1, parts=(3.0, 1.0))
    for column, name in enumerate(attributes):
        values, truth = known(probabilities, labels, column)
        curve, below = axes[2 * column : 2 * column + 2]
        curve.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
        if len(values):
            said, came_true, _ = reliability(values, truth)
            error = f"calibration error {calibration_error(values, truth):.3f}"
            curve.plot(said, came_true, "o-", color=BLUE, markersize=4, label=error)
            curve.legend(fontsize=8)
        curve.set_title(words(name, 26), fontsize=10)
        curve.set(ylabel="share that is yes", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        curve.grid(alpha=0.3)
        curve.tick_params(labelbottom=False)
        below.hist(values, bins=20, range=(0, 1), color=BLUE)
        below.set(xlabel="probability said", ylabel="pictures", xlim=(-0.03, 1.03))
    save(figure, path)


def reliability(
    values: Floats, truth: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return what was said and what came true in ten bins of equally many samples.

    Args:
        values: float32 (samples,), probabilities of yes; at least one.
        truth: bool (samples,).

    Returns:
        Mean probability, share of yes and number of samples of each bin that has any.
    """
    # Equal probabilities stay together: how a bin would part them means nothing.
    edges = np.unique(np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1], method="lower"))
    bins = np.searchsorted(edges, values, side="left")
    counts = np.bincount(bins, minlength=len(edges) + 1)
    held = counts > 0
    said = np.bincount(bins, values.astype(np.float64), len(counts))[held] / counts[held]
    came_true = np.bincount(bins, truth.astype(np.float64), len(counts))[held] / counts[held]
    return said, came_true, counts[held]


def calibration_error(values: Floats, truth: NDArray[np.bool_]) -> float:
    """Return the expected calibration error: how far a probability is from what comes true."""
    said, came_true, counts = reliability(values, truth)
    return float(np.sum(np.abs(said - came_true) * counts) / counts.sum())
