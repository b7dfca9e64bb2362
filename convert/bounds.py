"""What a converted network must hold to be written, and which of its files to take."""

from collections.abc import Sequence

from edge.convert.compare import Judged, drop_points
from edge.convert.doctor import Treatment
from edge.errors import EdgeError

# Medians this near to each other change places from one run to the next.
_AS_FAST = 1.05


def require_drop(
    judged: dict[str, Judged],
    reference: Judged,
    max_drop: float,
    cure: Treatment | None = None,
) -> None:
    """Refuse variants that lose too much accuracy.

    Args:
        judged: By variant.
        reference: The float network.
        max_drop: In points of accuracy.
        cure: What was tried in vain to mend "int8", if anything was.

    Raises:
        EdgeError: Names the worst variant and attribute.
    """
    drops = [
        (drop, variant, attribute)
        for variant, one in judged.items()
        for attribute, drop in drop_points(one, reference).items()
        if drop is not None
    ]
    drop, variant, attribute = max(drops, default=(0.0, "", ""))
    if drop > max_drop:
        raise EdgeError(
            f"{variant} loses {drop:.2f} points of accuracy on {attribute}, at most "
            f"{max_drop:g} allowed; nothing was written",
            _advice(variant, reference, cure),
        )


def _advice(variant: str, reference: Judged, cure: Treatment | None) -> str:
    if variant != "int8" or cure is None:
        return "choose another variant, or --force"
    tried = ", ".join(
        f"{one.remedy} ({_worst(one.judged, reference):.2f})" for one in cure.attempts
    )
    return (
        f"most noise comes from {cure.noisiest()}; it was not enough to try {tried}: "
        f"{'' if cure.attempts[-1].epochs else 'from a run folder, try --fine-tune 3; or '}"
        "choose --dynamic or --int16, or --force"
    )


def require_faster(
    judged: dict[str, Judged], reference: Judged, every: dict[str, Judged], max_drop: float
) -> None:
    """Refuse variants that are not faster than the float network on this CPU.

    Args:
        judged: By variant.
        reference: The float network.
        every: All that were measured, the float network among them, for the hint.
        max_drop: In points of accuracy.

    Raises:
        EdgeError: Names the slowest variant and both medians.
    """
    before = _median(reference)
    slowest = max(judged, key=lambda variant: _median(judged[variant]))
    after = _median(judged[slowest])
    if after >= before:
        faster = {name: one for name, one in every.items() if _median(one) < before}
        right = faster | {name: one for name, one in every.items() if one is reference}
        raise EdgeError(
            f"{slowest} takes {after:.3g} ms, its float parent {before:.3g} ms; nothing was "
            "written, for it is not faster",
            f"on this CPU --{choice(right, reference, max_drop)} is the right file; or --force",
        )


def choice(judged: dict[str, Judged], reference: Judged, max_drop: float) -> str:
    """Return the variant to take on this CPU.

    It is the fastest of those that lose no more than `max_drop` points on any attribute; the
    smallest where several are as fast as can be told.

    Args:
        judged: By variant, the float network among them.
        reference: The float network.
        max_drop: In points of accuracy.
    """
    right = [
        name for name, one in judged.items() if one is reference or within(one, reference, max_drop)
    ]
    fastest = min(_median(judged[variant]) for variant in right)
    as_fast = [variant for variant in right if _median(judged[variant]) <= _AS_FAST * fastest]
    return min(as_fast, key=lambda variant: judged[variant].size_bytes)


def within(judged: Judged, reference: Judged, max_drop: float) -> bool:
    """Tell whether a variant loses at most so many points on every attribute."""
    return _worst(judged, reference) <= max_drop


def _worst(judged: Judged, reference: Judged) -> float:
    drops: Sequence[float | None] = list(drop_points(judged, reference).values())
    return max((drop for drop in drops if drop is not None), default=0.0)


def _median(judged: Judged) -> float:
    p50 = judged.latency_ms["p50"]
    assert p50 is not None  # a comparison takes at least 100 samples
    return p50
