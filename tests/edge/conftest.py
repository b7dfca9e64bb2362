"""Data sets made by hand: pictures of one grey and text files."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

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
