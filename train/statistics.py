"""The statistics of batch normalisations, taken anew from faces."""

import keras
import numpy as np
from numpy.typing import NDArray

from edge.contract import InputContract

_BATCH = 16


def take_statistics(
    network: keras.Model, contract: InputContract, faces: NDArray[np.uint8]
) -> None:
    """Give every batch normalisation of a Keras network the statistics of faces.

    Source: the update at the end of Izmailov et al., "Averaging Weights Leads to Wider Optima and
    Better Generalization", UAI 2018.

    Args:
        network: Without dropout; changed in place, to be used for inference from then on.
        contract: Of the network.
        faces: uint8 (n, height, width, 3).
    """
    values = contract.values()
    norms = [one for one in network.layers if isinstance(one, keras.layers.BatchNormalization)]
    for step, start in enumerate(range(0, len(faces), _BATCH)):
        for norm in norms:
            # Makes the moving average the plain mean of all batches so far.
            norm.momentum = step / (step + 1)
        network(values[faces[start : start + _BATCH]], training=True)


def normalises(network: keras.Model) -> bool:
    """Tell whether a network has statistics to take."""
    return any(isinstance(one, keras.layers.BatchNormalization) for one in network.layers)
