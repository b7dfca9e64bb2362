"""Where a network puts the faces of each class: its features on a plane, as a PNG file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edge.train.canvas import COLOURS, said_only, save, words

# Points beyond so many hide each other, and take long to place.
MOST_POINTS = 2_000

_LEAST_POINTS = 5
_WIDEST = 50
_NAMED = 24
_MARKS = "os^Dvp"


def tsne(
    features: NDArray[np.float32],
    groups: NDArray[np.int64],
    names: Sequence[str],
    path: Path,
    seed: int = 0,
    *,
    title: str = "t-SNE of the features before the answers",
) -> None:
    """Draw the features of faces on a plane, each class in its colour.

    Args:
        features: float32 (n, width); of more than 2,000 so many are drawn at random.
        groups: int (n,), index of each face's class.
        names: Of the classes; named where there are at most 24.
        path: The PNG to write.
        seed: Decides which faces are drawn and where they come to lie.
        title: Of the figure.
    """
    if len(features) > MOST_POINTS:
        random = np.random.default_rng(seed)
        drawn = np.sort(random.choice(len(features), MOST_POINTS, replace=False))
        features, groups = features[drawn], groups[drawn]
    if len(features) < _LEAST_POINTS:
        said_only(path, title, f"{len(features)} faces are too few")
        return
    points = embedded(features, seed)
    present = np.unique(groups)
    figure = Figure(figsize=(9 if len(present) <= _NAMED else 7.5, 6.6), layout="constrained")
    axis = figure.subplots()
    for at, group in enumerate(present):
        own = points[groups == group]
        axis.scatter(
            own[:, 0],
            own[:, 1],
            s=16,
            marker=_MARKS[at // len(COLOURS) % len(_MARKS)],
            color=COLOURS[at % len(COLOURS)],
            alpha=0.75,
            linewidths=0,
            label=words(names[group], 22),
        )
    axis.set_title(f"{words(title, 70)}: {len(points):,} faces, {len(present)} classes")
    axis.set(xticks=(), yticks=())  # neither distances nor directions have units
    axis.set_aspect("equal", adjustable="datalim")
    if len(present) <= _NAMED:
        figure.legend(loc="outside right upper", fontsize=8, markerscale=1.5)
    save(figure, path)


def embedded(features: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Place features on a plane so that neighbours stay neighbours.

    Args:
        features: float32 (n, width), at least 5 of them.
        seed: The same one places them alike.

    Returns:
        float32 (n, 2), without units.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    # Van der Maaten and Hinton's own advice: the first fifty components hold what matters.
    width = min(_WIDEST, *features.shape)
    perplexity = min(30.0, (len(features) - 1) / 3)
    # Several threads add up in another order each time, and wait for each other on a busy machine.
    with threadpool_limits(1):
        if width < features.shape[1]:
            features = PCA(width, random_state=seed).fit_transform(features)
        points = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(features)
    return np.asarray(points, np.float32)
