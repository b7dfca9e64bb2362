"""The bodies of small networks that are trained from scratch: those of the seeds, and our own."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import keras
from keras import layers

from edge.contract import InputContract
from edge.train.filters import add_filters
from edge.train.recipe import ALIGNED, Head

# The normalisation of layer X is called X + this.
NORM = "_norm"

# Crop, contract, rate of each dropout, whether to add batch normalisation → features,
# (n, height, width, channels).
Body = Callable[[keras.KerasTensor, InputContract, float, bool], keras.KerasTensor]


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network.

    Args:
        about: One line for `edge train --list`.
        body: Makes features of a crop.
        head: What stands on the features where no recipe says otherwise.
        contract: How faces are cut for it where no recipe says otherwise.
        weights: "imagenet" where there are published weights for it, else empty.
        last_block: First layer of the last block of the body, which transfer learning unfreezes.
    """

    about: str
    body: Body
    head: Head = field(default_factory=Head)
    contract: InputContract = field(default_factory=InputContract)
    weights: str = ""
    last_block: str = ""


def centered(pixels: keras.KerasTensor, contract: InputContract) -> keras.KerasTensor:
    """Map the contract's value range to [-1, 1], inside the network."""
    low, high = contract.value_range
    scale = 2 / (high - low)
    return layers.Rescaling(scale, offset=-1 - low * scale, name="centered")(pixels)


