"""Weights that a training starts from: published ones of ImageNet, or those of a run."""

import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from edge.errors import EdgeError, first_line
from edge.files import sha256_of
from edge.train.backbones import DEVIATION, MEAN, SOURCES, stable_names
from edge.train.bodies import NORM
from edge.train.heads import POOLED
from edge.train.model import load_keras
from edge.train.recipe import WORDS

# Layer → its arrays, as `get_weights` has them.
Values = dict[str, list[NDArray[Any]]]

_DIGITS = 12


def load_weights(model: keras.Model, name: str, source: str) -> str:
    """Fill the body of a network, below its head.

    Args:
        model: From `edge.train.networks.build`, whole or cut.
        name: Of the network.
        source: "none" leaves it as it is, "imagenet" takes the published weights; else a path: a
            file of keras.applications without the classifier (.h5), a run folder or a .keras file.

    Returns:
        What the weights are, for a report: the source's word, or the file and its digest.

    Raises:
        EdgeError: The weights are of another network, damaged or out of reach; the network is
            unchanged.
    """
    if source == "none":
        return source
    if source == "imagenet":
        _fill(model, name, _of_imagenet(name), "the weights of ImageNet")
        return source
    path = Path(source)
    file = path / "model.keras" if path.is_dir() else path
    if not file.is_file():
        raise EdgeError(
            f"there is no file {file}",
            "--weights takes imagenet, none, a .h5 file of keras.applications, or a run",
        )
    values = _of_run(file) if file.suffix == ".keras" else _of_file(name, file)
    _fill(model, name, values, str(file))
    return source_told(source)


def source_told(source: str) -> str:
    """Return what weights are, for a report: a word as it is, or a file and its digest.

    Args:
        source: As `load_weights`.
    """
    path = Path(source)
    file = path / "model.keras" if path.is_dir() else path
    if not source or source in WORDS or not file.is_file():
        return source
    shown = f"{path.name}/{file.name}" if path.is_dir() else file.name
    return f"{shown} sha256 {sha256_of(file)[:_DIGITS]}…"


def _of_imagenet(name: str) -> Values:
    _require_published(name)
    source = SOURCES[name]
    try:
        # Keras tells of a download where results belong.
        with redirect_stdout(sys.stderr):
            published = source.build("imagenet")
    except Exception as error:
        # What Keras raises where it cannot download is a bare Exception.
        if type(error) is not Exception and not isinstance(error, (OSError, ValueError)):
            raise
        raise EdgeError(
            f"cannot download the weights of {name}: {first_line(error)}",
            f"copy {source.file} from another machine and give it with --weights PATH",
        ) from error
    return _values(published)


def _of_file(name: str, file: Path) -> Values:
    """Read a weights file of keras.applications into the network that it is of."""
    if file.suffix not in (".h5", ".hdf5"):
        raise EdgeError(
            f"{file} is no file of weights that edge knows",
            "--weights takes imagenet, none, a .h5 file of keras.applications, or a run",
        )
    _require_published(name)
    published = SOURCES[name].build()
    try:
        with warnings.catch_warnings():
            # Keras warns of every part that a file lacks, and then fails.
            warnings.simplefilter("ignore")
            published.load_weights(file)
    except ValueError as error:
        raise EdgeError(
            f"{file} does not fit {name}: {first_line(error)}",
            f"give {SOURCES[name].file}, without the classifier, or name the file's own network",
        ) from error
    except (OSError, KeyError, TypeError, RuntimeError) as error:
        raise EdgeError(
            f"{file} is damaged: {first_line(error)}", "download the file again, or copy it again"
        ) from error
    return _values(published)


def _of_run(file: Path) -> Values:
    return {layer.name: layer.get_weights() for layer in load_keras(file).layers}


def _values(published: keras.Model) -> Values:
    """Return the weights of a network of keras.applications under the names that ours has."""
    names = stable_names(published)
    for layer in published.layers:
        if isinstance(layer, layers.Normalization):
            _require_standard(layer)
    return {names.get(layer.name, layer.name): layer.get_weights() for layer in published.layers}


def _require_standard(layer: layers.Normalization) -> None:
    """Refuse weights of EfficientNet that want other pixels than its body here makes."""
    # The published files hold the deviation where Keras expects the variance.
    mean, deviation, _ = layer.get_weights()
    if not np.allclose((mean, deviation), (MEAN, DEVIATION), atol=1e-3):
        raise EdgeError(
            f"the weights want pixels of mean {_shown(mean)} and deviation {_shown(deviation)}, "
            f"the network makes {_shown(MEAN)} and {_shown(DEVIATION)}",
            "give the file that keras.applications publishes",
        )


def _require_published(name: str) -> None:
    if name not in SOURCES:
        raise EdgeError(
            f"there are no published weights of {name}",
            f"give a run of it, or train it with --weights none; there are some of "
            f"{', '.join(SOURCES)}",
        )


def _fill(model: keras.Model, name: str, values: Values, origin: str) -> None:
    """Set every layer below the head, or none."""
    filled = []
    for layer in model.layers:
        if layer.name == POOLED:
            break
        if not layer.weights:
            continue
        if not values.get(layer.name):
            # A finished run has folded its normalisation away.
            if layer.name.endswith(NORM):
                continue
            raise _misfit(name, origin, f"it has no layer {layer.name}")
        found = [value.shape for value in values[layer.name]]
        expected = [tuple(weight.shape) for weight in layer.weights]
        if found != expected:
            raise _misfit(
                name,
                origin,
                f"layer {layer.name} is {_shapes(found)}, expected {_shapes(expected)}",
            )
        filled.append(layer)
    for layer in filled:
        layer.set_weights(values[layer.name])


def _misfit(name: str, origin: str, reason: str) -> EdgeError:
    return EdgeError(
        f"{origin} does not fit {name}: {reason}",
        f"give weights of {name}, or name the network that they are of",
    )


def _shapes(shapes: list[tuple[int, ...]]) -> str:
    return " + ".join("×".join(map(str, shape)) or "1" for shape in shapes)


def _shown(values: Any) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
