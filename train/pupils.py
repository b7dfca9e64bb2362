"""What a network learns from: faces, what is to be said of them, and what a teacher says."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import EdgeError
from edge.train.facecache import Faces
from edge.train.rowfile import RowFile


@dataclass(frozen=True, kw_only=True)
class Pupils:
    """The faces of a training.

    Args:
        faces: To train on.
        validation: To choose the best epoch by, never augmented.
        attributes: Names of the columns of the labels; the first `own` are kept at the end. Of
            people: "identity" alone, whose label is the number of the person.
        answers: How many outputs the network has while it learns.
        own: How many the finished one has.
        class_weights: Weights of yes and of no, each float32 (answers,).
        teacher_answers: Probabilities that a teacher gives, (faces, answers); nan where it does
            not know.
        teacher_features: A teacher's features of each face, (faces, width).
        validation_features: The same of the validation faces.
    """

    faces: Faces
    validation: Faces
    attributes: tuple[str, ...]
    answers: int
    own: int
    class_weights: tuple[NDArray[np.float32], NDArray[np.float32]]
    teacher_answers: NDArray[np.floating] | None = None
    teacher_features: NDArray[np.floating] | RowFile[np.float16] | None = None
    validation_features: NDArray[np.floating] | None = None

    def rows(self, *, first_only: bool) -> NDArray[np.int64]:
        """Return the rows of the training faces, or of those of the first data set."""
        if first_only:
            return np.flatnonzero(self.faces.places[:, 0] == 0)
        return np.arange(len(self.faces))

    def require_features(self, width: int) -> None:
        """Refuse to learn a teacher's features of another width, or of no teacher.

        Raises:
            EdgeError: Names both widths.
        """
        taught = self.teacher_features
        if taught is None:
            raise EdgeError(
                "a teacher's features are to be learnt, and there is no teacher",
                "name a network as the recipe's teacher",
            )
        if taught.shape[1] != width:
            raise EdgeError(
                f"the teacher has {taught.shape[1]:,} features, the bottleneck {width:,}",
                f"give the recipe's head a last width of {taught.shape[1]}",
            )
