"""Scales of the report's charts: where a value stands, in percent, and where the ticks are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Over fewer decades than this, powers of ten alone would leave an axis almost bare.
_DECADES_FOR_POWERS = 3.2
_DECADES_FOR_STEPS = 0.8


@dataclass(frozen=True)
class Axis:
    """A scale from `low` to `high`; logarithmic ones start above zero."""

    low: float
    high: float
    logarithmic: bool

    def at(self, value: float) -> float:
        """Return the place of a value in percent of the axis, held to its ends."""
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log(max(value, low)), math.log(low), math.log(high)
        return round(min(max((value - low) / (high - low), 0.0), 1.0) * 100, 2)

    def ticks(self) -> list[float]:
        """Return the values that deserve a tick, about three to nine of them."""
        decades = math.log10(self.high / self.low) if self.logarithmic else 0.0
        if decades < _DECADES_FOR_STEPS:
            return _steps(self.low, self.high)
        factors = (1,) if decades > _DECADES_FOR_POWERS else (1, 2, 5)
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        values = [factor * 10.0**power for power in powers for factor in factors]
        return [value for value in values if self.low <= value <= self.high]


def log_axis(values: Sequence[float]) -> Axis:
    """Return a logarithmic axis around positive values, with air at both ends."""
    positive = [value for value in values if value > 0] or [1.0]
    return Axis(min(positive) / 1.15, max(positive) * 1.15, logarithmic=True)


def linear_axis(values: Sequence[float], *, from_zero: bool = False) -> Axis:
    """Return a linear axis around values, with air at both ends or starting at zero."""
    low, high = min(values), max(values)
    air = (high - low) * 0.08 or abs(high) * 0.05 or 1.0
    return Axis(0.0 if from_zero else low - air, high + air, logarithmic=False)


def _steps(low: float, high: float) -> list[float]:
    """Return round values between two ends, six or so."""
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    return [round((first + at) * step, 10) for at in range(count)]
