"""What this processor can do: the multiply-adds a second of an ideal graph on the TFLite runtime.

    python -m edge.benchmarks.peak --threads 2
    python -m edge.benchmarks.peak --write FOLDER

The first prints one JSON object; the second makes the graphs again (extra `train`).
"""

import argparse
import json
import sys
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.contract import InputContract
from edge.files import write_bytes
from edge.measure import Protocol, alternate
from edge.quiet import quiet
from edge.runtime.interpreter import Interpreter

_VALUE_RANGE = (0.0, 255.0)
_PROTOCOL = Protocol(rounds=4, min_samples=20, min_seconds=0.4)


@dataclass(frozen=True)
class Graph:
    """Pointwise convolutions in a row, all with the same weights: nothing but matrix products.

    Args:
        side: Width and height of every layer.
        channels: Of every layer after the first, which takes three.
        layers: How many after the first.
    """

    side: int
    channels: int
    layers: int = 8

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one run."""
        return self.side**2 * self.channels * (3 + self.layers * self.channels)


# Of the sizes that were tried (12 to 48 pixels, 64 to 512 channels) the smallest files that come
# within 2 % of the fastest: integer kernels need longer rows to be busy with multiplying alone.
GRAPHS = {"float32": Graph(24, 128), "int8": Graph(24, 384)}


def measure_peak(threads: int, *, runtime: str = "auto") -> dict[str, float]:
    """Measure the most multiply-adds a second that the runtime reaches here, in a few seconds.

    Args:
        threads: How many threads a run may use.
        runtime: As `Interpreter`.

    Returns:
        By "float32" and "int8": multiply-adds a second, of the best of several blocks.

    Raises:
        EdgeError: The runtime is not installed.
    """
    calls = {}
    for name, graph in GRAPHS.items():
        network = Interpreter(graph_bytes(name), f"peak {name}", runtime=runtime, threads=threads)
        calls[name] = partial(network.run_pixels, _pixels(graph, 1)[0], _VALUE_RANGE)
    blocks = alternate(calls, _PROTOCOL)
    return {
        name: graph.multiply_adds / (min(map(np.median, blocks[name])).item() / 1000)
        for name, graph in GRAPHS.items()
    }


def graph_bytes(name: str) -> bytes:
    """Return the TFLite graph of one of `GRAPHS`."""
    return files("edge.benchmarks").joinpath("peak", f"{name}.tflite").read_bytes()


def write_graphs(folder: Path) -> None:
    """Make the graphs: float32.tflite and int8.tflite; the same bytes for the same TensorFlow.

    Raises:
        EdgeError: The folder cannot be written.
    """
    with quiet():
        from edge.convert.quantize import quantize
        from edge.train.fresh import pointwise

    for name, graph in GRAPHS.items():
        contract = InputContract(width=graph.side, height=graph.side)
        with quiet():
            network = pointwise(graph.side, graph.channels, graph.layers)
            tflite = quantize(network, name, contract, calibration=_pixels(graph, 8))
        write_bytes(folder / f"{name}.tflite", tflite)


def _pixels(graph: Graph, number: int) -> NDArray[np.uint8]:
    """Return pictures of noise: uint8 (number, side, side, 3)."""
    shape = (number, graph.side, graph.side, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def main() -> None:
    """Parse the options, then measure or write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--write", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    if options.write:
        write_graphs(options.write)
        return
    json.dump(measure_peak(options.threads, runtime=options.runtime), sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
