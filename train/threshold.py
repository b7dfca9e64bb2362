"""Where yes begins: the threshold of the best accuracy on validation pictures."""

import numpy as np
from numpy.typing import NDArray

_HALF = 0.5


def best_threshold(probabilities: NDArray[np.float32], labels: NDArray[np.float32]) -> float:
    """Return the probability at and above which yes is right most often.

    It lies midway between two neighbouring scores, or between the outermost one and 0 or 1; of
    several that are right equally often it is the one nearest to 0.5.

    Args:
        probabilities: (n,), 0 to 1.
        labels: (n,); 1 yes, 0 no, nan unknown and left out.

    Returns:
        0 to 1; 0.5 where all known labels are the same, since nothing speaks for any threshold.
    """
    known = np.isfinite(labels)
    yes = labels[known] == 1
    if yes.all() or not yes.any():
        return _HALF
    scores, group = np.unique(probabilities[known].astype(np.float32), return_inverse=True)
    positives = np.bincount(group[yes], minlength=len(scores))
    negatives = np.bincount(group[~yes], minlength=len(scores))
    # Cut k says no to the k lowest scores and yes to the others.
    right = np.concatenate([[0], np.cumsum(negatives - positives)]) + yes.sum()
    below = np.concatenate([[np.float32(0)], scores])
    above = np.concatenate([scores, [np.float32(1)]])
    middle = (below + above) / 2
    # Scores so close that there is no number between them, as where a cut lies at 0 or at 1.
    middle = np.where(middle > below, middle, above)
    possible = middle > below
    possible[0] = True
    right = np.where(possible, right, -1)
    candidates = middle[right == right.max()]
    return float(candidates[np.argmin(np.abs(candidates - _HALF))])
