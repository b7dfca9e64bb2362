"""Boards that cannot be: what was told of one, changed as other boards tell it."""

import time

import pytest

from edge.devices.onboard_probe import facts
from edge.devices.preflight import numbers, preflight


@pytest.fixture
def told(tmp_path) -> dict:
    """This machine, which can do all."""
    return facts(tmp_path)


def judged(told: dict, needs_mb: float = 10) -> dict:
    found = list(preflight(told, now=time.time(), needs_mb=needs_mb))
    for one in found:
        assert (one.fix is None) == (one.state == "good")
    return {one.about: one for one in found}


def test_this_machine_is_good(told) -> None:
    assert {one.state for one in judged(told).values()} == {"good"}


@pytest.mark.parametrize(
    ("changes", "about", "words"),
    [
        ({"machine": "armv7l", "bits": 32}, "processor", "wheels for"),
        ({"machine": "aarch64", "bits": 32}, "processor", "of 32 bits"),
        ({"python": "3.9.2"}, "Python", "3.11 or later"),
        ({"venv": False}, "Python", "without venv"),
        ({"glibc": None}, "libc", "not glibc"),
        ({"glibc": "2.24"}, "libc", "LiteRT wants 2.27"),
        ({"writable": False}, "disk", "cannot write"),
        ({"free_mb": 9.0}, "disk", "10 MB are needed"),
        ({"memory_mb": 64.0}, "memory", "a run takes"),
        ({"time": 86_400.0}, "clock", "hours behind"),
        ({"time": 4e9}, "clock", "hours ahead"),
    ],
)
def test_what_is_wrong_is_said(told, changes: dict, about: str, words: str) -> None:
    found = judged(told | changes)
    assert [one.about for one in found.values() if one.state == "fault"] == [about]
    assert words in found[about].found


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_clock_may_be_an_hour_off(told, sign: int) -> None:
    for off, state in ((3500, "good"), (3700, "fault")):
        now = told["time"] - sign * off
        [found] = [one for one in preflight(told, now=now, needs_mb=10) if one.about == "clock"]
        assert found.state == state
    assert ("ahead of" if sign > 0 else "behind") in found.found


def test_a_board_that_does_not_tell_its_memory(told) -> None:
    assert judged(told | {"memory_mb": None})["memory"].state == "advice"


def test_versions_compare_by_their_numbers() -> None:
    assert numbers("3.11.0rc1") == (3, 11, 0)
    assert numbers("2.36-9+deb12u4") == (2, 36)
    assert numbers("3.9") < (3, 11)
