"""The training loop: explicit, resumable at any step, fed by threads ahead of the network."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from edge.errors import EdgeError
from edge.progress import progress
from edge.train import checkpoint, networks
from edge.train.augment import augmented
from edge.train.facecache import Faces
from edge.train.recipes import Recipe

Batch = tuple[NDArray[np.uint8], NDArray[np.float32]]

_AHEAD = 3
_WARM_UP_STEPS = 300
_CHECKPOINT_EVERY_S = 60.0
_VALIDATION_BATCH = 128


@dataclass
class State:
    """Where a training stands; saved with every checkpoint."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    rate: float = 0.0
    best_loss: float = math.inf
    best_epoch: int = -1
    waited: int = 0
    stopped: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)


class Trainer:
    """Trains one network on faces that are already cut.

    Args:
        recipe: How.
        attributes: Names of the columns of the labels; the first `own` are kept at the end.
        own: How many attributes the finished model has.
        faces: To train on.
        validation: To choose the best epoch by, never augmented.
        seed: Decides weights, order and augmentation.
        policy: Keras dtype policy to train in.
    """

    def __init__(
        self,
        recipe: Recipe,
        attributes: tuple[str, ...],
        own: int,
        faces: Faces,
        validation: Faces,
        *,
        seed: int,
        policy: str,
    ) -> None:
        self.recipe, self.attributes, self.own = recipe, attributes, own
        self.faces, self.seed = faces, seed
        self.batch = min(recipe.batch, len(faces))
        self.steps = len(faces) // self.batch
        self.state = State(rate=recipe.learning_rate)
        self._validation = (validation.crops(range(len(validation))), validation.labels[:, :own])
        keras.utils.set_random_seed(seed)
        self._trained = networks.build(
            recipe.network,
            recipe.contract,
            len(attributes),
            dropout=recipe.dropout,
            normalised=recipe.normalised,
            policy=policy,
        )
        self.network = keras.Model(
            self._trained.inputs, self._trained.get_layer(networks.LOGITS).output
        )
        self.finished = networks.build(recipe.network, recipe.contract, own)
        self.optimizer = keras.optimizers.AdamW(
            recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
        self.optimizer.build(self.network.trainable_variables)
        weights = attribute_weights(len(attributes), own, recipe.auxiliary)
        self.network.compile(self.optimizer, masked_cross_entropy(weights))
        # Copies: the arrays that NumPy is shown may be the variables' own memory.
        self._average = [variable.numpy().copy() for variable in self.network.weights]
        self._best = self._finished_weights()

    def fit(self, path: Path, report: Callable[[str], None]) -> None:
        """Train until the epochs are over or nothing improves, with a checkpoint at `path`.

        Raises:
            EdgeError: The loss is no longer a number, or the checkpoint cannot be written.
        """
        while self.state.epoch < self.recipe.epochs and not self.state.stopped:
            start, already = time.monotonic(), self.state.step
            loss = self._epoch(path)
            seconds = time.monotonic() - start
            trained = (self.steps - already) * self.batch
            self._close_epoch(loss, trained / seconds)
            self.save(path)
            report(describe(self.state.history[-1], self.recipe.epochs))

    def _epoch(self, path: Path) -> float:
        """Train for what is left of an epoch; return its mean loss."""
        state, saved = self.state, time.monotonic()
        label = f"epoch {state.epoch + 1} of {self.recipe.epochs}"
        with progress(
            label, self.steps * self.batch, "images", done=state.step * self.batch
        ) as advance:
            for crops, labels in self.batches():
                self.step(crops, labels)
                advance(self.batch)
                if time.monotonic() - saved > _CHECKPOINT_EVERY_S:
                    self.save(path)
                    saved = time.monotonic()
        return state.loss_sum / max(state.step, 1)

    def step(self, crops: NDArray[np.uint8], labels: NDArray[np.float32]) -> None:
        """Train on one batch.

        Raises:
            EdgeError: The loss is no longer a number.
        """
        state = self.state
        self.optimizer.learning_rate = self._rate()
        loss = float(self.network.train_on_batch(crops, labels))
        if not math.isfinite(loss):
            raise EdgeError(
                f"the loss is {loss} at epoch {state.epoch + 1}, step {state.step + 1}",
                "lower the learning rate; the last checkpoint is intact",
            )
        self._move_average()
        state.step += 1
        state.loss_sum += loss

    def batches(self) -> Iterator[Batch]:
        """Yield the batches left in this epoch, made by threads ahead of their use.

        What a batch holds depends on the seed, the epoch and the step alone.
        """
        epoch = self.state.epoch
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.faces))

        def make(step: int) -> Batch:
            chosen = order[step * self.batch : (step + 1) * self.batch]
            random = np.random.default_rng([self.seed, epoch, step])
            crops = augmented(self.faces, chosen, self.recipe.augmentation, random)
            return crops, self.faces.labels[chosen]

        with ThreadPoolExecutor(1) as pool:
            waiting: deque[Future[Batch]] = deque()
            for step in range(self.state.step, self.steps):
                waiting.append(pool.submit(make, step))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _rate(self) -> float:
        if self.recipe.schedule == "plateau":
            return self.state.rate
        total = self.recipe.epochs * self.steps
        now = self.state.epoch * self.steps + self.state.step
        warm = min(1.0, (now + 1) / min(_WARM_UP_STEPS, total / 10 + 1))
        low, high = self.recipe.lowest_rate, self.recipe.learning_rate
        return warm * (low + (high - low) * (1 + math.cos(math.pi * now / total)) / 2)

    def _close_epoch(self, loss: float, images_per_s: float) -> None:
        """Validate, keep the weights if they are the best, and lower the rate on a plateau."""
        state = self.state
        weights = self._finished_weights()
        validation = self._validate()
        state.history.append(
            {
                "epoch": state.epoch + 1,
                "rate": self._rate(),
                "loss": loss,
                **validation,
                "images_per_s": round(images_per_s, 1),
            }
        )
        if validation["val_loss"] < state.best_loss:
            state.best_loss, state.best_epoch, state.waited = (
                validation["val_loss"],
                state.epoch + 1,
                0,
            )
            self._best = weights
        else:
            state.waited += 1
            if self.recipe.schedule == "plateau":
                if state.waited % self.recipe.patience == 0:
                    state.rate = max(state.rate / 10, self.recipe.lowest_rate)
                state.stopped = state.waited >= 3 * self.recipe.patience
        state.epoch, state.step, state.loss_sum = state.epoch + 1, 0, 0.0

    def _move_average(self) -> None:
        """Let the average follow the weights, batch statistics included; quickly at first."""
        if not self.recipe.average:
            return
        steps = self.state.epoch * self.steps + self.state.step
        share = 1 - min(self.recipe.average, (1 + steps) / (10 + steps))
        for average, variable in zip(self._average, self.network.weights, strict=True):
            average += share * (variable.numpy() - average)

    def _finished_weights(self) -> list[NDArray[Any]]:
        """Bring `finished` up to date and return its weights, averaged if the recipe says so."""
        live = [variable.numpy() for variable in self.network.weights]
        if self.recipe.average:
            _assign(self.network.weights, self._average)
        networks.finish(self._trained, self.finished)
        _assign(self.network.weights, live)
        return [variable.numpy() for variable in self.finished.weights]

    def _validate(self) -> dict[str, Any]:
        """Measure `finished` on the kept attributes, which decide what epoch is the best."""
        crops, labels = self._validation
        probabilities = np.clip(predict(self.finished, crops), 1e-7, 1 - 1e-7)
        known = np.isfinite(labels)
        target = np.where(known, labels, 0)
        each = -(target * np.log(probabilities) + (1 - target) * np.log(1 - probabilities))
        right = (probabilities >= 0.5) == (target >= 0.5)
        accuracy = (right & known).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        return {
            "val_loss": float(each[known].mean()),
            "val_accuracy": dict(zip(self.attributes, map(float, accuracy), strict=False)),
        }

    def best_model(self) -> keras.Model:
        """Return the best epoch's network in float32, with the kept attributes only."""
        _assign(self.finished.weights, self._best)
        return self.finished

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        live = [variable.numpy() for variable in self._variables()]
        checkpoint.save(path, [*live, *self._average], self._best, asdict(self.state))

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            EdgeError: It is damaged, or belongs to another network.
        """
        live, best, state = checkpoint.load(path)
        variables = self._variables()
        shapes = [tuple(value.shape) for value in (*variables, *self._average)]
        if shapes != [value.shape for value in live]:
            raise EdgeError(
                f"{path} holds the weights of another network",
                "resume with the recipe and attributes it was started with",
            )
        _assign(variables, live[: len(variables)])
        self._average = live[len(variables) :]
        self._best = best
        self.state = State(**state)

    def _variables(self) -> list[keras.Variable]:
        return [*self.network.variables, *self.optimizer.variables]


def attribute_weights(attributes: int, own: int, auxiliary: float) -> NDArray[np.float32]:
    """Return the weight of each attribute in the loss: float32 (attributes,).

    The kept ones share a weight of 1, the others share `auxiliary`.
    """
    weights = np.full(attributes, auxiliary / max(attributes - own, 1), np.float32)
    weights[:own] = 1 / own
    return weights


def masked_cross_entropy(weights: NDArray[np.float32]) -> Callable[..., Any]:
    """Return a loss over logits that leaves out unknown labels (nan)."""

    def loss(labels: Any, logits: Any) -> Any:
        known = ops.equal(labels, labels)
        target = ops.where(known, labels, 0.0)
        each = (
            ops.maximum(logits, 0.0) - logits * target + ops.log1p(ops.exp(-ops.absolute(logits)))
        )
        return ops.sum(ops.where(known, each, 0.0) * weights, axis=-1)

    return loss


def predict(model: keras.Model, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run a model on crops: uint8 (n, height, width, 3) → float32 (n, attributes)."""
    parts = [
        np.asarray(model.predict_on_batch(crops[at : at + _VALIDATION_BATCH]))
        for at in range(0, len(crops), _VALIDATION_BATCH)
    ]
    return np.concatenate(parts).astype(np.float32)


def describe(epoch: dict[str, Any], epochs: int) -> str:
    """Return one line about a finished epoch."""
    accuracy = ", ".join(f"{name} {value:.4f}" for name, value in epoch["val_accuracy"].items())
    return (
        f"epoch {epoch['epoch']}/{epochs}: loss {epoch['loss']:.4f}, validation "
        f"{epoch['val_loss']:.4f} ({accuracy}), rate {epoch['rate']:.1e}, "
        f"{epoch['images_per_s']:.0f} images/s"
    )


def _assign(variables: list[keras.Variable], values: list[NDArray[Any]]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
