"""What a training's labels hold of yes and no: both at all, and weights that make them even."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.errors import EdgeError


def class_weights(
    labels: NDArray[np.floating], attributes: Sequence[str], own: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weights by which yes and no of each attribute count alike, and 1 on average.

    Args:
        labels: (faces, attributes); 1 yes, 0 no, nan unknown.
        attributes: Names of the columns.
        own: How many of them, from the first, must have both; another one with only yes, only no
            or neither keeps the weight 1.

    Returns:
        Weights of yes and of no, each float32 (attributes,).

    Raises:
        EdgeError: As `require_both_classes`.
    """
    require_both_classes(labels, attributes, own)
    yes, no = _counts(labels)
    both = (yes > 0) & (no > 0)
    known = yes + no
    positive = np.divide(known, 2 * yes, out=np.ones(len(yes)), where=both)
    negative = np.divide(known, 2 * no, out=np.ones(len(no)), where=both)
    return positive.astype(np.float32), negative.astype(np.float32)


def require_both_classes(labels: NDArray[np.floating], attributes: Sequence[str], own: int) -> None:
    """Refuse to train an attribute on one answer: the network would learn to give it always.

    Args:
        labels: (faces, attributes); 1 yes, 0 no, nan unknown.
        attributes: Names of the columns.
        own: How many of them, from the first, are looked at.

    Raises:
        EdgeError: One of them is yes wherever it is known, or no, or known nowhere.
    """
    yes, no = _counts(labels)
    for name, positive, negative in zip(attributes[:own], yes, no, strict=False):
        if not positive and not negative:
            raise EdgeError(
                f"no training picture says whether it is {name}",
                f"add --data with a data set that does, or leave {name} out of --attributes",
            )
        if not positive or not negative:
            word, count = ("yes", positive) if positive else ("no", negative)
            raise EdgeError(
                f"every training picture says {name}: {word} ({count:,} of {count:,})",
                f"add pictures of the other kind with --data, or leave {name} out of --attributes",
            )


def _counts(labels: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many faces say yes and how many no, each (attributes,)."""
    return (labels == 1).sum(axis=0), (labels == 0).sum(axis=0)
