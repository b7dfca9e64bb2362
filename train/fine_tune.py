"""A trained network that learns on with the rounding of int8: the last remedy for its file."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import keras

from edge.datasets import Dataset
from edge.errors import EdgeError
from edge.train.folding import fold
from edge.train.heads import LOGITS, POOLED, PROBABILITIES
from edge.train.job import Job
from edge.train.loop import Trainer
from edge.train.recipe import Phase, Recipe
from edge.train.rounding import rounded
from edge.train.run import pupils_of

# Ten times as much moves the answers of a network more than rounding does.
_RATE = 1e-5

_WITHOUT = "leave --fine-tune out"


def require_known(network: keras.Model, source: Path) -> None:
    """Refuse a network that `edge train` did not build.

    Raises:
        EdgeError: It lacks the layers of one.
    """
    names = {layer.name for layer in getattr(network, "layers", ())}
    if not {POOLED, LOGITS, PROBABILITIES} <= names:
        raise EdgeError(
            f"{source} cannot be trained further: it is not a network of `edge train`", _WITHOUT
        )


def fine_tuned(
    network: keras.Model,
    source: Path,
    job: Job,
    datasets: Sequence[Dataset],
    epochs: int,
    report: Callable[[str], None],
) -> keras.Model:
    """Train a network on with the rounding of int8.

    Its teacher is the network itself, by the mean of its answers to a face and its mirror image;
    one that tells people apart learns from labels.

    Args:
        network: A finished network; it stays as it is.
        source: Where it lies: a run folder, or a .keras file beside its config.json.
        job: What it was trained by.
        datasets: What it was trained on.
        epochs: How many.
        report: Called with a line about the faces, and one after each epoch.

    Returns:
        The network in float32, its normalisations folded, with weights that bear the rounding.

    Raises:
        EdgeError: There are too few faces to train on, or the loss is no longer a number.
    """
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # as `edge train` does
    recipe = _recipe(job.recipe, epochs)
    job = replace(job, recipe=recipe, teachers=(str(source),))
    finished = fold(network)
    try:
        trainer = Trainer(
            recipe, pupils_of(job, datasets, report), seed=job.seed, policy="float32",
            networks=(rounded(finished), finished),
        )  # fmt: skip
        trainer.fit(None, report)
    except EdgeError as error:
        raise EdgeError(error.message, _WITHOUT) from error
    return trainer.best_model()


def _recipe(recipe: Recipe, epochs: int) -> Recipe:
    """Return a recipe of one phase that learns the teacher's answers, and nothing else."""
    phase = Phase(
        name="as int8",
        epochs=epochs,
        learning_rate=_RATE,
        schedule="cosine",
        lowest_rate=_RATE / 100,
        goal="answers" if recipe.task == "attributes" else "labels",
        teacher_weight=1.0,
    )
    # Validation is without rounding, and would keep what rounding has not changed yet.
    return replace(
        recipe, phases=(phase,), keep="last", weight_decay=0.0, average=0.0, auxiliary=0.0,
        class_weights=False,
    )  # fmt: skip
