import json
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest

from edge.contract import InputContract
from edge.datasets import load
from edge.errors import EdgeError
from edge.train.augment import NONE, PHONE, S0B, S1, S2, Augmentation, augmented
from edge.train.facecache import Faces, cut_faces

SETS = {"S0B": S0B, "S1": S1, "S2": S2, "PHONE": PHONE, "default": Augmentation()}
COUNT = 60


@pytest.fixture(scope="module")
def faces(portraits) -> Faces:
    return cut_faces([load(portraits).only("train")], InputContract(width=64, height=64))


@pytest.fixture(scope="module")
def made() -> Callable[..., Faces]:
    """A function that makes faces of one picture, uint8 (72, 72, 3): crops of 48 and their rim."""

    def make(picture: np.ndarray, **contract: str) -> Faces:
        return Faces(
            InputContract(width=48, height=48, **contract),
            (12, 12),
            (np.repeat(picture[None], COUNT, axis=0),),
            np.stack([np.zeros(COUNT, np.int64), np.arange(COUNT)], axis=1),
            np.zeros((COUNT, 1), np.float32),
            {},
        )

    return make


def _flat(*colour: int) -> np.ndarray:
    return np.full((72, 72, 3), colour, np.uint8)


def _draw(faces: Faces, how: Augmentation, seed: int = 0) -> np.ndarray:
    return augmented(faces, np.arange(len(faces)), how, np.random.default_rng(seed))


def test_nothing_to_change_gives_the_crops_themselves(faces):
    assert np.array_equal(_draw(faces, NONE), faces.crops(range(len(faces))))


def test_a_flip_is_a_mirror_image(faces):
    crops = faces.crops(range(len(faces)))
    flipped = _draw(faces, replace(NONE, flip=1.0))
    # Half-pixel positions are exact under a mirror, so are the pixels.
    assert np.array_equal(flipped, crops[:, :, ::-1])


@pytest.mark.parametrize("name", SETS)
def test_the_same_generator_gives_the_same_crops(faces, name):
    how = SETS[name]
    assert np.array_equal(_draw(faces, how), _draw(faces, how))
    assert not np.array_equal(_draw(faces, how), _draw(faces, how, seed=1))


@pytest.mark.parametrize(
    "how",
    [
        replace(NONE, turn=15.0),
        replace(NONE, shift=0.1),
        replace(NONE, zoom=0.1),
        replace(NONE, stretch=0.1),
        replace(NONE, shear=0.1),
        replace(NONE, light=0.3),
        replace(NONE, colour=0.15),
        replace(NONE, hue=10.0),
        replace(NONE, kernel=1.0),
        replace(NONE, kernel=1.0, kernels=("median",)),
        replace(NONE, noise=8.0),
        replace(NONE, jpeg=1.0),
        S1,
        S2,
        PHONE,
        Augmentation(),
    ],
)
def test_each_change_changes_a_face_but_keeps_it_recognisable(faces, how):
    crops, changed = faces.crops(range(len(faces))), _draw(faces, replace(how, flip=0))
    difference = np.abs(changed.astype(int) - crops).mean(axis=(1, 2, 3))
    assert (difference > 0).mean() > 0.4
    for before, after in zip(crops, changed, strict=True):
        assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.3


@pytest.mark.parametrize("how", [S0B, S1, replace(NONE, turn=15.0, shear=0.1)])
def test_geometry_leaves_colours_alone(made, how):
    assert (_draw(made(_flat(70, 120, 200)), how) == (70, 120, 200)).all()


def _sides(how: Augmentation, made: Callable[..., Faces]) -> np.ndarray:
    """Return width and height of what became of a square of 20 pixels, (n, 2)."""
    square = _flat(0, 0, 0)
    square[26:46, 26:46] = 255
    lit = _draw(made(square), how)[..., 0] / 255
    return np.stack([lit.max(axis=1).sum(axis=1), lit.max(axis=2).sum(axis=1)], axis=1)


