"""The one seam to TFLite runtimes: opens a file, hides its number formats, runs it.

Nobody outside this module sees a scale or a zero point.
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import EdgeError, first_line
from edge.quiet import quiet
from edge.runtime.cpu_engine import CpuEngine
from edge.runtime.gpu_engine import ON_CPU, Adapter, GpuEngine
from edge.runtime.openvino_engine import OpenVinoEngine
from edge.runtime.operators import execution_plan, multiply_adds
from edge.runtime.quantization import dequantize, dequantizer, pixel_table, quantize

RUNTIMES = ("litert", "openvino", "tflite-runtime", "tensorflow")
DEVICES = ("cpu", "gpu")

# What "auto" tries, in this order.
_TFLITE = ("litert", "tflite-runtime", "tensorflow")
_INSTALL = {
    "litert": "pip install ai-edge-litert",
    "tflite-runtime": "pip install 'edge-tflite[tflite-runtime]'",
    "tensorflow": "pip install 'edge-tflite[train]'",
}
# How far a GPU, which may compute in 16 bits, may be off, as a part of the largest output.
_GPU_TOLERANCE = 0.05


Write = Callable[[NDArray[Any]], object]


@dataclass(frozen=True)
class TensorInfo:
    """Shape and type of an input or output, as the file has them."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class Engine(Protocol):
    """What runs a graph: tensors in the file's own types, with their batch axis."""

    def fill(self, write: Write) -> None:
        """Have the input written; `write` gets the tensor itself, and must not keep it."""

    def infer(self) -> list[NDArray[Any]]:
        """Run the graph on its input: one array an output."""


