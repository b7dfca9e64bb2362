"""How many calibration pictures does an int8 model need?

    python -m edge.benchmarks.calibration RUN

Quantizes a trained network with 16 to 1,000 training pictures, each set drawn with several seeds,
and compares each file with its float parent on the validation faces. Prints one JSON object, and
with --markdown a table.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from edge.benchmarks.told import tell
from edge.environment import fingerprint
from edge.progress import progress

COUNTS = (16, 32, 64, 125, 250, 500, 1000)
SEEDS = 3


def measure(folder: Path, counts: Sequence[int], seeds: int) -> dict[str, Any]:
    """Judge the int8 forms of a run.

    Args:
        folder: A run folder of `edge train`.
        counts: How many pictures to calibrate with.
        seeds: How many draws of each.
    """
    from edge.convert import compare, integers
    from edge.convert.quantize import quantize
    from edge.convert.rewrite import for_integers
    from edge.convert.source import open_run, run_data, training_faces, validation_faces
    from edge.train.model import load_keras

    run = open_run(folder)
    datasets = run_data(run, ())
    faces, _ = validation_faces(run, datasets)
    crops = faces.crops(range(len(faces)))

    def judge(graph: bytes) -> compare.Judged:
        return compare.judge(
            {"int8": graph}, run.contract, crops, faces.labels, run.attributes, run.thresholds,
            run.task,
        )["int8"]  # fmt: skip

    parent = quantize(load_keras(run.network), "float32", run.contract)
    graph = for_integers(parent)
    reference = judge(parent)
    rows: dict[int, list[dict[str, Any]]] = {count: [] for count in counts}
    with progress("quantizing", len(counts) * seeds, "files") as advance:
        for count in counts:
            for seed in range(seeds):
                drawn = training_faces(run, datasets, count, seed)
                ranges = integers.calibrate(graph, run.contract, drawn.crops)
                judged = judge(integers.static(graph, ranges))
                change = np.abs(judged.probabilities - reference.probabilities).mean()
                rows[count].append(
                    {
                        "seed": seed,
                        "drop_points": compare.drop_points(judged, reference),
                        "agreement": compare.agreement(judged, reference),
                        "mean_error": float(change),
                    }
                )
                advance(1)
    return {
        "benchmark": "calibration",
        "model": run.config["name"],
        "samples": len(crops),
        "pictures": {str(count): found for count, found in rows.items()},
        "environment": fingerprint(1, "litert"),
    }


def table(report: dict[str, Any]) -> str:
    """Return the report as a Markdown table: means of the draws, and their extremes."""
    attributes = list(next(iter(report["pictures"].values()))[0]["drop_points"])
    heads = [*(f"{name}, points lost" for name in attributes), "decisions that agree", "mean error"]
    lines = [f"| pictures | {' | '.join(heads)} |", f"|--:|{'--:|' * len(heads)}"]
    for count, draws in report["pictures"].items():
        drops = [[draw["drop_points"][name] for draw in draws] for name in attributes]
        cells = [
            *(f"{mean(drop):.2f} ({min(drop):.2f} to {max(drop):.2f})" for drop in drops),
            f"{mean(draw['agreement'] for draw in draws):.2%}",
            f"{mean(draw['mean_error'] for draw in draws):.4f}",
        ]
        lines.append(f"| {int(count):,} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    tell(measure(options.run, COUNTS, options.seeds), table, options.markdown)


if __name__ == "__main__":
    main()
