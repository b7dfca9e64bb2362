"""The one seam to TFLite runtimes: opens a file, hides its number formats, runs it.

Nobody outside this module sees a scale or a zero point.
"""

import os
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import EdgeError, first_line
from edge.quiet import quiet

RUNTIMES = ("litert", "tflite-runtime", "tensorflow")

_INSTALL = {
    "litert": "pip install ai-edge-litert",
    "tflite-runtime": "pip install 'edge-tflite[tflite-runtime]'",
    "tensorflow": "pip install 'edge-tflite[train]'",
}
_TRIAL_S = 60


@dataclass(frozen=True)
class TensorInfo:
    """Shape and type of an input or output, as the file has them."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class Interpreter:
    """A loaded TFLite graph with one input.

    Args:
        model: The bytes of the graph. Callers that read a file check its digest first: LiteRT
            can abort the process on a damaged one.
        name: What to call the model in messages.
        runtime: "auto" or one of `RUNTIMES`.
        threads: How many threads one `run` may use.

    Raises:
        EdgeError: No runtime can open the model, or the one asked for is not installed.
    """

    def __init__(self, model: bytes, name: str, *, runtime: str = "auto", threads: int = 1) -> None:
        self.name = name
        self.threads = threads
        self.runtime, self._interpreter = _construct(model, name, runtime, threads)
        try:
            with quiet(Exception):
                self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise EdgeError(
                f"{name} cannot be prepared by {self.runtime}: {first_line(error)}",
                "convert the model again, or try another --runtime",
            ) from error
        inputs = self._interpreter.get_input_details()
        if len(inputs) != 1:
            raise EdgeError(
                f"{name} has {len(inputs)} inputs, expected one picture",
                "choose a face classifier made by `edge convert`",
            )
        self._input = inputs[0]
        self._outputs = self._interpreter.get_output_details()
        self.input = _info(self._input)
        if self.input.shape[:1] != (1,):
            raise EdgeError(
                f"{name} takes input of shape {self.input.shape}, expected one picture at a time",
                "convert the model with a batch of 1",
            )
        self.outputs = tuple(_info(output) for output in self._outputs)
        self._tables: dict[tuple[float, float], NDArray[Any] | None] = {}

    def run(self, values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Run the graph on real values.

        Args:
            values: float32, in the shape of the input without its batch axis.

        Returns:
            One float32 array an output, with its batch axis, dequantized.
        """
        scale, zero = self._input["quantization"]
        dtype = self._input["dtype"]
        if np.issubdtype(dtype, np.integer):
            limits = np.iinfo(dtype)
            values = np.clip(np.rint(values / scale) + zero, limits.min, limits.max)
        return self._invoke(values.astype(dtype, copy=False))

    def run_pixels(
        self, crop: NDArray[np.uint8], value_range: tuple[float, float]
    ) -> list[NDArray[np.float32]]:
        """Run the graph on pixels.

        Args:
            crop: uint8, in the shape of the input without its batch axis.
            value_range: The real values of pixel 0 and pixel 255.

        Returns:
            As `run`.
        """
        if value_range not in self._tables:
            self._tables[value_range] = self._pixel_table(value_range)
        table = self._tables[value_range]
        return self._invoke(crop if table is None else cv2.LUT(crop, table))

    def _pixel_table(self, value_range: tuple[float, float]) -> NDArray[Any] | None:
        """Map each pixel value to the input's own type; None where it is the pixel itself."""
        low, high = value_range
        values = np.linspace(low, high, 256, dtype=np.float32)
        dtype = self._input["dtype"]
        if not np.issubdtype(dtype, np.integer):
            return values.astype(dtype)
        scale, zero = self._input["quantization"]
        limits = np.iinfo(dtype)
        table = np.clip(np.rint(values / scale) + zero, limits.min, limits.max).astype(dtype)
        return None if np.array_equal(table, np.arange(256)) else table

    def _invoke(self, tensor: NDArray[Any]) -> list[NDArray[np.float32]]:
        if tensor.shape != self.input.shape[1:]:
            raise ValueError(f"input of {self.name} is {self.input.shape[1:]}, not {tensor.shape}")
        self._interpreter.set_tensor(self._input["index"], tensor[None])
        self._interpreter.invoke()
        return [self._read(output) for output in self._outputs]

    def _read(self, output: dict[str, Any]) -> NDArray[np.float32]:
        raw = self._interpreter.get_tensor(output["index"])
        scale, zero = output["quantization"]
        if np.issubdtype(raw.dtype, np.integer) and scale:
            # Widen before subtracting: the zero point does not fit the raw type.
            return (raw.astype(np.int32) - zero).astype(np.float32) * np.float32(scale)
        return raw.astype(np.float32, copy=False)

    def operators(self) -> dict[str, int]:
        """Return how often each operator occurs in the graph as it will run.

        A delegated partition counts as one "DELEGATE"; what stands beside it fell back to the
        runtime's own kernels.
        """
        # Private in every runtime, and the only place that tells what was delegated.
        details = self._interpreter._get_ops_details()
        results = [int(output["index"]) for output in self._outputs]
        return dict(Counter(_execution_plan(details, results)))

    def version(self) -> str:
        """Return the runtime and its version, such as "litert 2.3.0"."""
        package = {"litert": "ai-edge-litert"}.get(self.runtime, self.runtime)
        try:
            return f"{self.runtime} {version(package)}"
        except PackageNotFoundError:
            return self.runtime


