"""Which file of a network is the fastest on this CPU, before and after the rewrite for integers?

    python -m edge.benchmarks.integers --data FOLDER --networks mobilenet-v3-small,compact
    python -m edge.benchmarks.integers --data FOLDER --files MADE
    python -m edge.benchmarks.integers --files MADE

Each network has the normalisation statistics of faces: those of random weights decide otherwise
which operators XNNPACK takes. Its float32 file, int8 as it comes, int8 rewritten, and dynamic are
timed in turns on one thread, in one process. With --files they are kept, and a machine without
TensorFlow, such as a board, times what was made elsewhere. Prints one JSON object, and with
--markdown a table.
"""

import argparse
import itertools
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.benchmarks.told import tell
from edge.benchmarks.zoo import default_contract
from edge.contract import InputContract
from edge.datasets import load
from edge.environment import fingerprint
from edge.errors import EdgeError
from edge.files import write_bytes, write_json
from edge.measure import Protocol, alternate, summarise
from edge.modelfile import VARIANTS
from edge.runtime.interpreter import Interpreter

Crops = NDArray[np.uint8]

NETWORKS = (
    "compact", "mobilenet", "mobilenet-v2", "mobilenet-v3-large", "mobilenet-v3-small",
    "mobilenet-v3-large-minimalistic", "mobilenet-v3-small-minimalistic", "efficientnet-b0",
    "mnasnet", "proposed", "simple-cnn",
)  # fmt: skip

CALIBRATION = 100
# Faces on which the answers of the files are compared, and of them those that are timed.
JUDGED, TIMED = 200, 16
PROTOCOL = Protocol(rounds=5, min_samples=200, min_seconds=0.0)

# Written last: what the files of a network say.
_MADE = "made.json"


def measure(networks: Sequence[str], folder: Path) -> dict[str, Any]:
    """Measure the files of each network.

    Args:
        networks: Of `edge.train.networks.NETWORKS`.
        folder: Where `make` has put their files.

    Raises:
        EdgeError: A network was not made.
    """
    for name in networks:
        if not (folder / name / _MADE).is_file():
            raise EdgeError(f"{folder} does not hold {name}", "make it with --data")
    return {
        "benchmark": "integers",
        "networks": {name: _network(folder / name) for name in networks},
        "environment": fingerprint(1, "litert"),
    }


def make(networks: Sequence[str], data: Path, folder: Path) -> None:
    """Make the files of networks, each network in a folder of its own.

    Args:
        networks: Of `edge.train.networks.NETWORKS`.
        data: A data set with "train" and "val" pictures.
        folder: Where they go. It holds some of those pictures then.
    """
    for name in networks:
        home = folder / name
        contract = default_contract(name)
        drawn, judged = _faces(data, contract)
        graphs = _graphs(name, contract, drawn)
        for variant, graph in graphs.items():
            write_bytes(home / f"{variant}.tflite", graph)
        opened = {variant: Interpreter(graph, variant) for variant, graph in graphs.items()}
        said = {variant: _said(network, contract, judged) for variant, network in opened.items()}
        np.save(home / "crops.npy", judged[:TIMED])
        write_json(
            home / _MADE,
            {
                "contract": contract.to_json(),
                "calibration": len(drawn),
                "mean_error": {
                    variant: float(np.abs(one - said["float32"]).mean())
                    for variant, one in said.items()
                },
            },
        )


def _network(home: Path) -> dict[str, Any]:
    made = json.loads((home / _MADE).read_text("utf-8"))
    contract = InputContract.from_json(made["contract"])
    paths = {variant: home / f"{variant}.tflite" for variant in made["mean_error"]}
    opened = {variant: Interpreter(path.read_bytes(), variant) for variant, path in paths.items()}
    faces = itertools.cycle(list(np.load(home / "crops.npy")))

    def call(network: Interpreter) -> Callable[[], object]:
        return lambda: network.run_pixels(next(faces), contract.value_range)

    blocks = alternate({name: call(one) for name, one in opened.items()}, PROTOCOL)
    files = {
        variant: {
            "size_bytes": paths[variant].stat().st_size,
            "latency_ms": summarise([ms for block in blocks[variant] for ms in block]),
            "operators": network.operators(),
            "mean_error": made["mean_error"][variant],
        }
        for variant, network in opened.items()
    }
    return {
        "input": f"{contract.width}×{contract.height}",
        "calibration": made["calibration"],
        "files": files,
    }


def _graphs(name: str, contract: InputContract, crops: Crops) -> dict[str, bytes]:
    from edge.convert import integers
    from edge.convert.quantize import quantize
    from edge.convert.rewrite import for_integers
    from edge.train.fresh import fresh

    network = fresh(name, contract, 2, crops, seed=0)
    parent = quantize(network, "float32", contract)
    rewritten = for_integers(parent)
    return {
        "float32": parent,
        "int8, as it comes": integers.static(parent, integers.calibrate(parent, contract, crops)),
        "int8": integers.static(rewritten, integers.calibrate(rewritten, contract, crops)),
        "dynamic": integers.dynamic(parent),
    }


def _faces(data: Path, contract: InputContract) -> tuple[Crops, Crops]:
    """Return faces to calibrate with and faces to judge with, spread over the pictures."""
    from edge.train.facecache import cut_faces

    drawn = []
    for split, count in (("train", CALIBRATION), ("val", JUDGED)):
        dataset = load(data).only(split)
        rows = np.linspace(0, len(dataset.samples) - 1, count).astype(np.int64)
        found = cut_faces([dataset.chosen(rows)], contract)
        drawn.append(found.crops(range(len(found))))
    return drawn[0], drawn[1]


def _said(network: Interpreter, contract: InputContract, crops: Crops) -> NDArray[np.float32]:
    return np.stack([network.run_pixels(crop, contract.value_range)[0][0] for crop in crops])


def table(report: dict[str, Any]) -> str:
    """Return the report as a Markdown table, one line a network."""
    lines = [
        "| network | input | float32, ms | int8, as it comes | int8 | dynamic | fastest |",
        "|---|---|--:|--:|--:|--:|---|",
    ]
    for name, network in report["networks"].items():
        files = network["files"]
        before = files["float32"]["latency_ms"]["p50"]
        cells = [_cell(files[variant], before) for variant in list(files)[1:]]
        made = [variant for variant in files if variant in VARIANTS]
        fastest = min(made, key=lambda variant: files[variant]["latency_ms"]["p50"])
        row = [name, network["input"], f"{before:.2f}", *cells, fastest]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def _cell(file: dict[str, Any], before: float) -> str:
    """Return how many times as fast as float32, and in how many parts if in more than one."""
    parts = file["operators"].get("DELEGATE", 0)
    ratio = f"{before / file['latency_ms']['p50']:.2f}×"
    return ratio if parts == 1 else f"{ratio}, {parts} parts"


def main() -> None:
    """Parse the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, help="where the files are to be made")
    parser.add_argument("--files", type=Path, help="where they are kept, or were made")
    parser.add_argument("--networks", help="default: all, or those that were made")
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    if not (options.data or options.files):
        parser.error("give --data, --files or both")
    networks = options.networks.split(",") if options.networks else list(NETWORKS)
    if not (options.data or options.networks):
        networks = [name for name in NETWORKS if (options.files / name / _MADE).is_file()]
    with tempfile.TemporaryDirectory(prefix="edge-integers-") as scratch:
        folder = options.files or Path(scratch)
        if options.data:
            make(networks, options.data, folder)
        tell(measure(networks, folder), table, options.markdown)


if __name__ == "__main__":
    main()
