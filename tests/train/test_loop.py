import itertools
from dataclasses import replace

import keras
import numpy as np
import pytest

from edge.datasets import load
from edge.errors import EdgeError
from edge.train import checkpoint
from edge.train.facecache import cut_faces
from edge.train.folding import finish
from edge.train.loop import Trainer
from edge.train.pupils import Pupils
from edge.train.recipe import Head, Phase
from edge.train.schedule import State, follow, rate_of
from edge.train.variables import assign


@pytest.fixture(scope="module")
def pupils(portraits, tiny) -> Pupils:
    dataset = load(portraits)
    even = np.ones(1, np.float32)
    return Pupils(
        faces=cut_faces([dataset.only("train")], tiny.contract),
        validation=cut_faces([dataset.only("val")], tiny.contract),
        attributes=dataset.attributes,
        answers=1,
        own=1,
        class_weights=(even, even),
    )


@pytest.fixture(scope="module")
def make(pupils, tiny):
    """Return a function that makes a trainer on the portraits."""

    def trainer(*phases: Phase, taught: Pupils = pupils, **changes) -> Trainer:
        recipe = replace(tiny, phases=phases or tiny.phases, **changes)
        return Trainer(recipe, taught, seed=3, policy="float32")

    return trainer


def weights(model: keras.Model) -> dict[str, np.ndarray]:
    return {weight.path: keras.ops.convert_to_numpy(weight).copy() for weight in model.weights}


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
    assert shown == len(trainer.pupils.faces) == 24


def test_it_learns(make, tmp_path):
    trainer = make(Phase(epochs=15, learning_rate=2e-3))
    trainer.fit(tmp_path / "checkpoint.npz", lambda line: None)
    history = trainer.state.history
    assert history[-1]["loss"] < history[0]["loss"] / 2
    assert max(next(iter(entry["val_accuracy"].values())) for entry in history) >= 0.9


def test_statistics_that_still_hold_what_they_began_with_are_taken_anew(make):
    trainer = make(
        Phase(epochs=3, learning_rate=2e-3), network="compact", head=Head(), normalised=True
    )
    trainer.fit(None, lambda line: None)
    for weight, kept in zip(trainer.trained.weights, trainer._best, strict=True):
        if "moving" in weight.path:
            kept[:] = "variance" in weight.path
    assign(trainer.trained.weights, trainer._best)
    finish(trainer.trained, trainer.finished)
    before = trainer._validate()["val_loss"]
    trainer.best_model()
    assert trainer._validate()["val_loss"] < before


def test_statistics_that_are_worse_are_not_kept(make, monkeypatch):
    def spoil(network, contract, crops):
        for weight in network.weights:
            if "moving_mean" in weight.path:
                weight.assign(weight + 5)

    monkeypatch.setattr("edge.train.loop.take_statistics", spoil)
    trainer = make(
        Phase(epochs=3, learning_rate=2e-3), network="compact", head=Head(), normalised=True
    )
    trainer.fit(None, lambda line: None)
    kept = min(entry["val_loss"] for entry in trainer.state.history)
    trainer.best_model()
    assert trainer._validate()["val_loss"] == pytest.approx(kept, abs=1e-6)


def test_the_rate_falls_on_a_plateau_and_the_training_stops(make, tmp_path):
    trainer = make(Phase(epochs=50, patience=2, learning_rate=1e-6, lowest_rate=1e-7))
    trainer.state.lowest_loss = -1.0  # nothing will be better
    trainer.fit(tmp_path / "checkpoint.npz", lambda line: None)
    assert trainer.state.stopped
    rates = [entry["rate"] for entry in trainer.state.history]
    assert rates == pytest.approx([1e-6, 1e-6, 1e-7, 1e-7])


