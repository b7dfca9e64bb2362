"""Who a face is: the most probable of the people a network knows, and how often that is right."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.measure import wilson

# The answer for a face that is below the threshold of its most probable person.
NOBODY = -1

TOP = 5


def most_probable(probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the places of the five most probable people, the best one first.

    Args:
        probabilities: (people,); of equal ones the first comes first.
    """
    return np.argsort(-probabilities, kind="stable")[:TOP]


def best(
    probabilities: NDArray[np.float32], thresholds: Sequence[float] | None = None
) -> NDArray[np.int64]:
    """Return who each face is: the place of its most probable person, or `NOBODY`.

    Args:
        probabilities: (faces, people); nan where there is no face, who is nobody.
        thresholds: Probability at and above which a person is named, one a person; None names
            one for every face.
    """
    places = np.argmax(probabilities, axis=1)
    highest = np.take_along_axis(probabilities, places[:, None], axis=1)[:, 0]
    least = 0.0 if thresholds is None else np.asarray(thresholds, np.float32)[places]
    return np.where(highest >= least, places, NOBODY)


def identity_scores(
    labels: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    thresholds: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Score who faces are taken for.

    Args:
        labels: (n,), the place of each picture's person; nan unknown and left out.
        probabilities: (n, people); nan where no face was found, which is wrong.
        thresholds: As `best`.

    Returns:
        accuracy; ci95, its Wilson interval; f1, the mean over everybody who is among the labels or
        the answers; top5, how often the right person is among the five most probable; labelled;
        and None for what only a single attribute has: roc_auc, threshold and positives.
    """
    known = ~np.isnan(labels)
    truth, values = labels[known].astype(np.int64), probabilities[known]
    answers = best(values, thresholds)
    right = int((answers == truth).sum())
    count = len(truth)
    return {
        "accuracy": right / count,
        "ci95": list(wilson(right, count)),
        "f1": _macro_f1(truth, answers, values.shape[1]),
        "roc_auc": None,
        "threshold": None,
        "positives": None,
        "labelled": count,
        "top5": int(_among_most_probable(truth, values).sum()) / count,
    }


def _macro_f1(truth: NDArray[np.int64], answers: NDArray[np.int64], people: int) -> float:
    hits = np.bincount(truth[answers == truth], minlength=people)
    claims = np.bincount(answers[answers != NOBODY], minlength=people)
    claims = claims + np.bincount(truth, minlength=people)
    met = claims > 0
    return float((2 * hits[met] / claims[met]).mean())


def _among_most_probable(
    truth: NDArray[np.int64], values: NDArray[np.float32]
) -> NDArray[np.bool_]:
    own = np.take_along_axis(values, truth[:, None], axis=1)
    # As `most_probable` orders them: equal ones of a lower place come before.
    before = np.arange(values.shape[1]) < truth[:, None]
    rank = ((values > own) | ((values == own) & before)).sum(axis=1)
    return (rank < TOP) & ~np.isnan(own[:, 0])
