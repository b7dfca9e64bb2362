"""What to train on what: to config.json and back."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from edge import __version__
from edge.contract import InputContract
from edge.datasets import SPLITS, Dataset, balanced_subset, load, spellings
from edge.errors import EdgeError
from edge.identities import load_identities
from edge.train.config import CONFIG, SCHEMA, fastest_policy, read_config
from edge.train.recipe import Recipe

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
        weights: What the body starts from: "imagenet", "none", or a file or run; see
            `edge.train.weights`.
        teachers: Runs that teach, by the mean of their answers; or where the weights of the
            recipe's teacher come from.
    """

    recipe: Recipe
    data: tuple[tuple[Path, str], ...]
    attributes: tuple[str, ...]
    subset: tuple[int, int, int] | None = None
    seed: int = 0
    deterministic: bool = False
    policy: str = field(default_factory=fastest_policy)
    weights: str = "none"
    teachers: tuple[str, ...] = ()


def with_all_attributes(job: Job) -> Job:
    """Return the job with "all" replaced by every attribute of its first data set."""
    if job.attributes != ("all",):
        return job
    return replace(job, attributes=load(*job.data[0]).attributes)


def load_data(job: Job) -> list[Dataset]:
    """Load the data sets with one common list of attributes, the asked-for ones first.

    Raises:
        EdgeError: The data does not fit the job.
    """
    if job.recipe.task == "identity":
        if len(job.data) > 1:
            raise EdgeError(
                f"{len(job.data)} data sets of people, expected one", "give one --data DIR"
            )
        ((root, kind),) = job.data
        return [load_identities(root, kind, job.recipe.people, job.seed)]
    datasets = [load(root, kind, wanted=job.attributes) for root, kind in job.data]
    names = list(job.attributes)
    if job.recipe.auxiliary:
        names = _with_auxiliary(names, datasets)
    first = datasets[0].with_attributes(job.attributes)  # must have every asked-for attribute
    names = list(dict.fromkeys(names))
    datasets = [one.with_attributes(names, allow_missing=True) for one in datasets]
    if job.subset is not None:
        datasets[0] = balanced_subset(datasets[0], job.subset, first.attributes[0], job.seed)
    _require_pictures(datasets)
    if any(phase.first_only for phase in job.recipe.phases) and not datasets[0].count("train"):
        raise EdgeError(
            f"recipe {job.recipe.name} ends on the first data set alone, and {datasets[0].name} "
            "has no training pictures",
            "give one that has some as the first --data",
        )
    return datasets


def _with_auxiliary(names: Sequence[str], datasets: Sequence[Dataset]) -> list[str]:
    """Return the names, and those of the data sets that mean something else."""
    named, meanings = list(names), {spellings(name) for name in names}
    for name in (name for dataset in datasets for name in dataset.attributes):
        if spellings(name) not in meanings:
            meanings.add(spellings(name))
            named.append(name)
    return named


def _require_pictures(datasets: Sequence[Dataset]) -> None:
    """Refuse data sets that hold nothing to train on, or nothing to validate with."""
    if not any(one.count("train") for one in datasets):
        raise EdgeError(
            f"no training pictures in {' and '.join(one.name for one in datasets)}",
            "add --data with a data set that has some",
        )
    if not datasets[0].count(validation_split(datasets[0])):
        raise EdgeError(
            f"no validation pictures in {datasets[0].name} at {datasets[0].root}",
            "give a data set that has some as the first --data",
        )


def require_teachers(recipe: Recipe, teachers: Sequence[str]) -> None:
    """Refuse teachers that cannot teach, before faces are cut for them.

    Raises:
        EdgeError: There are too few of them, too many, or one is not there.
    """
    goals = {phase.goal for phase in recipe.phases}
    if teachers and goals == {"labels"}:
        raise EdgeError(
            f"recipe {recipe.name} has no phase in which a teacher takes part",
            "leave --teacher out, or choose one that has: --recipe default-taught",
        )
    if len(teachers) > 1 and "answers" not in goals:
        raise EdgeError(
            f"recipe {recipe.name} learns the features of one teacher, not of {len(teachers)}",
            "give one --teacher, or choose a recipe that learns answers: --recipe default-taught",
        )
    if goals != {"labels"} and not teachers and not recipe.teacher:
        raise EdgeError(
            f"recipe {recipe.name} learns from a teacher, and there is none",
            "name a trained run: --teacher runs/mobilenet",
        )
    for teacher in teachers:
        if not Path(teacher).exists() and not (recipe.teacher and teacher == "imagenet"):
            raise EdgeError(
                f"there is no teacher {teacher}", "name a trained run: --teacher runs/mobilenet"
            )


def validation_split(dataset: Dataset) -> str:
    """Return the split that a training is watched on.

    People have few pictures: those that test are watched, and nothing is chosen by them.
    """
    return "test" if dataset.classes else "val"


def config_of(job: Job, name: str, datasets: Sequence[Dataset]) -> dict[str, Any]:
    """Return what a run folder's config.json says before the training has begun.

    The digest of a data set is over the attributes that the model tells, so that whoever has the
    finished model can check it.
    """
    import keras  # the words of a command line are made into a job without it

    names = list(datasets[0].classes or job.attributes)
    return {
        "schema": SCHEMA,
        "name": name,
        "recipe": job.recipe.to_json(),
        "contract": job.recipe.contract.to_json(),
        "task": job.recipe.task,
        "attributes": names,
        "thresholds": [_THRESHOLD if job.recipe.task == "attributes" else 0.0] * len(names),
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
        "weights": job.weights,
        "teachers": list(job.teachers),
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
        recipe = Recipe.from_json(config["recipe"], InputContract.from_json(config["contract"]))
        return Job(
            recipe=recipe,
            data=tuple(
                (root or Path(entry["root"]), entry["dataset"])
                for entry, root in itertools.zip_longest(entries, moved)
            ),
            attributes=("identity",) if recipe.task == "identity" else tuple(config["attributes"]),
            subset=tuple(config["subset"]) if config["subset"] else None,
            seed=config["seed"],
            deterministic=config["deterministic"],
            policy=config["policy"],
            weights=config["weights"],
            teachers=tuple(config["teachers"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EdgeError(
            f"{folder / CONFIG} is damaged: {error!r}", "train again without --resume"
        ) from error