def test_a_lower_rate_has_as_long_to_make_it_better():
    phase = Phase(patience=2, learning_rate=1e-3, lowest_rate=1e-5)
    state, rates = State(rate=1e-3), []
    for loss in (0.5, 0.6, 0.6, 0.6, 0.4, 0.5, 0.5, 0.5, 0.5):
        follow(phase, state, loss)
        rates.append(state.rate)
        assert state.stopped == (len(rates) == 9)
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-4, 1e-4, 1e-5, 1e-5, 1e-5])


def test_the_cosine_warms_up_and_ends_low(make):
    trainer = make(Phase(schedule="cosine", epochs=40, learning_rate=1e-3, lowest_rate=1e-6))
    rates = []
    for epoch, step in itertools.product(range(40), range(trainer.steps)):
        trainer.state.epoch, trainer.state.step = epoch, step
        rates.append(rate_of(trainer.phase, trainer.state, trainer.steps))
    assert rates[0] < max(rates) / 5
    assert max(rates) == pytest.approx(1e-3, rel=0.1)
    assert rates[-1] == pytest.approx(1e-6, rel=0.5)


def test_the_rate_that_is_told_is_that_of_an_epochs_last_step(make, tmp_path):
    trainer = make(Phase(schedule="cosine", epochs=2, learning_rate=1e-3, lowest_rate=1e-6))
    taken = []
    trainer.fit(
        tmp_path / "checkpoint.npz",
        lambda line: taken.append(float(trainer.optimizer.learning_rate)),
    )
    assert [entry["rate"] for entry in trainer.state.history] == pytest.approx(taken)


_HEAD = Phase(name="head", epochs=2, trains="head", learning_rate=1e-2)
_STORED = replace(_HEAD, stored=True)
_REST = Phase(name="rest", epochs=2, learning_rate=1e-3)


@pytest.mark.parametrize(
    ("phases", "average"),
    [
        ((_REST,), 0.9),
        ((_STORED, _REST), 0.9),
        pytest.param((_REST,), 0.0, marks=pytest.mark.slow),
        pytest.param((_HEAD, _REST), 0.0, marks=pytest.mark.slow),
    ],
)
def test_a_resumed_training_ends_with_the_same_weights(make, tmp_path, phases, average):
    whole = make(*phases, average=average)
    whole.fit(tmp_path / "whole.npz", lambda line: None)
    begun = make(*phases, average=average)
    for crops, labels in itertools.islice(begun.batches(), 2):
        begun.step(crops, labels)
    begun.state.seconds = 1000
    begun.save(tmp_path / "begun.npz")
    resumed = make(*phases, average=average)
    resumed.resume(tmp_path / "begun.npz")
    resumed.fit(tmp_path / "begun.npz", lambda line: None)
    assert resumed.state.history[0]["seconds"] > 1000 > resumed.state.history[1]["seconds"]
    assert resumed.state.history[-1]["loss"] == whole.state.history[-1]["loss"]
    for one, other in zip(
        whole.best_model().get_weights(), resumed.best_model().get_weights(), strict=True
    ):
        assert np.array_equal(one, other)


def test_a_loss_that_is_no_number_stops_with_the_last_checkpoint_intact(make, tmp_path):
    trainer = make(Phase(learning_rate=1e30))
    trainer.save(tmp_path / "checkpoint.npz")
    before = (tmp_path / "checkpoint.npz").read_bytes()
    with pytest.raises(EdgeError, match="the loss is"):
        trainer.fit(tmp_path / "checkpoint.npz", lambda line: None)
    assert (tmp_path / "checkpoint.npz").read_bytes() == before


def test_a_checkpoint_of_another_network_is_refused(make, tmp_path):
    make().save(tmp_path / "one.npz")
    with pytest.raises(EdgeError, match="weights of another network"):
        make(normalised=True).resume(tmp_path / "one.npz")


def test_a_checkpoint_of_more_than_a_thousand_arrays_comes_back_in_order(tmp_path):
    path = tmp_path / "checkpoint.npz"
    arrays = [np.array([at]) for at in range(1_203)]
    checkpoint.save(path, arrays, arrays[:3], {"epoch": 1})
    live, best, _ = checkpoint.load(path)
    assert [int(one[0]) for one in live] == list(range(1_203))
    assert [int(one[0]) for one in best] == [0, 1, 2]


