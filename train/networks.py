"""Networks in backend-neutral Keras 3; each takes crops in the value range of its contract.

Every network ends in one sigmoid per attribute, inside the graph. They are built twice from the
same code: in the policy that trains fastest, and in float32 to be saved and converted.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from edge.contract import InputContract
from edge.errors import EdgeError

# The last two layers of every network; training works on the logits.
LOGITS = "logits"
PROBABILITIES = "probabilities"

# The normalisation of layer X is called X + this.
_NORM = "_norm"


def build(
    name: str,
    contract: InputContract,
    attributes: int,
    *,
    dropout: float = 0.1,
    normalised: bool = False,
    policy: str = "float32",
) -> keras.Model:
    """Build a network with fresh weights.

    Args:
        name: One of `NETWORKS`.
        contract: Gives the size and the value range of the input.
        attributes: How many sigmoids.
        dropout: Rate of each dropout.
        normalised: True adds the batch normalisation that a network without any is trained
            with; `finish` folds it into the convolutions of the network without.
        policy: Keras dtype policy of the layers; variables are float32 in each.

    Returns:
        float32 (n, height, width, 3) → float32 (n, attributes), 0 to 1.

    Raises:
        EdgeError: There is no such network.
    """
    if name not in NETWORKS:
        raise EdgeError(f"unknown network {name}", f"choose one of {', '.join(NETWORKS)}")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        pixels = keras.Input((contract.height, contract.width, 3), name="crop")
        features = NETWORKS[name](_centered(pixels, contract), dropout, normalised)
        logits = layers.Dense(attributes, dtype="float32", name=LOGITS)(features)
        output = layers.Activation("sigmoid", dtype="float32", name=PROBABILITIES)(logits)
        return keras.Model(pixels, output, name=name.replace("-", "_"))
    finally:
        keras.config.set_dtype_policy(before)


def finish(trained: keras.Model, finished: keras.Model) -> None:
    """Copy the weights of a network built `normalised` into the same one built without.

    Batch normalisation is folded into the convolution before it. A head with fewer attributes
    takes the first columns.
    """
    norms = {layer.name for layer in trained.layers} - {layer.name for layer in finished.layers}
    for target in finished.layers:
        weights = trained.get_layer(target.name).get_weights()
        if target.name == LOGITS:
            weights = [weight[..., : target.units] for weight in weights]
        if target.name + _NORM in norms:
            norm = trained.get_layer(target.name + _NORM)
            gamma, beta, mean, variance = norm.get_weights()
            gain = gamma / np.sqrt(variance + norm.epsilon)
            kernel, bias = weights
            weights = [kernel * gain, (bias - mean) * gain + beta]
        target.set_weights(weights)


def _centered(pixels: keras.KerasTensor, contract: InputContract) -> keras.KerasTensor:
    """Map the contract's value range to [-1, 1], inside the network."""
    low, high = contract.value_range
    scale = 2 / (high - low)
    return layers.Rescaling(scale, offset=-1 - low * scale, name="centered")(pixels)


def _conv(
    filters: int,
    name: str,
    kernel: int = 3,
    activation: str | None = "relu",
) -> keras.layers.Layer:
    return layers.Conv2D(
        filters,
        kernel,
        padding="same",
        activation=activation,
        kernel_initializer="he_normal",
        name=name,
    )


def _pooled(
    x: keras.KerasTensor, filters: int, name: str, pool: keras.layers.Layer, normalised: bool
) -> keras.KerasTensor:
    """Convolve, rectify and pool; while training, normalise what is left after the pooling.

    Normalising a quarter of the values costs a quarter. Its scale is kept positive, so that it
    commutes with the maximum and can be folded into the convolution all the same.
    """
    if not normalised:
        return pool(_conv(filters, name)(x))
    x = pool(_conv(filters, name, activation=None)(x))
    x = layers.BatchNormalization(gamma_constraint="non_neg", dtype="float32", name=name + _NORM)(x)
    return layers.ReLU(name=name + "_relu")(x)


def proposed(x: keras.KerasTensor, dropout: float, normalised: bool) -> keras.KerasTensor:
    """Return the features of the contraction path of a U-Net (seed S2g).

    Blocks of two 'same' convolutions, max pooling and spatial dropout; the first convolution is
    5×5, the widths are 32-32-64-128; global average pooling and a dense layer of 128 follow.
    """
    for block, (filters, kernel) in enumerate(((32, 5), (32, 3), (64, 3))):
        x = _conv(filters, f"conv{block}a", kernel)(x)
        x = _pooled(
            x, filters, f"conv{block}b", layers.MaxPooling2D(name=f"pool{block}"), normalised
        )
        x = layers.SpatialDropout2D(dropout, name=f"drop{block}")(x)
    x = _conv(128, "conv3a")(x)
    x = _pooled(x, 128, "conv3b", layers.Identity(name="unpooled"), normalised)
    x = layers.GlobalAveragePooling2D(name="pool3")(x)
    return layers.Dense(128, activation="relu", kernel_initializer="he_normal", name="dense")(x)


NETWORKS: dict[str, Callable[[keras.KerasTensor, float, bool], keras.KerasTensor]] = {
    "proposed": proposed,
}


def multiply_adds(model: keras.Model) -> int:
    """Count the multiply-adds of the convolutions and dense layers for one picture."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.Dense):
            positions = math.prod(layer.output.shape[1:-1])
            total += positions * math.prod(layer.kernel.shape)
    return total


def summaries() -> list[dict[str, Any]]:
    """Describe every network: name, parameters, multiply-adds and input size."""
    contract = InputContract()
    rows = []
    for name in NETWORKS:
        model = build(name, contract, 2)
        rows.append(
            {
                "name": name,
                "parameters": model.count_params(),
                "multiply_adds": multiply_adds(model),
                "input": f"{contract.width}×{contract.height}",
            }
        )
    return rows
