"""One training, from data folders to a run folder: what `edge train` calls.

A run folder holds config.json (see `edge.train.job`), checkpoint.npz, history.json, model.keras
and the plots.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edge.errors import EdgeError
from edge.files import replacing, write_json
from edge.measure import accuracy
from edge.train import plots
from edge.train.config import CONFIG, read_config
from edge.train.facecache import Faces, cut_faces
from edge.train.job import Job, config_of, load_data
from edge.train.loop import Trainer, predict

_CHECKPOINT, _MODEL = "checkpoint.npz", "model.keras"


def train(job: Job, out: Path, *, resume: bool, report: Callable[[str], None]) -> dict[str, Any]:
    """Train a network into a run folder.

    Args:
        job: What to do. When resuming, that of the run folder.
        out: The run folder.
        resume: Go on from the folder's checkpoint, if there is one.
        report: Called with one line after each epoch.

    Returns:
        The run's config, with the accuracy on the validation pictures.

    Raises:
        EdgeError: The data, the options or the run folder do not fit together.
    """
    if (out / CONFIG).exists() and not resume:
        raise EdgeError(f"{out} already holds a run", "add --resume, or choose another --out")
    if job.deterministic:
        _be_deterministic()
    _require_writable(out)
    datasets = load_data(job)
    names = datasets[0].attributes
    config = config_of(job, out.resolve().name, datasets)
    _check_unchanged(out, config)
    faces = cut_faces(
        [one.only("train") for one in datasets if one.count("train")], job.recipe.contract
    )
    validation = cut_faces([datasets[0].only("val")], job.recipe.contract)
    report(
        f"{len(faces):,} faces to train on, {len(validation):,} to validate "
        f"(left out: {faces.missing['no face found']} without a face, "
        f"{faces.missing['unreadable']} unreadable)"
    )
    write_json(out / CONFIG, config)
    trainer = Trainer(
        job.recipe,
        names,
        len(job.attributes),
        faces,
        validation,
        seed=job.seed,
        policy=job.policy,
    )
    if resume and (out / _CHECKPOINT).exists():
        trainer.resume(out / _CHECKPOINT)
    trainer.fit(out / _CHECKPOINT, report)
    return _finish(trainer, config, out, validation)


def _require_writable(out: Path) -> None:
    """Refuse a folder that cannot be written before an hour is spent on what goes into it."""
    existing = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise EdgeError(f"cannot write into {existing}", "choose another --out")


def _be_deterministic() -> None:
    if keras.backend.backend() != "tensorflow":
        raise EdgeError(
            f"--deterministic needs TensorFlow, Keras runs on {keras.backend.backend()}",
            "set KERAS_BACKEND=tensorflow, or leave --deterministic out",
        )
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()


def _check_unchanged(out: Path, config: dict[str, Any]) -> None:
    """Refuse to go on with other pictures or labels than the run began with."""
    if not (out / CONFIG).exists():
        return
    for before, now in zip(read_config(out)["data"], config["data"], strict=True):
        if before["digest"] != now["digest"]:
            raise EdgeError(
                f"{now['root']} has changed since {out} was begun: digest "
                f"{now['digest'][:12]}…, was {before['digest'][:12]}…",
                "restore the data, or start again with another --out",
            )


def _finish(
    trainer: Trainer, config: dict[str, Any], out: Path, validation: Faces
) -> dict[str, Any]:
    """Save the model, its accuracy and the plots."""
    model = trainer.best_model()
    probabilities = predict(model, validation.crops(range(len(validation))))
    labels = validation.labels[:, : trainer.own]
    config = config | {
        "accuracy": accuracy_of(probabilities, labels, config),
        "best_epoch": trainer.state.best_epoch,
        "parameters": model.count_params(),
    }
    with replacing(out / _MODEL) as temporary:
        model.save(temporary)
    write_json(out / "history.json", trainer.state.history)
    plots.curves(trainer.state.history, out / "curves.png")
    plots.confusion(probabilities, labels, config["attributes"], out / "confusion.png")
    plots.roc(probabilities, labels, config["attributes"], out / "roc.png")
    write_json(out / CONFIG, config)
    return config


def accuracy_of(
    probabilities: NDArray[np.float32], labels: NDArray[np.float32], config: dict[str, Any]
) -> dict[str, Any]:
    """Return accuracy with its Wilson interval for each attribute, unknown labels left out."""
    decisions = probabilities >= np.array(config["thresholds"], np.float32)
    return {
        name: accuracy(decisions[:, column], labels[:, column])
        for column, name in enumerate(config["attributes"])
    }
