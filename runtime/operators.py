"""What a TFLite graph consists of: which operators run, and how much they multiply.

Works on what an interpreter tells of its operators (name, tensors in and out) and tensors.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

Shapes = Mapping[int, Sequence[int]]


def execution_plan(details: list[dict[str, Any]], results: list[int]) -> list[str]:
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


def multiply_adds(details: list[dict[str, Any]], shapes: Shapes) -> int:
    """Count the multiply-adds of one run of the original graph, whatever was delegated.

    Args:
        details: One entry an operator.
        shapes: The shape of each tensor by its index.

    Returns:
        Those of convolutions, dense layers and matrix products; what else there is, is small.
    """
    return sum(_multiply_adds(node, shapes) for node in details)


def _multiply_adds(node: dict[str, Any], shapes: Shapes) -> int:
    kind = node["op_name"]
    if kind not in (
        "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL"
    ):  # fmt: skip
        return 0
    inputs = [shapes.get(int(tensor), ()) for tensor in node["inputs"]]
    result = shapes[int(node["outputs"][0])]
    weights = inputs[1]
    if kind == "TRANSPOSE_CONV":
        # Every value that goes in is spread over a patch of every channel that comes out.
        each, times = inputs[2], math.prod(weights[:-1])
    elif kind == "BATCH_MATMUL":
        # The summed axis is what is left of the first matrix, also where it is transposed.
        each, times = result, inputs[0][-1] * inputs[0][-2] // result[-2]
    elif kind == "DEPTHWISE_CONV_2D":
        each, times = result, math.prod(weights[1:3])
    else:
        each, times = result, math.prod(weights[1:])
    return int(math.prod(each) * times)
