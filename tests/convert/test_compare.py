from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.contract import InputContract
from edge.convert import compare
from edge.convert.compare import Judged
from edge.convert.quantize import quantize
from tests.convert.conftest import ATTRIBUTES, build_people

Crops = NDArray[np.uint8]

PICTURES = [f"{number}.png" for number in range(24)]


@pytest.fixture(scope="module")
def graphs(network: Any, contract: InputContract, crops: Crops) -> dict[str, bytes]:
    return {
        variant: quantize(network, variant, contract, calibration=crops)
        for variant in ("float32", "int8")
    }


def judged(right: int, of: int, decisions: list[bool] | None = None) -> Judged:
    accuracy = {"Smiling": {"accuracy": right / of, "ci95": [0.0, 1.0], "samples": of}}
    return Judged(
        np.array(decisions or [True] * of, np.float32)[:, None],
        np.array(decisions or [True] * of)[:, None],
        accuracy,
        1,
        {"p50": 1.0},
        {"DELEGATE": 2, "SOFTMAX": 3},
        "litert 1",
        (),
    )


def test_accuracy_counts_known_labels_only(
    graphs: dict[str, bytes], network: Any, contract: InputContract, crops: Crops
) -> None:
    decisions = np.asarray(network(crops.astype(np.float32))) >= 0.5
    labels = decisions.astype(np.float32)
    labels[:6, 0] = 1 - labels[:6, 0]
    labels[:4, 0] = np.nan
    labels[:, 1] = np.nan
    found = compare.judge(graphs, contract, crops, labels, ATTRIBUTES, (0.5, 0.5))["float32"]
    smiling = found.accuracy["Smiling"]
    assert smiling["samples"] == 20
    assert smiling["accuracy"] == 18 / 20
    assert smiling["ci95"][0] < 0.9 < smiling["ci95"][1]
    assert found.accuracy["Male"] == {"accuracy": None, "ci95": None, "samples": 0}


def test_thresholds_decide(graphs: dict[str, bytes], contract: InputContract, crops: Crops) -> None:
    labels = np.ones((len(crops), 2), np.float32)
    found = compare.judge(graphs, contract, crops, labels, ATTRIBUTES, (0.0, 1.1))["float32"]
    assert found.accuracy["Smiling"]["accuracy"] == 1
    assert found.accuracy["Male"]["accuracy"] == 0


def test_of_people_the_best_one_is_the_decision(contract: InputContract, crops: Crops) -> None:
    network = build_people(5, crops)
    names = ("ann", "bob", "cyd", "dan", "eve")
    graphs = {
        variant: quantize(network, variant, contract, calibration=crops)
        for variant in ("float32", "int8")
    }
    probabilities = np.asarray(network(crops.astype(np.float32)))
    people = probabilities.argmax(axis=1)
    assert len(set(people.tolist())) > 1
    labels = people.astype(np.float32)[:, None]
    labels[:3] = (labels[:3] + 1) % 5
    labels[3] = np.nan
    none = (0.0,) * 5
    found = compare.judge(graphs, contract, crops, labels, names, none, "identity")
    assert found["float32"].decisions.tolist() == people[:, None].tolist()
    assert found["float32"].accuracy["identity"]["accuracy"] == (len(crops) - 4) / (len(crops) - 1)
    entry = compare.describe("int8", found["int8"], found["float32"], PICTURES)
    same = (found["int8"].decisions == found["float32"].decisions)[:, 0]
    assert entry["agreement"] == same.mean()
    assert entry["flips"] == {"identity": int((~same).sum())}
    assert set(entry["accuracy"]) == set(entry["drop_points"]) == {"identity"}
    never = compare.judge(graphs, contract, crops, labels, names, (1.1,) * 5, "identity")
    assert never["float32"].accuracy["identity"]["accuracy"] == 0


def test_each_variant_is_timed_and_looked_into(
    graphs: dict[str, bytes], contract: InputContract, crops: Crops
) -> None:
    labels = np.ones((len(crops), 2), np.float32)
    found = compare.judge(graphs, contract, crops, labels, ATTRIBUTES, (0.5, 0.5))
    assert list(found) == ["float32", "int8"]
    for variant, one in found.items():
        entry = compare.describe(variant, one, found["float32"], PICTURES)
        assert entry["latency_ms"]["p50"] > 0
        assert entry["delegate"]["partitions"] == 1
        assert one.size_bytes == len(graphs[variant])
    assert found["int8"].operators["QUANTIZE"] == 2


def test_flips_and_agreement_count_decisions_that_differ() -> None:
    float32 = judged(4, 4, [True, True, False, False])
    int8 = judged(3, 4, [True, False, False, False])
    entry = compare.describe("int8", int8, float32, PICTURES)
    assert entry["flips"] == {"Smiling": 1}
    assert entry["agreement"] == 0.75
    assert entry["drop_points"] == {"Smiling": 25.0}
    assert entry["delegate"] == {
        "partitions": 2,
        "fallback_ops": {"SOFTMAX": 3},
        "reasons": {"SOFTMAX": "XNNPACK has no int8 kernel for it"},
    }


def test_the_faces_that_changed_most_are_named_if_they_are_decided_otherwise() -> None:
    float32 = judged(4, 4, [True, True, False, False])
    int8 = judged(3, 4, [True, False, False, True])
    float32.probabilities[:] = [[0.9], [0.6], [0.4], [0.1]]
    int8.probabilities[:] = [[0.5], [0.4], [0.3], [0.8]]
    entry = compare.describe("int8", int8, float32, PICTURES)
    assert entry["worst"] == [
        {"picture": "3.png", "change": 0.7},
        {"picture": "1.png", "change": 0.2},
    ]


def test_a_gain_is_a_negative_drop() -> None:
    assert compare.drop_points(judged(9, 10), judged(8, 10)) == {"Smiling": -10.0}
