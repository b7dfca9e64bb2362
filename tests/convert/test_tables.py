"""The verdict of a conversion, as a person sees it."""

import io

import pytest
from rich.console import Console

from edge.convert.tables import verdict
from edge.modelfile import VARIANTS


def entry(name: str) -> dict:
    """Return one variant of a report, with the longest cells that were seen."""
    return {
        "name": name, "size_bytes": 1_186_000, "accuracy": {"Smiling": 0.9231, "Male": 0.9861},
        "drop_points": {"Smiling": 0.24, "Male": -0.04}, "agreement": 0.9988, "warnings": [],
        "latency_ms": {"p50": 0.64}, "file": f"{name}.tflite",
        "delegate": {"partitions": 2, "fallback_ops": {"DEPTHWISE_CONV_2D": 1},
                     "reasons": {"DEPTHWISE_CONV_2D": "XNNPACK has no kernel for its form here"}},
    }  # fmt: skip


@pytest.mark.parametrize("width", [100, 118, 200])
def test_every_variant_is_named_in_full(width):
    report = {"model": "default", "samples": 2509, "reference": entry("float32"),
              "variants": [entry(name) for name in VARIANTS], "choice": "float16",
              "doctor": None}  # fmt: skip
    out = io.StringIO()
    Console(file=out, width=width).print(verdict(report))
    first = [line.split()[0] for line in out.getvalue().splitlines() if "%" in line]
    assert first == list(VARIANTS)
    assert "…" not in out.getvalue()
