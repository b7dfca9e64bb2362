"""Keras one picture at a time and one step at a time: the baselines of the benchmark."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edge.contract import Picture
from edge.errors import EdgeError
from edge.modelfile import read_model
from edge.train import networks
from edge.train.facecache import RIM, Faces
from edge.train.feed import Batch
from edge.train.loop import Trainer
from edge.train.model import KerasClassifier
from edge.train.pupils import Pupils
from edge.train.recipes import recipe_named


class SingleCalls:
    """A Keras network called one picture at a time.

    Args:
        path: A run folder, a .keras file with its config.json beside it, or a model file, whose
            network is built with fresh weights.
        compiled: True calls the network compiled for its input's shape, False `Model.predict`,
            as the seeds did.

    Raises:
        EdgeError: The file is missing or damaged.
    """

    size_bytes: int | None

    def __init__(self, path: Path, *, compiled: bool) -> None:
        if path.suffix == ".tflite":
            card = read_model(path).card
            network = networks.build_again(card.recipe, card.contract, len(card.attributes))
            self.contract, self.attributes, self.thresholds = (
                card.contract, card.attributes, card.thresholds,
            )  # fmt: skip
            self.task = card.task
            self.identity = {"name": card.name, "sha256": ""}
            self.size_bytes, self.trained = None, False
        else:
            run = KerasClassifier(path)
            network = run.network
            self.contract, self.attributes, self.thresholds = (
                run.contract, run.attributes, run.thresholds,
            )  # fmt: skip
            self.task = run.task
            self.identity = {name: run.identity[name] for name in ("name", "sha256")}
            file = path / "model.keras" if path.is_dir() else path
            self.size_bytes = file.stat().st_size
            self.trained = not run.recipe.get("untrained")
        self.multiply_adds = networks.multiply_adds(network)
        self._call = _compiled(network) if compiled else _predict(network)
        self._values = self.contract.values()

    def probabilities(self, crop: Picture) -> NDArray[np.float32]:
        """Judge one crop: float32 (attributes,), 0 to 1."""
        return np.asarray(self._call(self._values[crop][None])[0], np.float32)


def hold_to(threads: int, device: str) -> None:
    """Give Keras so many threads, and make sure of the device; before any network is built.

    Raises:
        EdgeError: A GPU is wanted and the backend sees none.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    if device == "gpu" and not keras.distribution.list_devices("gpu"):
        raise EdgeError(
            f"Keras on {keras.backend.backend()} sees no GPU",
            "install a backend with CUDA and set KERAS_BACKEND, or leave gpu out of --device",
        )


def backend() -> str:
    """Return the version of Keras and what it runs on, such as "keras 3.15.1 on tensorflow"."""
    return f"keras {keras.__version__} on {keras.backend.backend()}"


def training_steps(
    recipe_name: str, policy: str, crops: NDArray[np.uint8]
) -> tuple[Callable[[], None], int]:
    """Return a call that makes one training step, fed and augmented as `edge train` does.

    Args:
        recipe_name: Name of a recipe.
        policy: Keras dtype policy.
        crops: uint8 (n, height, width, 3) of the recipe's contract, at least a batch.

    Returns:
        The call, and how many pictures a step takes.
    """
    recipe = recipe_named(recipe_name)
    down, right = round(recipe.contract.height * RIM), round(recipe.contract.width * RIM)
    wide = np.pad(crops, ((0, 0), (down, down), (right, right), (0, 0)), mode="edge")
    labels = np.random.default_rng(0).integers(0, 2, (len(crops), 2)).astype(np.float32)
    places = np.stack([np.zeros(len(crops), np.int64), np.arange(len(crops))], axis=1)
    faces = Faces(recipe.contract, (down, right), (wide,), places, labels, {})
    even = np.ones(2, np.float32), np.ones(2, np.float32)
    pupils = Pupils(
        faces=faces, validation=faces, attributes=("a", "b"), answers=2, own=2, class_weights=even
    )
    trainer = Trainer(recipe, pupils, seed=0, policy=policy)

    def forever() -> Iterator[Batch]:
        while True:
            trainer.state.step = 0
            yield from trainer.batches()

    batches = forever()
    return lambda: trainer.step(*next(batches)), trainer.batch


def _predict(network: keras.Model) -> Callable[[NDArray[np.float32]], Any]:
    return lambda crop: network.predict(crop, verbose=0)


def _compiled(network: keras.Model) -> Callable[[NDArray[np.float32]], Any]:
    """Return one call of a network, compiled by its backend where that compiles."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        traced = tf.function(lambda crop: network(crop, training=False))
        return lambda crop: traced(tf.constant(crop)).numpy()
    if keras.backend.backend() == "jax":
        import jax

        weights = [variable.value for variable in network.trainable_variables]
        others = [variable.value for variable in network.non_trainable_variables]
        jitted = jax.jit(lambda crop: network.stateless_call(weights, others, crop)[0])
        return lambda crop: np.asarray(jitted(crop))
    return lambda crop: keras.ops.convert_to_numpy(network(crop, training=False))
