"""How a phase goes: where it stands, its optimiser, and how its rate falls."""

import math
from dataclasses import dataclass, field
from typing import Any

import keras

from edge.train.recipe import Phase

_WARM_UP_STEPS = 300


@dataclass
class State:
    """Where a training stands; saved with every checkpoint.

    Epochs count within their phase; steps, losses and seconds within their epoch. `best_loss` is
    that of the weights to keep, which may be of the phase before; `lowest_loss` and `waited` (the
    epochs since it, or since the rate fell) are of this phase alone.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    rate: float = 0.0
    best_loss: float = math.inf
    best_epoch: int = -1
    lowest_loss: float = math.inf
    waited: int = 0
    stopped: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)


def rate_of(phase: Phase, state: State, steps: int) -> float:
    """Return the learning rate of the next step.

    Args:
        phase: Says how it falls.
        state: Where the phase stands.
        steps: Of an epoch.
    """
    if phase.schedule != "cosine":
        return state.rate
    total = phase.epochs * steps
    now = state.epoch * steps + state.step
    warm = min(1.0, (now + 1) / min(_WARM_UP_STEPS, total / 10 + 1))
    low, high = phase.lowest_rate, phase.learning_rate
    return warm * (low + (high - low) * (1 + math.cos(math.pi * now / total)) / 2)


def losses_compare(one: Phase, other: Phase) -> bool:
    """Say whether the validation losses of two phases mean the same."""
    return (one.goal == "bottleneck") == (other.goal == "bottleneck")


def follow(phase: Phase, state: State, loss: float) -> bool:
    """Take note of an epoch's validation loss; say whether its weights are the best.

    On a plateau the rate falls; each rate has its own wait, and after that of the lowest the phase
    stops.
    """
    if loss < state.lowest_loss:
        state.lowest_loss, state.waited = loss, 0
    else:
        state.waited += 1
    if phase.schedule == "plateau" and state.waited == phase.patience:
        lower = max(state.rate / 10, phase.lowest_rate)
        state.stopped = math.isclose(lower, state.rate)
        state.rate, state.waited = lower, 0
    best = loss < state.best_loss
    state.best_loss = min(loss, state.best_loss)
    return best


def described(phase: Phase, state: State) -> str:
    """Return one line about the epoch that was just finished."""
    entry = state.history[-1]
    right = ", ".join(f"{name} {value:.4f}" for name, value in entry["val_accuracy"].items())
    return (
        f"{phase.name}, epoch {state.epoch}/{phase.epochs}: loss {entry['loss']:.4f}, validation "
        f"{entry['val_loss']:.4f} ({right or 'features'}), rate {entry['rate']:.1e}, "
        f"{entry['images_per_s']:.0f} images/s"
    )


def optimizer_of(phase: Phase, weight_decay: float) -> keras.optimizers.Optimizer:
    """Return the optimiser of a phase, not yet built."""
    makers = {
        "adam": keras.optimizers.AdamW,
        "rmsprop": keras.optimizers.RMSprop,
        "sgd": keras.optimizers.SGD,
    }
    optimizer = makers[phase.optimizer](phase.learning_rate, weight_decay=weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer
