"""Plots of a training as PNG files, where a person would rather look than read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edge.files import replacing

_DPI = 120


def curves(history: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw loss, accuracy of each attribute and learning rate over the epochs."""
    epochs = [entry["epoch"] for entry in history]
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    loss, accuracy, rate = figure.subplots(1, 3)
    loss.plot(epochs, [entry["loss"] for entry in history], label="training, all terms")
    loss.plot(epochs, [entry["val_loss"] for entry in history], label="validation, own attributes")
    loss.set(title="loss", xlabel="epoch")
    loss.legend()
    for name in history[0]["val_accuracy"] if history else ():
        accuracy.plot(epochs, [entry["val_accuracy"][name] for entry in history], label=name)
    accuracy.set(title="validation accuracy", xlabel="epoch")
    accuracy.legend()
    rate.step(epochs, [entry["rate"] for entry in history], where="post")
    rate.set(title="learning rate", xlabel="epoch", yscale="log")
    _save(figure, path)


def confusion(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.float32],
    attributes: Sequence[str],
    path: Path,
) -> None:
    """Draw a 2×2 confusion matrix for each attribute.

    Args:
        probabilities: float32 (samples, attributes), 0 to 1.
        labels: float32 (samples, attributes); 1 yes, 0 no, nan unknown.
        attributes: Names of the columns.
        path: The PNG to write.
    """
    figure = Figure(figsize=(3.4 * len(attributes), 3.4), layout="constrained")
    axes = figure.subplots(1, len(attributes), squeeze=False)[0]
    for column, (name, axis) in enumerate(zip(attributes, axes, strict=True)):
        known = np.isfinite(labels[:, column])
        truth = labels[known, column] >= 0.5
        said = probabilities[known, column] >= 0.5
        counts = np.array(
            [
                [(~truth & ~said).sum(), (~truth & said).sum()],
                [(truth & ~said).sum(), (truth & said).sum()],
            ]
        )
        axis.imshow(counts, cmap="Blues")
        for (row, at), count in np.ndenumerate(counts):
            axis.text(
                at,
                row,
                f"{count:,}",
                ha="center",
                va="center",
                color="white" if count > counts.max() / 2 else "black",
            )
        axis.set(
            title=name,
            xlabel="predicted",
            ylabel="label",
            xticks=(0, 1),
            yticks=(0, 1),
            xticklabels=("no", "yes"),
            yticklabels=("no", "yes"),
        )
    _save(figure, path)


def roc(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.float32],
    attributes: Sequence[str],
    path: Path,
) -> None:
    """Draw the receiver operating characteristic of each attribute; arguments as `confusion`."""
    figure = Figure(figsize=(4.4, 4.2), layout="constrained")
    axis = figure.subplots()
    for column, name in enumerate(attributes):
        known = np.isfinite(labels[:, column])
        truth = labels[known, column] >= 0.5
        falling = np.argsort(-probabilities[known, column], kind="stable")
        ordered = truth[falling]
        # Equal scores are one step: their order among themselves means nothing.
        steps = np.diff(probabilities[known, column][falling], append=-1) != 0
        hits = np.concatenate([[0], np.cumsum(ordered)[steps]]) / max(ordered.sum(), 1)
        alarms = np.concatenate([[0], np.cumsum(~ordered)[steps]]) / max((~ordered).sum(), 1)
        area = np.sum(np.diff(alarms) * (hits[1:] + hits[:-1]) / 2)
        axis.plot(alarms, hits, label=f"{name}, area {area:.4f}")
    axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    axis.set(xlabel="false positive rate", ylabel="true positive rate", title="validation")
    axis.legend(loc="lower right")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=_DPI)
