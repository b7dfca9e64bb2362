"""Sustained load: the pipeline for minutes on end, to see whether it keeps its speed."""

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2

from edge.benchmarks.bench import new_document, now, write
from edge.benchmarks.cases import Case
from edge.benchmarks.children import run_child
from edge.benchmarks.prepare import Inputs
from edge.benchmarks.results import Document, complete
from edge.benchmarks.subjects import open_subject
from edge.benchmarks.suites import Request, plan
from edge.conditions import Conditions, Observer, unfit, unstable
from edge.environment import cores_for, usable_core_numbers
from edge.progress import progress

WINDOW_S = 5.0


def run_soak(
    request: Request,
    file: Path,
    command: str,
    *,
    minutes: float,
    say: Callable[[str], None],
) -> Document:
    """Run one pipeline for minutes, in windows of five seconds, each written as it ends.

    Args:
        request: Its first pipeline is run: the first model, engine and number of threads.
        file: Where the results go.
        command: The command line.
        minutes: How long.
        say: Called with sentences for the user.

    Returns:
        The completed document, with `soak`.

    Raises:
        EdgeError: The pipeline cannot be run here.
    """
    cases, _ = plan(replace(request, suites=("pipeline",)), "a soak runs on the CPU")
    case = cases[0]
    document = new_document(request, [case], [], command)
    for sentence in unfit(document["environment"]):
        say(sentence)
    document["protocol"] = {
        "minutes": minutes,
        "text": (
            "One process, pinned to as many cores as it has threads, runs the pipeline on frame "
            f"after frame; every {WINDOW_S:g} s it notes the rate and the state of the machine."
        ),
    }
    windows: list[dict[str, Any]] = []
    document["soak"] = {"case": case.to_json(), "window_s": WINDOW_S, "windows": windows}
    count = max(1, math.ceil(minutes * 60 / WINDOW_S))
    with Inputs(None, run_child) as inputs, progress("soaking", count, "windows") as advance:
        for window in _windows(case, inputs.files(case), count):
            windows.append(window)
            write(document, file)
            advance(1)
    document["finished"] = now()
    conditions = [Conditions.from_json(one) for one in windows]
    environment = document["environment"]
    document["warnings"] = unfit(environment) + unstable(conditions, [], environment["cores"])
    document = complete(document)
    write(document, file)
    return document


def _windows(case: Case, files: dict[str, str], count: int) -> Iterator[dict[str, Any]]:
    """Yield what each window did, in this very process: it stays warm from one to the next."""
    cores, usable = cores_for(case.threads), usable_core_numbers()
    # Before anything is opened: the engines' own threads stay where the process was.
    os.sched_setaffinity(0, cores)
    cv2.setNumThreads(case.threads)
    subject = open_subject(case, files)
    begin = time.perf_counter()
    for _ in range(count):
        observer, frames, start = Observer(usable, min(cores)), 0, time.perf_counter()
        while time.perf_counter() - start < WINDOW_S:
            subject.call()
            frames += 1
        end = time.perf_counter()
        subject.forget_stages()
        yield {
            "t_s": round(end - begin, 2),
            "fps": round(frames / (end - start), 2),
        } | observer.conditions().to_json()
