"""The trained network that is converted, and the faces that it was trained and judged on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge.contract import InputContract
from edge.convert.calibrate import Calibration, choose
from edge.datasets import Dataset
from edge.errors import EdgeError
from edge.train.config import read_config
from edge.train.facecache import Faces, cut_faces
from edge.train.job import job_of, load_data, validation_split


@dataclass(frozen=True)
class Run:
    """A trained network with what its run folder says of it.

    Args:
        folder: The run folder.
        network: The Keras file, or the folder of a SavedModel.
        config: The content of config.json.
        contract: What the network was trained to see.
    """

    folder: Path
    network: Path
    config: dict[str, Any]
    contract: InputContract

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the outputs: attributes, or people."""
        return tuple(self.config["attributes"])

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Probability at and above which an attribute is a label."""
        return tuple(self.config["thresholds"])

    @property
    def task(self) -> str:
        """One of `edge.modelfile.TASKS`."""
        return str(self.config["task"])


def open_run(source: Path) -> Run:
    """Read what a run folder, or the config.json beside a network, says.

    Args:
        source: A run folder, a .keras file, or the folder of a SavedModel with the config.json of
            the run in it or beside it.

    Raises:
        EdgeError: It is not one, is unfinished, or is damaged.
    """
    if not source.exists():
        raise EdgeError(f"there is no file or folder {source}", "give a run folder of `edge train`")
    saved_model = (source / "saved_model.pb").is_file()
    network = source / "model.keras" if source.is_dir() and not saved_model else source
    if network.suffix != ".keras" and not saved_model:
        raise EdgeError(
            f"{source} is neither a run folder, nor a .keras file, nor a SavedModel",
            "give a run folder of `edge train`, or a .keras file it saved",
        )
    inside = source.is_dir() and (not saved_model or (source / "config.json").is_file())
    folder = source if inside else source.parent
    config = read_config(folder)
    if not saved_model and not network.is_file():
        raise EdgeError(
            f"{source} holds no model.keras: its training has not finished",
            f"finish it: `edge train --resume --out {source}`",
        )
    try:
        contract = InputContract.from_json(config["contract"])
        run = Run(folder, network, config, contract)
        for key in ("name", "recipe", "data", "subset", "seed", "task", "versions"):
            config[key]
        if not run.attributes or len(run.thresholds) != len(run.attributes):
            raise ValueError("attributes and thresholds do not match")
    except (KeyError, TypeError, ValueError) as error:
        raise EdgeError(
            f"{folder / 'config.json'} is damaged: {error!r}",
            "copy the run folder again, or train again",
        ) from error
    return run


def training_faces(run: Run, data: Sequence[Dataset], count: int, seed: int) -> Calibration:
    """Draw training faces for the ranges of an integer model.

    Args:
        run: The run.
        data: From `run_data`.
        count: How many pictures to draw.
        seed: Decides which.

    Raises:
        EdgeError: No drawn picture holds a face.
    """
    datasets = [one.only("train") for one in data if one.count("train")]
    labels = np.concatenate([one.labels for one in datasets])
    drawn = choose(labels, count, seed)
    starts = np.cumsum([0, *(len(one.samples) for one in datasets)])
    parts = []
    for dataset, start, end in zip(datasets, starts, starts[1:], strict=False):
        rows = drawn[(drawn >= start) & (drawn < end)] - start
        if len(rows):
            parts.append(dataset.chosen(rows))
    found = cut_faces(parts, run.contract)
    return Calibration(found.crops(range(len(found))), found.names(parts), seed)


def validation_faces(run: Run, data: Sequence[Dataset]) -> tuple[Faces, tuple[str, ...]]:
    """Cut the faces that the run was validated with: those of its first data set.

    Returns:
        The faces, and the name of each one's picture.

    Args:
        run: The run.
        data: From `run_data`.

    Raises:
        EdgeError: No picture holds a face.
    """
    watched = [data[0].only(validation_split(data[0]))]
    faces = cut_faces(watched, run.contract)
    return faces, faces.names(watched)


def run_data(run: Run, moved: Sequence[Path]) -> list[Dataset]:
    """Load the data sets of a run, the one that validates it first.

    Args:
        run: The run.
        moved: Where its data sets lie now, in the run's order; those left out lie where they were.

    Raises:
        EdgeError: The data is not where it was, or not what it was.
    """
    job = job_of(run.folder, moved)
    try:
        datasets = load_data(replace(job, recipe=replace(job.recipe, auxiliary=0.0)))
    except EdgeError as error:
        names = ", ".join(entry["dataset"] for entry in run.config["data"])
        raise EdgeError(
            error.message, f"give --data for each data set of the run, in its order: {names}"
        ) from error
    for dataset, entry in zip(datasets, run.config["data"], strict=True):
        if dataset.digest() != entry["digest"]:
            raise EdgeError(
                f"{dataset.root} holds other pictures or labels than the run was trained on: "
                f"digest {dataset.digest()[:12]}…, was {entry['digest'][:12]}…",
                "point --data at the data of the run",
            )
    return datasets
