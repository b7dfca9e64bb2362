"""What is said of a face, calm over time: probabilities are averaged, labels hold on.

Two classic parts: an exponential average whose weight follows from the time between two frames, so
that it does not depend on the frame rate, and hysteresis (Schmitt, "A Thermionic Trigger", Journal
of Scientific Instruments 15, 1938).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Seconds after which a face that was not seen is forgotten: far longer than an average remembers.
_FORGOTTEN = 10.0


@dataclass(slots=True)
class _Known:
    """What is known of one face."""

    seen: float
    updates: int
    average: NDArray[np.float32]
    held: NDArray[np.bool_]


class Steady:
    """Averages the probabilities of each face over time, and holds its labels.

    Args:
        thresholds: Probability from which each attribute is a label, 0 to 1.
        time_constant_s: Seconds in which the average covers 63 % of a change.
        margin: How far beyond its threshold the average must go for a label to change, 0 to 1.
    """

    def __init__(
        self, thresholds: Sequence[float], *, time_constant_s: float = 0.25, margin: float = 0.05
    ) -> None:
        self._time_constant_s = time_constant_s
        self._margin = margin
        self.use(thresholds)
        # In the order in which the faces were seen last.
        self._faces: dict[int, _Known] = {}

    def use(self, thresholds: Sequence[float]) -> None:
        """Hold labels by other thresholds from now on."""
        self._thresholds = np.asarray(thresholds, np.float64)
        # Half-way to certainty at most: a threshold near 0 or 1 can still be crossed.
        self._rises = np.minimum(self._thresholds + self._margin, (self._thresholds + 1) / 2)
        self._falls = np.maximum(self._thresholds - self._margin, self._thresholds / 2)

    def update(
        self, id: int, probabilities: NDArray[np.float32], captured: float
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Take in what a classifier says of a face in one frame.

        Args:
            id: Of the face.
            probabilities: float32 (attributes,), 0 to 1.
            captured: When the frame was taken, in seconds of any clock.

        Returns:
            The average, float32 (attributes,), 0 to 1, and which attributes are labels, bool
            (attributes,).
        """
        known = self._faces.pop(id, None)
        if known is None:
            held = probabilities >= self._thresholds
            known = _Known(captured, 1, probabilities.copy(), held)
        else:
            known.updates += 1
            elapsed = max(captured - known.seen, 0.0)
            # At first the mean of all frames: one odd frame at the start must not weigh more.
            weight = max(1 - math.exp(-elapsed / self._time_constant_s), 1 / known.updates)
            average = known.average + np.float32(weight) * (probabilities - known.average)
            # Not a number is passed on, and does not stay.
            known.average = average = np.where(np.isnan(average), probabilities, average)
            known.held = np.where(known.held, average >= self._falls, average >= self._rises)
            known.seen = captured
        self._faces[id] = known
        self._forget(captured)
        return known.average, known.held

    def _forget(self, now: float) -> None:
        while now - self._faces[oldest := next(iter(self._faces))].seen > _FORGOTTEN:
            del self._faces[oldest]
