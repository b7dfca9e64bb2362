"""A small data set that needs no download of faces: one public-domain portrait, lit two ways."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.assets import fetch
from edge.contract import InputContract
from edge.images import read_picture
from edge.train.recipes import Recipe, recipe_named


@pytest.fixture(scope="session")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder per class, "bright" and "dark", 24 / 8 / 8 pictures, each moved a little."""
    root = tmp_path_factory.mktemp("portraits")
    face = read_picture(fetch("demo"))[40:240, 110:310]
    random = np.random.default_rng(0)
    for split, count in (("train", 24), ("val", 8), ("test", 8)):
        for at in range(count):
            name = ("dark", "bright")[at % 2]
            moved = np.roll(face, random.integers(-8, 9, 2), axis=(0, 1))
            lit = np.clip(moved * (0.55, 1.0)[at % 2] + random.integers(-10, 10), 0, 255)
            path = root / split / name / f"{at:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), lit.astype(np.uint8))
    return root


@pytest.fixture(scope="session")
def tiny() -> Recipe:
    """A recipe that trains in seconds."""
    return replace(
        recipe_named("proposed"),
        contract=InputContract(width=32, height=32),
        epochs=3,
        batch=8,
        learning_rate=2e-3,
    )
