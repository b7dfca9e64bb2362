"""A TFLite graph on a GPU, by LiteRT's accelerator: all of it, or a refusal that says why.

What LiteRT tells of adapters and operators, it writes to stderr and nowhere else.
"""

import re
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import EdgeError
from edge.quiet import end_quietly, quiet, unprinted

ON_CPU = "leave out --device gpu"

_SELECTED = re.compile(
    r"Selected adapter: (?P<name>.+?), arch=.*?backend=(?P<backend>[^,\n]+)"
    r", adapterType=(?P<kind>[^\n]+)"
)
_NO_DRIVER = re.compile(r"No adapters found|Found no drivers")
_REFUSED = re.compile(r"not supported by GPU delegate:\n(?P<lines>(?:[A-Z0-9_]+:.*\n)+)")
_LOADED = re.compile(r"GPU accelerator.* registered")


@dataclass(frozen=True)
class Adapter:
    """A GPU as its driver names it; `software` means that a CPU plays the GPU."""

    name: str
    backend: str
    software: bool


def selected_adapter(said: str) -> Adapter | None:
    """Return the adapter that LiteRT says it took last, None if it says nothing of one."""
    found = list(_SELECTED.finditer(said))
    if not found:
        return None
    adapter = found[-1]
    return Adapter(adapter["name"], adapter["backend"], "CPU" in adapter["kind"])


def refusal(said: str) -> str | None:
    """Return in words why LiteRT took no GPU, None if nothing known stands in what it said."""
    if _NO_DRIVER.search(said):
        return "no Vulkan adapter was found"
    refused = _REFUSED.search(said)
    if refused:
        operators = dict.fromkeys(line.split(":")[0] for line in refused["lines"].splitlines())
        return f"the GPU does not know {', '.join(operators)}"
    if not _LOADED.search(said):
        return "this ai-edge-litert has no GPU accelerator for this machine"
    return None


class GpuEngine:
    """A TFLite graph on a GPU, with buffers that are made once.

    Args:
        compile_model: Gives LiteRT's `CompiledModel` of the graph, for the GPU alone.
        name: What to call the model in messages.
        graph_input: What a TFLite interpreter tells of the graph's input.
        outputs: The same of the graph's outputs, in the order wanted.

    Attributes:
        adapter: The GPU.

    Raises:
        EdgeError: There is no GPU, or it does not run the whole graph.
    """

    def __init__(
        self,
        compile_model: Callable[[], Any],
        name: str,
        graph_input: dict[str, Any],
        outputs: list[dict[str, Any]],
    ) -> None:
        end_quietly()  # LiteRT tells of every accelerator that it closes
        # Holds the bytes of the graph: nothing says that LiteRT copies them.
        self._compile_model = compile_model
        # In a list, so that what closes them at last holds the only reference.
        self._parts: list[Any] = []
        weakref.finalize(self, _close, self._parts)
        failure = ""
        with unprinted(), quiet() as held:
            try:
                self._parts.append(compile_model())
                positions = _positions(self._parts[0])
                self._parts.append(self._parts[0].create_input_buffers(0))
                self._parts.append(self._parts[0].create_output_buffers(0))
                whole = self._parts[0].is_fully_accelerated()
            except (ImportError, RuntimeError, TypeError, AttributeError) as error:
                # The error keeps alive what tells the terminal that it closes: not for longer.
                failure = _last_line(error)
        if failure:
            raise _no_gpu(name, refusal(held.text) or failure)
        adapter = selected_adapter(held.text)
        if adapter is None or not whole:
            raise _no_gpu(name, refusal(held.text) or "LiteRT fell back to the CPU")
        self.adapter = adapter
        self._name = name
        self._input = np.zeros(graph_input["shape"], graph_input["dtype"])
        self._outputs = [
            (positions.get(output["name"], at), tuple(output["shape"]), output["dtype"])
            for at, output in enumerate(outputs)
        ]

    def fill(self, write: Callable[[NDArray[Any]], object]) -> None:
        """Have the input written; `write` gets what goes to the GPU with the next run."""
        write(self._input)

    def infer(self) -> list[NDArray[Any]]:
        """Run the graph on its input: one array an output."""
        compiled, inputs, outputs = self._parts
        try:
            inputs[0].write(self._input)
            compiled.run_by_index(0, inputs, outputs)
            return [
                outputs[at].read(int(np.prod(shape)), dtype).reshape(shape)
                for at, shape, dtype in self._outputs
            ]
        except RuntimeError as error:
            raise EdgeError(
                f"{self._name} fails on {self.adapter.name}: {_last_line(error)}",
                f"update the GPU's driver, or {ON_CPU}",
            ) from error


def _positions(compiled: Any) -> dict[str, int]:
    """Return where each output's tensor stands among the output buffers."""
    signature, ends = next(iter(compiled.get_signature_list().items()))
    details = compiled.get_output_tensor_details(signature)
    return {details[name]["name"]: at for at, name in enumerate(ends["outputs"])}


def _close(parts: list[Any]) -> None:
    """Let go of a GPU; the library tells the terminal of it."""
    with quiet(Exception):
        parts.clear()


def _no_gpu(name: str, reason: str) -> EdgeError:
    driver = "install a GPU driver with Vulkan, or " if "adapter" in reason else ""
    return EdgeError(f"{name} cannot run on a GPU: {reason}", f"{driver}{ON_CPU}")


def _last_line(error: Exception) -> str:
    """Return the end of LiteRT's trail of source lines, which says what went wrong."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].lstrip("└ ")
