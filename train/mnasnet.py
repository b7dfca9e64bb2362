"""MnasNet-A1, of which Keras has none and no weights are published for it.

Source: Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", CVPR 2019,
figure 7. What the figure leaves open is as the authors' code has it: a convolution to 1,280 behind
the blocks, ReLU, squeezing to a quarter of a block's input, batch normalisation with ε 0.001.
With a dense layer of 1,000 and crops of 224×224 that makes 3.9 million parameters and 312 million
multiply-adds, the numbers of the paper's table 1.
"""

import keras
from keras import layers

from edge.contract import InputContract
from edge.train.bodies import Network, centered

# Expansion, kernel, filters, blocks, stride of the first block, whether to squeeze and excite.
_STAGES = (
    (1, 3, 16, 1, 1, False),
    (6, 3, 24, 2, 2, False),
    (3, 5, 40, 3, 2, True),
    (6, 3, 80, 4, 2, False),
    (6, 3, 112, 2, 1, True),
    (6, 5, 160, 3, 2, True),
    (6, 3, 320, 1, 1, False),
)
_STEM, _LAST = 32, 1280
_SQUEEZE = 0.25


def _initializer() -> keras.initializers.Initializer:
    """Return one for a single layer: one that is shared gives each the same numbers."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


def _mnasnet(
    pixels: keras.KerasTensor, contract: InputContract, dropout: float, normalised: bool
) -> keras.KerasTensor:
    """Make 1,280 features; has no dropout, and its normalisation stays."""
    del dropout, normalised
    x = _conv(centered(pixels, contract), _STEM, "stem", kernel=3, strides=2)
    for stage, (expansion, kernel, filters, blocks, strides, squeeze) in enumerate(_STAGES, 1):
        for at in range(blocks):
            name = f"block{stage}{'abcd'[at]}_"
            step = 1 if at else strides
            x = _block(x, name, expansion, kernel, filters, strides=step, squeeze=squeeze)
    return _conv(x, _LAST, "top")


def _block(
    x: keras.KerasTensor,
    name: str,
    expansion: int,
    kernel: int,
    filters: int,
    *,
    strides: int,
    squeeze: bool,
) -> keras.KerasTensor:
    """Expand, convolve each channel, weigh the channels, project; around it where shapes allow."""
    before, width = x, x.shape[-1]
    if expansion > 1:
        x = _conv(x, width * expansion, f"{name}expand")
    x = layers.DepthwiseConv2D(
        kernel,
        strides,
        padding="same",
        use_bias=False,
        depthwise_initializer=_initializer(),
        name=f"{name}depthwise",
    )(x)
    x = layers.BatchNormalization(name=f"{name}depthwise_bn")(x)
    x = layers.ReLU(name=f"{name}depthwise_relu")(x)
    if squeeze:
        x = _excited(x, int(width * _SQUEEZE), f"{name}se_")
    x = _conv(x, filters, f"{name}project", activated=False)
    if strides == 1 and width == filters:
        x = layers.Add(name=f"{name}add")([before, x])
    return x


def _conv(
    x: keras.KerasTensor,
    filters: int,
    name: str,
    *,
    kernel: int = 1,
    strides: int = 1,
    activated: bool = True,
) -> keras.KerasTensor:
    x = layers.Conv2D(
        filters,
        kernel,
        strides,
        padding="same",
        use_bias=False,
        kernel_initializer=_initializer(),
        name=name,
    )(x)
    x = layers.BatchNormalization(name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if activated else x


def _excited(x: keras.KerasTensor, squeezed: int, name: str) -> keras.KerasTensor:
    """Weigh each channel by what is in all of them."""
    weight = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}squeeze")(x)
    for filters, activation, part in (
        (squeezed, "relu", "reduce"),
        (x.shape[-1], "sigmoid", "expand"),
    ):
        weight = layers.Conv2D(
            filters,
            1,
            activation=activation,
            kernel_initializer=_initializer(),
            name=f"{name}{part}",
        )(weight)
    return layers.Multiply(name=f"{name}excite")([x, weight])


MNASNET = Network(
    about="found by search for latency on a phone, some blocks with squeeze-and-excite",
    body=_mnasnet,
    contract=InputContract(width=224, height=224),
    last_block="block7a_expand",
)
