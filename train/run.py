"""One training, from data folders to a run folder: what `edge train` calls.

A run folder holds config.json (see `edge.train.job`), checkpoint.npz and what
`edge.train.finished` makes of it.
"""

import ctypes
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edge.datasets import Dataset
from edge.errors import EdgeError
from edge.files import require_writable, write_json
from edge.train import networks
from edge.train.balance import class_weights, require_both_classes
from edge.train.config import CONFIG, read_config
from edge.train.facecache import Faces, cut_faces
from edge.train.filters import mean_image, set_mean_image
from edge.train.finished import MODEL, finish_run, judged_of
from edge.train.job import (
    Job,
    config_of,
    load_data,
    require_teachers,
    validation_split,
    with_all_attributes,
)
from edge.train.loop import Trainer
from edge.train.pupils import Pupils
from edge.train.teacher import feature_teacher, teacher_answers, teacher_features
from edge.train.weights import load_weights, source_told

_CHECKPOINT = "checkpoint.npz"

# mallopt's M_MMAP_THRESHOLD.
_OWN_BLOCK_FROM = -3


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
    if (out / MODEL).exists():
        report(f"{out} is finished")
        return read_config(out)
    require_teachers(job.recipe, job.teachers)
    if job.deterministic:
        _be_deterministic()
    require_writable(out)
    if resume and not (out / CONFIG).exists():
        report(f"there is no run in {out} yet: it begins now")
    # Each phase traces a step of its own, which TensorFlow takes for a mistake.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    job = with_all_attributes(job)
    _require_weights(job, report)
    with _memory_given_back():
        datasets = load_data(job)
        config = config_of(job, out.resolve().name, datasets)
        _check_unchanged(out, config)
        pupils = pupils_of(job, datasets, report)
        judged = judged_of(datasets, len(job.attributes))
        test = _test_faces(job, judged.tested, report)
        del datasets  # all that is left of the training pictures is in `pupils`

    def prepare(network: keras.Model) -> None:
        config["weights_used"] = load_weights(network, job.recipe.network, job.weights)
        set_mean_image(network, lambda: mean_image(pupils.faces))

    config["teachers_used"] = [source_told(teacher) for teacher in job.teachers]
    trainer = Trainer(job.recipe, pupils, seed=job.seed, policy=job.policy, prepare=prepare)
    write_json(out / CONFIG, config)
    if resume and (out / _CHECKPOINT).exists():
        trainer.resume(out / _CHECKPOINT)
    try:
        trainer.fit(out / _CHECKPOINT, report)
    except KeyboardInterrupt:
        report(f"stopped; to go on: edge train --resume --out {out}")
        raise
    return finish_run(trainer, config, out, judged, test)


def _require_weights(job: Job, report: Callable[[str], None]) -> None:
    """Refuse weights of another network before faces are cut for an hour; tell if there are none.

    Raises:
        EdgeError: As `load_weights`.
    """
    recipe = job.recipe
    if job.weights != "none":
        body = networks.build(recipe.network, recipe.contract, 1, cut=recipe.cut)
        load_weights(body, recipe.network, job.weights)
    elif all(phase.trains != "all" for phase in recipe.phases):
        report(
            f"{recipe.network} begins with random weights, and recipe {recipe.name} never trains "
            "all of them: see --weights"
        )


def pupils_of(job: Job, datasets: Sequence[Dataset], report: Callable[[str], None]) -> Pupils:
    """Cut the faces of a job, and ask the teacher if there is one.

    Raises:
        EdgeError: There are no faces, all say the same, or the teacher knows nothing of them.
    """
    training = [one.only("train") for one in datasets if one.count("train")]
    watched = [datasets[0].only(validation_split(datasets[0]))]
    faces, validation = (cut_faces(some, job.recipe.contract) for some in (training, watched))
    report(
        f"{len(faces):,} faces to train on, {len(validation):,} to validate "
        f"(left out: {len(faces.missing['no face found']):,} without a face, "
        f"{len(faces.missing['unreadable']):,} unreadable)"
    )
    names, own, answers = datasets[0].attributes, len(job.attributes), len(datasets[0].attributes)
    if job.recipe.task == "identity":
        own = answers = len(datasets[0].classes)
    else:
        require_both_classes(faces.labels, names, own)
        # They are all that is held of each picture, and are yes, no or unknown.
        faces = replace(faces, labels=faces.labels.astype(np.float16))
    weights = np.ones(answers, np.float32), np.ones(answers, np.float32)
    if job.recipe.class_weights and job.recipe.task == "attributes":
        weights = class_weights(faces.labels, names, own)
    told, taught, watched_features = None, None, None
    goals = {phase.goal for phase in job.recipe.phases}
    if "answers" in goals:
        told = teacher_answers([Path(run) for run in job.teachers], training, faces, names)
    if goals & {"bottleneck", "cosine"}:
        network, seen = feature_teacher(job)
        taught = teacher_features(network, seen, training, faces)
        rows = teacher_features(network, seen, watched, validation)
        watched_features = rows[np.arange(len(rows))]
    return Pupils(
        faces=faces,
        validation=validation,
        attributes=names,
        answers=answers,
        own=own,
        class_weights=weights,
        teacher_answers=told,
        teacher_features=taught,
        validation_features=watched_features,
    )


def _test_faces(job: Job, tested: Dataset | None, report: Callable[[str], None]) -> Faces | None:
    """Cut the test faces before hours are spent; without any there is no test score."""
    if tested is None:
        return None
    try:
        return cut_faces([tested], job.recipe.contract)
    except EdgeError as error:
        report(f"no test score: {error.message}")
        return None


@contextmanager
def _memory_given_back() -> Iterator[None]:
    """Give the system what reading takes and frees.

    glibc moves ever larger blocks into its heap once one of them was freed; what lies scattered
    there afterwards keeps whole pages. So the lower bound of blocks of their own stays where it
    begins, and is set to where glibc would have moved it, up to 32 MB, when all is read. To set it
    holds another bound too: the free end of the heap goes back from 128 kB on.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "malloc_trim"):
        yield
        return
    libc.mallopt(_OWN_BLOCK_FROM, 128 << 10)
    try:
        yield
    finally:
        libc.mallopt(_OWN_BLOCK_FROM, 32 << 20)
        libc.malloc_trim(0)


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
