"""What a training step is fed: faces and targets, made by a thread ahead of their use."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from edge.train.augment import augmented
from edge.train.losses import blended
from edge.train.predict import as_input
from edge.train.pupils import Pupils
from edge.train.recipe import Phase, Recipe
from edge.train.rowfile import RowFile

Batch = tuple[NDArray[np.generic], NDArray[np.float32]]

_AHEAD = 3


def ahead(make: Callable[[int], Batch], steps: range) -> Iterator[Batch]:
    """Yield what `make` makes of each step, a few steps ahead of their use."""
    with ThreadPoolExecutor(1) as pool:
        waiting: deque[Future[Batch]] = deque()
        for step in steps:
            waiting.append(pool.submit(make, step))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def batch_of(
    pupils: Pupils,
    chosen: NDArray[np.int64],
    recipe: Recipe,
    phase: Phase,
    stored: RowFile[np.float16] | None,
    random: np.random.Generator,
) -> Batch:
    """Return crops or stored features of some faces, and what the phase's loss compares them with.

    Args:
        pupils: The faces.
        chosen: Their rows.
        recipe: Says the contract and the augmentation.
        phase: Says its goal.
        stored: What the frozen body makes of each face, where the phase learns from that.
        random: Decides the augmentation.
    """
    targets = _targets(pupils, chosen, phase)
    if stored is not None:
        return stored[chosen].astype(np.float32), targets
    crops = augmented(pupils.faces, chosen, recipe.augmentation, random)
    return as_input(crops, recipe.contract), targets


def _targets(pupils: Pupils, chosen: NDArray[np.int64], phase: Phase) -> NDArray[np.float32]:
    """Return labels and, side by side, what the teacher says, as the phase's loss wants."""
    labels = pupils.faces.labels[chosen].astype(np.float32)
    if phase.goal == "answers" and pupils.teacher_answers is not None:
        answers = pupils.teacher_answers[chosen].astype(np.float32)
        return blended(labels, answers, phase.teacher_weight)
    if phase.goal in ("bottleneck", "cosine") and pupils.teacher_features is not None:
        return np.concatenate([labels, pupils.teacher_features[chosen]], 1, dtype=np.float32)
    return labels