def _construct(model: bytes, name: str, runtime: str, threads: int) -> tuple[str, Any]:
    """Open the model with the first runtime that can construct an interpreter.

    Importing proves nothing: tflite_runtime imports under NumPy 2 and then fails.
    """
    if runtime != "auto" and runtime not in RUNTIMES:
        raise EdgeError(f"unknown runtime {runtime}", f"choose one of auto, {', '.join(RUNTIMES)}")
    reasons = []
    for candidate in RUNTIMES if runtime == "auto" else (runtime,):
        try:
            # C++ code tells of its delegate, TensorFlow that its interpreter moves to LiteRT.
            with quiet(Exception):
                interpreter = _interpreter_class(candidate)(
                    model_content=model, num_threads=threads
                )
        except ValueError as error:
            raise EdgeError(
                f"{name} cannot be opened by {candidate}: {first_line(error)}",
                "check that it is a whole .tflite file: `edge models verify`",
            ) from error
        except (ImportError, RuntimeError, TypeError, AttributeError, SystemError) as error:
            reasons.append(f"{candidate}: {first_line(error)}")
        else:
            return candidate, interpreter
    raise EdgeError(
        f"no TFLite runtime can open {name} ({'; '.join(reasons)})",
        _INSTALL["litert" if runtime == "auto" else runtime],
    )


def _interpreter_class(runtime: str) -> Any:
    if runtime == "litert":
        from ai_edge_litert.interpreter import Interpreter as LiteRT

        return LiteRT
    if runtime == "tflite-runtime":
        from tflite_runtime.interpreter import Interpreter as TFLiteRuntime

        return TFLiteRuntime
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    return tf.lite.Interpreter


def _execution_plan(details: list[dict[str, Any]], results: list[int]) -> list[str]:
    """Name the operators that run: those reached backwards from the graph's results.

    Runtimes list the original operators first and append one DELEGATE a partition, so the last
    producer of a tensor is the one that runs.
    """
    producer = {int(tensor): node for node in details for tensor in node["outputs"]}
    pending = list(results)
    reached: dict[int, str] = {}
    while pending:
        node = producer.get(pending.pop())
        if node is not None and node["index"] not in reached:
            reached[node["index"]] = node["op_name"]
            pending.extend(int(tensor) for tensor in node["inputs"])
    return [reached[index] for index in sorted(reached)]


def _info(detail: dict[str, Any]) -> TensorInfo:
    return TensorInfo(
        detail["name"], tuple(int(n) for n in detail["shape"]), np.dtype(detail["dtype"]).name
    )
