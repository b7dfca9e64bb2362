"""One training, from data folders to a run folder: what `edge train` calls.

A run folder holds config.json (recipe, contract, data and their digests, seed, versions,
accuracy), checkpoint.npz, history.json, model.keras and the plots.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edge import __version__
from edge.contract import InputContract
from edge.datasets import Dataset, balanced_subset, load
from edge.errors import EdgeError
from edge.files import replacing, write_json
from edge.measure import wilson
from edge.train import plots
from edge.train.augment import Augmentation
from edge.train.facecache import Faces, cut_faces
from edge.train.loop import Trainer, predict
from edge.train.networks import NETWORKS
from edge.train.recipes import RECIPES, Recipe, recipe_named

SCHEMA = 1
_THRESHOLD = 0.5
_CONFIG, _CHECKPOINT, _MODEL = "config.json", "checkpoint.npz", "model.keras"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to train on what; a run folder's config.json holds the same.

    Args:
        recipe: How to train.
        data: Folder and kind of each data set; the first one validates.
        attributes: What the finished model tells.
        subset: Balanced (train, val, test) counts of the first data set, or None for all of it.
        seed: Decides weights, order, subset and augmentation.
        deterministic: Slower kernels that give the same bits each time.
    """

    recipe: Recipe
    data: tuple[tuple[Path, str], ...]
    attributes: tuple[str, ...]
    subset: tuple[int, int, int] | None = None
    seed: int = 0
    deterministic: bool = False


def make_job(
    network: str | None,
    recipe: str | None,
    *,
    data: Sequence[Path],
    kinds: Sequence[str],
    attributes: str,
    subset: str | None,
    epochs: int | None,
    seed: int,
    deterministic: bool,
) -> Job:
    """Make a job of the words of a command line.

    Args:
        network: Name of a network; None takes the recipe's.
        recipe: Name of a recipe; None takes the one named like the network, else "default".
        data: Folder of each data set.
        kinds: Kind of each data set, in the same order; those left out are recognised.
        attributes: Names, separated by commas.
        subset: "TRAIN,VAL,TEST", or None.
        epochs: In place of the recipe's.
        seed: As `Job`.
        deterministic: As `Job`.

    Raises:
        EdgeError: A word says nothing that exists.
    """
    if not data:
        raise EdgeError("no pictures to train on", "add --data DIR")
    if len(kinds) > len(data):
        raise EdgeError(
            f"{len(kinds)} --dataset for {len(data)} --data", "give each --data one --dataset"
        )
    if recipe is None:
        recipe = network if network in RECIPES else "default"
    chosen = recipe_named(recipe)
    if network is not None:
        if network not in NETWORKS and network not in RECIPES:
            raise EdgeError(f"unknown network {network}", f"choose one of {', '.join(NETWORKS)}")
        chosen = replace(chosen, network=network if network in NETWORKS else chosen.network)
    if epochs is not None:
        chosen = replace(chosen, epochs=epochs)
    names = tuple(name.strip() for name in attributes.split(",") if name.strip())
    if not names:
        raise EdgeError("no attributes to learn", "name some, such as --attributes Smiling,Male")
    return Job(
        recipe=chosen,
        data=tuple(zip(data, [*kinds, *["auto"] * len(data)], strict=False)),
        attributes=names,
        subset=_counts(subset),
        seed=seed,
        deterministic=deterministic,
    )


def _counts(subset: str | None) -> tuple[int, int, int] | None:
    if subset is None:
        return None
    try:
        train_count, val_count, test_count = (int(part) for part in subset.split(","))
    except ValueError as error:
        raise EdgeError(
            f"subset is {subset}, expected three counts", "write --subset 10000,2500,2500"
        ) from error
    return train_count, val_count, test_count


def train(job: Job, out: Path, *, resume: bool, report: Callable[[str], None]) -> dict[str, Any]:
    """Train a network into a run folder.

    Args:
        job: What to do. When resuming, that of the run folder.
        out: The run folder.
        resume: Go on from the folder's checkpoint, if there is one.
        report: Called with one line after each epoch.

    Returns:
        The run's config, with the accuracy on the validation pictures.

    Raises:
        EdgeError: The data, the options or the run folder do not fit together.
    """
    if (out / _CONFIG).exists() and not resume:
        raise EdgeError(f"{out} already holds a run", "add --resume, or choose another --out")
    if job.deterministic:
        _be_deterministic()
    datasets = _load(job)
    names = datasets[0].attributes
    config = _config(job, out.name, datasets)
    _check_unchanged(out, config)
    write_json(out / _CONFIG, config)
    faces = cut_faces(
        [one.only("train") for one in datasets if _count(one, "train")], job.recipe.contract
    )
    validation = cut_faces([datasets[0].only("val")], job.recipe.contract)
    report(
        f"{len(faces):,} faces to train on, {len(validation):,} to validate "
        f"(left out: {faces.missing['no face found']} without a face, "
        f"{faces.missing['unreadable']} unreadable)"
    )
    trainer = Trainer(
        job.recipe,
        names,
        len(job.attributes),
        faces,
        validation,
        seed=job.seed,
        policy=fastest_policy(),
    )
    if resume and (out / _CHECKPOINT).exists():
        trainer.resume(out / _CHECKPOINT)
    trainer.fit(out / _CHECKPOINT, report)
    return _finish(trainer, config, out, validation)


