"""A network that rounds as its int8 file will, so that training finds weights that bear it."""

from typing import Any

import keras
from keras import layers, ops

from edge.train.heads import LOGITS, PROBABILITIES

# Weights have as many steps to both sides of zero; values the 256 of a byte.
_WEIGHT_STEPS = 127
_VALUE_STEPS = 255

# They hand on values that int8 has already, and pixels, which it takes as they are.
_HANDS_ON = (
    layers.Rescaling, layers.Identity, layers.Dropout, layers.Reshape, layers.Flatten,
    layers.ZeroPadding2D, layers.MaxPooling2D, layers.GlobalMaxPooling2D, layers.Concatenate,
)  # fmt: skip


def rounded(network: keras.Model) -> keras.Model:
    """Return a network that rounds weights and values, with the weights of another.

    Weights are rounded by channel, values over the range of the batch; gradients pass as if
    nothing were rounded (Jacob et al., 2018, "Quantization and training of neural networks for
    efficient integer-arithmetic-only inference"). The answer stays as it is: where int8 loses too
    much, that is the first to be left as floats.

    Args:
        network: A flat functional graph whose normalisations are folded; the layers of the copy
            have the same names.
    """
    # Sums and products that were written as such are operations, but no layers.
    before = {one.name: one for one in network.operations}

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        kind: type[layers.Layer] = type(layer)
        if layer.name != LOGITS:
            kind = _ROUNDED.get(kind, kind)
        return kind.from_config(layer.get_config())

    def call(layer: keras.Operation, *inputs: Any, **options: Any) -> Any:
        values = layer(*inputs, **options)
        if not _is_kept(before[layer.name]):
            return values
        return RoundedValues(name=f"{layer.name}_rounded")(values)

    copy = keras.models.clone_model(network, clone_function=clone, call_function=call)
    for layer in network.layers:
        if layer.weights:
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


class RoundedValues(layers.Layer):
    """Rounds to 256 steps over the range of a batch, zero among them."""

    def call(self, inputs: Any) -> Any:
        """Round float32 values of any shape."""
        low = ops.minimum(ops.min(inputs), 0.0)
        step = ops.maximum(ops.max(inputs) - low, 1e-6) / _VALUE_STEPS
        zero = ops.round(-low / step)
        return _passing(inputs, (ops.round(inputs / step + zero) - zero) * step)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return shape


class _Convolution(layers.Conv2D):
    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return super().convolution_op(inputs, _rounded_weights(kernel, (0, 1, 2)))


class _Depthwise(layers.DepthwiseConv2D):
    def call(self, inputs: Any) -> Any:
        values = ops.depthwise_conv(
            inputs, _rounded_weights(self.kernel, (0, 1)), self.strides, self.padding,
            self.data_format, self.dilation_rate,
        )  # fmt: skip
        return self.activation(values + self.bias if self.use_bias else values)


class _Dense(layers.Dense):
    def call(self, inputs: Any, training: bool | None = None) -> Any:
        values = ops.matmul(inputs, _rounded_weights(self.kernel, (0,)))
        return self.activation(values + self.bias if self.use_bias else values)


_ROUNDED: dict[type, type[layers.Layer]] = {
    layers.Conv2D: _Convolution,
    layers.DepthwiseConv2D: _Depthwise,
    layers.Dense: _Dense,
}


def _is_kept(layer: keras.Operation) -> bool:
    """Tell whether int8 stores what a layer makes, and not only what a rectifier leaves of it."""
    if isinstance(layer, _HANDS_ON) or layer.name in (LOGITS, PROBABILITIES):
        return False
    takers = _takers(layer)
    fused = bool(takers) and all(map(_rectifies, takers))
    linear = keras.activations.linear
    return not (fused and getattr(layer, "activation", linear) is linear)


def _takers(layer: keras.Operation) -> list[keras.Operation]:
    """Return what takes the values of a layer, beyond layers that do nothing."""
    takers = []
    for node in layer._outbound_nodes:
        one = node.operation
        takers += _takers(one) if isinstance(one, layers.Identity) else [one]
    return takers


def _rectifies(layer: keras.Operation) -> bool:
    if isinstance(layer, layers.Activation):
        return layer.activation in (keras.activations.relu, keras.activations.relu6)
    return isinstance(layer, layers.ReLU)


def _rounded_weights(kernel: Any, axes: tuple[int, ...]) -> Any:
    """Round to the steps of each channel; `axes` are all the others."""
    step = ops.max(ops.abs(kernel), axis=axes, keepdims=True) / _WEIGHT_STEPS
    step = ops.maximum(step, 1e-9)
    return _passing(kernel, ops.round(kernel / step) * step)


def _passing(values: Any, rounded_values: Any) -> Any:
    """Return the rounded values, with the gradient of the values themselves."""
    return values + ops.stop_gradient(rounded_values - values)
