"""Does augmentation keep up with a trainer? Faces/s of ours, and of other libraries' own.

    python -m edge.benchmarks.augmentation --data FOLDER

Each set of the seeds runs through `edge.train.augment`, through the layers of Keras and, where it
is installed, through Albumentations, in turns, in blocks, in one process on one core, so that what
else the machine does falls on all alike. Ours reads its crops from the cache, the others have
theirs in memory. Prints one JSON object: faces/s and microseconds of processor time a face of each
block, the ratio of the medians of faces/s, and what share of a core 600 faces/s take.
"""

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np

from edge.contract import InputContract
from edge.datasets import load
from edge.environment import cores_for, fingerprint
from edge.train.augment import PHONE, S0B, S1, S2, Augmentation, augmented
from edge.train.facecache import Faces, cut_faces

SETS = {"S0B": S0B, "S1": S1, "S2": S2, "PHONE": PHONE}
BATCH = 128
BLOCK_BATCHES = 8
# What the fastest small network here takes in a second, and what a share of a core is quoted for.
WANTED_FACES_PER_S = 600

# Augments batch number n.
Library = Callable[[int], object]


def measure(data: Path, size: int, blocks: int) -> dict[str, Any]:
    """Measure every set with every library.

    Args:
        data: A data set with "val" pictures; they are drawn with replacement.
        size: Width and height of the crops in pixels.
        blocks: How many blocks of `BLOCK_BATCHES` batches of each.
    """
    faces = cut_faces([load(data).only("val")], InputContract(width=size, height=size))
    # Before Keras counts the cores.
    os.sched_setaffinity(0, cores_for(1))
    cv2.setNumThreads(1)
    from edge.train import single

    return {
        "benchmark": "augmentation",
        "crop": f"{size}×{size}",
        "batch": BATCH,
        "sets": {name: _compare(faces, how, blocks) for name, how in SETS.items()},
        "environment": fingerprint(1, single.backend()),
    }


def _compare(faces: Faces, how: Augmentation, blocks: int) -> dict[str, Any]:
    """Measure one set with every library, in turns."""
    libraries = _libraries(faces, how)
    for augment in libraries.values():
        augment(0)
    measured: dict[str, dict[str, list[float]]] = {
        name: {"faces_per_s": [], "cpu_us_per_face": []} for name in libraries
    }
    for _ in range(blocks):
        for name, augment in libraries.items():
            wall, cpu = time.perf_counter(), time.process_time()
            for number in range(BLOCK_BATCHES):
                augment(number)
            count = BLOCK_BATCHES * BATCH
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            measured[name]["faces_per_s"].append(round(count / wall, 1))
            measured[name]["cpu_us_per_face"].append(round(cpu / count * 1e6, 1))
    speed = {name: median(values["faces_per_s"]) for name, values in measured.items()}
    ours = median(measured["edge"]["cpu_us_per_face"])
    return measured | {
        "ratio": {
            name: round(speed["edge"] / value, 2) for name, value in speed.items() if name != "edge"
        },
        "core_share_at_600_per_s": round(WANTED_FACES_PER_S * ours / 1e6, 3),
    }


def _libraries(faces: Faces, how: Augmentation) -> dict[str, Library]:
    """Return the same work in each library."""
    from edge.train.keras_augment import keras_augmented

    order = np.random.default_rng(0).integers(len(faces), size=(BLOCK_BATCHES, BATCH))
    crops = [faces.crops(chosen) for chosen in order]
    with_keras = keras_augmented(how)
    libraries: dict[str, Library] = {
        "edge": lambda n: augmented(faces, order[n], how, np.random.default_rng(n)),
        "keras": lambda n: with_keras(crops[n]),
    }
    try:
        chain = _albumentations(how)
    except ImportError:
        return libraries
    return libraries | {"albumentations": lambda n: [chain(image=crop) for crop in crops[n]]}


def _albumentations(how: Augmentation) -> Callable[..., object]:
    """Return a set as Albumentations 2 has it; it turns, shifts and zooms in one warp, as ours."""
    library = importlib.import_module("albumentations")
    reach = how.zoom + how.stretch
    steps = [
        library.HorizontalFlip(p=how.flip),
        library.Affine(
            scale={"x": (1 - reach, 1 + reach), "y": (1 - reach, 1 + reach)},
            translate_percent=(-how.shift, how.shift),
            rotate=(-how.turn, how.turn),
            shear={"x": tuple(np.degrees(np.arctan([-how.shear, how.shear]))), "y": (0, 0)},
            border_mode=cv2.BORDER_REPLICATE,
            p=1,
        ),
    ]
    if how.kernel:
        kinds = {
            "blur": library.GaussianBlur,
            "motion": library.MotionBlur,
            "median": library.MedianBlur,
            "sharpen": library.Sharpen,
            "resolution": library.Downscale,
        }
        steps.append(library.OneOf([kinds[kind](p=1) for kind in how.kernels], p=how.kernel))
    if how.light:
        steps.append(library.RandomBrightnessContrast(how.light / 2, how.light, p=1))
    if how.colour or how.hue:
        steps.append(
            library.HueSaturationValue(round(how.hue / 2), round(255 * how.colour), 0, p=1)
        )
    if how.noise:
        steps.append(library.GaussNoise(std_range=(0, how.noise / 255), p=0.5))
    if how.jpeg:
        steps.append(library.ImageCompression(quality_range=(15, 85), p=how.jpeg))
    return library.Compose(steps)


def main() -> None:
    """Parse the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--size", type=int, default=80)
    parser.add_argument("--blocks", type=int, default=7)
    options = parser.parse_args()
    result = measure(options.data, options.size, options.blocks)
    json.dump(result, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
