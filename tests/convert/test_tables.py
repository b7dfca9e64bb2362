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
        "worst": [{"picture": "000123.webp", "change": 0.1234}],
        "latency_ms": {"p50": 0.64}, "file": f"{name}.tflite",
        "delegate": {"partitions": 2, "fallback_ops": {"DEPTHWISE_CONV_2D": 1},
                     "reasons": {"DEPTHWISE_CONV_2D": "XNNPACK has no kernel for its form here"}},
    }  # fmt: skip


def test_a_narrow_terminal_breaks_lines_and_leaves_nothing_out():
    report = {"model": "default", "samples": 2509, "reference": entry("float32"),
              "variants": [entry("int8")], "choice": "float32", "doctor": None}  # fmt: skip
    out = io.StringIO()
    Console(file=out, width=60).print(verdict(report))
    assert "…" not in out.getvalue()
    assert {"delegate", "part"} & set(out.getvalue().split())  # the last column


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


def test_remedies_and_reasons_are_told():
    attempt = {
        "remedy": "the answer as floats", "drop_points": {"Smiling": 0.08, "Male": None},
        "agreement": 0.9986, "floats": ["x"],
    }  # fmt: skip
    layer = {"name": "net_1/conv1_1/Relu;net_1/conv1_1/add", "operator": "CONV_2D",
             "sqnr_db": 31.5, "lost_db": 9.0}  # fmt: skip
    report = {"model": "default", "samples": 2509, "reference": entry("float32"),
              "variants": [entry("int8")], "choice": "int8",
              "doctor": {"layers": [layer], "attempts": [attempt]}}  # fmt: skip
    out = io.StringIO()
    Console(file=out, width=120).print(verdict(report))
    told = [line.strip() for line in out.getvalue().splitlines()]
    assert "lose most: conv1_1 (9.0 dB)" in told
    assert "the answer as floats: Smiling -0.08, agreement 99.86%" in told
    assert "decided otherwise by int8: 000123.webp (0.12)" in told
    assert "DEPTHWISE_CONV_2D: XNNPACK has no kernel for its form here" in told
    assert told[-1] == "on this CPU: --int8, 0.64 ms and 1,186 kB"
