"""How right a classifier is on labelled pictures, through the detector and crop of `edge run`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.contract import InputContract, Picture
from edge.datasets import Dataset, Sample, load
from edge.errors import EdgeError
from edge.measure import wilson
from edge.progress import progress as progress_of
from edge.runtime.detectors import Detector, create_detector, other_than_trained

# uint8 crops (n, height, width, 3) to float32 probabilities (n, attributes).
Classify = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
Crop = Literal["detect", "whole"]

_BATCH = 64


class Subject(Protocol):
    """A classifier of any kind: a model file, or a Keras network."""

    contract: InputContract
    attributes: tuple[str, ...]
    thresholds: tuple[float, ...]

    @property
    def identity(self) -> dict[str, str]:
        """Name, variant and sha256 of the file."""

    def classify(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Judge crops: uint8 (n, height, width, 3) to float32 (n, attributes)."""


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
) -> dict[str, Any]:
    """Measure a classifier on a folder of labelled pictures: what `edge evaluate` prints.

    Args:
        subject: What to measure.
        data: The folder.
        kind: As `edge.datasets.load`.
        split: "train", "val", "test" or "all".
        crop: As `evaluate`.
        detector: Name of a detector; None takes the one the classifier was trained with.
        runtime: Of the detector.
        threads: Of the detector.
        warn: Called with one sentence on whatever did not fit.

    Raises:
        EdgeError: The data cannot be used.
    """
    pictures = load(data, kind, wanted=subject.attributes).only(split)
    for finding, number in pictures.findings.items():
        warn(f"{pictures.name}: {number:,} {finding}")
    name = detector or subject.contract.detector
    finder = create_detector(name, runtime=runtime, threads=threads)
    for sentence in other_than_trained(name, subject.contract):
        warn(sentence)
    with progress_of("evaluating", len(pictures.samples), "pictures") as advance:
        scores = evaluate(
            pictures,
            finder,
            subject.contract,
            subject.classify,
            subject.thresholds,
            attributes=subject.attributes,
            crop=crop,
            progress=advance,
        )
    if scores["unreadable"]:
        warn(f"{scores['unreadable']:,} pictures cannot be read and are left out")
    about = {"model": subject.identity, "dataset": pictures.name, "split": split}
    return about | {"crop": crop, "detector": name} | scores


def evaluate(
    dataset: Dataset,
    detector: Detector,
    contract: InputContract,
    classify: Classify,
    thresholds: Sequence[float],
    *,
    attributes: Sequence[str],
    crop: Crop = "detect",
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Measure a classifier on the labelled pictures of a data set.

    The face is the one that the detector is surest of. Where it finds none, every attribute of
    the picture counts as wrong, unless the whole picture is the crop. Pictures that cannot be
    read are counted apart, and attributes that a picture has no label for are left out.

    Args:
        dataset: The pictures; attributes of other names than the classifier's are ignored.
        detector: Finds the faces.
        contract: How the classifier's faces are cut.
        classify: Judges a batch of crops.
        thresholds: Probability at and above which an attribute is a label, one an attribute.
        attributes: The classifier's outputs, in order.
        crop: "detect" cuts the face; "whole" takes the picture as it is.
        progress: Called with the number of pictures just done.

    Returns:
        samples (pictures that could be read), detected (those with a face), unreadable, and
        attributes: name to accuracy, ci95, f1, roc_auc, threshold and positives.

    Raises:
        EdgeError: No picture can be read, or none has a label for any attribute.
    """
    dataset = dataset.with_attributes(attributes, allow_missing=True)
    labels = dataset.labels_array()
    if np.isnan(labels).all():
        raise EdgeError(
            f"{dataset.name} has no labels for {', '.join(attributes)}",
            "evaluate on pictures with labels for one of the model's attributes",
        )
    readable, detected, values = _judge(dataset, detector, contract, classify, crop, progress)
    if not readable.any():
        raise EdgeError(
            f"none of the {len(labels)} pictures of {dataset.name} can be read",
            "check the folder of pictures",
        )
    columns = zip(attributes, labels[readable].T, values[readable].T, thresholds, strict=True)
    return {
        "samples": int(readable.sum()),
        "detected": int(detected.sum()),
        "unreadable": int((~readable).sum()),
        "attributes": {
            name: attribute_scores(truth, value, threshold)
            for name, truth, value, threshold in columns
            if not np.isnan(truth).all()
        },
    }


def _judge(
    dataset: Dataset,
    detector: Detector,
    contract: InputContract,
    classify: Classify,
    crop: Crop,
    progress: Callable[[int], None] | None,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float32]]:
    """Return what could be read, where a face was found, and the probabilities (nan without)."""
    count = len(dataset.samples)
    readable, detected = np.zeros(count, bool), np.zeros(count, bool)
    values = np.full((count, len(dataset.attributes)), np.nan, np.float32)
    for start in range(0, count, _BATCH):
        crops: dict[int, Picture] = {}
        for index, sample in enumerate(dataset.samples[start : start + _BATCH], start):
            if (picture := _read(sample)) is not None:
                readable[index] = True
                faces = detector.detect(picture)
                detected[index] = bool(faces)
                if crop == "whole":
                    crops[index] = contract.cut_whole(picture)
                elif faces:
                    crops[index] = contract.cut(picture, faces[0])
            if progress is not None:
                progress(1)
        if crops:
            values[list(crops)] = classify(np.stack(list(crops.values())))
    return readable, detected, values


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


def _read(sample: Sample) -> Picture | None:
    try:
        return sample.read()
    except EdgeError:
        return None
