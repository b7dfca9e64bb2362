"""A training that is killed at any moment ends as if it had not been."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

# Trains into each folder that it is told, in a process of its own that has imported everything,
# and says the process and then how it ended.
_TRAINS = """
import os, sys
from dataclasses import replace
from pathlib import Path
from edge.contract import InputContract
from edge.train.recipes import recipe_named
from edge.train import finished, job as jobs, loop, run
loop._CHECKPOINT_EVERY_S = 0.0
finished.training_plots = lambda folder, **what: []
recipe = recipe_named("default")
phase = replace(recipe.phases[0], epochs=6)
head = replace(phase, name="head", epochs=4, trains="head", stored=True)
phases = (phase,) if sys.argv[2] == "1" else (head, phase)
recipe = replace(recipe, contract=InputContract(width=32, height=32), batch=4, phases=phases)
job = jobs.Job(recipe=recipe, data=((Path(sys.argv[1]), "auto"),), attributes=("dark",), seed=9,
              deterministic=True)
for folder in sys.stdin:
    child = os.fork()
    if not child:
        run.train(job, Path(folder.strip()), resume=True, report=lambda line: None)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Trains:
    """Starts trainings, one at a time."""

    def __init__(self, data: Path, phases: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TRAINS, str(data), phases],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            start_new_session=True,
        )  # fmt: skip

    def begin(self, folder: Path) -> int:
        """Begin or go on with a training; return its process."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{folder}\n")
        return self._said()

    def ended(self) -> int:
        """Wait for the end of the training; return how its process ended."""
        return self._said()

    def _said(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


@pytest.fixture
def trains(portraits) -> Iterator[Callable[[str], Trains]]:
    """Return a function that makes `Trains` of one phase or two."""
    made = []

    def make(phases: str) -> Trains:
        made.append(Trains(portraits, phases))
        return made[-1]

    yield make
    for one in made:
        with one.process as process:
            os.killpg(process.pid, signal.SIGKILL)  # with the training that may still run


def _weights(folder: Path) -> list[np.ndarray]:
    import keras

    return keras.saving.load_model(folder / "model.keras", compile=False).get_weights()


def _same_bits(one: Path, other: Path) -> bool:
    pairs = zip(_weights(one), _weights(other), strict=True)
    return all(np.array_equal(mine, its) for mine, its in pairs)


def test_killed_and_resumed_it_ends_with_the_same_bits(trains, tmp_path):
    training = trains("1")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    training.begin(whole)
    assert training.ended() == 0
    victim = training.begin(killed)
    while not (killed / "checkpoint.npz").exists():
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.5))
    os.kill(victim, signal.SIGKILL)
    assert training.ended() == -signal.SIGKILL
    assert not (killed / "model.keras").exists()
    training.begin(killed)
    assert training.ended() == 0
    assert _same_bits(whole, killed)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("phases", ["1", "2"])
def test_killed_ten_times_it_ends_with_the_same_bits(trains, tmp_path, phases):
    training = trains(phases)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    start = time.monotonic()
    training.begin(whole)
    assert training.ended() == 0
    longest = 1.2 * (time.monotonic() - start)
    kills = 0
    while kills < 10:
        victim = training.begin(killed)
        time.sleep(random.uniform(0, longest))
        with suppress(ProcessLookupError):  # it may have come to its end
            os.kill(victim, signal.SIGKILL)
        kills += training.ended() == -signal.SIGKILL
        if (killed / "model.keras").exists():  # it came to its end: begin anew, kills counted
            assert _same_bits(whole, killed)
            shutil.rmtree(killed)
    training.begin(killed)
    assert training.ended() == 0
    assert _same_bits(whole, killed)
