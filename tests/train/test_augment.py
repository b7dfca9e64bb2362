from dataclasses import replace

import numpy as np
import pytest

from edge.contract import InputContract
from edge.datasets import load
from edge.train.augment import NONE, Augmentation, augmented
from edge.train.facecache import Faces, cut_faces


@pytest.fixture(scope="module")
def faces(portraits) -> Faces:
    return cut_faces([load(portraits).only("train")], InputContract(width=64, height=64))


def _draw(faces: Faces, how: Augmentation, seed: int = 0) -> np.ndarray:
    return augmented(faces, np.arange(len(faces)), how, np.random.default_rng(seed))


def test_nothing_to_change_gives_the_crops_themselves(faces):
    assert np.array_equal(_draw(faces, NONE), faces.crops(range(len(faces))))


def test_a_flip_is_a_mirror_image(faces):
    crops = faces.crops(range(len(faces)))
    flipped = _draw(faces, replace(NONE, flip=1.0))
    # Half-pixel positions are exact under a mirror, so are the pixels.
    assert np.array_equal(flipped, crops[:, :, ::-1])


def test_the_same_generator_gives_the_same_crops(faces):
    assert np.array_equal(_draw(faces, Augmentation()), _draw(faces, Augmentation()))
    assert not np.array_equal(_draw(faces, Augmentation()), _draw(faces, Augmentation(), seed=1))


@pytest.mark.parametrize(
    "how",
    [
        replace(NONE, turn=15.0),
        replace(NONE, shift=0.1),
        replace(NONE, zoom=0.1),
        replace(NONE, shear=0.1),
        replace(NONE, light=0.3),
        replace(NONE, colour=0.15),
        replace(NONE, kernel=1.0),
        replace(NONE, noise=8.0),
        replace(NONE, erase=1.0),
    ],
)
def test_each_change_changes_a_face_but_keeps_it_recognisable(faces, how):
    crops, changed = faces.crops(range(len(faces))), _draw(faces, how)
    difference = np.abs(changed.astype(int) - crops).mean(axis=(1, 2, 3))
    assert (difference > 0).mean() > 0.4
    for before, after in zip(crops, changed, strict=True):
        assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.3
