"""Progress of long work in a log: told now and then, whatever was done so far."""

import re

import pytest

from edge import progress
from edge.progress import _rate


def test_a_log_tells_how_far_it_is(monkeypatch, capsys) -> None:
    monkeypatch.setattr(progress, "_LOG_EVERY_S", 0.0)
    with progress.progress("flashing", 8, "boards", done=2) as advance:
        # Some work looks whether anything was done, and nothing was.
        advance(0)
        advance(3)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "flashing: 2 of 8 boards"
    assert re.fullmatch(r"flashing: 5 of 8 boards, [\d,.e+]+ boards/s, 0 s left", second)


@pytest.mark.parametrize(
    ("count", "unit", "told"),
    [
        (0, "boards", "0 boards/s"),
        (1, "boards", "0.033 boards/s"),
        (90, "pictures", "3 pictures/s"),
        (36_000, "pictures", "1,200 pictures/s"),
        (163_000_000, "bytes", "5.4 MB/s"),
    ],
)
def test_a_rate_is_short(count: int, unit: str, told: str) -> None:
    assert _rate(count, 30.0, unit) == told
