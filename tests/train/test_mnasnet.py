import math
from dataclasses import replace

import numpy as np
import pytest

from edge.train import networks
from edge.train.backbones import BACKBONES


@pytest.fixture(scope="module")
def whole():
    """MnasNet-A1 as its paper measures it: 224×224 and 1,000 classes."""
    return networks.build("mnasnet", BACKBONES["mnasnet"].contract, 1000, task="identity")


def test_it_is_as_large_as_in_its_paper(whole):
    # Table 1 of the paper: 3.9 million parameters, 312 million multiply-adds.
    parameters = sum(math.prod(weight.shape) for weight in whole.trainable_weights)
    assert parameters == pytest.approx(3.9e6, abs=0.05e6)
    assert networks.multiply_adds(whole) == pytest.approx(312e6, abs=0.5e6)


def test_its_stages_are_those_of_figure_7(whole):
    shapes = {
        layer.name.removesuffix("_project"): tuple(layer.output.shape[1:])
        for layer in whole.layers
        if layer.name.endswith("_project")
    }
    assert len(shapes) == 1 + 2 + 3 + 4 + 2 + 3 + 1
    lasts = ["block1a", "block2b", "block3c", "block4d", "block5b", "block6c", "block7a"]
    assert [shapes[name] for name in lasts] == [
        (112, 112, 16),
        (56, 56, 24),
        (28, 28, 40),
        (14, 14, 80),
        (14, 14, 112),
        (7, 7, 160),
        (7, 7, 320),
    ]


def test_blocks_of_one_shape_are_bridged(whole):
    added = [layer.name for layer in whole.layers if layer.name.endswith("_add")]
    assert len(added) == 1 + 2 + 3 + 1 + 2


def test_small_crops_and_a_seed_are_enough_for_its_weights():
    import keras

    contract = replace(BACKBONES["mnasnet"].contract, width=64, height=32)
    built = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        built.append(networks.build("mnasnet", contract, 2))
    assert all(map(np.array_equal, *(model.get_weights() for model in built)))
    twins = [built[0].get_layer(f"block4{at}_expand").get_weights()[0] for at in "bc"]
    assert not np.array_equal(*twins)
