"""Batch normalisation folded into the convolutions before it: the same numbers for less work."""

from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from edge.train.bodies import NORM
from edge.train.heads import LOGITS
from edge.train.variables import values


def finish(trained: keras.Model, finished: keras.Model) -> None:
    """Copy the weights of a network built `normalised` into the same one built without.

    Batch normalisation is folded into the convolution before it. A head with fewer answers
    takes the first columns.
    """
    norms = {layer.name for layer in trained.layers} - {layer.name for layer in finished.layers}
    for target in finished.layers:
        weights = trained.get_layer(target.name).get_weights()
        if target.name == LOGITS:
            weights = [weight[..., : target.units] for weight in weights]
        if target.name + NORM in norms:
            norm = trained.get_layer(target.name + NORM)
            weights = _folded(target, weights, norm)
        target.set_weights(weights)


def fold(network: keras.Model) -> keras.Model:
    """Return a network in which convolutions have swallowed the normalisations after them.

    Frozen statistics are a multiplication and an addition for every value; the convolution does
    both for nothing. What remains learns as before, a bias in the place of beta.

    Args:
        network: A flat functional graph; normalisations that stand elsewhere stay.
    """
    pairs = {layer.name: norm for layer in network.layers if (norm := _norm_after(layer))}
    swallowed = {norm.name for norm in pairs.values()}

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if layer.name in swallowed:
            return layers.Identity(name=layer.name, dtype=config["dtype"])
        if layer.name in pairs:
            config["use_bias"] = True
        return type(layer).from_config(config)

    def call(layer: keras.layers.Layer, *inputs: Any, **options: Any) -> Any:
        # A normalisation takes a mask that its stand-in knows nothing of.
        return layer(*inputs) if layer.name in swallowed else layer(*inputs, **options)

    folded = keras.models.clone_model(network, clone_function=clone, call_function=call)
    for layer in network.layers:
        if layer.weights and layer.name not in swallowed:
            weights = values(layer.weights)
            if layer.name in pairs:
                weights = _folded(layer, weights, pairs[layer.name])
            folded.get_layer(layer.name).set_weights(weights)
    return folded


def _norm_after(layer: keras.layers.Layer) -> keras.layers.BatchNormalization | None:
    """Return the normalisation that alone takes what a convolution gives, if there is one."""
    if not isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
        return None
    if layer.activation is not keras.activations.linear:
        return None
    takers = [node.operation for node in layer._outbound_nodes]
    if len(takers) == 1 and isinstance(takers[0], layers.BatchNormalization):
        return takers[0]
    return None


def _folded(
    convolution: keras.layers.Layer,
    weights: list[NDArray[Any]],
    norm: keras.layers.BatchNormalization,
) -> list[NDArray[Any]]:
    """Return kernel and bias of a convolution that does what its normalisation did."""
    channels = norm.moving_mean.shape[0]
    named = {variable.name: one for variable, one in zip(norm.weights, values(norm.weights),
                                                         strict=True)}  # fmt: skip
    gain = named.get("gamma", np.ones(channels, np.float32))
    gain = gain / np.sqrt(named["moving_variance"] + norm.epsilon)
    kernel, bias = weights[0], weights[1] if len(weights) > 1 else np.zeros(channels, np.float32)
    # A depthwise kernel is (height, width, channels, multiplier).
    depthwise = isinstance(convolution, layers.DepthwiseConv2D)
    shaped = gain.reshape(kernel.shape[2:]) if depthwise else gain
    beta = named.get("beta", np.zeros(channels, np.float32))
    return [kernel * shaped, (bias - named["moving_mean"]) * gain + beta]
