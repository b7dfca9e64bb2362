"""What a training step makes small, backend-neutral.

The network's output is its logits and, where a teacher's features are learnt, its bottleneck, side
by side; the target is the labels and the teacher's features, side by side.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from edge.train.recipe import Phase, Task

Loss = Callable[[Any, Any], Any]


def objective(
    phase: Phase,
    task: Task,
    answers: int,
    weights: NDArray[np.float32],
    classes: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> Loss:
    """Return the loss of a phase.

    Args:
        phase: Says what is compared.
        task: "attributes": labels are float32 (n, answers), 1 yes, 0 no, nan unknown, between
            them where a teacher has its say; "identity": float32 (n, 1), the number of the class.
        answers: Number of logits.
        weights: Of each attribute.
        classes: Weights of yes and of no, each (answers,).
    """
    columns = answers if task == "attributes" else 1

    def labelled(target: Any, output: Any) -> Any:
        if task == "identity":
            logits = output[:, :answers]
            chosen = ops.one_hot(ops.cast(target[:, 0], "int32"), answers)
            return ops.logsumexp(logits, axis=-1) - ops.sum(logits * chosen, axis=-1)
        return _masked_cross_entropy(target[:, :columns], output[:, :answers], weights, classes)

    def loss(target: Any, output: Any) -> Any:
        if phase.goal in ("labels", "answers"):
            return labelled(target, output)
        wanted, features = target[:, columns:], output[:, answers:]
        if phase.goal == "bottleneck":
            return ops.mean(ops.square(features - wanted), axis=-1)
        return labelled(target, output) + phase.teacher_weight * _cosine_distance(features, wanted)

    return loss


def _masked_cross_entropy(labels: Any, logits: Any, weights: Any, classes: tuple[Any, Any]) -> Any:
    """Return the cross-entropy of each sample, unknown labels (nan) left out: (n,)."""
    # Torch does not multiply its tensors with arrays of NumPy.
    weights, yes, no = (ops.convert_to_tensor(one) for one in (weights, *classes))
    known = ops.equal(labels, labels)
    target = ops.where(known, labels, 0.0)
    each = target * yes * ops.softplus(-logits) + (1 - target) * no * ops.softplus(logits)
    return ops.sum(ops.where(known, each, 0.0) * weights, axis=-1)


def _cosine_distance(features: Any, wanted: Any) -> Any:
    """Return one minus the cosine of the angle between two vectors: (n,)."""
    return 1 - ops.sum(ops.normalize(features, axis=-1) * ops.normalize(wanted, axis=-1), axis=-1)


def attribute_weights(attributes: int, own: int, auxiliary: float) -> NDArray[np.float32]:
    """Return the weight of each attribute in the loss: float32 (attributes,).

    The kept ones share a weight of 1, the others share `auxiliary`.
    """
    weights = np.full(attributes, auxiliary / max(attributes - own, 1), np.float32)
    weights[:own] = 1 / own
    return weights


def blended(
    labels: NDArray[np.float32], answers: NDArray[np.float32], share: float
) -> NDArray[np.float32]:
    """Return targets between labels and a teacher's answers (Hinton et al., 2015).

    Cross-entropy is linear in its target, so the blend is the weighted sum of both losses.

    Args:
        labels: float32 (n, attributes); nan unknown.
        answers: float32 (n, attributes), 0 to 1; nan where the teacher does not know.
        share: Of the teacher where both are known, 0 to 1.
    """
    both = (1 - share) * labels + share * answers
    return np.where(np.isnan(labels), answers, np.where(np.isnan(answers), labels, both))


def validation_loss(
    phase: Phase,
    task: Task,
    probabilities: NDArray[np.float32],
    features: NDArray[np.float32],
    labels: NDArray[np.float32],
    wanted: NDArray[np.float32] | None,
    class_weights: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> float:
    """Return the mean loss of the kept answers on validation faces, in NumPy.

    Args:
        phase: Says what is compared; "bottleneck" compares features, all others labels.
        task: As `objective`.
        probabilities: float32 (n, answers).
        features: float32 (n, width), the bottleneck.
        labels: As `objective`.
        wanted: The teacher's features, float32 (n, width).
        class_weights: As `objective`.
    """
    if phase.goal == "bottleneck" and wanted is not None:
        return float(np.square(features - wanted).mean())
    probabilities = np.clip(probabilities, 1e-7, 1 - 1e-7)
    if task == "identity":
        rows = np.arange(len(labels))
        return float(-np.log(probabilities[rows, labels[:, 0].astype(int)]).mean())
    known = np.isfinite(labels)
    target = np.where(known, labels, 0)
    yes, no = (weights[: labels.shape[1]] for weights in class_weights)
    each = -(target * yes * np.log(probabilities) + (1 - target) * no * np.log(1 - probabilities))
    return float(each[known].mean())


def validation_accuracy(
    task: Task,
    probabilities: NDArray[np.float32],
    labels: NDArray[np.float32],
    names: tuple[str, ...],
) -> dict[str, float]:
    """Return the share of right answers of each attribute, or of the best class."""
    if task == "identity":
        return {"identity": float((probabilities.argmax(1) == labels[:, 0]).mean())}
    known = np.isfinite(labels)
    right = ((probabilities >= 0.5) == (labels >= 0.5)) & known
    accuracy = right.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return dict(zip(names, map(float, accuracy), strict=False))
