"""What a classifier says of labelled pictures, through the detector and crop of `edge run`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.contract import InputContract, Picture
from edge.datasets import Dataset, Sample
from edge.errors import EdgeError
from edge.faces import Detection
from edge.runtime.detectors import Detector

# uint8 crops (n, height, width, 3) to float32 probabilities (n, attributes).
Classify = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
Crop = Literal["detect", "whole"]

_BATCH = 64


class Subject(Protocol):
    """A classifier of any kind: a model file, or a Keras network.

    Its task is one of `edge.modelfile.TASKS`; of "identity", the attributes are people.
    """

    contract: InputContract
    attributes: tuple[str, ...]
    thresholds: tuple[float, ...]
    task: str

    @property
    def identity(self) -> dict[str, str]:
        """Name, variant and sha256 of the file."""

    def classify(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Judge crops: uint8 (n, height, width, 3) to float32 (n, attributes)."""


@dataclass(frozen=True)
class Judgement:
    """What a classifier said of each picture of a data set.

    Args:
        dataset: The pictures, with the classifier's attributes, unknown where it has no labels,
            or of its people.
        readable: bool (pictures,), whether it could be read.
        detected: bool (pictures,), whether a face was found in it.
        values: float32 (pictures, attributes or people), probabilities; nan where there was no
            crop.
    """

    dataset: Dataset
    readable: NDArray[np.bool_]
    detected: NDArray[np.bool_]
    values: NDArray[np.float32]

    @property
    def labels(self) -> NDArray[np.float32]:
        """The labels, as `Dataset.labels`."""
        return self.dataset.labels


def judge(
    dataset: Dataset,
    detector: Detector,
    contract: InputContract,
    classify: Classify,
    *,
    attributes: Sequence[str],
    crop: Crop = "detect",
    progress: Callable[[int], None] | None = None,
) -> Judgement:
    """Let a classifier judge the pictures of a data set.

    The face is the one that the detector is surest of.

    Args:
        dataset: The pictures; attributes of other names than the classifier's are ignored. Of
            people, those of `edge.identities.identities_of`.
        detector: Finds the faces.
        contract: How the classifier's faces are cut.
        classify: Judges a batch of crops.
        attributes: The classifier's outputs, in order.
        crop: "detect" cuts the face; "whole" takes the picture as it is.
        progress: Called with the number of pictures just done.

    Raises:
        EdgeError: No picture can be read, or none has a label for any attribute.
    """
    if not dataset.classes:
        dataset = dataset.with_attributes(attributes, allow_missing=True)
    if np.isnan(dataset.labels).all():
        raise EdgeError(
            f"{dataset.name} has no labels for {', '.join(attributes)}",
            "evaluate on pictures with labels for one of the model's attributes",
        )
    count = len(dataset.samples)
    readable, detected = np.zeros(count, bool), np.zeros(count, bool)
    values = np.full((count, len(attributes)), np.nan, np.float32)
    for start in range(0, count, _BATCH):
        crops: dict[int, Picture] = {}
        for index in range(start, min(start + _BATCH, count)):
            if (picture := _read(dataset.samples[index])) is not None:
                readable[index] = True
                faces = detector.detect(picture)
                detected[index] = bool(faces)
                if (cut := _cut(picture, faces, contract, crop)) is not None:
                    crops[index] = cut
            if progress is not None:
                progress(1)
        if crops:
            values[list(crops)] = classify(np.stack(list(crops.values())))
    if not readable.any():
        raise EdgeError(
            f"none of the {count} pictures of {dataset.name} can be read",
            "check the folder of pictures",
        )
    return Judgement(dataset, readable, detected, values)


def cut_again(
    judgement: Judgement,
    indices: Sequence[int] | NDArray[np.int64],
    detector: Detector,
    contract: InputContract,
    crop: Crop,
) -> NDArray[np.uint8]:
    """Return the crops that some pictures were judged by.

    Args:
        judgement: What was said.
        indices: Pictures of its data set that had a crop.
        detector: As `judge`.
        contract: As `judge`.
        crop: As `judge`.

    Returns:
        uint8 (n, height, width, 3), in the channel order of the contract.
    """
    crops = np.zeros((len(indices), contract.height, contract.width, 3), np.uint8)
    for row, index in zip(crops, indices, strict=True):
        picture = judgement.dataset.samples[index].read()
        cut = _cut(picture, detector.detect(picture) if crop == "detect" else [], contract, crop)
        if cut is not None:
            row[:] = cut
    return crops


def _cut(
    picture: Picture, faces: Sequence[Detection], contract: InputContract, crop: Crop
) -> Picture | None:
    """Return what the classifier sees of a picture; None without a face to cut."""
    if crop == "whole":
        return contract.cut_whole(picture)
    return contract.cut(picture, faces[0]) if faces else None


def _read(sample: Sample) -> Picture | None:
    try:
        return sample.read()
    except EdgeError:
        return None
