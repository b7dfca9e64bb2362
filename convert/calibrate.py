"""The crops that set the ranges of an integer model, and a record of which ones they were."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Calibration:
    """A representative set.

    Args:
        crops: uint8 (n, height, width, 3), as the contract cuts them.
        names: Name of each one's picture.
        seed: What they were drawn with.
    """

    crops: NDArray[np.uint8]
    names: tuple[str, ...]
    seed: int

    def manifest(self) -> dict[str, Any]:
        """Return what a model's card keeps: seed, names and a digest of the pixels."""
        digest = sha256(np.ascontiguousarray(self.crops).tobytes()).hexdigest()
        return {"seed": self.seed, "names": list(self.names), "digest": digest}


def choose(labels: NDArray[np.float32], count: int, seed: int) -> NDArray[np.int64]:
    """Draw faces so that each attribute is as often present as absent, where the data allows.

    Args:
        labels: float32 (faces, attributes); 1 yes, 0 no, nan unknown.
        count: How many to draw; all of them where there are fewer.
        seed: Decides which.

    Returns:
        Rising indices into `labels`, none twice.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    # Taken from the end; the order is random already.
    groups = [
        order[labels[order, column] == value].tolist()
        for column in range(labels.shape[1])
        for value in (0, 1)
    ] + [order.tolist()]
    present = np.column_stack(
        [labels[:, column] == value for column in range(labels.shape[1]) for value in (0, 1)]
    )
    tally = np.zeros(present.shape[1], np.int64)
    chosen: set[int] = set()
    while len(chosen) < min(count, len(labels)):
        scarce = [group for group in np.argsort(tally, kind="stable") if groups[group]]
        index = groups[scarce[0] if scarce else -1].pop()
        if index not in chosen:
            chosen.add(index)
            tally += present[index]
    return np.array(sorted(chosen), np.int64)