class Interpreter:
    """A loaded TFLite graph with one input.

    Args:
        model: The bytes of the graph. Callers that read a file check its digest first: LiteRT
            can abort the process on a damaged one.
        name: What to call the model in messages.
        runtime: "auto" or one of `RUNTIMES`.
        threads: How many threads one `run` may use.
        device: One of `DEVICES`; "gpu" is LiteRT's, and runs the whole graph or is refused.

    Attributes:
        runtime: The one of `RUNTIMES` that runs the graph.
        input: The one input.
        outputs: All outputs.
        adapter: The GPU that runs the graph, None on the CPU.
        precision: What the engine says it computes floats in, None if it says nothing.

    Raises:
        EdgeError: No runtime can open the model, the one asked for is not installed, or the GPU
            is not there, does not know an operator, or gives other numbers than the CPU.
    """

    def __init__(
        self,
        model: bytes,
        name: str,
        *,
        runtime: str = "auto",
        threads: int = 1,
        device: str = "cpu",
    ) -> None:
        _require_known(runtime, device)
        self.name = name
        self.threads = threads
        self.device = device
        self.adapter: Adapter | None = None
        self.precision: str | None = None
        if device == "gpu":
            runtime = "litert"
        # OpenVINO does not tell scales nor CompiledModel operators: a TFLite runtime does.
        asked = "auto" if runtime == "openvino" else runtime
        self.runtime, self._graph = _construct(model, name, asked, threads)
        self._input = _only_input(self._graph.get_input_details(), name)
        self._outputs = self._graph.get_output_details()
        self._dequantizers = [dequantizer(output) for output in self._outputs]
        self._engine = self._start(model, runtime)
        self.input = _info(self._input)
        self.outputs = tuple(_info(output) for output in self._outputs)
        self._tables: dict[tuple[float, float], NDArray[Any] | None] = {}

    def _start(self, model: bytes, runtime: str) -> Engine:
        if runtime == "openvino":
            self.runtime = runtime
            names = [output["name"] for output in self._outputs]
            openvino = OpenVinoEngine(model, self.name, names, self.threads)
            self.precision = openvino.precision
            return openvino
        cpu = CpuEngine(self._graph, self.name, self.runtime)
        self._outputs = self._graph.get_output_details()
        if self.device == "cpu":
            return cpu
        gpu = GpuEngine(lambda: _compile_for_gpu(model), self.name, self._input, self._outputs)
        self.adapter = gpu.adapter
        self._require_same(gpu, cpu)
        return gpu

    def _require_same(self, gpu: GpuEngine, cpu: CpuEngine) -> None:
        """Refuse a GPU that computes something else: some give zeros without a word."""
        shape, dtype = tuple(self._input["shape"]), self._input["dtype"]
        values = np.random.default_rng(0).uniform(0, 1, shape)
        if np.issubdtype(dtype, np.integer):
            limits = np.iinfo(dtype)
            values = np.rint(limits.min + values * (int(limits.max) - int(limits.min)))
        for engine in (gpu, cpu):
            engine.fill(lambda tensor: np.copyto(tensor, values, casting="unsafe"))
        with quiet():  # the first run makes what opening left out, and tells of it
            found, expected = (self._real(engine.infer()) for engine in (gpu, cpu))
        for ours, theirs in zip(found, expected, strict=True):
            off, largest = float(np.abs(ours - theirs).max()), float(np.abs(theirs).max())
            # Not "more than": what is not a number is more than nothing.
            if not off <= _GPU_TOLERANCE * largest:
                raise EdgeError(
                    f"{self.name} gives other numbers on {gpu.adapter.name} than on the CPU: "
                    f"off by {off:.3g} where the largest is {largest:.3g}",
                    f"update the GPU's driver, or {ON_CPU}",
                )

    def run(self, values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Run the graph on real values.

        Args:
            values: float32, in the shape of the input without its batch axis.

        Returns:
            One float32 array an output, with its batch axis, dequantized.
        """
        self._require_shape(values)
        raw = quantize(values, self._input)
        return self.run_written(lambda tensor: np.copyto(tensor, raw, casting="unsafe"))

    def run_written(self, write: Write) -> list[NDArray[np.float32]]:
        """Run the graph on what is written straight into its input.

        Args:
            write: Gets the input without its batch axis, in the file's own type, writes all of it
                and must not keep it.

        Returns:
            As `run`.
        """
        self._engine.fill(lambda tensor: write(tensor[0]))
        return self._real(self._engine.infer())

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
            values = pixel_table(self._input, value_range)
            same = values.dtype == np.uint8 and np.array_equal(values, np.arange(256))
            self._tables[value_range] = None if same else values
        table = self._tables[value_range]
        self._require_shape(crop)
        if table is None:
            return self.run_written(lambda tensor: np.copyto(tensor, crop))
        return self.run_written(lambda tensor: cv2.LUT(crop, table, dst=tensor))

    def _require_shape(self, values: NDArray[Any]) -> None:
        if values.shape != self.input.shape[1:]:
            raise ValueError(f"input of {self.name} is {self.input.shape[1:]}, not {values.shape}")

    def _real(self, tensors: list[NDArray[Any]]) -> list[NDArray[np.float32]]:
        return [real(raw) for real, raw in zip(self._dequantizers, tensors, strict=True)]

    def operators(self) -> dict[str, int]:
        """Return how often each operator occurs in the graph as it will run.

        A delegated partition counts as one "DELEGATE"; what stands beside it fell back to the
        runtime's own kernels.
        """
        if self.device == "gpu" or self.runtime == "openvino":
            return {"DELEGATE": 1}
        results = [int(output["index"]) for output in self._outputs]
        return dict(Counter(execution_plan(self._operators(), results)))

    def multiply_adds(self) -> int:
        """Count the multiply-adds of one run, of the operators in the file."""
        shapes = {
            int(tensor["index"]): tuple(int(n) for n in tensor["shape"])
            for tensor in self._graph.get_tensor_details()
        }
        return multiply_adds(self._operators(), shapes)

    def _operators(self) -> list[dict[str, Any]]:
        # Private in every runtime, and the only place that tells what was delegated.
        return self._graph._get_ops_details()

    def version(self) -> str:
        """Return the runtime and its version, such as "litert 2.3.0"."""
        package = {"litert": "ai-edge-litert"}.get(self.runtime, self.runtime)
        try:
            return f"{self.runtime} {version(package)}"
        except PackageNotFoundError:
            return self.runtime


@dataclass(frozen=True)
class Layer:
    """One operator of a graph.

    Args:
        name: Of the tensor that it makes.
        operator: Its kind, such as "CONV_2D".
        inputs: Names of the tensors that it takes, constants among them.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]


