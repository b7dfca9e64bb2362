"""Pictures picked on one machine to be judged on another, with the labels that they have here."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge.datasets import Dataset
from edge.errors import EdgeError
from edge.samples import Sample

FILE = "picked.json"


def pick(dataset: Dataset) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of the files of a folder that `read_picked` reads back.

    A picture that cannot be read is empty, and will be counted as unreadable there too.
    """
    names = [f"{at:06d}{Path(one.name).suffix}" for at, one in enumerate(dataset.samples)]
    words = {
        "name": dataset.name,
        "attributes": dataset.attributes,
        "classes": dataset.classes,
        "licence": dataset.licence,
        "samples": [[name, one.split] for name, one in zip(names, dataset.samples, strict=True)],
        "labels": [
            [None if np.isnan(label) else label for label in row] for row in dataset.labels.tolist()
        ],
    }
    yield FILE, json.dumps(words).encode()
    for name, sample in zip(names, dataset.samples, strict=True):
        try:
            content = sample.content()
        except EdgeError:
            content = b""
        yield name, content


def is_picked(root: Path) -> bool:
    """Tell whether a folder holds pictures that were picked."""
    return (root / FILE).is_file()


def read_picked(root: Path) -> Dataset:
    """Read picked pictures back: the same labels and splits, in the same order.

    Raises:
        EdgeError: The folder is damaged.
    """
    try:
        words = json.loads((root / FILE).read_text("utf-8"))
        labels = np.array(words["labels"], np.float32).reshape(-1, len(words["attributes"]))
        samples = [Sample(str(root / name), None, split) for name, split in words["samples"]]
        return Dataset(
            name=words["name"],
            root=root,
            attributes=tuple(words["attributes"]),
            samples=tuple(samples),
            labels=labels,
            findings={},
            licence=words["licence"],
            classes=tuple(words["classes"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EdgeError(f"{root / FILE} is damaged: {error}", "send the pictures again") from error
