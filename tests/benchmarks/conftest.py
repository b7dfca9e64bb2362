"""A results document as `edge bench` writes it, with seeded samples."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge.benchmarks.results import complete

ROUNDS = 3
SAMPLES = 40

# suite, name, variant, runtime, device, threads, milliseconds, bytes, accuracy of Smiling
CASES = (
    ("classifiers", "default", "float32", "litert", "cpu", 1, 1.71, 1_305_675, 0.9189),
    ("classifiers", "default", "int8", "litert", "cpu", 1, 0.66, 357_361, 0.9185),
    ("classifiers", "default", "int8", "openvino", "cpu", 1, 0.41, 357_361, 0.9185),
)

STAGES = {"capture": 0.05, "detect": 0.55, "crop": 0.1, "classify": 0.3}


def make_document(cases: tuple[tuple[Any, ...], ...] = CASES, **parts: Any) -> dict[str, Any]:
    """Build a completed document; `parts` replace its own."""
    random = np.random.default_rng(0)
    results = [_entry(case, random) for case in cases]
    plan = [{key: entry[key] for key in ("suite", "name", "variant")} for entry in results]
    return complete(
        {
            "schema": 1,
            "started": "2026-11-22T10:30:00+00:00",
            "finished": "2026-11-22T10:31:40+00:00",
            "command": "edge bench all --device cpu,gpu",
            "environment": {
                "cpu": "AMD EPYC 7R13 Processor", "cores": 2, "isa": ["x86_64", "avx2", "fma"],
                "governor": None, "frequency_mhz": None, "load": [0.4, 0.3, 0.2],
                "temperature_c": None, "throttled": None, "virtual": "kvm",
                "limits": {"cpus": 2.0, "memory": None}, "memory": 8_000_000_000,
                "os": "Debian GNU/Linux 12 (bookworm), kernel 6.1.0", "python": "3.11.7",
                "versions": {"litert": "2.3.0", "numpy": "2.4.1"}, "threads": 2,
            },
            "protocol": {
                "rounds": ROUNDS, "min_samples": 100, "min_seconds": 2.0, "seed": 0,
                "text": "Every case runs in a fresh process of its own, pinned to its cores.",
            },
            "plan": {"suites": ["classifiers"], "cases": plan},
            "skipped": [],
            "peak": {"float32": {"1": 38.2e9, "2": 70e9}, "int8": {"1": 120e9}},
            "results": results,
            "warnings": [],
        }
        | parts
    )  # fmt: skip


def _entry(case: tuple[Any, ...], random: np.random.Generator) -> dict[str, Any]:
    suite, name, variant, runtime, device, threads, ms, size, accuracy = case
    samples = ms * random.lognormal(0, 0.04, ROUNDS * SAMPLES)
    late = random.random(samples.size) < 0.03
    samples = np.round(samples * np.where(late, random.uniform(1.2, 2.5, samples.size), 1), 4)
    entry = {
        "suite": suite, "name": name, "variant": variant, "runtime": runtime, "device": device,
        "threads": threads, "samples_ms": samples.tolist(), "size_bytes": size,
        "multiply_adds": 40_000_000 if suite == "classifiers" else None,
        "accuracy": None, "accuracy_from": None,
        "model": {"name": name, "sha256": "0" * 64, "contract": None, "trained": True},
        "processes": [
            {"round": at, "samples": SAMPLES, "first_ms": ms * random.uniform(3, 9),
             "start_ms": 310.0, "load_ms": 12.0, "warmup_ms": [ms], "peak_rss_mb": 71.2}
            for at in range(ROUNDS)
        ],
        "warnings": [],
    }  # fmt: skip
    if accuracy is not None:
        entry["accuracy"] = {"Smiling": {
            "accuracy": accuracy, "ci95": [accuracy - 0.011, accuracy + 0.01], "samples": 2509,
        }}  # fmt: skip
        entry["accuracy_from"] = "measured"
    if suite == "pipeline":
        entry["stages_ms"] = {stage: (samples * share).tolist() for stage, share in STAGES.items()}
    if suite == "training":
        entry["batch"] = 64
    return entry


@pytest.fixture
def document() -> Callable[..., dict[str, Any]]:
    return make_document
