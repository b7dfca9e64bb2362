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
    """Draw faces so that each value of each attribute comes equally often, where the data allows.

    Args:
        labels: float32 (faces, attributes); 1 yes, 0 no, nan unknown; or (faces, 1) with the
            place of each face's person.
        count: How many to draw; all of them where there are fewer.
        seed: Decides which.

    Returns:
        Rising indices into `labels`, none twice.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    groups, member_of = _groups(labels, order)
    tally = np.zeros(len(groups) - 1, np.int64)
    chosen: set[int] = set()
    while len(chosen) < min(count, len(labels)):
        scarce = [group for group in np.argsort(tally, kind="stable") if groups[group]]
        index = groups[scarce[0] if scarce else -1].pop()
        if index not in chosen:
            chosen.add(index)
            tally[[group for group in member_of[index] if group >= 0]] += 1
    return np.array(sorted(chosen), np.int64)


def _groups(
    labels: NDArray[np.float32], order: NDArray[np.int64]
) -> tuple[list[list[int]], NDArray[np.int64]]:
    """Return the faces of each value of each attribute, and in the end all of them.

    They are taken from the end of a group; the order is random already.

    Returns:
        The groups, and (faces, attributes) the group of each face; -1 where it is unknown.
    """
    groups: list[list[int]] = []
    member_of = np.full(labels.shape, -1, np.int64)
    for column in range(labels.shape[1]):
        values = labels[:, column]
        known = order[~np.isnan(values[order])]
        # No and yes in this order; people as they come, for not all may be drawn from.
        met = list(dict.fromkeys(values[known].tolist()))
        for value in met if len(met) > 2 else sorted(met):
            member_of[values == value, column] = len(groups)
            groups.append(known[values[known] == value].tolist())
    return [*groups, order.tolist()], member_of
