"""What scores depend on, as PNG files: balance of the labels, crop, size and tilt of a face."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge.datasets import IDENTITY
from edge.runtime.sensitivity import Sensitivity, Step
from edge.train.canvas import BLUE, GREEN, GREY, ORANGE, panels, save, words

# Data set and split to attribute to pictures with yes, with no, and without a label.
Counts = Mapping[str, Mapping[str, tuple[int, int, int]]]

_LABELS = ("label yes", "label no")
_ANSWERS = (("yes", BLUE), ("no", ORANGE), ("unknown", "#D0D0D0"))


def label_balance(counts: Counts, path: Path) -> None:
    """Draw how many pictures say yes, no and nothing of each attribute, in shares.

    Args:
        counts: Of each data set and split; at least one, with at least one attribute.
        path: The PNG to write.
    """
    most = max(len(attributes) for attributes in counts.values())
    figure, axes = panels(
        len(counts), "labels of each attribute", width=4.6, height=1.1 + 0.26 * most, a_row=3
    )
    for axis, (source, attributes) in zip(axes, counts.items(), strict=True):
        numbers = np.array(list(attributes.values()), np.int64)
        totals = np.maximum(numbers.sum(axis=1), 1)
        left = np.zeros(len(numbers))
        for (answer, colour), column in zip(_ANSWERS, numbers.T, strict=True):
            shares = column / totals
            bars = axis.barh(range(len(numbers)), shares, left=left, color=colour, label=answer)
            # A narrow bar has no room for its number.
            texts = [f"{number:,}" for number in column * (shares > 0.12)]
            texts = ["" if text == "0" else text for text in texts]
            ink = "black" if answer == "unknown" else "white"
            axis.bar_label(bars, texts, label_type="center", color=ink, fontsize=7)
            left = left + shares
        axis.set_yticks(range(len(numbers)), [words(name, 24) for name in attributes], fontsize=8)
        axis.set_ylim(len(numbers) - 0.4, -0.6)
        axis.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axis.set(xlim=(0, 1))
        axis.axvline(0.5, color="black", linewidth=0.6, linestyle=":")
        axis.set_title(f"{words(source)}: {numbers.sum(axis=1).max():,} pictures", fontsize=10)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=8)
    save(figure, path)


def crops_compared(
    whole: Mapping[str, Mapping[str, Any]],
    detected: Mapping[str, Mapping[str, Any]],
    path: Path,
    *,
    title: str = "what a detector in front is worth",
) -> None:
    """Draw the accuracy on whole pictures against that on detected faces.

    Args:
        whole: Attribute to accuracy and ci95, its Wilson interval, 0 to 1.
        detected: Likewise; the same attributes.
        path: The PNG to write.
        title: Of the figure.
    """
    figure, (axis,) = panels(1, title, width=7, height=1.6 + 0.34 * len(detected))
    rows = np.arange(len(detected))
    kinds = ((detected, "the detected face", BLUE, "o", -0.15),
             (whole, "the whole picture", ORANGE, "s", 0.15))  # fmt: skip
    for scores, label, colour, marker, shift in kinds:
        values = np.array([scores[name]["accuracy"] for name in detected])
        limits = np.array([scores[name]["ci95"] for name in detected]).T
        reach = np.abs(limits - values)
        axis.errorbar(
            values, rows + shift, xerr=reach, fmt=marker, color=colour, capsize=4, label=label
        )
        for row, value, high in zip(rows, values, limits[1], strict=True):
            axis.annotate(f" {value:.1%}", (high, row + shift), va="center", fontsize=8)
    axis.set_yticks(rows, [words(name, 24) for name in detected])
    axis.set_ylim(len(detected) - 0.5, -0.5)
    axis.margins(x=0.12)
    axis.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axis.set(xlabel="accuracy with its 95 % interval")
    axis.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    save(figure, path)


def sensitivity(measured: Sensitivity, path: Path, *, title: str = "size and tilt") -> None:
    """Draw how the score falls with the size of the face in the frame, and with its tilt.

    Args:
        measured: See `edge.runtime.sensitivity`.
        path: The PNG to write.
        title: Of the figure.
    """
    title = f"{title}: {measured.attribute} of {measured.pictures} faces scaled and turned"
    figure, axes = panels(4, title, width=4.4, height=2.9, a_row=2)
    sizes, tilts = measured.sizes, measured.tilts
    people = measured.attribute == IDENTITY
    for at, steps in enumerate((sizes, tilts)):
        _found_and_right(axes[2 * at], steps)
        _said(axes[2 * at + 1], steps, ("the right person",) if people else _LABELS)
        if not people:
            axes[2 * at + 1].axhline(measured.threshold, color=GREY, linewidth=0.8, linestyle=":")
    for axis in axes[:2]:
        axis.set_xscale("log")
        axis.set_xticks([step.at for step in sizes], [f"{step.at:.0%}" for step in sizes])
        axis.minorticks_off()
        axis.tick_params(axis="x", labelsize=7)
        axis.set(xlabel="side of the face, share of the frame's side")
    for axis in axes[2:]:
        axis.set_xticks([step.at for step in tilts][::2])
        axis.tick_params(axis="x", labelsize=7)
        axis.set(xlabel="tilt in degrees, clockwise")
    save(figure, path)


def _found_and_right(axis: Any, steps: Sequence[Step]) -> None:
    at = [step.at for step in steps]
    axis.plot(at, [step.detected for step in steps], "s--", color=GREEN, markersize=4,
              label="face found")  # fmt: skip
    axis.plot(at, [step.accuracy for step in steps], "o-", color=BLUE, markersize=4,
              label="found and right")  # fmt: skip
    axis.set(ylim=(-0.03, 1.03), ylabel="share of pictures")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)


def _said(axis: Any, steps: Sequence[Step], lines: Sequence[str]) -> None:
    """Draw the mean probability of faces with each label; `lines` names one or both."""
    at = [step.at for step in steps]
    values = ([step.positive for step in steps], [step.negative for step in steps])
    for label, own, colour, style in zip(
        lines, values, (BLUE, ORANGE), ("o-", "s--"), strict=False
    ):
        known = [np.nan if value is None else value for value in own]
        axis.plot(at, known, style, color=colour, markersize=4, label=label)
    axis.set(ylim=(-0.03, 1.03), ylabel="mean probability where found")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
