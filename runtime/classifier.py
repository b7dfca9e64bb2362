"""The face classifier: a model file, opened and checked against its own card."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.contract import InputContract, Picture
from edge.errors import EdgeError
from edge.listings import listed
from edge.modelfile import ModelFile
from edge.runtime.identity import NOBODY, best, most_probable
from edge.runtime.interpreter import Interpreter

_CONVERT_AGAIN = "convert it again: `edge convert RUN`"


class FaceClassifier(Protocol):
    """Judges one crop at a time, on whatever engine.

    Its task is one of `edge.modelfile.TASKS`; of "identity", the attributes are people.
    """

    contract: InputContract
    attributes: tuple[str, ...]
    thresholds: tuple[float, ...]
    task: str

    def probabilities(self, crop: Picture) -> NDArray[np.float32]:
        """Judge one crop: float32 (attributes,), 0 to 1."""


def labels(classifier: FaceClassifier, probabilities: NDArray[np.float32]) -> tuple[str, ...]:
    """Return the attributes at or above the classifier's thresholds; of people, the best one."""
    if classifier.task == "identity":
        place = int(best(probabilities[None], classifier.thresholds)[0])
        return () if place == NOBODY else (classifier.attributes[place],)
    triples = zip(classifier.attributes, probabilities.tolist(), classifier.thresholds, strict=True)
    return tuple(name for name, value, threshold in triples if value >= threshold)


def named(classifier: FaceClassifier, probabilities: NDArray[np.float32]) -> dict[str, float]:
    """Return the probability of each attribute, or those of the five most probable people."""
    if classifier.task == "identity":
        places = most_probable(probabilities).tolist()
        return {classifier.attributes[place]: float(probabilities[place]) for place in places}
    return dict(zip(classifier.attributes, probabilities.tolist(), strict=True))


class Classifier:
    """Says what is true of a face.

    Args:
        model: A model file that was read and found whole.
        runtime: As `Interpreter`.
        threads: As `Interpreter`.
        device: As `Interpreter`.

    Attributes:
        network: The opened graph.
        runtime: The runtime and its version.
        adapter: As `Interpreter`.
        precision: As `Interpreter`.

    Raises:
        EdgeError: No runtime opens the graph, or its input or output is not what its card says.
    """

    def __init__(
        self, model: ModelFile, *, runtime: str = "auto", threads: int = 1, device: str = "cpu"
    ) -> None:
        self.model = model
        self.contract = model.card.contract
        self.attributes = model.card.attributes
        self.thresholds = model.card.thresholds
        self.task = model.card.task
        self.network = Interpreter(
            model.graph, str(model.path), runtime=runtime, threads=threads, device=device
        )
        self._value_range = self.contract.value_range
        self._require_as_on_card()
        self.runtime = self.network.version()
        self.adapter = self.network.adapter
        self.precision = self.network.precision

    def probabilities(self, crop: Picture) -> NDArray[np.float32]:
        """Classify one face.

        Args:
            crop: From `InputContract.cut` of the model's contract.

        Returns:
            float32 (attributes,), 0 to 1.
        """
        return self.network.run_pixels(crop, self._value_range)[0][0]

    def classify(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Classify several faces: uint8 (n, height, width, 3) to float32 (n, attributes)."""
        if not len(crops):
            return np.empty((0, len(self.attributes)), np.float32)
        return np.stack([self.probabilities(crop) for crop in crops])

    @property
    def identity(self) -> dict[str, str]:
        """What results say of the model that gave them."""
        card = self.model.card
        return {"name": card.name, "variant": card.variant, "sha256": self.model.sha256}

    def _require_as_on_card(self) -> None:
        shape = (1, self.contract.height, self.contract.width, 3)
        if self.network.input.shape != shape:
            raise EdgeError(
                f"{self.model.path} takes {_times(self.network.input.shape)}, but its input "
                f"contract says {_times(shape)}",
                _CONVERT_AGAIN,
            )
        expected = (1, len(self.attributes))
        found = [output.shape for output in self.network.outputs]
        if found != [expected]:
            raise EdgeError(
                f"{self.model.path} gives {' and '.join(map(_times, found))} values, but its card "
                f"names {_times(expected)} ({listed(self.attributes)})",
                _CONVERT_AGAIN,
            )


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
