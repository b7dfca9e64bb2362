"""The ideal graphs, and what they reach."""

import math
from pathlib import Path

import numpy as np
import pytest

from edge.benchmarks import peak
from edge.benchmarks.peak import GRAPHS, graph_bytes, measure_peak
from edge.measure import sample
from edge.runtime.interpreter import Interpreter

# The best of both is compared, and other processes spoil either: so often are both tried.
_TURNS = 8


@pytest.fixture(scope="module")
def reached() -> dict[str, float]:
    return measure_peak(1)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_is_delegated_whole(name: str) -> None:
    operators = Interpreter(graph_bytes(name), name).operators()
    assert operators["DELEGATE"] == 1
    # Only the pixels and the result of an integer graph are changed outside.
    assert set(operators) <= {"DELEGATE", "QUANTIZE"}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_does_as_much_work_as_is_counted(name: str) -> None:
    assert Interpreter(graph_bytes(name), name).multiply_adds() == GRAPHS[name].multiply_adds


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_computes_with_ordinary_numbers(name: str) -> None:
    """Zeros or infinities might be multiplied at another speed."""
    graph = GRAPHS[name]
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (graph.side, graph.side, 3), np.uint8)
    (output,) = Interpreter(graph_bytes(name), name).run_pixels(pixels, (0.0, 255.0))
    assert 1e-4 < np.abs(output).max() < 10
    assert np.unique(output).size > 10


def test_the_graphs_take_little_of_a_wheel() -> None:
    assert sum(len(graph_bytes(name)) for name in GRAPHS) < 400_000


def test_no_face_classifier_is_faster_than_the_peak(reached: dict[str, float]) -> None:
    from edge.modelfile import read_model, resolve_model

    for model, precision in (("default", "int8"), ("default-float32", "float32")):
        network = Interpreter(read_model(resolve_model(model)).graph, model)
        crop = np.full(network.input.shape[1:], 99, np.uint8)
        milliseconds, best = math.inf, reached[precision]
        for _ in range(_TURNS):
            calls = sample(lambda: network.run_pixels(crop, (0.0, 255.0)), 50, 0.3)  # noqa: B023
            milliseconds = min(milliseconds, *calls)
            rate = network.multiply_adds() / (milliseconds / 1000)
            best = max(best, measure_peak(1)[precision])
            if rate < 1.1 * best:
                break
        assert 0.05 * best < rate < 1.1 * best


def test_float32_is_of_the_order_of_numpy(reached: dict[str, float]) -> None:
    """BLAS is the independent witness; it may use all cores, so it is a loose one."""
    matrix = np.ones((1024, 1024), np.float32)
    rate = 1024**3 / (min(sample(lambda: matrix @ matrix, 3, 0.1)) / 1000)
    assert 0.1 * rate < reached["float32"] < 10 * rate


def test_the_graphs_are_made_by_the_module(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    peak.write_graphs(tmp_path)
    for name in GRAPHS:
        made = Interpreter((tmp_path / f"{name}.tflite").read_bytes(), name)
        kept = Interpreter(graph_bytes(name), name)
        assert (made.input.shape, made.operators()) == (kept.input.shape, kept.operators())
