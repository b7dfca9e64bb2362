"""The training loop: explicit, and resumable at any step."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from edge.errors import EdgeError
from edge.progress import progress
from edge.train import checkpoint, networks
from edge.train.features import features_of
from edge.train.feed import Batch, ahead, batch_of
from edge.train.folding import finish, fold
from edge.train.heads import LOGITS, POOLED, PROBABILITIES, bottleneck
from edge.train.losses import (
    attribute_weights,
    objective,
    validation_accuracy,
    validation_loss,
)
from edge.train.predict import as_input
from edge.train.pupils import Pupils
from edge.train.recipe import Phase, Recipe
from edge.train.rowfile import RowFile
from edge.train.schedule import State, described, follow, losses_compare, optimizer_of, rate_of
from edge.train.statistics import normalises, take_statistics
from edge.train.variables import assign, shapes_of, value, values

_CHECKPOINT_EVERY_S = 60.0
_VALIDATION_BATCH = 128
# Each gives a statistic one value for every place of its layer.
_STATISTICS_FACES = 2_000


class Trainer:
    """Trains one network on faces that are already cut, phase by phase.

    Args:
        recipe: How.
        pupils: The faces, what is to be said of them, and what a teacher says.
        seed: Decides weights, order and augmentation.
        policy: Keras dtype policy to train in.
        prepare: Called with the fresh network, to load weights into it.
        networks: The network that is trained and, with the same names of layers, the finished one
            that is made of it, in the place of fresh ones.
    """

    def __init__(
        self,
        recipe: Recipe,
        pupils: Pupils,
        *,
        seed: int,
        policy: str,
        prepare: Callable[[keras.Model], None] = lambda network: None,
        networks: tuple[keras.Model, keras.Model] | None = None,
    ) -> None:
        self.recipe, self.pupils, self.seed = recipe, pupils, seed
        self.state = State()
        keras.utils.set_random_seed(seed)
        self.trained, self.finished = networks or (
            self._build(pupils.answers, policy, prepare=prepare),
            self._build(pupils.own, "float32", finished=True),
        )
        self._best = values(self.trained.weights)
        for phase in recipe.phases:
            self._require(phase)
        self._enter(0)

    def _build(
        self,
        answers: int,
        policy: str,
        *,
        finished: bool = False,
        prepare: Callable[[keras.Model], None] = lambda network: None,
    ) -> keras.Model:
        recipe = self.recipe
        network = networks.build(
            recipe.network,
            recipe.contract,
            answers,
            head=recipe.head,
            cut=recipe.cut,
            task=recipe.task,
            dropout=recipe.dropout,
            normalised=recipe.normalised and not finished,
            policy=policy,
        )
        prepare(network)
        return fold(network) if recipe.folded else network

    @property
    def phase(self) -> Phase:
        """The phase that the training is in."""
        return self.recipe.phases[self.state.phase]

    def _enter(self, at: int) -> None:
        """Begin a phase from the best weights of the one before."""
        before = self.state
        self.state = State(phase=at, history=before.history)
        phase = self.phase
        if at and losses_compare(self.recipe.phases[at - 1], phase):
            self.state.best_loss, self.state.best_epoch = before.best_loss, before.best_epoch
        self.state.rate = phase.learning_rate
        assign(self.trained.weights, self._best)
        self._unfreeze(phase)
        self._inputs = self._stored(phase)
        self.rows = self.pupils.rows(first_only=phase.first_only)
        self.batch = self.recipe.batch
        self.steps = len(self.rows) // self.batch
        self.network = self._learner(phase)
        self._judging = keras.Model(
            self.finished.get_layer(POOLED).output if phase.stored else self.finished.input,
            # Keras cannot give an input back as it is, as where the pooled features are the end.
            [
                self.finished.get_layer(PROBABILITIES).output,
                layers.Identity()(bottleneck(self.finished)),
            ],
        )
        self.optimizer = optimizer_of(phase, self.recipe.weight_decay)
        self.optimizer.build(self.network.trainable_variables)
        weights = attribute_weights(
            self.pupils.answers, min(self.pupils.own, self.pupils.answers), self.recipe.auxiliary
        )
        self.network.compile(
            self.optimizer,
            objective(
                phase, self.recipe.task, self.pupils.answers, weights, self.pupils.class_weights
            ),
        )
        # Copies: the arrays that NumPy is shown may be the variables' own memory.
        self._average = values(self.network.weights) if self.recipe.average else []

    def _require(self, phase: Phase) -> None:
        """Refuse a phase that cannot be trained before time is spent on those before it."""
        networks.layers_from(self.trained, phase.trains, self._last_block)
        faces = len(self.pupils.rows(first_only=phase.first_only))
        if faces < self.recipe.batch:
            raise EdgeError(
                f"a batch of {self.recipe.batch} is larger than the {faces} training faces",
                f"give more pictures, or --batch {max(faces // 2, 1)}",
            )
        if phase.goal in ("bottleneck", "cosine"):
            self.pupils.require_features(int(bottleneck(self.trained).shape[-1]))

    @property
    def _last_block(self) -> str:
        return networks.network_named(self.recipe.network).last_block

    def _unfreeze(self, phase: Phase) -> None:
        layers_from = networks.layers_from(self.trained, phase.trains, self._last_block)
        learns = set(map(id, layers_from))
        for layer in self.trained.layers:
            norm = isinstance(layer, layers.BatchNormalization)
            layer.trainable = id(layer) in learns and (phase.statistics or not norm)

    def _learner(self, phase: Phase) -> keras.Model:
        """Return what learns in a phase: from crops or stored features to what its loss wants."""
        outputs = self.trained.get_layer(LOGITS).output
        if phase.goal in ("bottleneck", "cosine"):
            outputs = layers.Concatenate(dtype="float32")([outputs, bottleneck(self.trained)])
        inputs = self.trained.get_layer(POOLED).output if phase.stored else self.trained.input
        return keras.Model(inputs, outputs)

    def _stored(self, phase: Phase) -> tuple[RowFile[np.float16], RowFile[np.float16]] | None:
        """Return what the frozen body makes of training and validation faces, if that is kept."""
        if not phase.stored:
            return None
        finish(self.trained, self.finished)
        body = keras.Model(self.finished.input, self.finished.get_layer(POOLED).output)
        return (
            features_of(body, self.pupils.faces, "storing features"),
            features_of(body, self.pupils.validation, "storing features to validate on"),
        )

    def fit(self, path: Path | None, report: Callable[[str], None]) -> None:
        """Train until every phase is over, with a checkpoint at `path` if one is given.

        Raises:
            EdgeError: The loss is no longer a number, or the checkpoint cannot be written.
        """
        while True:
            while self.state.epoch < self.phase.epochs and not self.state.stopped:
                self._close_epoch(self._epoch(path))
                if path:
                    self.save(path)
                report(described(self.phase, self.state))
            if self.state.phase + 1 == len(self.recipe.phases):
                return
            self._enter(self.state.phase + 1)

    def _epoch(self, path: Path | None) -> float:
        """Train for what is left of an epoch; return its mean loss."""
        state, saved = self.state, time.monotonic()
        begun = saved - state.seconds
        label = f"{self.phase.name}, epoch {state.epoch + 1} of {self.phase.epochs}"
        with progress(
            label, self.steps * self.batch, "images", done=state.step * self.batch
        ) as advance:
            for inputs, targets in self.batches():
                self.step(inputs, targets)
                advance(self.batch)
                state.seconds = time.monotonic() - begun
                if path and time.monotonic() - saved > _CHECKPOINT_EVERY_S:
                    self.save(path)
                    saved = time.monotonic()
        return state.loss_sum / max(state.step, 1)

    def step(self, inputs: NDArray[np.generic], targets: NDArray[np.float32]) -> None:
        """Train on one batch.

        Raises:
            EdgeError: The loss is no longer a number.
        """
        state = self.state
        self.optimizer.learning_rate = rate_of(self.phase, state, self.steps)
        loss = float(self.network.train_on_batch(inputs, targets))
        if not math.isfinite(loss):
            raise EdgeError(
                f"the loss is {loss} at epoch {state.epoch + 1}, step {state.step + 1}",
                "lower the learning rate; the last checkpoint is intact",
            )
        self._move_average()
        state.step += 1
        state.loss_sum += loss

    def batches(self) -> Iterator[Batch]:
        """Yield the batches left in this epoch.

        What a batch holds depends on the seed, the phase, the epoch and the step alone.
        """
        phase, place = self.phase, (self.seed, self.state.phase, self.state.epoch)
        order = self.rows[np.random.default_rng(place).permutation(len(self.rows))]
        stored = None if self._inputs is None else self._inputs[0]

        def make(step: int) -> Batch:
            chosen = order[step * self.batch : (step + 1) * self.batch]
            random = np.random.default_rng((*place, step))
            return batch_of(self.pupils, chosen, self.recipe, phase, stored, random)

        return ahead(make, range(self.state.step, self.steps))

    def _close_epoch(self, loss: float) -> None:
        """Validate, keep the weights if they are the best, and lower the rate on a plateau."""
        state, phase = self.state, self.phase
        weights = self._settled_weights()
        validation = self._validate()
        state.history.append(
            {
                "epoch": len(state.history) + 1,
                "phase": phase.name,
                "rate": rate_of(phase, replace(state, step=state.step - 1), self.steps),
                "loss": loss,
                **validation,
                "images_per_s": round(self.steps * self.batch / max(state.seconds, 1e-3), 1),
                "seconds": round(state.seconds, 1),
            }
        )
        if follow(phase, state, validation["val_loss"]) or self.recipe.keep == "last":
            state.best_epoch = len(state.history)
            self._best = weights
        state.epoch, state.step, state.loss_sum, state.seconds = state.epoch + 1, 0, 0.0, 0.0

    def _move_average(self) -> None:
        """Let the average follow the weights, batch statistics included; quickly at first."""
        if not self.recipe.average:
            return
        steps = self.state.epoch * self.steps + self.state.step
        share = 1 - min(self.recipe.average, (1 + steps) / (10 + steps))
        for average, variable in zip(self._average, self.network.weights, strict=True):
            average += share * (value(variable) - average)

    def _settled_weights(self) -> list[NDArray[Any]]:
        """Return the weights as they would be kept, averaged if the recipe says so.

        `finished` has them from then on.
        """
        live = values(self.network.weights)
        if self.recipe.average:
            assign(self.network.weights, self._average)
        finish(self.trained, self.finished)
        settled = values(self.trained.weights)
        assign(self.network.weights, live)
        return settled

    def _validate(self) -> dict[str, Any]:
        """Measure `finished` on what it is to say, which decides what epoch is the best."""
        pupils, phase = self.pupils, self.phase
        probabilities, features = self.judge()
        labels = pupils.validation.labels
        if self.recipe.task == "attributes":
            labels = labels[:, : pupils.own]
        validation: dict[str, Any] = {
            "val_loss": validation_loss(
                phase, self.recipe.task, probabilities, features, labels,
                pupils.validation_features, pupils.class_weights,
            ),
            "val_accuracy": {},
        }  # fmt: skip
        if phase.goal != "bottleneck":
            validation["val_accuracy"] = validation_accuracy(
                self.recipe.task, probabilities, labels, pupils.attributes
            )
        return validation

    def judge(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run `finished` on the validation faces: probabilities (n, answers), bottleneck."""
        faces, contract = self.pupils.validation, self.recipe.contract
        if self._inputs is None:
            batches = (as_input(crops, contract) for crops in faces.batches(_VALIDATION_BATCH))
        else:
            kept = self._inputs[1]
            starts = range(0, len(kept), _VALIDATION_BATCH)
            rows = (np.arange(at, min(at + _VALIDATION_BATCH, len(kept))) for at in starts)
            batches = (kept[some].astype(np.float32) for some in rows)
        parts = [
            [np.asarray(one) for one in self._judging.predict_on_batch(some)] for some in batches
        ]
        probabilities, features = (np.concatenate(side) for side in zip(*parts, strict=True))
        return probabilities.astype(np.float32), features.astype(np.float32)

    def best_model(self) -> keras.Model:
        """Return the best epoch's network in float32, with the kept answers only.

        Statistics that were averaged over a short training still hold what they began with, and
        those of a deep network fit averaged weights badly: where they are better, they are those
        of faces without augmentation.
        """
        assign(self.trained.weights, self._best)
        finish(self.trained, self.finished)
        if self._inputs is None and normalises(self.trained):
            before = self._validate()["val_loss"]
            self._take_statistics()
            if not self._validate()["val_loss"] < before:
                assign(self.trained.weights, self._best)
                finish(self.trained, self.finished)
        return self.finished

    def _take_statistics(self) -> None:
        random = np.random.default_rng(self.seed)
        chosen = random.permutation(self.rows)[:_STATISTICS_FACES]
        crops = self.pupils.faces.crops(np.sort(chosen))
        take_statistics(self.trained, self.recipe.contract, crops)
        finish(self.trained, self.finished)

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        checkpoint.save(
            path, [*values(self._variables()), *self._average], self._best, asdict(self.state)
        )

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            EdgeError: It is damaged, or belongs to another network.
        """
        live, best, saved = checkpoint.load(path)
        state = State(**saved)
        fits = shapes_of(best) == shapes_of(self.trained.weights)
        if state.phase >= len(self.recipe.phases) or not fits:
            raise _other_network(path)
        # Each phase has an optimiser of its own, and may store what the best weights make.
        self._best = best
        self._enter(state.phase)
        variables = self._variables()
        if shapes_of(live) != shapes_of([*variables, *self._average]):
            raise _other_network(path)
        assign(variables, live[: len(variables)])
        self._average = live[len(variables) :]
        self.state = state

    def _variables(self) -> list[keras.Variable]:
        return [*self.trained.variables, *self.optimizer.variables]


def _other_network(path: Path) -> EdgeError:
    return EdgeError(
        f"{path} holds the weights of another network",
        "resume with the recipe and attributes it was started with",
    )
