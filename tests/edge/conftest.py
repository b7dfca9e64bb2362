"""Data sets made by hand: pictures of one grey and text files."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.assets import fetch
from edge.datasets import Dataset

GREY = np.full((8, 6, 3), 120, np.uint8)


def put_pictures(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(path.suffix, GREY)[1].tobytes())


def put_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def seen(dataset: Dataset) -> dict[str, tuple[tuple[float, ...], str]]:
    labels = map(tuple, dataset.labels.tolist())
    return {
        sample.name: (own, sample.split)
        for sample, own in zip(dataset.samples, labels, strict=True)
    }


@pytest.fixture
def portraits_of_one(tmp_path: Path) -> Path:
    """Two smiles of one person, one of which is labelled as none."""
    for name in ("smiling/a.png", "not_smiling/b.png"):
        (tmp_path / "data" / name).parent.mkdir(parents=True)
        (tmp_path / "data" / name).write_bytes(fetch("demo").read_bytes())
    return tmp_path / "data"
