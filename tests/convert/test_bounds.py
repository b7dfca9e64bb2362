import numpy as np
import pytest

from edge.convert import bounds
from edge.convert.compare import Judged
from edge.errors import EdgeError


def judged(right: int, of: int = 200, ms: float = 1.0, size: int = 1000) -> Judged:
    return Judged(
        probabilities=np.zeros((of, 1), np.float32),
        decisions=np.zeros((of, 1), np.int64),
        accuracy={
            "Smiling": {"accuracy": right / of, "ci95": [0.0, 1.0], "samples": of},
            "Young": {"accuracy": None, "ci95": None, "samples": 0},
        },
        size_bytes=size,
        latency_ms={"p50": ms},
        operators={"DELEGATE": 1},
        runtime="litert 1",
        warnings=(),
    )


def test_a_drop_beyond_the_bound_is_refused_with_its_numbers() -> None:
    variants = {"float16": judged(200), "int8": judged(197)}
    with pytest.raises(
        EdgeError, match=r"int8 loses 1\.50 points of accuracy on Smiling, at most 1"
    ):
        bounds.require_drop(variants, judged(200), 1.0)


@pytest.mark.parametrize(("right", "bound"), [(197, 1.5), (200, 0.0), (199, 0.5)])
def test_a_drop_at_the_bound_is_allowed(right: int, bound: float) -> None:
    bounds.require_drop({"int8": judged(right)}, judged(200), bound)
    assert bounds.within(judged(right), judged(200), bound)


def test_a_slower_one_is_refused_and_the_right_one_named() -> None:
    float32 = judged(200)
    variants = {"dynamic": judged(200, ms=0.9), "int8": judged(200, ms=2.0)}
    with pytest.raises(EdgeError, match=r"int8 takes 2 ms, its float parent 1 ms") as caught:
        bounds.require_faster(variants, float32, {"float32": float32, **variants}, 1.0)
    assert "--dynamic" in caught.value.hint
    bounds.require_faster({"dynamic": judged(200, ms=0.9)}, float32, {"float32": float32}, 1.0)


def test_what_is_refused_is_not_named_as_the_right_one() -> None:
    float32, int8 = judged(200, size=4), judged(200, ms=1.02, size=1)
    every = {"float32": float32, "int8": int8}
    assert bounds.choice(every, float32, 1.0) == "int8"
    with pytest.raises(EdgeError, match="int8 takes") as caught:
        bounds.require_faster({"int8": int8}, float32, every, 1.0)
    assert "--float32" in caught.value.hint


@pytest.mark.parametrize(
    ("ms", "sizes", "right", "expected"),
    [
        # The fastest.
        ({"float32": 1.0, "float16": 1.0, "int8": 0.5}, (4, 2, 1), 200, "int8"),
        # The smallest of those that are as fast as can be told.
        ({"float32": 1.0, "float16": 1.03, "int8": 1.2}, (4, 2, 1), 200, "float16"),
        # Never one that loses too much.
        ({"float32": 1.0, "float16": 1.2, "int8": 0.5}, (4, 2, 1), 190, "float32"),
    ],
)
def test_the_right_file_is_the_fastest_that_is_accurate(
    ms: dict[str, float], sizes: tuple[int, ...], right: int, expected: str
) -> None:
    found = {
        name: judged(right if name == "int8" else 200, ms=ms[name], size=size)
        for name, size in zip(ms, sizes, strict=True)
    }
    assert bounds.choice(found, found["float32"], 1.0) == expected