def job_of(folder: Path) -> Job:
    """Read back what a run folder trains.

    Raises:
        EdgeError: There is no run, or it is of a newer version.
    """
    config = read_config(folder)
    recipe = dict(config["recipe"])
    recipe["augmentation"] = Augmentation(**recipe["augmentation"])
    return Job(
        recipe=Recipe(contract=InputContract.from_json(config["contract"]), **recipe),
        data=tuple((Path(entry["root"]), entry["dataset"]) for entry in config["data"]),
        attributes=tuple(config["attributes"]),
        subset=tuple(config["subset"]) if config["subset"] else None,
        seed=config["seed"],
        deterministic=config["deterministic"],
    )


def read_config(folder: Path) -> dict[str, Any]:
    """Read the config.json of a run folder.

    Raises:
        EdgeError: There is none, it is damaged, or it is of a newer version.
    """
    path = folder / _CONFIG
    try:
        config = json.loads(path.read_text())
        schema = config["schema"]
    except FileNotFoundError as error:
        raise EdgeError(
            f"{folder} is not a run folder: it has no {_CONFIG}",
            "name a folder that `edge train` wrote",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EdgeError(f"{path} cannot be read: {error}", "train again") from error
    if schema > SCHEMA:
        raise EdgeError(
            f"{path} is of schema {schema}, this edge reads up to {SCHEMA}",
            "pip install --upgrade edge-tflite",
        )
    return dict(config)


def fastest_policy() -> str:
    """Return "mixed_bfloat16" where the processor multiplies bfloat16 itself, else "float32"."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "float32"
    return "mixed_bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"


def _be_deterministic() -> None:
    if keras.backend.backend() != "tensorflow":
        raise EdgeError(
            f"--deterministic needs TensorFlow, Keras runs on {keras.backend.backend()}",
            "set KERAS_BACKEND=tensorflow, or leave --deterministic out",
        )
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()


def _load(job: Job) -> list[Dataset]:
    """Load the data sets with one common list of attributes, the asked-for ones first."""
    datasets = [load(root, kind) for root, kind in job.data]
    names = list(job.attributes)
    if job.recipe.auxiliary:
        names += [name for one in datasets for name in one.attributes if name not in names]
    first = datasets[0].with_attributes(job.attributes)  # must have every asked-for attribute
    names = list(dict.fromkeys(names))
    datasets = [one.with_attributes(names, allow_missing=True) for one in datasets]
    if job.subset is not None:
        datasets[0] = balanced_subset(datasets[0], job.subset, first.attributes[0], job.seed)
    return datasets


def _config(job: Job, name: str, datasets: Sequence[Dataset]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "name": name,
        "recipe": job.recipe.to_json(),
        "contract": job.recipe.contract.to_json(),
        "attributes": list(job.attributes),
        "thresholds": [_THRESHOLD] * len(job.attributes),
        "data": [
            {
                "dataset": one.name,
                "root": str(one.root.resolve()),
                "digest": one.digest(),
                "counts": {split: _count(one, split) for split in ("train", "val", "test")},
                "findings": one.findings,
                "licence": one.licence,
            }
            for one in datasets
        ],
        "subset": list(job.subset) if job.subset else None,
        "seed": job.seed,
        "deterministic": job.deterministic,
        "versions": {
            "edge": __version__,
            "keras": keras.__version__,
            keras.backend.backend(): version(keras.backend.backend()),
            "numpy": np.__version__,
        },
        "accuracy": {},
    }


def _check_unchanged(out: Path, config: dict[str, Any]) -> None:
    """Refuse to go on with other pictures or labels than the run began with."""
    if not (out / _CONFIG).exists():
        return
    for before, now in zip(read_config(out)["data"], config["data"], strict=True):
        if before["digest"] != now["digest"]:
            raise EdgeError(
                f"{now['root']} has changed since {out} was begun: digest "
                f"{now['digest'][:12]}…, was {before['digest'][:12]}…",
                "restore the data, or start again with another --out",
            )


def _finish(
    trainer: Trainer, config: dict[str, Any], out: Path, validation: Faces
) -> dict[str, Any]:
    """Save the model, its accuracy and the plots."""
    model = trainer.best_model()
    probabilities = predict(model, validation.crops(range(len(validation))))
    labels = validation.labels[:, : trainer.own]
    config = config | {
        "accuracy": accuracy_of(probabilities, labels, config["attributes"]),
        "best_epoch": trainer.state.best_epoch,
        "parameters": model.count_params(),
    }
    with replacing(out / _MODEL) as temporary:
        model.save(temporary)
    write_json(out / "history.json", trainer.state.history)
    plots.curves(trainer.state.history, out / "curves.png")
    plots.confusion(probabilities, labels, config["attributes"], out / "confusion.png")
    plots.roc(probabilities, labels, config["attributes"], out / "roc.png")
    write_json(out / _CONFIG, config)
    return config


def accuracy_of(
    probabilities: np.ndarray, labels: np.ndarray, attributes: Sequence[str]
) -> dict[str, Any]:
    """Return accuracy with its Wilson interval for each attribute, unknown labels left out."""
    result = {}
    for column, name in enumerate(attributes):
        known = np.isfinite(labels[:, column])
        right = (probabilities[known, column] >= _THRESHOLD) == (labels[known, column] >= 0.5)
        samples, correct = int(known.sum()), int(right.sum())
        result[name] = {
            "accuracy": correct / samples if samples else None,
            "ci95": list(wilson(correct, samples)) if samples else None,
            "samples": samples,
        }
    return result


def _count(dataset: Dataset, split: str) -> int:
    return sum(sample.split == split for sample in dataset.samples)
