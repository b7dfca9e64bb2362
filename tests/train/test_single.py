"""Keras one picture and one step at a time: the same numbers as many at a time."""

import math
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.contract import InputContract
from edge.errors import EdgeError
from edge.files import sha256_of, write_json
from edge.modelfile import ModelCard, read_model, resolve_model
from edge.train import networks, single
from edge.train.fresh import fresh
from edge.train.loop import Trainer
from edge.train.model import KerasClassifier
from edge.train.recipes import Recipe
from edge.train.single import SingleCalls, training_steps

CONTRACT = InputContract(width=32, height=32)


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def make_run(
    tmp_path_factory: pytest.TempPathFactory, crops: NDArray[np.uint8]
) -> Callable[..., Path]:
    """Return a function that writes a run folder with one small network."""
    network = fresh("proposed", CONTRACT, 2, crops, seed=1)

    def make(**recipe: object) -> Path:
        folder = tmp_path_factory.mktemp("run")
        network.save(folder / "model.keras")
        card = ModelCard(
            name="small", contract=CONTRACT, attributes=("Smiling", "Male"), thresholds=(0.5, 0.6),
            variant="float32", recipe={"network": "proposed", **recipe}, data={}, calibration=None,
            accuracy={}, versions={}, licence="none",
        )  # fmt: skip
        write_json(folder / "config.json", card.to_json())
        return folder

    return make


@pytest.fixture(scope="module")
def run(make_run: Callable[..., Path]) -> Path:
    return make_run()


def weights(trainer: Trainer) -> list[NDArray[np.float32]]:
    return [variable.numpy().copy() for variable in trainer.network.weights]


@pytest.mark.parametrize("compiled", [True, False])
def test_one_at_a_time_is_what_many_at_a_time_are(
    run: Path, crops: NDArray[np.uint8], compiled: bool
) -> None:
    expected = KerasClassifier(run).classify(crops[:4])
    calls = SingleCalls(run, compiled=compiled)
    found = np.stack([calls.probabilities(crop) for crop in crops[:4]])
    assert found.dtype == np.float32
    assert np.ptp(expected, axis=0).min() > 0.001
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_run_tells_what_it_is(run: Path) -> None:
    calls, file = SingleCalls(run, compiled=True), run / "model.keras"
    assert calls.identity == {"name": "small", "sha256": sha256_of(file)}
    assert (calls.contract, calls.trained) == (CONTRACT, True)
    assert (calls.attributes, calls.thresholds) == (("Smiling", "Male"), (0.5, 0.6))
    assert calls.size_bytes == file.stat().st_size
    assert calls.multiply_adds == networks.multiply_adds(networks.build("proposed", CONTRACT, 2))
    assert SingleCalls(file, compiled=True).identity == calls.identity


def test_an_untrained_run_says_so(make_run: Callable[..., Path]) -> None:
    assert not SingleCalls(make_run(untrained=True), compiled=True).trained


def test_the_network_of_a_model_file_has_fresh_weights_and_its_own_work() -> None:
    path = resolve_model("default-float32")
    card, calls = read_model(path).card, SingleCalls(path, compiled=True)
    assert (calls.contract, calls.attributes) == (card.contract, card.attributes)
    assert (calls.trained, calls.size_bytes) == (False, None)
    assert calls.identity == {"name": card.name, "sha256": ""}
    crop = np.full((card.contract.height, card.contract.width, 3), 90, np.uint8)
    assert calls.probabilities(crop).shape == (len(card.attributes),)
    assert np.isfinite(calls.probabilities(crop)).all()


def test_what_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="there is no file"):
        SingleCalls(tmp_path, compiled=True)


def test_the_backend_is_named_with_its_version() -> None:
    assert single.backend() == f"keras {keras.__version__} on {keras.backend.backend()}"


@pytest.mark.skipif(bool(keras.distribution.list_devices("gpu")), reason="there is a GPU")
def test_a_gpu_that_keras_does_not_see_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # How many threads TensorFlow takes is decided once a process, and not by this test.
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(EdgeError, match="Keras on jax sees no GPU") as caught:
        single.hold_to(1, "gpu")
    assert "leave gpu out of --device" in caught.value.hint


def test_every_step_trains_on_a_batch_and_is_finite(
    tiny: Recipe, crops: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainers: list[Trainer] = []
    shown: list[tuple[int, ...]] = []
    step = Trainer.step

    def watched(self: Trainer, pictures: NDArray[np.uint8], labels: NDArray[np.float32]) -> None:
        trainers.append(self)
        shown.append(pictures.shape)
        step(self, pictures, labels)

    monkeypatch.setattr(Trainer, "step", watched)
    monkeypatch.setattr(single, "recipe_named", lambda name: tiny)
    call, batch = training_steps("tiny", "mixed_bfloat16", crops)
    assert batch == tiny.batch == 8
    call()
    before = weights(trainers[0])
    # Twelve pictures are one step an epoch: the third step is in the third one.
    call()
    call()
    assert shown == [(8, 32, 32, 3)] * 3
    after = weights(trainers[0])
    assert all(np.isfinite(value).all() for value in after)
    assert any(not np.array_equal(old, new) for old, new in zip(before, after, strict=True))
    assert math.isfinite(trainers[0].state.loss_sum)
