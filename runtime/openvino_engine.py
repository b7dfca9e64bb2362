"""OpenVINO as an engine for TFLite files: it opens them as they are."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import EdgeError, first_line
from edge.quiet import quiet

_PRECISIONS = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}


class OpenVinoEngine:
    """A TFLite graph compiled for this CPU.

    Args:
        model: The bytes of the graph.
        name: What to call the model in messages.
        outputs: The names of the graph's outputs, in the order in which they are wanted.
        threads: How many threads one run may use.

    Raises:
        EdgeError: OpenVINO is not installed or does not take the graph.

    Attributes:
        precision: What OpenVINO computes floats in where it may choose, such as "bfloat16".
    """

    def __init__(self, model: bytes, name: str, outputs: list[str], threads: int) -> None:
        try:
            with quiet(Exception):
                import openvino
        except ImportError as error:
            raise EdgeError(
                f"no TFLite runtime can open {name} (openvino: {first_line(error)})",
                "pip install 'edge-tflite[openvino]'",
            ) from error
        options = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            # Else each network holds its caller on the first core, and several take turns there.
            "ENABLE_CPU_PINNING": False,
        }
        try:
            # OpenVINO knows TFLite files by their ending, and does not take their bytes.
            with tempfile.TemporaryDirectory() as folder, quiet(Exception):
                path = Path(folder, "graph.tflite")
                path.write_bytes(model)
                core = openvino.Core()
                compiled = core.compile_model(core.read_model(path), "CPU", options)
        except RuntimeError as error:
            raise EdgeError(
                f"{name} cannot be opened by openvino: {_last_line(error)}",
                "choose another --runtime",
            ) from error
        hint = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.precision: str | None = _PRECISIONS.get(hint, hint)
        self._request = compiled.create_infer_request()
        self._input = self._request.get_input_tensor().data
        self._outputs = [self._request.get_tensor(compiled.output(output)) for output in outputs]
        # Two threads that come to its first call at once would wait for each other forever.
        self._request.infer()

    def fill(self, write: Callable[[NDArray[Any]], object]) -> None:
        """Have the input written; `write` gets the tensor itself."""
        write(self._input)

    def infer(self) -> list[NDArray[Any]]:
        """Run the graph on its input: one array an output."""
        self._request.infer()
        return [np.array(output.data) for output in self._outputs]


def _last_line(error: Exception) -> str:
    """Return what OpenVINO says at the end of an error: before it stand its source files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
