"""A trained Keras network, opened with the contract that stands beside it."""

import zipfile
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from edge.contract import InputContract
from edge.errors import EdgeError, first_line
from edge.files import sha256_of
from edge.train import filters
from edge.train.config import read_config
from edge.train.predict import predict


def load_keras(path: Path) -> keras.Model:
    """Load a Keras model.

    Raises:
        EdgeError: The file is damaged, or needs layers that edge does not know.
    """
    # Keras says of a file that is cut short that there is none.
    if not zipfile.is_zipfile(path):
        raise EdgeError(f"{path} is damaged: not a whole .keras file", "train again, or copy it")
    try:
        # Only a layer that was imported is found by its name.
        known = {"PixelFilter": filters.PixelFilter}
        return keras.saving.load_model(path, compile=False, custom_objects=known)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EdgeError(
            f"cannot load {path}: {first_line(error)}",
            "give a run folder of `edge train`, or a .keras file it saved",
        ) from error


def load_saved_model(folder: Path, contract: InputContract) -> keras.Model:
    """Load a SavedModel as a Keras model.

    Args:
        folder: Holds saved_model.pb, with a signature "serving_default" of one picture and one
            vector of probabilities.
        contract: What it was trained to see.

    Raises:
        EdgeError: It is damaged, or takes or gives something else.
    """
    from tensorflow.errors import OpError

    pixels = keras.Input((contract.height, contract.width, 3))
    try:
        found = keras.layers.TFSMLayer(str(folder), call_endpoint="serving_default")(pixels)
    except (OSError, OpError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise EdgeError(
            f"cannot load {folder}: {first_line(error)}",
            f"export a network of one {contract.width}×{contract.height} picture, such as by "
            "`model.export(FOLDER)`",
        ) from error
    outputs = list(found.values()) if isinstance(found, dict) else [found]
    return keras.Model(pixels, outputs)


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
        self.network = load_keras(file)
        try:
            self.contract = InputContract.from_json(config["contract"])
            self.attributes: tuple[str, ...] = tuple(config["attributes"])
            self.thresholds: tuple[float, ...] = tuple(config["thresholds"])
            self.task: str = config["task"]
            name = str(config["name"])
            self.recipe: dict[str, object] = config["recipe"]
        except (KeyError, TypeError) as error:
            raise EdgeError(
                f"{file.parent / 'config.json'} is damaged: {error!r}",
                "copy the run folder again, or train again",
            ) from error
        self.identity = {"name": name, "variant": "keras", "sha256": sha256_of(file)}
        found, expected = self.network.input_shape[1:], (*self._crop_shape(), 3)
        if tuple(found) != expected:
            raise EdgeError(
                f"{file} takes {tuple(found)}, its contract says {expected}",
                "keep model.keras together with the config.json it was written with",
            )

    def classify(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Classify faces: uint8 (n, height, width, 3) to float32 (n, attributes)."""
        return predict(self.network, crops, self.contract)

    def _crop_shape(self) -> tuple[int, int]:
        return self.contract.height, self.contract.width
