"""What was said of labelled faces, and the figures that show it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.progress import progress
from edge.train import mistakes, plots, sheets
from edge.train.calibration import calibration
from edge.train.canvas import Colour

Floats = NDArray[np.float32]

# Attributes whose worst mistakes are drawn: a sheet takes seconds, and CelebA has 40.
_MOST_SHEETS = 8

# Name of a figure, without .png, to what draws it at a path.
Figures = dict[str, Callable[[Path], None]]


@dataclass(frozen=True, kw_only=True)
class Told:
    """What was said of faces, with all that a figure of it wants.

    Args:
        probabilities: float32 (n, answers), 0 to 1; nan where no face was found.
        labels: float32 (n, answers); 1 yes, 0 no, nan unknown. Of people (n, 1), the number of
            the person.
        answers: Names of the attributes, or of the people.
        thresholds: Where yes begins, one an answer.
        people: Whether the answers are people.
        names: File name of each picture.
        crops: Returns the crops of some pictures: uint8 (n, height, width, 3).
        colour: Channel order of the crops.
        title: What the pictures are, for the titles.
    """

    probabilities: Floats
    labels: Floats
    answers: Sequence[str]
    thresholds: Sequence[float]
    people: bool
    names: Sequence[str]
    crops: Callable[[NDArray[np.int64]], NDArray[np.uint8]]
    colour: Colour
    title: str

    def labelled(self) -> "Told":
        """Return the attributes that any picture has a label for."""
        columns = np.flatnonzero(np.isfinite(self.labels).any(axis=0)).tolist()
        if self.people or len(columns) == len(self.answers):
            return self
        return replace(
            self,
            probabilities=self.probabilities[:, columns],
            labels=self.labels[:, columns],
            answers=[self.answers[at] for at in columns],
            thresholds=[self.thresholds[at] for at in columns],
        )


def figures_of(told: Told, seed: int) -> Figures:
    """Return the figures of what was said of labelled faces.

    Args:
        told: What was said; see `Told.labelled`.
        seed: Chooses the samples.
    """
    return _of_people(told, seed) if told.people else _of_attributes(told, seed)


def _of_attributes(told: Told, seed: int) -> Figures:
    if not told.answers:
        return {}
    scores = (told.probabilities, told.labels, told.answers)
    figures: Figures = {
        "samples": partial(_samples, told, seed),
        "confusion": partial(
            plots.confusion, *scores, thresholds=told.thresholds, title=f"confusion, {told.title}"
        ),
        "roc": partial(plots.roc, *scores, title=f"operating characteristic, {told.title}"),
        "calibration": partial(calibration, *scores, title=f"calibration, {told.title}"),
    }
    for column, name in enumerate(told.answers[:_MOST_SHEETS]):
        figures[f"worst-{_file_name(name)}"] = partial(_worst, told, column)
    return figures


def _of_people(told: Told, seed: int) -> Figures:
    judged = np.flatnonzero(np.isfinite(told.labels[:, 0]) & np.isfinite(told.probabilities[:, 0]))
    values, truth = told.probabilities[judged], told.labels[judged, 0].astype(np.int64)
    said = values.argmax(axis=1)
    right = (said == truth).astype(np.float32)[:, None]
    return {
        "samples": partial(_samples, told, seed),
        "confusion": partial(
            plots.confusion_of_classes, truth, said, told.answers, title=f"confusion, {told.title}"
        ),
        "calibration": partial(
            calibration, values.max(axis=1, keepdims=True), right, ["the best person"],
            title=f"calibration, {told.title}",
        ),
        "worst-identity": partial(_worst_people, told, judged, truth, values),
    }  # fmt: skip


def _samples(told: Told, seed: int, path: Path) -> None:
    """Draw faces at random, with what was said of each."""
    judged = np.flatnonzero(np.isfinite(told.probabilities[:, 0]))
    count = min(sheets.MOST_SAMPLES, len(judged))
    drawn = np.random.default_rng(seed).choice(judged, count, replace=False)
    labels, values = told.labels[drawn], told.probabilities[drawn]
    if told.people:
        captions = [
            f"is {'unknown' if np.isnan(label) else told.answers[int(label)]}\n"
            f"said {told.answers[int(said)]}"
            for label, said in zip(labels[:, 0], values.argmax(axis=1), strict=True)
        ]
    else:
        captions = [
            mistakes.caption(label, value)
            for label, value in zip(labels[:, 0], values[:, 0], strict=True)
        ]
    about = "who it is" if told.people else told.answers[0]
    title = f"{about}: {count} faces as the network sees them, {told.title}"
    crops = told.crops(drawn)
    sheets.sample_grid(crops, captions, path, colour=told.colour, title=title)


def _worst(told: Told, column: int, path: Path) -> None:
    values, labels = told.probabilities[:, column], told.labels[:, column]
    threshold = told.thresholds[column]
    order = mistakes.mistakes(labels, values, threshold)
    mistakes.worst_mistakes(
        told.crops(order), labels[order], values[order], [told.names[at] for at in order],
        told.answers[column], path, threshold=threshold, colour=told.colour,
        title=told.title,
    )  # fmt: skip


def _worst_people(
    told: Told, judged: NDArray[np.int64], truth: NDArray[np.int64], values: Floats, path: Path
) -> None:
    order = mistakes.mistaken(truth, values)
    mistakes.mistaken_people(
        told.crops(judged[order]), truth[order], values[order],
        [told.names[at] for at in judged[order]], told.answers, path, colour=told.colour,
        title=told.title,
    )  # fmt: skip


def _file_name(attribute: str) -> str:
    """Return an attribute as part of a file name."""
    return re.sub(r"[^\w-]+", "_", attribute)


def draw(figures: Figures, folder: Path) -> list[Path]:
    """Draw figures as PNGs of a folder; return what was written."""
    written = []
    with progress("drawing", len(figures), "figures") as advance:
        for name, figure in figures.items():
            written.append(folder / f"{name}.png")
            figure(written[-1])
            advance(1)
    return written
