"""The child that measures one case once, in a process of its own.

    python -m edge.benchmarks.worker [PARENT] < job.json > report.json

The parent says on stdin what to open and how long to sample; everything that was taken goes to
stdout as one JSON object. What a library writes to stdout goes to stderr instead.
"""

import ctypes
import json
import os
import signal
import sys
import time
from typing import Any

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Read the job, measure, report."""
    _die_with_parent()
    job = json.load(sys.stdin)
    report = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    usable = _pin(job["cores"])
    from edge.errors import EdgeError

    try:
        result = _JOBS[job["do"]](job, usable)
    except EdgeError as error:
        result = {"error": {"message": error.message, "hint": error.hint}}
    json.dump(result, report)
    report.flush()
    # Runtimes with threads and GPUs of their own may crash while they are taken down.
    os._exit(0)


def _measure(job: dict[str, Any], usable: list[int]) -> dict[str, Any]:
    import cv2

    from edge.benchmarks.cases import Case
    from edge.benchmarks.subjects import open_subject
    from edge.conditions import Observer
    from edge.measure import peak_rss_mb, sample, since_process_start_ms, warm_up

    case = Case.from_json(job["case"])
    cv2.setNumThreads(case.threads)
    # From here on, not from the first sample: a short block alone says little of the machine.
    observer = Observer(usable, min(job["cores"], default=0))
    start = time.perf_counter()
    subject = open_subject(case, job["files"])
    opened = time.perf_counter()
    subject.call()
    first = time.perf_counter()
    start_ms = since_process_start_ms()
    warm = warm_up(subject.call)
    subject.forget_stages()
    samples = sample(subject.call, job["samples"], job["seconds"])
    conditions = observer.conditions()
    report = {
        "start_ms": start_ms,
        "load_ms": (opened - start) * 1000,
        "first_ms": (first - opened) * 1000,
        "warmup_ms": warm,
        "samples_ms": samples,
        "stages_ms": subject.stages_ms,
        "peak_rss_mb": peak_rss_mb(),
        "conditions": conditions.to_json(),
        "about": subject.about
        | (subject.later() if job["later"] and subject.later is not None else {}),
    }
    if "labelled" in job["files"] and subject.accuracy is not None:
        report["accuracy"] = subject.accuracy(job["files"]["labelled"])
    return report


def _peak(job: dict[str, Any], usable: list[int]) -> dict[str, Any]:
    from edge.benchmarks.peak import measure_peak

    return measure_peak(job["threads"])


def _gpu(job: dict[str, Any], usable: list[int]) -> dict[str, Any]:
    """Open a model on the GPU, if only to hear which one it is or why there is none."""
    from pathlib import Path

    from edge.modelfile import read_model
    from edge.runtime.classifier import Classifier

    adapter = Classifier(read_model(Path(job["model"])), device="gpu").adapter
    return {
        "name": adapter.name if adapter else None,
        "software": bool(adapter and adapter.software),
    }


def _zoo(job: dict[str, Any], usable: list[int]) -> dict[str, Any]:
    """Build networks here, so that the parent never holds TensorFlow."""
    from functools import partial
    from pathlib import Path

    from edge.benchmarks.zoo import build_zoo, demo_crops

    models = build_zoo(
        job["networks"], Path(job["folder"]), partial(demo_crops, number=job["crops"])
    )
    return {
        "models": [
            {"name": one.name, "variant": one.variant, "path": str(one.path),
             "keras": str(one.keras)}
            for one in models
        ]
    }  # fmt: skip


def _pin(cores: list[int]) -> list[int]:
    """Stay on the given cores; return those that this process could use before."""
    try:
        usable = sorted(os.sched_getaffinity(0))
        if cores:
            os.sched_setaffinity(0, cores)
    except (AttributeError, OSError):
        return list(range(os.cpu_count() or 1))
    return usable


def _die_with_parent() -> None:
    """Ask the kernel to end this process with its parent, killed or not."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except (OSError, AttributeError):
        return
    # It may have died before it was asked.
    if len(sys.argv) > 1 and os.getppid() != int(sys.argv[1]):
        os._exit(1)


_JOBS = {"measure": _measure, "peak": _peak, "gpu": _gpu, "zoo": _zoo}

if __name__ == "__main__":
    main()
