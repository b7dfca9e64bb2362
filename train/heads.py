"""What stands on the features of a network: pooling, dense layers, and one output an answer."""

from typing import Any

import keras
from keras import layers

from edge.train.recipe import Head, Task

# Layers of every network: the pooled features, and the last two; training works on the logits.
POOLED = "pooled"
LOGITS = "logits"
PROBABILITIES = "probabilities"

_OUTPUT = {"attributes": "sigmoid", "identity": "softmax"}


def add_head(features: keras.KerasTensor, head: Head, answers: int, task: Task) -> Any:
    """Put a head on features.

    Args:
        features: (n, height, width, channels).
        head: What to put on them.
        answers: How many outputs.
        task: "attributes" gives each a sigmoid of its own, "identity" one softmax over all.

    Returns:
        float32 (n, answers), 0 to 1.
    """
    pool = layers.GlobalAveragePooling2D if head.pool == "average" else layers.Flatten
    x = pool(name=POOLED)(features)
    dense = dropped = 0
    for layer in head.layers:
        if layer < 1:
            dropped += 1
            x = layers.Dropout(layer, name=f"dropout{dropped}")(x)
        else:
            dense += 1
            x = layers.Dense(
                int(layer),
                activation="relu",
                kernel_initializer="he_normal",
                name="dense" if dense == 1 else f"dense{dense}",
            )(x)
    logits = layers.Dense(answers, dtype="float32", name=LOGITS)(x)
    return layers.Activation(_OUTPUT[task], dtype="float32", name=PROBABILITIES)(logits)


def bottleneck(network: keras.Model) -> keras.KerasTensor:
    """Return the features that the logits are made of, without dropout: (n, width)."""
    tensor = network.get_layer(LOGITS).input
    while isinstance(tensor._keras_history.operation, layers.Dropout):
        tensor = tensor._keras_history.operation.input
    return tensor
