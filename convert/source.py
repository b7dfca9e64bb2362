"""The trained network that is converted, and the faces that it was trained and judged on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge.contract import InputContract
from edge.convert.calibrate import Calibration, choose
from edge.datasets import Dataset, balanced_subset, load
from edge.errors import EdgeError
from edge.train.facecache import Faces, cut_faces


@dataclass(frozen=True)
class Run:
    """A trained network with what its run folder says of it.

    Args:
        folder: The run folder.
        keras: The Keras file.
        config: The content of config.json.
        contract: What the network was trained to see.
    """

    folder: Path
    keras: Path
    config: dict[str, Any]
    contract: InputContract

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return tuple(self.config["attributes"])

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Probability at and above which an attribute is a label."""
        return tuple(self.config["thresholds"])


def open_run(source: Path) -> Run:
    """Read what a run folder, or the folder of a .keras file, says.

    Raises:
        EdgeError: It is not one, is unfinished, or is damaged.
    """
    from edge.train.run import read_config  # imports Keras

    folder = source if source.is_dir() else source.parent
    file = source / "model.keras" if source.is_dir() else source
    if not source.exists():
        raise EdgeError(f"there is no file or folder {source}", "give a run folder of `edge train`")
    if file.suffix != ".keras":
        raise EdgeError(
            f"{source} is neither a run folder nor a .keras file",
            "give a run folder of `edge train`, or a .keras file it saved",
        )
    config = read_config(folder)
    if not file.is_file():
        raise EdgeError(
            f"{source} holds no model.keras: its training has not finished",
            f"finish it: `edge train --resume --out {source}`",
        )
    try:
        contract = InputContract.from_json(config["contract"])
        run = Run(folder, file, config, contract)
        for key in ("name", "recipe", "data", "subset", "seed", "versions"):
            config[key]
        if not run.attributes or len(run.thresholds) != len(run.attributes):
            raise ValueError("attributes and thresholds do not match")
    except (KeyError, TypeError, ValueError) as error:
        raise EdgeError(
            f"{folder / 'config.json'} is damaged: {error!r}",
            "copy the run folder again, or train again",
        ) from error
    return run


def training_faces(run: Run, data: Sequence[Path], count: int, seed: int) -> Calibration:
    """Draw training faces for the ranges of an integer model.

    Args:
        run: The run.
        data: Where its data sets lie now, in the run's order; those left out lie where they were.
        count: How many pictures to draw.
        seed: Decides which.

    Raises:
        EdgeError: The data is not where it was, or no drawn picture holds a face.
    """
    datasets = [
        one.only("train")
        for one in _datasets(run, data)
        if any(sample.split == "train" for sample in one.samples)
    ]
    if not datasets:
        raise EdgeError(
            "no training pictures in the data of the run", "point --data at the data of the run"
        )
    labels = np.concatenate([one.labels_array() for one in datasets])
    drawn = choose(labels, count, seed)
    starts = np.cumsum([0, *(len(one.samples) for one in datasets)])
    parts = []
    for dataset, start, end in zip(datasets, starts, starts[1:], strict=False):
        rows = drawn[(drawn >= start) & (drawn < end)] - start
        if len(rows):
            parts.append(replace(dataset, samples=tuple(dataset.samples[row] for row in rows)))
    found = cut_faces(parts, run.contract)
    return Calibration(found.crops(range(len(found))), found.names, seed)


def validation_faces(run: Run, data: Sequence[Path]) -> Faces:
    """Cut the faces that the run was validated with: those of its first data set.

    Args:
        run: The run.
        data: As `training_faces`.

    Raises:
        EdgeError: The data is not where it was, or no picture holds a face.
    """
    return cut_faces([_datasets(run, data)[0].only("val")], run.contract)


def _datasets(run: Run, data: Sequence[Path]) -> list[Dataset]:
    """Load the run's data sets with its attributes, from where they lie now."""
    entries = run.config["data"]
    if len(data) > len(entries):
        raise EdgeError(
            f"{len(data)} --data folders, the run has {len(entries)} data sets",
            "give them in the order of the run: "
            + ", ".join(entry["dataset"] for entry in entries),
        )
    roots = [*data, *(Path(entry["root"]) for entry in entries[len(data) :])]
    datasets = [
        load(root, entry["dataset"]).with_attributes(run.attributes, allow_missing=place > 0)
        for place, (root, entry) in enumerate(zip(roots, entries, strict=True))
    ]
    if run.config["subset"]:
        train, val, test = run.config["subset"]
        datasets[0] = balanced_subset(
            datasets[0], (train, val, test), run.attributes[0], run.config["seed"]
        )
    return datasets
