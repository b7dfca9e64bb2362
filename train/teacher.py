"""What a teacher says of faces: its answers, or its features."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from edge.contract import InputContract
from edge.datasets import Dataset
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
    run: Path, datasets: Sequence[Dataset], faces: Faces, attributes: Sequence[str]
) -> NDArray[np.float16]:
    """Return what a trained run says of each face, the mean over the face and its mirror image.

    Args:
        run: A run folder or .keras file; it may have been trained on crops of another size.
        datasets: What the faces were cut of.
        faces: To be judged.
        attributes: Names of the columns.

    Returns:
        float16 (faces, attributes), 0 to 1; nan where the teacher does not know the attribute.

    Raises:
        EdgeError: It tells none of the attributes, or sees other faces.
    """
    teacher = KerasClassifier(run)
    known = [name for name in attributes if name in teacher.attributes]
    if not known:
        raise EdgeError(
            f"the teacher {run} tells {', '.join(teacher.attributes[:5])}, none of what is learnt",
            "give a run that was trained on the same attributes",
        )
    seen = _same_faces(datasets, faces, teacher.contract)
    rows = features_of(teacher.network, seen, "asking the teacher", mirrored=True)
    found = rows[np.arange(len(rows))]
    answers = np.full((len(faces), len(attributes)), np.nan, np.float16)
    for name in known:
        answers[:, list(attributes).index(name)] = found[:, teacher.attributes.index(name)]
    return answers


def feature_teacher(job: Job) -> tuple[keras.Model, Job]:
    """Return a network whose output teaches features, and the job with its faces' contract.

    It is the bottleneck of a run, or the pooled features of the recipe's teacher with the weights
    that `--teacher` names.
    """
    if Path(job.teacher).is_dir() or job.teacher.endswith(".keras"):
        run = KerasClassifier(Path(job.teacher))
        network, contract = keras.Model(run.network.input, bottleneck(run.network)), run.contract
    else:
        wanted = networks.network_named(job.recipe.teacher).contract
        contract = replace(
            job.recipe.contract, width=wanted.width, height=wanted.height, colour=wanted.colour
        )
        whole = networks.build(job.recipe.teacher, contract, 1)
        load_weights(whole, job.recipe.teacher, job.teacher)
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
