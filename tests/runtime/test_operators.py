"""Counting what a graph multiplies, from the shapes of its tensors."""

import pytest

from edge.runtime.operators import execution_plan, multiply_adds


def node(kind, inputs, outputs, index=0):
    return {"index": index, "op_name": kind, "inputs": inputs, "outputs": outputs}


@pytest.mark.parametrize(
    ("kind", "shapes", "expected"),
    [
        # 36 positions, 4 channels, kernels of 9 pixels over 2 channels
        ("CONV_2D", [(1, 8, 8, 2), (4, 3, 3, 2), (1, 6, 6, 4)], 6 * 6 * 4 * 3 * 3 * 2),
        # in two groups: each kernel sees half of the channels
        ("CONV_2D", [(1, 8, 8, 4), (4, 3, 3, 2), (1, 6, 6, 4)], 6 * 6 * 4 * 3 * 3 * 2),
        ("DEPTHWISE_CONV_2D", [(1, 8, 8, 4), (1, 3, 3, 8), (1, 6, 6, 8)], 6 * 6 * 8 * 3 * 3),
        ("FULLY_CONNECTED", [(1, 10), (3, 10), (1, 3)], 30),
        ("FULLY_CONNECTED", [(1, 7, 10), (3, 10), (1, 7, 3)], 7 * 30),
        ("BATCH_MATMUL", [(1, 2, 5, 7), (1, 2, 7, 3), (1, 2, 5, 3)], 2 * 5 * 7 * 3),
        # the first matrix transposed
        ("BATCH_MATMUL", [(1, 2, 7, 5), (1, 2, 7, 3), (1, 2, 5, 3)], 2 * 5 * 7 * 3),
        ("ADD", [(1, 8, 8, 4), (1, 8, 8, 4), (1, 8, 8, 4)], 0),
        ("DELEGATE", [(1, 8, 8, 2), (4, 3, 3, 2), (1, 6, 6, 4)], 0),
    ],
)
def test_counts_one_operator(kind, shapes, expected):
    # A bias that is left out has the index -1.
    graph = [node(kind, [0, 1, -1], [2])]
    assert multiply_adds(graph, dict(enumerate(shapes))) == expected


def test_counts_a_transposed_convolution_by_what_goes_in():
    shapes = {0: (4,), 1: (5, 2, 2, 3), 2: (1, 8, 8, 3), 3: (1, 16, 16, 5)}
    graph = [node("TRANSPOSE_CONV", [0, 1, 2], [3])]
    assert multiply_adds(graph, shapes) == 8 * 8 * 3 * 2 * 2 * 5


def test_the_plan_holds_what_reaches_the_result():
    graph = [
        node("QUANTIZE", [0], [1], 0),
        node("CONV_2D", [1], [2], 1),
        node("RELU", [2], [3], 2),
        node("DELEGATE", [1], [3], 3),
    ]
    assert execution_plan(graph, [3]) == ["QUANTIZE", "DELEGATE"]
    assert execution_plan(graph[:3], [3]) == ["QUANTIZE", "CONV_2D", "RELU"]