class Layers:
    """A graph whose every operator's output can be read, for which it runs undelegated.

    Args:
        model: The bytes of the graph.
        name: What to call the model in messages.

    Attributes:
        layers: In the order in which they run.

    Raises:
        EdgeError: As `Interpreter`.
    """

    def __init__(self, model: bytes, name: str) -> None:
        from ai_edge_litert.interpreter import OpResolverType

        _, self._graph = _construct(
            model, name, "litert", 1,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )  # fmt: skip
        self._engine = CpuEngine(self._graph, name, "litert")
        self._input = _only_input(self._graph.get_input_details(), name)
        tensors = {int(tensor["index"]): tensor for tensor in self._graph.get_tensor_details()}
        self._made = []
        layers = []
        for operator in self._graph._get_ops_details():
            made = tensors[int(operator["outputs"][0])]
            taken = [tensors[int(at)]["name"] for at in operator["inputs"] if int(at) in tensors]
            self._made.append(made)
            layers.append(Layer(made["name"], str(operator["op_name"]), tuple(taken)))
        self.layers = tuple(layers)

    def run_pixels(
        self, crop: NDArray[np.uint8], value_range: tuple[float, float]
    ) -> list[NDArray[np.float32]]:
        """Run the graph on pixels, given as to `Interpreter.run_pixels`.

        Returns:
            What each of `layers` made of them, float32, dequantized.
        """
        table = pixel_table(self._input, value_range)
        self._engine.fill(lambda tensor: np.copyto(tensor[0], table[crop]))
        self._engine.infer()
        return [dequantize(self._graph.get_tensor(made["index"]), made) for made in self._made]


def _compile_for_gpu(model: bytes) -> Any:
    from ai_edge_litert.compiled_model import CompiledModel, HardwareAccelerator

    return CompiledModel.from_buffer(model, hardware_accel=HardwareAccelerator.GPU)


def _require_known(runtime: str, device: str) -> None:
    if runtime != "auto" and runtime not in RUNTIMES:
        raise EdgeError(f"unknown runtime {runtime}", f"choose one of auto, {', '.join(RUNTIMES)}")
    if device not in DEVICES:
        raise EdgeError(f"unknown device {device}", f"choose one of {', '.join(DEVICES)}")
    if device == "gpu" and runtime not in ("auto", "litert"):
        raise EdgeError(f"{runtime} runs on the CPU only", f"choose --runtime litert, or {ON_CPU}")


def _construct(
    model: bytes, name: str, runtime: str, threads: int, **options: Any
) -> tuple[str, Any]:
    """Open the model with the first runtime that can construct an interpreter.

    Importing proves nothing: tflite_runtime imports under NumPy 2 and then fails.
    """
    reasons = []
    for candidate in _TFLITE if runtime == "auto" else (runtime,):
        try:
            # C++ code tells of its delegate, TensorFlow that its interpreter moves to LiteRT.
            with quiet(Exception):
                interpreter = _interpreter_class(candidate)(
                    model_content=model, num_threads=threads, **options
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


def _only_input(inputs: list[dict[str, Any]], name: str) -> dict[str, Any]:
    if len(inputs) != 1:
        raise EdgeError(
            f"{name} has {len(inputs)} inputs, expected one picture",
            "choose a face classifier made by `edge convert`",
        )
    shape = _info(inputs[0]).shape
    if shape[:1] != (1,):
        raise EdgeError(
            f"{name} takes input of shape {shape}, expected one picture at a time",
            "convert the model with a batch of 1",
        )
    return inputs[0]


def _info(detail: dict[str, Any]) -> TensorInfo:
    return TensorInfo(
        detail["name"], tuple(int(n) for n in detail["shape"]), np.dtype(detail["dtype"]).name
    )
