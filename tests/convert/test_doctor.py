"""A network that plain int8 ruins: one channel is a thousand times as large as the others."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.contract import InputContract
from edge.convert import compare, doctor, integers
from edge.convert.calibrate import Calibration
from edge.convert.compare import Judged
from edge.convert.doctor import Treatment
from edge.convert.layers import LayerNoise, layer_noise
from edge.convert.quantize import quantize
from edge.convert.rewrite import for_integers
from tests.convert.conftest import ATTRIBUTES, build_odd

Crops = NDArray[np.uint8]


@pytest.fixture(scope="module")
def parent(contract: InputContract) -> bytes:
    return quantize(build_odd(), "float32", contract)


@pytest.fixture(scope="module")
def noise(parent: bytes, contract: InputContract, crops: Crops) -> list[LayerNoise]:
    return layer_noise(for_integers(parent), plain(parent, contract, crops), contract, crops[:4])


@pytest.fixture(scope="module")
def cure(parent: bytes, contract: InputContract, crops: Crops) -> Treatment:
    labels = np.asarray(build_odd()(crops.astype(np.float32))) >= 0.5

    def judge(graph: bytes) -> Judged:
        return compare.judge(
            {"int8": graph}, contract, crops, labels.astype(np.float32), ATTRIBUTES, (0.5, 0.5)
        )["int8"]

    def draw(count: int) -> Calibration:
        return Calibration(np.concatenate([crops, crops[:, ::-1]]), ("x",) * 2 * len(crops), 0)

    drawn = Calibration(crops, ("x",) * len(crops), 0)
    graph = plain(parent, contract, crops)
    assert lowest(judge(graph)) < 0.9
    return doctor.treat(
        parent, graph, contract, drawn, io="uint8", draw=draw, judge=judge,
        good=lambda one: lowest(one) == 1.0,
    )  # fmt: skip


def plain(parent: bytes, contract: InputContract, crops: Crops) -> bytes:
    """Return the graph as integers, without a remedy."""
    graph = for_integers(parent)
    return integers.static(graph, integers.calibrate(graph, contract, crops))


def lowest(judged: Judged) -> float:
    return min(one["accuracy"] for one in judged.accuracy.values())


def test_the_noise_shows_in_the_layer_that_reads_the_odd_channel(noise: list[LayerNoise]) -> None:
    worst = max(noise, key=lambda layer: layer.lost_db)
    assert [layer.operator for layer in noise][:3] == ["ADD", "CONV_2D", "CONV_2D"]
    assert worst == noise[2]
    assert noise[1].readers == (worst.name,)
    # All that is made of it is as noisy.
    assert noise[-1].sqnr_db < 30


def test_the_cheapest_remedy_comes_first_and_then_others_until_it_is_good(cure: Treatment) -> None:
    first, second, third = [attempt.remedy for attempt in cure.attempts][:3]
    assert (first, second) == ("the answer as floats", "48 calibration pictures")
    assert third.endswith("operators as floats")
    assert lowest(cure.attempts[0].judged) < 1
    assert lowest(cure.attempts[-1].judged) == 1
    assert all(lowest(attempt.judged) < 1 for attempt in cure.attempts[:-1])


def test_a_mended_graph_still_runs_in_one_part(cure: Treatment) -> None:
    assert cure.attempts[-1].judged.operators["DELEGATE"] == 1


def test_what_was_tried_can_be_told(
    cure: Treatment, parent: bytes, contract: InputContract, crops: Crops
) -> None:
    labels = (np.asarray(build_odd()(crops.astype(np.float32))) >= 0.5).astype(np.float32)
    reference = compare.judge(
        {"float32": parent}, contract, crops, labels, ATTRIBUTES, (0.5, 0.5)
    )["float32"]  # fmt: skip
    told = cure.as_json(reference)
    assert told["layers"][0]["lost_db"] == max(layer["lost_db"] for layer in told["layers"])
    assert max(told["attempts"][0]["drop_points"].values()) > 0
    assert told["attempts"][-1]["drop_points"] == {"Smiling": 0.0, "Male": 0.0}
    assert told["attempts"][-1]["floats"]
    assert cure.noisiest().count(",") == doctor.NAMED - 1


@pytest.mark.parametrize(
    ("tensor", "layer"),
    [
        ("tiny_1/conv1_relu_1/Relu6;tiny_1/conv1_1/convolution", "conv1_relu_1"),
        ("logits/MatMul", "MatMul"),
        ("PartitionedCall:0", "PartitionedCall:0"),
    ],
)
def test_a_layer_is_called_by_its_own_name(tensor: str, layer: str) -> None:
    assert doctor.short_name(tensor) == layer
