"""Scores as PNG files, where a person would rather look than read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from edge.train.canvas import BLUE, GREY, MANY, heat, panels, save, tone, words

Floats = NDArray[np.float32]

_NAMED_CLASSES = 25


def curves(history: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw loss, accuracy of each attribute and learning rate over the epochs.

    Args:
        history: One entry an epoch: loss and rate, and where they are known val_loss, val_accuracy
            (attribute to accuracy, 0 to 1) and phase (its name).
        path: The PNG to write.
    """
    epochs = np.arange(1, len(history) + 1)
    figure = Figure(figsize=(13, 3.9), layout="constrained")
    loss, accuracy, rate = figure.subplots(1, 3)
    loss.plot(epochs, _column(history, "loss"), label="training, all terms", **_marked(epochs, 0))
    loss.plot(
        epochs, _column(history, "val_loss"), label="validation, own answers", **_marked(epochs, 1)
    )
    loss.set(title="loss", xlabel="epoch")
    loss.legend(fontsize=8)
    _accuracies(accuracy, epochs, [entry.get("val_accuracy") or {} for entry in history])
    rates = _column(history, "rate")
    # That of an epoch's last step; but for a cosine it held for all of them.
    rate.stairs(rates, np.arange(len(history) + 1) + 0.5, baseline=None, color=BLUE, linewidth=1.5)
    rate.set(title="learning rate", xlabel="epoch")
    if (rates > 0).any():
        rate.set_yscale("log")
    for axis in (loss, accuracy, rate):
        axis.grid(alpha=0.3)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_xlim(0.5, max(len(history), 1) + 0.5)
        _borders(axis, [str(entry.get("phase", "")) for entry in history])
    save(figure, path)


def _column(history: Sequence[dict[str, Any]], name: str) -> NDArray[np.float64]:
    """Return one value an epoch, nan where an entry has none."""
    values = [entry.get(name) for entry in history]
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _marked(epochs: NDArray[np.int64], at: int) -> dict[str, Any]:
    """Return the style of a line; one of a single epoch would be invisible without a mark."""
    return tone(at) | {"marker": "o" if len(epochs) < 3 else ""}


def _accuracies(
    axis: Any, epochs: NDArray[np.int64], entries: Sequence[dict[str, float | None]]
) -> None:
    """Draw each attribute, or of many all in grey with their mean."""
    names = list(dict.fromkeys(name for entry in entries for name in entry))
    lines = {name: _column(entries, name) for name in names}
    axis.set(title="validation accuracy", xlabel="epoch")
    if len(names) <= MANY:
        for at, (name, values) in enumerate(lines.items()):
            axis.plot(epochs, values, label=words(name), **_marked(epochs, at))
    else:
        for values in lines.values():
            axis.plot(epochs, values, color=GREY, linewidth=0.5)
        each = np.ma.masked_invalid(np.stack(list(lines.values())))
        mean = each.mean(axis=0).filled(np.nan)
        axis.plot(epochs, mean, label=f"mean of {len(names)} attributes", **_marked(epochs, 0))
    if names:
        axis.legend(fontsize=8)
    else:
        axis.text(0.5, 0.5, "no labels", ha="center", va="center", transform=axis.transAxes)


def _borders(axis: Any, phases: Sequence[str]) -> None:
    """Mark where a phase begins, with its name above, if there are several."""
    starts = [at for at in range(len(phases)) if not at or phases[at] != phases[at - 1]]
    if len(starts) < 2:
        return
    for at in starts:
        if at:
            axis.axvline(at + 0.5, color=GREY, linewidth=0.8, linestyle=":")
        axis.text(at + 0.5, 1.02, words(phases[at], 20), rotation=25, ha="left", va="bottom",
                  rotation_mode="anchor", color="#555555", fontsize=7.5,
                  transform=axis.get_xaxis_transform())  # fmt: skip
    axis.set_title(axis.get_title(), pad=36)


