"""What is left of a training that has come to its end: the model, its scores and the figures.

In the run folder: model.keras, history.json, config.json and, in plots/, one PNG a figure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edge.datasets import Dataset
from edge.files import replacing, write_json
from edge.runtime.evaluate import scores_of
from edge.runtime.judge import Judgement
from edge.train import networks
from edge.train.augment import augmented
from edge.train.circumstances import Counts
from edge.train.config import CONFIG
from edge.train.facecache import Faces
from edge.train.heads import bottleneck
from edge.train.job import validation_split
from edge.train.looks import label_counts, training_plots
from edge.train.loop import Trainer
from edge.train.predict import as_input, predict
from edge.train.threshold import best_threshold

MODEL, _PLOTS = "model.keras", "plots"
_BATCH = 256
# Faces whose features are drawn, faces that are shown augmented, and how often each.
_DRAWN, _SHOWN, _WAYS = 2_000, 4, 10


@dataclass(frozen=True)
class Judged:
    """What a finished model is judged on; training pictures, by the million, are not held for it.

    Args:
        watched: The pictures that the training was watched on.
        tested: The test pictures; None without any.
        counts: Labels of all data sets by split, to be drawn.
    """

    watched: Dataset
    tested: Dataset | None
    counts: Counts


def judged_of(datasets: Sequence[Dataset], own: int) -> Judged:
    """Return what is judged of a job's data sets, of which the first one validates and tests.

    Args:
        datasets: Of the job.
        own: How many of their attributes the finished model tells.
    """
    first = datasets[0]
    return Judged(
        first.only(validation_split(first)),
        first.only("test") if first.count("test") else None,
        label_counts([one.with_attributes(one.attributes[:own]) for one in datasets]),
    )


def finish_run(
    trainer: Trainer,
    config: dict[str, Any],
    out: Path,
    judged: Judged,
    test: Faces | None,
) -> dict[str, Any]:
    """Score the model, draw it, and save it last: a folder that holds it is whole.

    Args:
        trainer: Whose phases are over.
        config: Of the run, as begun.
        out: The run folder.
        judged: The pictures to score the model on.
        test: Faces of the test pictures, if there are any.

    Returns:
        The config with thresholds, scores and sizes, as written.
    """
    model = trainer.best_model()
    validation, own = trainer.pupils.validation, trainer.pupils.own
    probabilities = predict_faces(model, validation)
    if trainer.recipe.threshold == "validation":
        config["thresholds"] = [
            best_threshold(probabilities[:, column], validation.labels[:, column])
            for column in range(own)
        ]
    history = trainer.state.history
    config |= {
        "accuracy": _scores(judged.watched, validation, probabilities, config),
        "best_epoch": trainer.state.best_epoch,
        "parameters": model.count_params(),
        "multiply_adds": networks.multiply_adds(model),
        "faces": len(trainer.pupils.faces),
        "seconds": round(sum(entry["seconds"] for entry in history)),
    }
    if test is not None and judged.tested is not None:
        config["test"] = _scores(judged.tested, test, predict_faces(model, test), config)
    write_json(out / "history.json", history)
    write_json(out / CONFIG, config)
    training_plots(
        out / _PLOTS,
        history=history,
        faces=validation,
        names=validation.names([judged.watched]),
        probabilities=probabilities,
        answers=config["attributes"],
        thresholds=config["thresholds"],
        counts=judged.counts,
        people=trainer.recipe.task == "identity",
        examples=_examples(trainer),
        layers=_layers(model, validation),
        features=_features(model, validation),
    )
    with replacing(out / MODEL) as temporary:
        model.save(temporary)
    return config


def predict_faces(model: keras.Model, faces: Faces) -> NDArray[np.float32]:
    """Run a network over faces without holding them all: float32 (faces, outputs)."""
    return np.concatenate(
        [predict(model, crops, faces.contract) for crops in faces.batches(_BATCH)]
    )


def _scores(
    dataset: Dataset, faces: Faces, probabilities: NDArray[np.float32], config: dict[str, Any]
) -> dict[str, Any]:
    """Score the pictures of one data set as `edge evaluate` does."""
    values = np.full((len(dataset.samples), probabilities.shape[1]), np.nan, np.float32)
    values[faces.places[:, 1]] = probabilities
    readable = np.ones(len(values), bool)
    readable[faces.missing["unreadable"][:, 1]] = False
    if not dataset.classes:
        dataset = dataset.with_attributes(config["attributes"])
    judgement = Judgement(dataset, readable, ~np.isnan(values[:, 0]), values)
    return dict(scores_of(judgement, config["thresholds"])["attributes"])


def _examples(trainer: Trainer) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return some training faces, and each of them augmented ten ways."""
    faces = trainer.pupils.faces
    random = np.random.default_rng(trainer.seed)
    chosen = random.choice(len(faces), min(_SHOWN, len(faces)), replace=False)
    crops = faces.crops(chosen)
    ways = augmented(faces, np.repeat(chosen, _WAYS), trainer.recipe.augmentation, random)
    return crops, ways.reshape(len(chosen), _WAYS, *crops.shape[1:])


def _layers(model: keras.Model, faces: Faces) -> list[tuple[str, NDArray[np.float32]]]:
    """Return what each convolution makes of the first validation face."""
    kinds = keras.layers.Conv2D, keras.layers.DepthwiseConv2D
    convolutions = [layer for layer in model.layers if isinstance(layer, kinds)]
    watching = keras.Model(model.input, [layer.output for layer in convolutions])
    maps = watching.predict_on_batch(as_input(faces.crops([0]), faces.contract))
    maps = maps if isinstance(maps, list) else [maps]
    return [
        (layer.name, np.asarray(found, np.float32)[0])
        for layer, found in zip(convolutions, maps, strict=True)
    ]


def _features(model: keras.Model, faces: Faces) -> NDArray[np.float32]:
    """Return what the answers are made of, for the first validation faces: (n, width)."""
    network = keras.Model(model.input, bottleneck(model))
    return predict_faces(network, faces.subset(np.arange(min(_DRAWN, len(faces)))))
