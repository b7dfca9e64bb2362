"""A TFLite runtime's interpreter as an engine."""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from edge.errors import EdgeError, first_line
from edge.quiet import quiet


class CpuEngine:
    """A TFLite runtime's own interpreter.

    Args:
        interpreter: Of any runtime, constructed.
        name: What to call the model in messages.
        runtime: What to call the runtime.

    Raises:
        EdgeError: The graph cannot be prepared.
    """

    def __init__(self, interpreter: Any, name: str, runtime: str) -> None:
        try:
            with quiet(Exception):
                interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise EdgeError(
                f"{name} cannot be prepared by {runtime}: {first_line(error)}",
                "convert the model again, or try another --runtime",
            ) from error
        self._interpreter, self._name, self._runtime = interpreter, name, runtime
        # A view each time: the runtime refuses to run while one is held.
        self._input = interpreter.tensor(interpreter.get_input_details()[0]["index"])
        self._outputs = [output["index"] for output in interpreter.get_output_details()]

    def fill(self, write: Callable[[NDArray[Any]], object]) -> None:
        """Have the input written; `write` gets the tensor itself, and must not keep it."""
        write(self._input())

    def infer(self) -> list[NDArray[Any]]:
        """Run the graph on its input: one array an output.

        Raises:
            EdgeError: The graph is damaged.
        """
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise EdgeError(
                f"{self._name} cannot be run by {self._runtime}: {first_line(error)}",
                "convert the model again, or try another --runtime",
            ) from error
        return [self._interpreter.get_tensor(output) for output in self._outputs]