def test_a_phase_that_cannot_be_trained_is_refused_before_the_first(make):
    with pytest.raises(EdgeError, match="has no last block"):
        make(_HEAD, replace(_REST, trains="last block"))


def test_a_later_phase_that_makes_nothing_better_leaves_the_weights_of_the_one_before(
    make, tmp_path
):
    worse = Phase(name="worse", epochs=1, learning_rate=0.3)
    trainer = make(_HEAD, worse)
    trainer.fit(tmp_path / "checkpoint.npz", lambda line: None)
    losses = [entry["val_loss"] for entry in trainer.state.history]
    assert losses[2] > min(losses[:2])
    assert trainer.state.best_epoch in (1, 2)
    trainer.best_model()
    assert trainer._validate()["val_loss"] == pytest.approx(min(losses[:2]), rel=1e-5)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    path = tmp_path / "checkpoint.npz"
    checkpoint.save(path, [np.ones(9)], [], {"epoch": 1})
    for left in (path.read_bytes()[:-40], b""):
        path.write_bytes(left)
        with pytest.raises(EdgeError, match="cannot be read"):
            checkpoint.load(path)


def test_a_training_can_be_resumed_in_its_second_phase(make, tmp_path):
    whole = make(_HEAD, _REST)
    whole.fit(tmp_path / "whole.npz", lambda line: None)

    def stop(line: str) -> None:
        if line.startswith("rest"):
            raise KeyboardInterrupt

    begun, path = make(_HEAD, _REST), tmp_path / "begun.npz"
    with pytest.raises(KeyboardInterrupt):
        begun.fit(path, stop)
    resumed = make(_HEAD, _REST)
    resumed.resume(path)
    assert (resumed.phase.name, resumed.state.epoch) == ("rest", 1)
    resumed.fit(path, lambda line: None)
    expected, found = weights(whole.best_model()), weights(resumed.best_model())
    assert all(np.array_equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("phase", [_HEAD, _STORED])
def test_only_the_head_learns_while_the_body_is_frozen(make, tmp_path, phase):
    trainer = make(phase)
    before = weights(trainer.trained)
    trainer.fit(tmp_path / "checkpoint.npz", lambda line: None)
    after = weights(trainer.trained)
    moved = {name.split("/")[0] for name in before if not np.array_equal(before[name], after[name])}
    assert moved == {"dense", "logits"}


def test_a_named_layer_and_those_after_it_learn(make, tmp_path):
    trainer = make(replace(_REST, trains="conv3"))
    before = weights(trainer.trained)
    trainer.fit(tmp_path / "checkpoint.npz", lambda line: None)
    after = weights(trainer.trained)
    moved = {name.split("/")[0] for name in before if not np.array_equal(before[name], after[name])}
    assert moved == {"conv3", "dense", "logits"}


def test_a_layer_that_is_not_there_is_named_with_those_that_are(make):
    with pytest.raises(EdgeError, match="no layer conv9") as caught:
        make(replace(_REST, trains="conv9"))
    assert "conv3" in caught.value.hint


@pytest.mark.parametrize("head", [Head(layers=(128,)), Head()])
def test_stored_features_give_the_outputs_of_the_whole_network(make, head):
    trainer = make(_STORED, head=head)
    probabilities, _ = trainer.judge()
    crops = trainer.pupils.validation.crops(range(8)).astype(np.float32)
    assert np.allclose(probabilities, trainer.finished(crops), atol=2e-3)


def test_a_second_phase_that_begins_worse_than_the_first_ended_keeps_its_rate_while_it_gains():
    phase, state = Phase(patience=1, learning_rate=1e-3), State(rate=1e-3, best_loss=0.3)
    assert [follow(phase, state, loss) for loss in (0.5, 0.4, 0.2)] == [False, False, True]
    assert (state.rate, state.best_loss) == (1e-3, 0.2)
    assert not follow(phase, state, 0.25)
    assert state.rate == pytest.approx(1e-4)


def test_a_second_phase_begins_with_the_best_weights_of_the_first(make, tmp_path):
    trainer = make(
        _HEAD, replace(_REST, epochs=1, learning_rate=0.0, optimizer="sgd", schedule="constant")
    )
    trainer.fit(tmp_path / "checkpoint.npz", lambda line: None)
    history = trainer.state.history
    assert [entry["phase"] for entry in history] == ["head", "head", "rest"]
    best = min(entry["val_loss"] for entry in history[:2])
    assert history[2]["val_loss"] == pytest.approx(best, rel=1e-5)


def test_a_batch_larger_than_the_data_is_refused(make):
    with pytest.raises(EdgeError, match="a batch of 25 is larger than the 24") as caught:
        make(batch=25)
    assert "--batch" in caught.value.hint


@pytest.fixture(scope="module")
def taught(pupils) -> Pupils:
    """Pupils whose teacher's features are bright where the face is, in seven values."""

    def features(faces):
        light = faces.crops(range(len(faces))).mean(axis=(1, 2, 3), keepdims=True)[:, :, 0, 0]
        return np.repeat(light / 128, 7, axis=1).astype(np.float16)

    return replace(
        pupils,
        teacher_features=features(pupils.faces),
        validation_features=features(pupils.validation),
        teacher_answers=np.full((24, 1), 0.5, np.float16),
    )


def test_the_bottleneck_learns_a_teachers_features(make, taught, tmp_path):
    phase = Phase(name="bottleneck", epochs=12, learning_rate=5e-3, goal="bottleneck")
    trainer = make(phase, taught=taught, head=Head(layers=(32, 7)))
    trainer.fit(tmp_path / "checkpoint.npz", lambda line: None)
    losses = [entry["val_loss"] for entry in trainer.state.history]
    assert min(losses) < losses[0] / 2
    assert trainer.state.history[0]["val_accuracy"] == {}


def test_the_cosine_turns_the_bottleneck_towards_the_teachers(make, taught, tmp_path):
    def angle(weight: float) -> float:
        phase = Phase(epochs=6, learning_rate=2e-3, goal="cosine", teacher_weight=weight)
        trainer = make(phase, taught=taught, head=Head(layers=(7,)))
        trainer.fit(tmp_path / "checkpoint.npz", lambda line: None)
        features, wanted = trainer.judge()[1], taught.validation_features
        norms = np.linalg.norm(features, axis=1) * np.linalg.norm(wanted, axis=1) + 1e-6
        return float(((features * wanted).sum(axis=1) / norms).mean())

    assert angle(10.0) > angle(0.0)


def test_a_teacher_that_does_not_know_teaches_not_to_know(make, taught, tmp_path):
    phase = Phase(epochs=15, learning_rate=2e-3, goal="answers", teacher_weight=1.0)
    trainer = make(phase, taught=taught)
    trainer.fit(tmp_path / "checkpoint.npz", lambda line: None)
    assert np.abs(trainer.judge()[0] - 0.5).max() < 0.2


def test_features_of_another_width_are_refused(make, taught):
    with pytest.raises(EdgeError, match="the teacher has 7 features, the bottleneck 128"):
        make(Phase(goal="bottleneck"), taught=taught)


def test_without_a_teacher_its_features_cannot_be_learnt(make):
    with pytest.raises(EdgeError, match="there is no teacher"):
        make(Phase(goal="cosine"))


def test_the_last_weights_are_kept_where_a_recipe_says_so(make, tmp_path):
    trainer = make(Phase(epochs=3, learning_rate=2e-3), keep="last")
    trainer.fit(tmp_path / "checkpoint.npz", lambda line: None)
    assert trainer.state.best_epoch == 3
