"""The committed reference: what the pipeline took on an x86 machine, for others to compare with."""

import json
from importlib.resources import files
from typing import Any

import numpy as np

_FILE = "x86-epyc.json"
_STAGES = ("detect", "crop", "classify")


def reference_of(sha256: str) -> dict[str, Any] | None:
    """Return what the pipeline took with a model on the reference machine.

    Args:
        sha256: Digest of the model file.

    Returns:
        cpu, runtime, threads, detector, and p50_ms by stage, "total" being that of all three;
        None where the reference does not know the model.
    """
    text = files("edge.benchmarks").joinpath("reference", _FILE).read_text("utf-8")
    document = json.loads(text)
    for row in document["results"]:
        if (row["suite"], row["runtime"], row["threads"]) == ("pipeline", "litert", 1) and row[
            "model"
        ]["sha256"] == sha256:
            stages = {name: float(np.median(row["stages_ms"][name])) for name in _STAGES}
            return {
                "cpu": document["environment"]["cpu"],
                "runtime": row["runtime_version"],
                "threads": row["threads"],
                "detector": row["detector"],
                "p50_ms": stages | {"total": row["latency_ms"]["p50"]},
            }
    return None
