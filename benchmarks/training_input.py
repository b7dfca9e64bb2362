"""Is input the brake? Images/s of training as it is, against the bare step on data in memory.

    python -m edge.benchmarks.training_input --data FOLDER

Both are measured in alternation, in blocks of steps, in one process on the same network, so that
what else the machine does falls on both. Prints one JSON object: images/s of each block, and the
ratio of the medians.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

import numpy as np

from edge.datasets import load
from edge.environment import fingerprint, usable_cores
from edge.train.config import fastest_policy
from edge.train.facecache import cut_faces
from edge.train.feed import Batch
from edge.train.loop import Trainer
from edge.train.pupils import Pupils
from edge.train.recipes import recipe_named

BLOCK_STEPS = 20
WARM_UP_STEPS = 5


def measure(data: Path, recipe_name: str, blocks: int) -> dict[str, object]:
    """Measure both ways of feeding one network.

    Args:
        data: A data set with "train" and "val" pictures and the attributes Smiling and Male.
        recipe_name: Name of a recipe.
        blocks: How many blocks of `BLOCK_STEPS` steps of each way.
    """
    recipe = recipe_named(recipe_name)
    dataset = load(data, attributes=("Smiling", "Male"))
    faces = cut_faces([dataset.only("train")], recipe.contract)
    validation = cut_faces([dataset.only("val")], recipe.contract)
    even = np.ones(2, np.float32), np.ones(2, np.float32)
    pupils = Pupils(
        faces=faces,
        validation=validation,
        attributes=dataset.attributes,
        answers=2,
        own=2,
        class_weights=even,
    )
    trainer = Trainer(recipe, pupils, seed=0, policy=fastest_policy())
    memory = list(itertools.islice(trainer.batches(), BLOCK_STEPS))
    bare_step = trainer.network.train_on_batch
    _images_per_s(bare_step, memory[:WARM_UP_STEPS])
    bare, fed = [], []
    for _ in range(blocks):
        bare.append(_images_per_s(bare_step, memory))
        trainer.state.step = 0
        fed.append(_images_per_s(trainer.step, itertools.islice(trainer.batches(), BLOCK_STEPS)))
    return {
        "benchmark": "training_input",
        "recipe": recipe_name,
        "batch": trainer.batch,
        "bare_images_per_s": bare,
        "fed_images_per_s": fed,
        "ratio": median(fed) / median(bare),
        "environment": fingerprint(usable_cores(), "keras"),
    }


def _images_per_s(step: Callable[..., object], batches: Iterable[Batch]) -> float:
    """Time training steps, the wait for the first batch included."""
    start, images = time.perf_counter(), 0
    for crops, labels in batches:
        step(crops, labels)
        images += len(crops)
    return images / (time.perf_counter() - start)


def main() -> None:
    """Parse the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--blocks", type=int, default=7)
    options = parser.parse_args()
    json.dump(measure(options.data, options.recipe, options.blocks), sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
