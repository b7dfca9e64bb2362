import itertools
from dataclasses import replace

import numpy as np
import pytest

from edge.datasets import load
from edge.errors import EdgeError
from edge.train import checkpoint
from edge.train.facecache import cut_faces
from edge.train.loop import Trainer, attribute_weights, masked_cross_entropy


@pytest.fixture(scope="module")
def make(portraits, tiny):
    """Return a function that makes a trainer on the portraits."""
    dataset = load(portraits)
    faces = cut_faces([dataset.only("train")], tiny.contract)
    validation = cut_faces([dataset.only("val")], tiny.contract)

    def trainer(**changes) -> Trainer:
        recipe = replace(tiny, **changes)
        return Trainer(recipe, dataset.attributes, 1, faces, validation, seed=3, policy="float32")

    return trainer


def test_the_loss_leaves_unknown_labels_out():
    loss = masked_cross_entropy(attribute_weights(2, 1, 1.0))
    logits = np.array([[2.0, -1.0]], np.float32)
    both = loss(np.array([[1.0, 0.0]], np.float32), logits)
    first = loss(np.array([[1.0, np.nan]], np.float32), logits)
    assert np.allclose(first, np.log1p(np.exp(-2.0)))
    assert np.allclose(both, np.log1p(np.exp(-2.0)) + np.log1p(np.exp(-1.0)))


def test_auxiliary_attributes_share_their_weight():
    assert np.allclose(attribute_weights(40, 2, 0.5)[:3], [0.5, 0.5, 0.5 / 38])
    assert attribute_weights(40, 2, 0.5).sum() == pytest.approx(1.5)
    assert attribute_weights(2, 2, 0.0).tolist() == [0.5, 0.5]


def test_batches_depend_on_seed_epoch_and_step_alone(make):
    one, other = make(), make()
    first = list(one.batches())
    other.state.step = 2
    for (crops, labels), (again, same) in zip(first[2:], other.batches(), strict=True):
        assert np.array_equal(crops, again)
        assert np.array_equal(labels, same)
    other.state.step, other.state.epoch = 0, 1
    assert not np.array_equal(first[0][0], next(iter(other.batches()))[0])


def test_an_epoch_shows_every_face_once(make):
    trainer = make(batch=6)
    shown = sum(len(crops) for crops, _ in trainer.batches())
    assert shown == len(trainer.faces) == 24


def test_it_learns(make, tmp_path):
    trainer = make(epochs=15)
    trainer.fit(tmp_path / "checkpoint.npz", lambda line: None)
    history = trainer.state.history
    assert history[-1]["loss"] < history[0]["loss"] / 2
    assert max(next(iter(entry["val_accuracy"].values())) for entry in history) >= 0.9


def test_the_rate_falls_on_a_plateau_and_the_training_stops(make, tmp_path):
    trainer = make(epochs=50, patience=1, learning_rate=1e-9)
    # A rate this small never improves on the first epoch by much; forbid it altogether.
    trainer.state.best_loss = -1.0
    trainer.fit(tmp_path / "checkpoint.npz", lambda line: None)
    assert trainer.state.stopped
    assert len(trainer.state.history) == 3
    assert trainer.state.rate == pytest.approx(1e-7)


def test_the_cosine_warms_up_and_ends_low(make):
    trainer = make(schedule="cosine", epochs=40, learning_rate=1e-3, lowest_rate=1e-6)
    rates = []
    for epoch, step in itertools.product(range(40), range(trainer.steps)):
        trainer.state.epoch, trainer.state.step = epoch, step
        rates.append(trainer._rate())
    assert rates[0] < max(rates) / 5
    assert max(rates) == pytest.approx(1e-3, rel=0.1)
    assert rates[-1] == pytest.approx(1e-6, rel=0.5)


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_resumed_training_ends_with_the_same_weights(make, tmp_path, average):
    whole = make(average=average)
    whole.fit(tmp_path / "whole.npz", lambda line: None)
    begun = make(average=average)
    for crops, labels in itertools.islice(begun.batches(), 2):
        begun.step(crops, labels)
    begun.save(tmp_path / "begun.npz")
    resumed = make(average=average)
    resumed.resume(tmp_path / "begun.npz")
    resumed.fit(tmp_path / "begun.npz", lambda line: None)
    assert resumed.state.history[-1]["loss"] == whole.state.history[-1]["loss"]
    for one, other in zip(
        whole.best_model().get_weights(), resumed.best_model().get_weights(), strict=True
    ):
        assert np.array_equal(one, other)


def test_a_loss_that_is_no_number_stops_with_the_last_checkpoint_intact(make, tmp_path):
    trainer = make(learning_rate=1e30)
    trainer.save(tmp_path / "checkpoint.npz")
    before = (tmp_path / "checkpoint.npz").read_bytes()
    with pytest.raises(EdgeError, match="the loss is"):
        trainer.fit(tmp_path / "checkpoint.npz", lambda line: None)
    assert (tmp_path / "checkpoint.npz").read_bytes() == before


def test_a_checkpoint_of_another_network_is_refused(make, tmp_path):
    make().save(tmp_path / "one.npz")
    with pytest.raises(EdgeError, match="weights of another network"):
        make(normalised=True).resume(tmp_path / "one.npz")


def test_a_damaged_checkpoint_is_refused(tmp_path):
    path = tmp_path / "checkpoint.npz"
    checkpoint.save(path, [np.ones(9)], [], {"epoch": 1})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(EdgeError, match="cannot be read"):
        checkpoint.load(path)
