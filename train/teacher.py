"""What a teacher says of faces: its answers, or its features."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from edge.contract import InputContract
from edge.datasets import Dataset, spellings
from edge.errors import EdgeError
from edge.train import networks
from edge.train.facecache import Faces, cut_faces
from edge.train.features import features_of
from edge.train.heads import POOLED, bottleneck
from edge.train.job import Job
from edge.train.model import KerasClassifier
from edge.train.rowfile import RowFile
from edge.train.weights import load_weights


def teacher_answers(
    runs: Sequence[Path], datasets: Sequence[Dataset], faces: Faces, attributes: Sequence[str]
) -> NDArray[np.float16]:
    """Return what trained runs say of each face: the mean over runs, and face and mirror image.

    Args:
        runs: Run folders or .keras files; they may have been trained on crops of other sizes.
        datasets: What the faces were cut of.
        faces: To be judged.
        attributes: Names of the columns.

    Returns:
        float16 (faces, attributes), 0 to 1; nan where no teacher knows the attribute.

    Raises:
        EdgeError: One of them tells none of the attributes, or sees other faces.
    """
    total = np.zeros((len(faces), len(attributes)), np.float32)
    known = np.zeros(len(attributes), np.int64)
    for run in runs:
        answers = _answers(run, datasets, faces, attributes)
        told = ~np.isnan(answers[0])
        total[:, told] += answers[:, told]
        known += told
    with np.errstate(invalid="ignore"):
        return (total / known).astype(np.float16)


def _answers(
    run: Path, datasets: Sequence[Dataset], faces: Faces, attributes: Sequence[str]
) -> NDArray[np.float32]:
    """Return what one run says, nan of attributes that it does not know."""
    teacher = KerasClassifier(run)
    own = {spellings(name): column for column, name in enumerate(teacher.attributes)}
    columns = [own.get(spellings(name)) for name in attributes]
    if all(column is None for column in columns):
        raise EdgeError(
            f"the teacher {run} tells {', '.join(teacher.attributes[:5])}, none of what is learnt",
            "give a run that was trained on the same attributes",
        )
    seen = _same_faces(datasets, faces, teacher.contract)
    rows = features_of(teacher.network, seen, "asking the teacher", mirrored=True)
    found = rows[np.arange(len(rows))]
    answers = np.full((len(faces), len(attributes)), np.nan, np.float32)
    for place, column in enumerate(columns):
        if column is not None:
            answers[:, place] = found[:, column]
    return answers


def feature_teacher(job: Job) -> tuple[keras.Model, Job]:
    """Return a network whose output teaches features, and the job with its faces' contract.

    It is the bottleneck of a run, or the pooled features of the recipe's teacher with the weights
    that `--teacher` names.
    """
    (source,) = job.teachers
    if Path(source).is_dir() or source.endswith(".keras"):
        run = KerasClassifier(Path(source))
        network, contract = keras.Model(run.network.input, bottleneck(run.network)), run.contract
    else:
        wanted = networks.network_named(job.recipe.teacher).contract
        contract = replace(
            job.recipe.contract, width=wanted.width, height=wanted.height, colour=wanted.colour
        )
        whole = networks.build(job.recipe.teacher, contract, 1)
        load_weights(whole, job.recipe.teacher, source)
        network = keras.Model(whole.input, whole.get_layer(POOLED).output)
    return network, replace(job, recipe=replace(job.recipe, contract=contract))


def teacher_features(
    network: keras.Model, job: Job, datasets: Sequence[Dataset], faces: Faces
) -> RowFile[np.float16]:
    """Return a teacher's features of each face: float16 rows of (width,)."""
    seen = _same_faces(datasets, faces, job.recipe.contract)
    return features_of(network, seen, "asking the teacher")


def _same_faces(datasets: Sequence[Dataset], faces: Faces, contract: InputContract) -> Faces:
    """Cut the same faces as another contract shows them."""
    seen = cut_faces(datasets, contract)
    if not np.array_equal(seen.places, faces.places):
        raise EdgeError(
            f"the teacher sees {len(seen):,} faces, the network {len(faces):,}",
            "use a teacher that was trained with the same detector",
        )
    return seen
