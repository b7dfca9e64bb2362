"""What the front door needs of extra packages, or the words that say what to install."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge.errors import EdgeError

_BACKENDS = ("tensorflow", "jax", "torch")


def training() -> Any:
    """Import what needs Keras and its backend.

    Raises:
        EdgeError: They are not installed, or KERAS_BACKEND is none of `_BACKENDS`.
    """
    backend = os.environ.get("KERAS_BACKEND", _BACKENDS[0])
    if backend not in _BACKENDS:
        raise EdgeError(
            f"KERAS_BACKEND is {backend or 'empty'}",
            f"set it to one of {', '.join(_BACKENDS)}, or leave it out",
        )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow leaves oneDNN off where a processor has AVX2 alone; docs/training.md has figures.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    try:
        from edge.train import run
    except ImportError as error:
        raise _not_installed(error) from error
    return run


def conversion() -> Any:
    """Import what converts, as far as it does without TensorFlow.

    Raises:
        EdgeError: It is not installed.
    """
    try:
        from edge.convert import convert
    except ImportError as error:
        raise _not_installed(error) from error
    return convert


def looks(plots: Path | None) -> Any:
    """Import what draws; refuse a folder that cannot be.

    Raises:
        EdgeError: It is not installed, or `plots` cannot be a folder.
    """
    try:
        from edge.train import looks
    except ImportError as error:
        raise _not_installed(error) from error
    if plots is not None:
        looks.require_folder(plots)
    return looks


@contextmanager
def watching() -> Iterator[None]:
    """Say what to install where something that watches a run is missing.

    Raises:
        EdgeError: It is.
    """
    try:
        yield
    except ImportError as error:
        raise EdgeError(
            f"{error.name} is not installed here", "pip install 'edge-tflite[watch]'"
        ) from error


def _not_installed(error: ImportError) -> EdgeError:
    package = error.name if error.name in _BACKENDS[1:] else "'edge-tflite[train]'"
    return EdgeError(f"{error.name} is not installed here", f"pip install {package}")
