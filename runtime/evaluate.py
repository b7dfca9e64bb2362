"""How right a classifier is on labelled pictures, through the detector and crop of `edge run`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.datasets import IDENTITY, Dataset, load
from edge.identities import identities_of
from edge.measure import wilson
from edge.picked import is_picked, read_picked
from edge.progress import progress as progress_of
from edge.runtime.detectors import create_detector, other_than_trained
from edge.runtime.identity import identity_scores
from edge.runtime.judge import Crop, Judgement, Subject, judge


def evaluate_subject(
    subject: Subject,
    data: Path,
    *,
    kind: str,
    split: str,
    crop: Crop,
    detector: str | None,
    runtime: str,
    threads: int,
    warn: Callable[[str], None],
    keep: Callable[[Judgement], None] | None = None,
) -> dict[str, Any]:
    """Measure a classifier on a folder of labelled pictures: what `edge evaluate` prints.

    Args:
        subject: What to measure.
        data: The folder.
        kind: As `edge.datasets.load`, or of people as `edge.identities.load_identities`.
        split: "train", "val", "test" or "all".
        crop: As `judge`.
        detector: Name of a detector; None takes the one the classifier was trained with.
        runtime: Of the detector.
        threads: Of the detector.
        warn: Called with one sentence on whatever did not fit.
        keep: Called with what was said of each picture, to be looked at.

    Raises:
        EdgeError: The data cannot be used.
    """
    pictures = pictures_for(subject.task, subject.attributes, data, kind).only(split)
    for finding, number in pictures.findings.items():
        warn(f"{pictures.name}: {number:,} {finding}")
    name = detector or subject.contract.detector
    finder = create_detector(name, runtime=runtime, threads=threads)
    for sentence in other_than_trained(name, subject.contract):
        warn(sentence)
    with progress_of("evaluating", len(pictures.samples), "pictures") as advance:
        judgement = judge(pictures, finder, subject.contract, subject.classify,
                          attributes=subject.attributes, crop=crop, progress=advance)  # fmt: skip
    scores = scores_of(judgement, subject.thresholds)
    if keep is not None:
        keep(judgement)
    if scores["unreadable"]:
        warn(f"{scores['unreadable']:,} pictures cannot be read and are left out")
    about = {"model": subject.identity, "dataset": pictures.name, "split": split}
    return about | {"crop": crop, "detector": name} | scores


def pictures_for(task: str, attributes: Sequence[str], data: Path, kind: str) -> Dataset:
    """Load the labelled pictures that a classifier can be measured on.

    Args:
        task: Of the classifier.
        attributes: Its outputs.
        data: The folder, or one of pictures that another machine picked.
        kind: As `evaluate_subject`.

    Raises:
        EdgeError: The data cannot be used.
    """
    if is_picked(data):
        return read_picked(data)
    if task == "identity":
        return identities_of(data, kind, attributes)
    return load(data, kind, wanted=attributes)


def scores_of(judgement: Judgement, thresholds: Sequence[float]) -> dict[str, Any]:
    """Score what was said of the pictures.

    Where no face was found, every attribute of the picture, or who it is, counts as wrong, unless
    the whole picture was the crop. Pictures that could not be read are counted apart, and
    attributes that a picture has no label for are left out.

    Args:
        judgement: What was said.
        thresholds: Probability at and above which an attribute is a label, one an attribute.

    Returns:
        samples (pictures that could be read), detected (those with a face), unreadable, and
        attributes: name to accuracy, ci95, f1, roc_auc, threshold and positives; of people
        "identity" alone, as `identity_scores`.
    """
    readable = judgement.readable
    labels, values = judgement.labels[readable], judgement.values[readable]
    if judgement.dataset.classes:
        scores = {IDENTITY: identity_scores(labels[:, 0], values, thresholds)}
    else:
        columns = zip(judgement.dataset.attributes, labels.T, values.T, thresholds, strict=True)
        scores = {
            name: attribute_scores(truth, value, threshold)
            for name, truth, value, threshold in columns
            if not np.isnan(truth).all()
        }
    return {
        "samples": int(readable.sum()),
        "detected": int(judgement.detected.sum()),
        "unreadable": int((~readable).sum()),
        "attributes": scores,
    }


def attribute_scores(
    labels: NDArray[np.float32], values: NDArray[np.float32], threshold: float
) -> dict[str, Any]:
    """Score one attribute.

    Args:
        labels: (n,), 1 yes, 0 no, nan unknown.
        values: (n,), probabilities; nan where no face was found, which is wrong either way.
        threshold: Probability at and above which the answer is yes.

    Returns:
        accuracy; ci95, its Wilson interval; f1; roc_auc, over the pictures with a face, None
        where one class is absent; threshold; positives; labelled.
    """
    known = ~np.isnan(labels)
    truth, values = labels[known] == 1, values[known]
    judged = ~np.isnan(values)
    answers = np.where(judged, values >= threshold, ~truth)
    right = int((answers == truth).sum())
    both = int((answers & truth).sum())
    claims = int(answers.sum()) + int(truth.sum())
    return {
        "accuracy": right / len(truth),
        "ci95": list(wilson(right, len(truth))),
        "f1": 2 * both / claims if claims else 0.0,
        "roc_auc": roc_auc(truth[judged], values[judged]),
        "threshold": threshold,
        "positives": int(truth.sum()),
        "labelled": len(truth),
    }


def roc_auc(truth: NDArray[np.bool_], values: NDArray[np.float32]) -> float | None:
    """Return the chance that a yes scores above a no, a tie counting half.

    Args:
        truth: (n,).
        values: (n,), any scores.

    Returns:
        0 to 1, or None where one class is absent.
    """
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        return None
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    # Mean rank, from 1, of each group of equal values.
    ranks = np.cumsum(counts) - (counts - 1) / 2
    wins = float(ranks[group][truth].sum()) - positives * (positives + 1) / 2
    return wins / (positives * negatives)