def _conv(
    filters: int,
    name: str,
    kernel: int = 3,
    activation: str | None = "relu",
    strides: int = 1,
) -> keras.layers.Layer:
    return layers.Conv2D(
        filters,
        kernel,
        strides,
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
    x = layers.BatchNormalization(gamma_constraint="non_neg", dtype="float32", name=name + NORM)(x)
    return layers.ReLU(name=name + "_relu")(x)


def _proposed(
    pixels: keras.KerasTensor,
    contract: InputContract,
    dropout: float,
    normalised: bool,
    *,
    spatial: bool = True,
    twice_3x3: bool = False,
) -> keras.KerasTensor:
    """Contraction path of a U-Net (seed S2g).

    Blocks of two 'same' convolutions, max pooling and dropout; the first convolution is 5×5, the
    widths are 32-32-64-128.

    Args:
        pixels: As `Body`.
        contract: As `Body`.
        dropout: As `Body`.
        normalised: As `Body`.
        spatial: Dropouts leave out whole feature maps; False is the ablation S2h.
        twice_3x3: Two 3×3 convolutions stand for the 5×5 one, the ablation S2i.
    """
    drop = layers.SpatialDropout2D if spatial else layers.Dropout
    x = centered(pixels, contract)
    for block, (filters, kernel) in enumerate(((32, 5), (32, 3), (64, 3))):
        if kernel == 5 and twice_3x3:
            x = _conv(filters, "conv0")(x)
            kernel = 3
        x = _conv(filters, f"conv{block}a", kernel)(x)
        pool = layers.MaxPooling2D(name=f"pool{block}")
        x = _pooled(x, filters, f"conv{block}b", pool, normalised)
        x = drop(dropout, name=f"drop{block}")(x)
    x = _conv(128, "conv3a")(x)
    return _pooled(x, 128, "conv3b", layers.Identity(name="unpooled"), normalised)


def _simple_cnn(
    pixels: keras.KerasTensor, contract: InputContract, dropout: float, normalised: bool
) -> keras.KerasTensor:
    """Four convolutions with max pooling and two dropouts (seed S0a)."""
    x = centered(pixels, contract)
    for at, filters in enumerate((16, 32, 64, 128)):
        pool = layers.MaxPooling2D(name=f"pool{at}")
        x = _pooled(x, filters, f"conv{at}", pool, normalised)
        if at in (1, 3):
            x = layers.Dropout(dropout, name=f"drop{at}")(x)
    return x


def _gender_cnn(
    pixels: keras.KerasTensor, contract: InputContract, dropout: float, normalised: bool
) -> keras.KerasTensor:
    """Average pooling and one convolution of 64 (seed S3a)."""
    x = layers.AveragePooling2D(4, name="shrink")(centered(pixels, contract))
    return _pooled(x, 64, "conv0", layers.Identity(name="unpooled"), normalised)


def _celeb_cnn(
    pixels: keras.KerasTensor, contract: InputContract, dropout: float, normalised: bool
) -> keras.KerasTensor:
    """Three convolutions with max pooling, on a darkened border less the mean face (seed S4)."""
    x = add_filters(centered(pixels, contract), contract, mask=True, mean=True)
    for at, filters in enumerate((32, 64, 64)):
        pool = layers.MaxPooling2D(3, strides=2, padding="same", name=f"pool{at}")
        x = _pooled(x, filters, f"conv{at}", pool, normalised)
    return x


def _normed(
    x: keras.KerasTensor, filters: int, name: str, strides: int, normalised: bool
) -> keras.KerasTensor:
    """Convolve, normalise while training, and rectify."""
    if not normalised:
        return _conv(filters, name, strides=strides)(x)
    x = _conv(filters, name, activation=None, strides=strides)(x)
    x = layers.BatchNormalization(dtype="float32", name=name + NORM)(x)
    return layers.ReLU(name=name + "_relu")(x)


def _compact(
    pixels: keras.KerasTensor,
    contract: InputContract,
    dropout: float,
    normalised: bool,
    *,
    stem: int = 16,
    stages: tuple[tuple[int, int], ...] = ((32, 2), (64, 2), (128, 2)),
) -> keras.KerasTensor:
    """Plain 3×3 convolutions that halve by striding: nothing that an int8 delegate leaves out.

    A strided stem sees a quarter of the places at once, and no place is computed to be thrown
    away by a pooling. At the end a depthwise convolution weighs each place for each channel, since
    the parts of a face that is cut by its eyes are always in the same places (MobileFaceNet, Chen
    et al., 2018).

    Args:
        pixels: As `Body`.
        contract: As `Body`.
        dropout: As `Body`; before the head alone.
        normalised: As `Body`.
        stem: Width of the first convolution.
        stages: Width and number of the convolutions of each stage, the first of them strided.
    """
    x = _normed(centered(pixels, contract), stem, "stem", 2, normalised)
    for stage, (filters, depth) in enumerate(stages):
        for at in range(depth):
            x = _normed(x, filters, f"conv{stage}{'abcdef'[at]}", 1 if at else 2, normalised)
    whole = layers.DepthwiseConv2D(x.shape[1:3], depthwise_initializer="he_normal", name="places")
    return layers.SpatialDropout2D(dropout, name="drop")(whole(x))


_DENSE = Head(layers=(128,))

BODIES = {
    "proposed": Network(
        about="contraction path of a U-Net, 5×5 stem, spatial dropout (S2g)",
        body=_proposed,
        head=_DENSE,
    ),
    "proposed-dropout": Network(
        about="`proposed` with ordinary dropout (S2h)",
        body=partial(_proposed, spatial=False),
        head=_DENSE,
    ),
    "proposed-3x3": Network(
        about="`proposed` with two 3×3 convolutions for its 5×5 one (S2i)",
        body=partial(_proposed, twice_3x3=True),
        head=_DENSE,
    ),
    "compact": Network(
        about="our own: strided 3×3 convolutions, made for int8",
        body=_compact,
        contract=InputContract(width=80, height=80),
    ),
    "simple-cnn": Network(
        about="four convolutions 16-32-64-128 (S0a)", body=_simple_cnn, contract=ALIGNED
    ),
    "gender-cnn": Network(
        about="one convolution of 64 (S3a)",
        body=_gender_cnn,
        head=Head(layers=(32, 0.5)),
        contract=InputContract(width=224, height=224),
    ),
    "celeb-cnn": Network(
        about="three convolutions, bottleneck of 2,048 (S4a)",
        body=_celeb_cnn,
        head=Head(pool="average", layers=(1024, 0.5, 2048)),
        contract=InputContract(width=150, height=150),
    ),
}
