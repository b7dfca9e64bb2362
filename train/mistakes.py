"""Where a network is most confidently wrong, as contact sheets."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.train.canvas import Colour, said_only
from edge.train.sheets import Crops, sample_grid

MOST_MISTAKES = 32


def worst_mistakes(
    crops: Crops,
    labels: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    names: Sequence[str],
    attribute: str,
    path: Path,
    *,
    threshold: float = 0.5,
    colour: Colour = "RGB",
    title: str = "",
) -> None:
    """Draw the faces that a network is most confidently wrong about, the worst one first.

    Args:
        crops: uint8 (n, height, width, 3); `mistakes` tells which ones will be wanted.
        labels: float32 (n,); 1 yes, 0 no, nan unknown.
        probabilities: float32 (n,), 0 to 1; nan without a face.
        names: File name of each picture.
        attribute: What the labels say.
        path: The PNG to write.
        threshold: Where yes begins.
        colour: Channel order of the crops.
        title: What the pictures are.
    """
    order = mistakes(labels, probabilities, threshold)
    if not len(order):
        said_only(path, _title(attribute, title), "no mistakes")
        return
    captions = [f"{caption(labels[at], probabilities[at])}\n{names[at]}" for at in order]
    about = _title(f"{attribute}: the {len(order)} most confident mistakes", title)
    sample_grid(crops[order], captions, path, colour=colour, title=about)


def mistakes(
    labels: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    threshold: float = 0.5,
    most: int = MOST_MISTAKES,
) -> NDArray[np.int64]:
    """Return which samples were judged wrongly, the most confident mistake first.

    Args:
        labels: float32 (n,); 1 yes, 0 no, nan unknown.
        probabilities: float32 (n,), 0 to 1; nan without a face, which is no confident mistake.
        threshold: Where yes begins; confidence is the distance from it, as a share of what there
            is on that side.
        most: How many to return.
    """
    said = probabilities >= threshold
    known = np.isfinite(labels) & np.isfinite(probabilities)
    wrong = np.flatnonzero(known & (said != (labels >= 0.5)))
    sides = np.where(said, max(1 - threshold, 1e-9), max(threshold, 1e-9))
    confidence = np.abs(probabilities - threshold) / sides
    return wrong[np.argsort(-confidence[wrong], kind="stable")][:most]


def caption(label: float, probability: float) -> str:
    """Return what a sheet says of one face: its label (nan unknown) and its probability of yes."""
    word = "unknown" if np.isnan(label) else "yes" if label >= 0.5 else "no"
    return f"label {word}, said {probability:.3f}"


def mistaken_people(
    crops: Crops,
    truth: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    names: Sequence[str],
    people: Sequence[str],
    path: Path,
    *,
    colour: Colour = "RGB",
    title: str = "",
) -> None:
    """Draw the faces that are most confidently taken for somebody else, the worst one first.

    Args:
        crops: uint8 (n, height, width, 3); `mistaken` tells which ones will be wanted.
        truth: int (n,), the number of the right person.
        probabilities: float32 (n, people), 0 to 1; nan without a face.
        names: File name of each picture.
        people: Their names.
        path: The PNG to write.
        colour: Channel order of the crops.
        title: What the pictures are.
    """
    order = mistaken(truth, probabilities)
    if not len(order):
        said_only(path, _title("who it is", title), "no mistakes")
        return
    captions = []
    for at in order:
        said = int(probabilities[at].argmax())
        answer = f"said {people[said]} {probabilities[at, said]:.2f}"
        captions.append(f"is {people[truth[at]]}\n{answer}\n{names[at]}")
    about = _title(f"who it is: the {len(order)} most confident mistakes", title)
    sample_grid(crops[order], captions, path, colour=colour, title=about)


def mistaken(
    truth: NDArray[np.int64], probabilities: NDArray[np.float32], most: int = MOST_MISTAKES
) -> NDArray[np.int64]:
    """Return which samples were taken for somebody else, the most confident mistake first.

    Args:
        truth: int (n,), the number of the right person.
        probabilities: float32 (n, people), 0 to 1; nan without a face, which is no mistake.
        most: How many to return.
    """
    wrong = np.isfinite(probabilities[:, 0]) & (probabilities.argmax(axis=1) != truth)
    places = np.flatnonzero(wrong)
    highest = probabilities[places].max(axis=1)
    return places[np.argsort(-highest, kind="stable")][:most]


def _title(about: str, pictures: str) -> str:
    return f"{about}, {pictures}" if pictures else about