def test_a_zoom_keeps_the_shape_and_a_stretch_does_not(made):
    zoomed, stretched = (_sides(how, made) for how in (replace(NONE, zoom=0.2), S0B))
    assert np.abs(zoomed[:, 0] - zoomed[:, 1]).max() < 0.5
    shape = stretched[:, 0] / stretched[:, 1]
    # At most 1.2 / 0.8; a square's edges are half a pixel uncertain.
    assert 1.25 < shape.max() < 1.58
    assert 0.63 < shape.min() < 0.8
    for sides in (zoomed, stretched):
        assert sides.min() > 20 / 1.2 - 1
        assert sides.max() < 20 / 0.8 + 1
        assert np.ptp(sides[:, 0]) > 5


def test_hue_turns_colours_and_keeps_greys_and_their_mean(made):
    how = replace(NONE, hue=10.0)
    assert np.abs(_draw(made(_flat(90, 90, 90)), how).astype(int) - 90).max() <= 1
    turned = _draw(made(_flat(180, 90, 60)), how)[:, 0, 0].astype(float)
    assert np.abs(turned.mean(axis=1) - 110).max() <= 1
    # A turn by 10° moves a colour by as much of its distance from grey.
    moved = np.linalg.norm(turned - (180, 90, 60), axis=1)
    radius = np.linalg.norm(np.array([180, 90, 60]) - 110)
    assert moved.max() == pytest.approx(2 * np.sin(np.radians(5)) * radius, abs=1.5)
    assert (turned[:, 1] > 93).any()
    assert (turned[:, 1] < 87).any()


def test_noise_is_gaussian_and_falls_on_half_of_the_faces(made):
    noisy = _draw(made(_flat(128, 128, 128)), replace(NONE, noise=8.0)).astype(float) - 128
    spread = noisy.std(axis=(1, 2, 3))
    assert 0.3 < (spread == 0).mean() < 0.7
    assert 6 < spread.max() < 8.3
    assert np.abs(noisy.mean(axis=(1, 2, 3))).max() < 0.5
    loudest = noisy[spread.argmax()].ravel() / spread.max()
    assert (loudest**4).mean() == pytest.approx(3, abs=0.3)


def test_a_median_removes_what_a_blur_would_spread(made):
    dotted = _flat(60, 60, 60)
    dotted[::6, ::6] = 255
    assert (_draw(made(dotted), replace(NONE, kernel=1.0, kernels=("median",))) == 60).all()
    blurred = _draw(made(dotted), replace(NONE, kernel=1.0, kernels=("motion",)))
    assert blurred.max() > 70


def test_jpeg_sees_red_as_red_in_both_orders(made):
    picture = np.random.default_rng(0).integers(0, 256, (72, 72, 3), np.uint8)
    how = replace(NONE, jpeg=1.0)
    rgb = _draw(made(picture, colour="RGB"), how)
    bgr = _draw(made(np.ascontiguousarray(picture[:, :, ::-1]), colour="BGR"), how)
    assert np.array_equal(rgb, bgr[..., ::-1])


def test_a_set_survives_its_file():
    for how in (NONE, *SETS.values()):
        assert Augmentation(**json.loads(json.dumps(asdict(how)))) == how


@pytest.mark.parametrize("kernels", [("median", "smudge"), ()])
def test_unknown_kernels_are_refused(kernels):
    with pytest.raises(EdgeError, match="kernels of an augmentation") as caught:
        Augmentation(kernels=kernels)
    assert "blur, motion, median, sharpen, resolution" in caught.value.hint


@pytest.mark.parametrize("how", [S1, S2])
def test_the_layers_of_keras_do_the_same_kind_of_thing(faces, how):
    from edge.train.keras_augment import keras_augmented

    crops = faces.crops(range(len(faces)))
    changed = keras_augmented(replace(how, flip=0))(crops)
    assert changed.shape == crops.shape
    assert changed.dtype == np.float32
    assert np.abs(changed - crops).mean() > 3
    for before, after in zip(crops, changed, strict=True):
        assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.3
