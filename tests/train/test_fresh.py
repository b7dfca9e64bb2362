"""Fresh networks have the ranges of real faces."""

import keras
import numpy as np

from edge.benchmarks.zoo import demo_crops
from edge.contract import InputContract
from edge.train.networks import build
from edge.train.statistics import take_statistics


def test_a_normalisation_takes_the_statistics_of_the_crops() -> None:
    contract = InputContract(width=32, height=32, value_range=(-1.0, 1.0))
    network = build("proposed", contract, 2, dropout=0.0, normalised=True)
    crops = demo_crops(contract, 20)
    take_statistics(network, contract, crops)
    norm = next(one for one in network.layers if isinstance(one, keras.layers.BatchNormalization))
    given = np.asarray(keras.Model(network.input, norm.output)(crops / np.float32(127.5) - 1))
    # 20 crops are a batch of 16 and one of 4, each counted alike.
    halves = given[:16], given[16:]
    means, variances = (np.mean([stat(half, axis=(0, 1, 2)) for half in halves], axis=0)
                        for stat in (np.mean, np.var))  # fmt: skip
    assert np.abs(means).max() < 1e-3
    assert np.abs(variances - 1).max() < 0.03  # its epsilon takes a little