def confusion(
    probabilities: Floats,
    labels: Floats,
    attributes: Sequence[str],
    path: Path,
    thresholds: Sequence[float] | None = None,
    *,
    title: str = "confusion",
) -> None:
    """Draw a 2×2 confusion matrix for each attribute.

    Args:
        probabilities: float32 (samples, attributes), 0 to 1; nan where no face was found, which
            is left out.
        labels: float32 (samples, attributes); 1 yes, 0 no, nan unknown.
        attributes: Names of the columns.
        path: The PNG to write.
        thresholds: Where yes begins, one an attribute; None for 0.5.
        title: Of the figure.
    """
    figure, axes = panels(len(attributes), title, width=2.5, height=2.5)
    for column, (name, axis) in enumerate(zip(attributes, axes, strict=True)):
        values, truth = known(probabilities, labels, column)
        said = values >= (0.5 if thresholds is None else thresholds[column])
        counts = np.array([[(~truth & ~said).sum(), (~truth & said).sum()],
                           [(truth & ~said).sum(), (truth & said).sum()]])  # fmt: skip
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        heat(axis, shares)
        for (row, at), count in np.ndenumerate(counts):
            colour = "white" if shares[row, at] > 0.5 else "black"
            text = f"{count:,}\n{shares[row, at]:.1%}"
            axis.text(at, row, text, ha="center", va="center", color=colour, fontsize=9)
        right = np.trace(counts) / max(counts.sum(), 1)
        axis.set_title(f"{words(name, 26)}\n{right:.1%} right", fontsize=9)
        axis.set(xlabel="said", ylabel="label", xticks=(0, 1), yticks=(0, 1),
                 xticklabels=("no", "yes"), yticklabels=("no", "yes"))  # fmt: skip
    save(figure, path)


def confusion_of_classes(
    truth: NDArray[np.int64],
    said: NDArray[np.int64],
    classes: Sequence[str],
    path: Path,
    *,
    title: str = "confusion",
) -> None:
    """Draw who is taken for whom as a heat map of classes × classes.

    Args:
        truth: int (samples,), index of the right class.
        said: int (samples,), index of the class that the network said.
        classes: Their names, drawn where there are at most 25.
        path: The PNG to write.
        title: Of the figure.
    """
    count = len(classes)
    counts = np.zeros((count, count), np.int64)
    np.add.at(counts, (truth, said), 1)
    right = float((truth == said).mean()) if len(truth) else 0.0
    about = f"{title}; {right:.1%} right, {count} classes"
    figure, (axis,) = panels(1, about, width=7, height=6)
    image = heat(axis, counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    figure.colorbar(image, ax=axis, label="share of the label's pictures", shrink=0.85)
    axis.set(xlabel="said", ylabel="label")
    if count <= _NAMED_CLASSES:
        names = [words(name, 18) for name in classes]
        axis.set_xticks(range(count), names, rotation=90, fontsize=8)
        axis.set_yticks(range(count), names, fontsize=8)
    save(figure, path)


def roc(
    probabilities: Floats,
    labels: Floats,
    attributes: Sequence[str],
    path: Path,
    *,
    title: str = "receiver operating characteristic",
) -> None:
    """Draw the receiver operating characteristic of each attribute; arguments as `confusion`."""
    figure, axes = panels(len(attributes), title, width=2.9, height=2.9)
    for column, (name, axis) in enumerate(zip(attributes, axes, strict=True)):
        values, truth = known(probabilities, labels, column)
        axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
        if truth.any() and not truth.all():
            alarms, hits = roc_points(values, truth)
            area = float(np.sum(np.diff(alarms) * (hits[1:] + hits[:-1]) / 2))
            axis.plot(alarms, hits, color=BLUE, label=f"area {area:.4f}")
            axis.legend(loc="lower right", fontsize=8)
        else:
            axis.text(0.5, 0.5, "one class only", ha="center", va="center")
        axis.set_title(words(name, 26), fontsize=10)
        axis.set(xlabel="share of no said to be yes", ylabel="share of yes found",
                 aspect="equal")  # fmt: skip
        axis.grid(alpha=0.3)
    save(figure, path)


def roc_points(
    values: Floats, truth: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the corners of a curve: false and true positive rates, from (0, 0) to (1, 1).

    Args:
        values: float32 (samples,).
        truth: bool (samples,), of both kinds.
    """
    falling = np.argsort(-values, kind="stable")
    ordered = truth[falling]
    # Equal scores are one step: their order among themselves means nothing.
    last = np.append(np.diff(values[falling]) != 0, True)
    alarms = np.concatenate([[0], np.cumsum(~ordered)[last]]) / (~ordered).sum()
    hits = np.concatenate([[0], np.cumsum(ordered)[last]]) / ordered.sum()
    return alarms, hits


def known(probabilities: Floats, labels: Floats, column: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the probabilities and labels of one attribute where there are both.

    Args:
        probabilities: As `confusion`.
        labels: As `confusion`.
        column: Of the attribute.

    Returns:
        float32 (n,) and bool (n,).
    """
    both = np.isfinite(labels[:, column]) & np.isfinite(probabilities[:, column])
    return probabilities[both, column], labels[both, column] >= 0.5
