"""What to train on what: from the words of a command line, to config.json and back."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edge import __version__
from edge.contract import InputContract
from edge.datasets import SPLITS, Dataset, balanced_subset, load
from edge.errors import EdgeError
from edge.train.augment import Augmentation
from edge.train.config import CONFIG, SCHEMA, fastest_policy, read_config
from edge.train.networks import NETWORKS
from edge.train.recipes import RECIPES, Recipe, recipe_named

_THRESHOLD = 0.5


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
        policy: Keras dtype policy to train in; kept, so that a run that goes on elsewhere goes
            on in the same precision.
    """

    recipe: Recipe
    data: tuple[tuple[Path, str], ...]
    attributes: tuple[str, ...]
    subset: tuple[int, int, int] | None = None
    seed: int = 0
    deterministic: bool = False
    policy: str = field(default_factory=fastest_policy)


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


def load_data(job: Job) -> list[Dataset]:
    """Load the data sets with one common list of attributes, the asked-for ones first.

    Raises:
        EdgeError: The data does not fit the job.
    """
    datasets = [load(root, kind, wanted=job.attributes) for root, kind in job.data]
    names = list(job.attributes)
    if job.recipe.auxiliary:
        names += [name for one in datasets for name in one.attributes if name not in names]
    first = datasets[0].with_attributes(job.attributes)  # must have every asked-for attribute
    names = list(dict.fromkeys(names))
    datasets = [one.with_attributes(names, allow_missing=True) for one in datasets]
    if job.subset is not None:
        datasets[0] = balanced_subset(datasets[0], job.subset, first.attributes[0], job.seed)
    _require_pictures(datasets)
    return datasets


def _require_pictures(datasets: Sequence[Dataset]) -> None:
    """Refuse data sets that hold nothing to train on, or nothing to validate with."""
    if not any(one.count("train") for one in datasets):
        raise EdgeError(
            f"no training pictures in {' and '.join(one.name for one in datasets)}",
            "add --data with a data set that has some",
        )
    if not datasets[0].count("val"):
        raise EdgeError(
            f"no validation pictures in {datasets[0].name} at {datasets[0].root}",
            "give a data set that has some as the first --data",
        )


def config_of(job: Job, name: str, datasets: Sequence[Dataset]) -> dict[str, Any]:
    """Return what a run folder's config.json says before the training has begun.

    The digest of a data set is over the attributes that the model tells, so that whoever has the
    finished model can check it.
    """
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
                "digest": one.with_attributes(job.attributes, allow_missing=True).digest(),
                "counts": {split: one.count(split) for split in SPLITS},
                "findings": one.findings,
                "licence": one.licence,
            }
            for one in datasets
        ],
        "subset": list(job.subset) if job.subset else None,
        "seed": job.seed,
        "deterministic": job.deterministic,
        "policy": job.policy,
        "versions": {
            "edge": __version__,
            "keras": keras.__version__,
            keras.backend.backend(): version(keras.backend.backend()),
            "numpy": np.__version__,
        },
        "accuracy": {},
    }


def job_of(folder: Path, moved: Sequence[Path] = ()) -> Job:
    """Read back what a run folder trains.

    Args:
        folder: The run folder.
        moved: Where its data sets lie now, in order; those left out lie where they were.

    Raises:
        EdgeError: There is no run, it is damaged, or it is of a newer version.
    """
    config = read_config(folder)
    try:
        entries = config["data"]
        if len(moved) > len(entries):
            raise EdgeError(
                f"{len(moved)} --data folders, the run has {len(entries)} data sets",
                "give them in the order of the run: "
                + ", ".join(entry["dataset"] for entry in entries),
            )
        recipe = dict(config["recipe"])
        recipe["augmentation"] = Augmentation(**recipe["augmentation"])
        return Job(
            recipe=Recipe(contract=InputContract.from_json(config["contract"]), **recipe),
            data=tuple(
                (root or Path(entry["root"]), entry["dataset"])
                for entry, root in itertools.zip_longest(entries, moved)
            ),
            attributes=tuple(config["attributes"]),
            subset=tuple(config["subset"]) if config["subset"] else None,
            seed=config["seed"],
            deterministic=config["deterministic"],
            policy=config["policy"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EdgeError(
            f"{folder / CONFIG} is damaged: {error!r}", "train again without --resume"
        ) from error
