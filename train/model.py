"""A trained Keras network, opened with the contract that stands beside it."""

from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from edge.contract import InputContract
from edge.errors import EdgeError
from edge.files import sha256_of
from edge.train.job import read_config
from edge.train.loop import predict


class KerasClassifier:
    """Says what is true of a face, as `edge.runtime.classifier.Classifier` does.

    Args:
        path: A `.keras` file with its config.json beside it, or a run folder.

    Raises:
        EdgeError: The file is missing or damaged, or does not fit its config.json.
    """

    def __init__(self, path: Path) -> None:
        file = path / "model.keras" if path.is_dir() else path
        if not file.is_file():
            raise EdgeError(f"there is no file {file}", "name a .keras file or a finished run")
        config = read_config(file.parent)
        try:
            self._model = keras.saving.load_model(file, compile=False)
        except (ValueError, OSError, KeyError, TypeError) as error:
            raise EdgeError(
                f"{file} cannot be opened by Keras: {str(error).splitlines()[0]}",
                "train again, or name another file",
            ) from error
        try:
            self.contract = InputContract.from_json(config["contract"])
            self.attributes: tuple[str, ...] = tuple(config["attributes"])
            self.thresholds: tuple[float, ...] = tuple(config["thresholds"])
            name = str(config["name"])
        except (KeyError, TypeError) as error:
            raise EdgeError(
                f"{file.parent / 'config.json'} is damaged: {error!r}",
                "copy the run folder again, or train again",
            ) from error
        self.identity = {"name": name, "variant": "keras", "sha256": sha256_of(file)}
        found, expected = self._model.input_shape[1:], (*self._crop_shape(), 3)
        if tuple(found) != expected:
            raise EdgeError(
                f"{file} takes {tuple(found)}, its contract says {expected}",
                "keep model.keras together with the config.json it was written with",
            )

    def classify(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Classify faces: uint8 (n, height, width, 3) to float32 (n, attributes)."""
        return predict(self._model, crops)

    def _crop_shape(self) -> tuple[int, int]:
        return self.contract.height, self.contract.width
