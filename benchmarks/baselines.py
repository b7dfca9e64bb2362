"""ONNX Runtime on the same graph, in the same precision."""

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.contract import Picture
from edge.errors import EdgeError, first_line
from edge.files import replacing, sha256_of
from edge.modelfile import ModelFile

_OPSET = "17"
# The output scale that TFLite prescribes for an integer sigmoid or softmax.
_STEP = np.float32(1 / 256)


class OnnxClassifier:
    """A model file's graph on ONNX Runtime.

    Args:
        model: The model file, whose card says what goes in and comes out.
        onnx: The same graph, made by `onnx_of`.
        threads: Threads of one run.

    Raises:
        EdgeError: ONNX Runtime is not installed or does not open the graph.
    """

    def __init__(self, model: ModelFile, onnx: Path, *, threads: int) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise _not_installed("onnxruntime", "peers") from error
        card = model.card
        self.contract = card.contract
        self.attributes, self.thresholds = card.attributes, card.thresholds
        self.task = card.task
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                str(onnx), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its errors derive from Exception alone
            raise EdgeError(
                f"ONNX Runtime does not open {onnx.name}: {first_line(error)}",
                "leave onnxruntime out of --runtime",
            ) from error
        first = self._session.get_inputs()[0]
        self._input = first.name
        self._values: NDArray[np.float32] | None = None
        if "float" in first.type:
            self._values = self.contract.values()
        self.version = f"onnxruntime {onnxruntime.__version__}"

    def probabilities(self, crop: Picture) -> NDArray[np.float32]:
        """Judge one crop: float32 (attributes,), 0 to 1."""
        tensor = crop if self._values is None else self._values[crop]
        result = self._session.run(None, {self._input: tensor[None]})[0][0]
        if result.dtype == np.uint8:
            return np.asarray(result * _STEP, np.float32)
        return np.asarray(result, np.float32)


def onnx_of(model: Path, folder: Path) -> Path:
    """Return a model file's graph as ONNX, converted once and kept in a folder.

    tf2onnx keeps the precision: the scales of an integer graph become pairs of quantizing and
    dequantizing operators, which ONNX Runtime fuses.

    Raises:
        EdgeError: tf2onnx is not installed, or cannot convert the graph.
    """
    try:
        converter, _ = version("tf2onnx"), version("tensorflow")
    except PackageNotFoundError as error:
        raise _not_installed(str(error.name), "train,peers") from error
    target = folder / f"{sha256_of(model)[:16]}-{converter}-{_OPSET}.onnx"
    if target.is_file():
        return target
    with replacing(target) as temporary:
        done = subprocess.run(
            [sys.executable, "-m", "tf2onnx.convert", "--tflite", model, "--output", temporary,
             "--opset", _OPSET],
            capture_output=True, text=True, check=False,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
        )  # fmt: skip
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it failed"])[-1]
            raise EdgeError(
                f"tf2onnx cannot convert {model.name}: {last}",
                "leave onnxruntime out of --runtime",
            )
    return target


def _not_installed(package: str, extra: str) -> EdgeError:
    return EdgeError(f"{package} is not installed here", f"pip install 'edge-tflite[{extra}]'")
