"""Does oneDNN train faster here? Images/s of training steps with its kernels and without.

    python -m edge.benchmarks.training_kernels --recipe default

TensorFlow reads the switch once, so each block of steps has a process of its own; both kinds take
turns, so that what else the machine does falls on both. Prints one JSON object: images/s of each
block, and the ratio of the medians. `edge train` has oneDNN on, whatever TensorFlow's default for
the processor is.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from statistics import median

from edge.environment import fingerprint, usable_cores

_SWITCH = "TF_ENABLE_ONEDNN_OPTS"
_STEPS, _WARM_UP = 12, 3


def measure(recipe: str, blocks: int) -> dict[str, object]:
    """Measure both kinds of kernels on one recipe's network.

    Args:
        recipe: Name of a recipe.
        blocks: How many processes of each kind.
    """
    speeds: dict[str, list[float]] = {"0": [], "1": []}
    command = [sys.executable, "-m", __spec__.name, "--recipe", recipe, "--block"]
    for _ in range(blocks):
        for switch, found in speeds.items():
            done = subprocess.run(
                command, env=os.environ | {_SWITCH: switch}, stdout=subprocess.PIPE, check=True
            )
            found.append(float(done.stdout))
    return {
        "benchmark": "training_kernels",
        "recipe": recipe,
        "without_images_per_s": speeds["0"],
        "with_images_per_s": speeds["1"],
        "ratio": median(speeds["1"]) / median(speeds["0"]),
        "environment": fingerprint(usable_cores(), "keras"),
    }


def block(recipe_name: str) -> float:
    """Return images/s of training steps, fed and augmented, in this process."""
    import numpy as np

    from edge.train.config import fastest_policy
    from edge.train.recipes import recipe_named
    from edge.train.single import training_steps

    recipe = recipe_named(recipe_name)
    shape = (recipe.batch, recipe.contract.height, recipe.contract.width, 3)
    crops = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    step, images = training_steps(recipe_name, fastest_policy(), crops)
    for _ in range(_WARM_UP):
        step()
    start = time.perf_counter()
    for _ in range(_STEPS):
        step()
    return _STEPS * images / (time.perf_counter() - start)


def main() -> None:
    """Parse the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--block", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.block:
        sys.stdout.write(f"{block(options.recipe)}\n")
        return
    json.dump(measure(options.recipe, options.blocks), sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
