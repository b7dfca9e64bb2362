"""From words of the command line to a measurement."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from edge.benchmarks import bench
from edge.benchmarks.cases import SUITES
from edge.benchmarks.results import Document
from edge.benchmarks.suites import Request
from edge.datasets import load
from edge.errors import EdgeError
from edge.measure import Protocol

# Blocks short and rounds many: neighbours of a virtual machine come and go within seconds. Three
# rounds are enough for a 99th percentile, and a first look ends within two minutes.
_SHORT = Protocol(rounds=8, min_samples=272, min_seconds=1.6, budget_s=90.0)
_FULL = Protocol(rounds=6, min_samples=240, min_seconds=4.0)


def request(
    suite: str | None,
    *,
    models: str | None,
    devices: str | None,
    runtimes: str | None,
    threads: Sequence[int],
    frames: int | None,
    data: Path | None,
) -> Request:
    """Make a request of lists as they are typed, with commas.

    Raises:
        EdgeError: A name is unknown.
    """
    if suite is not None and suite not in (*SUITES, "all"):
        raise EdgeError(f"unknown suite {suite}", f"choose of {', '.join(SUITES)} or all")
    protocol = _SHORT if suite is None else _FULL
    if frames is not None:
        # Each round takes a sample at least.
        rounds = min(protocol.rounds, frames)
        protocol = replace(
            protocol, rounds=rounds, min_samples=frames, min_seconds=0.0, budget_s=0.0
        )
    suites = SUITES if suite == "all" else (suite,) if suite else ()
    if data is not None:
        load(data).only("test")  # a fault in it is told before minutes of measuring
    return Request(
        suites=suites, models=_list(models), devices=_list(devices), runtimes=_list(runtimes),
        threads=tuple(threads), protocol=protocol, data=data,
    )  # fmt: skip


def measure(
    wanted: Request,
    place: Path,
    command: str,
    *,
    resume: bool,
    soak: float | None,
    say: Callable[[str], None],
) -> Document:
    """Measure, or go on measuring.

    Args:
        wanted: What to measure; of no account to a measurement that goes on.
        place: The results file.
        command: The command line.
        resume: Go on.
        soak: Minutes to run the pipeline for instead.
        say: Called with sentences for the user.

    Raises:
        EdgeError: As `edge.benchmarks.bench`.
    """
    if resume:
        say(f"going on with {place} as it was begun")
        return bench.resume(place, say=say)
    if soak is not None:
        from edge.benchmarks.soak import run_soak

        if wanted.suites not in ((), ("pipeline",)) or wanted.devices or wanted.data:
            raise EdgeError(
                "a soak runs one pipeline on the CPU",
                "leave out the suite, --device and --data",
            )
        return run_soak(wanted, place, command, minutes=soak, say=say)
    return bench.bench(wanted, place, command, say=say)


def _list(words: str | None) -> tuple[str, ...]:
    given = (word.strip() for word in (words or "").split(","))
    return tuple(word for word in given if word not in ("", "auto"))
