"""The bodies of published networks, for transfer learning.

They are those of keras.applications, without the classifier, flat in the graph of our network and
with the same layer names each time. Each scales its crops by itself, as its published weights
want it.
"""

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import keras
import numpy as np
from keras import applications, layers

from edge.contract import InputContract
from edge.errors import EdgeError
from edge.train.bodies import Network, centered
from edge.train.mnasnet import MNASNET

Scaling = Callable[[keras.KerasTensor, InputContract], keras.KerasTensor]

# Means of ImageNet: what Caffe took off 0 to 255, in the order blue, green, red; and, in the order
# red, green, blue and in 0 to 1, mean and deviation as the authors of EfficientNet have them.
CAFFE_MEAN = (103.939, 116.779, 123.68)
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)

# Of batch statistics. Some bodies were published with 0.999, for hundreds of thousands of steps:
# after the thousand steps of a small data set it still holds a third of what it began with.
_MOMENTUM = 0.99


@dataclass(frozen=True, kw_only=True)
class Source:
    """A network of keras.applications.

    Args:
        about: As `Network`.
        builder: Builds it, at its width.
        file: Name of its published ImageNet weights without the classifier.
        last_block: As `Network`.
        size: Side of the crops of its source, pixels.
        smallest: Least side that it works on.
        colour: Channel order that its weights want.
        scaling: Maps crops to the values that its weights want.
    """

    about: str
    builder: Callable[..., keras.Model]
    file: str
    last_block: str
    size: int = 224
    smallest: int = 32
    colour: Literal["RGB", "BGR"] = "RGB"
    scaling: Scaling = centered

    def build(self, weights: str | None = None) -> keras.Model:
        """Build it as keras.applications has it, without its classifier.

        Args:
            weights: "imagenet" downloads them, None leaves fresh ones.
        """
        return self.builder(include_top=False, weights=weights, input_shape=(224, 224, 3))


def stable_names(model: keras.Model) -> dict[str, str]:
    """Count the layers that Keras named by itself as if nothing else had been built before.

    Keras numbers layers without a name through a whole process.

    Returns:
        Names in the model, and what they are in a fresh process.
    """
    numbers: dict[str, list[int]] = defaultdict(list)
    for operation in model.operations:
        kind, number = _split(operation.name)
        if _named_by_keras(operation):
            numbers[kind].append(number)
    return {
        _joined(kind, number): _joined(kind, at)
        for kind, found in numbers.items()
        for at, number in enumerate(sorted(found))
    }


def _split(name: str) -> tuple[str, int]:
    kind, number = re.fullmatch(r"(.+?)(?:_(\d+))?", name).groups()  # type: ignore[union-attr]
    return kind, int(number or 0)


def _joined(kind: str, number: int) -> str:
    return f"{kind}_{number}" if number else kind


def _named_by_keras(operation: keras.Operation) -> bool:
    kind, _ = _split(operation.name)
    return kind.replace("_", "") == type(operation).__name__.lower()


def _body(
    pixels: keras.KerasTensor,
    contract: InputContract,
    dropout: float,
    normalised: bool,
    *,
    source: Source,
) -> keras.KerasTensor:
    """Build a network of keras.applications; its dropout and normalisation are its own."""
    del dropout, normalised
    if min(contract.width, contract.height) < source.smallest:
        raise EdgeError(
            f"crops are {contract.width}×{contract.height}, the network takes "
            f"{source.smallest}×{source.smallest} or more",
            "choose a recipe with larger crops, or another network",
        )
    # An input of its own, so that nothing holds on to this copy once it is renamed.
    x = keras.Input(pixels.shape[1:])
    if contract.colour != source.colour:
        x = keras.ops.flip(x, axis=-1)
    built = source.builder(
        include_top=False, weights=None, input_tensor=source.scaling(x, contract)
    )
    names = stable_names(built)

    def renamed(operation: Any) -> Any:
        config = operation.get_config()
        config["name"] = names.get(operation.name, config["name"])
        if isinstance(operation, layers.BatchNormalization):
            config["momentum"] = min(config["momentum"], _MOMENTUM)
        return type(operation).from_config(config)

    def called(operation: Any, *args: Any, **kwargs: Any) -> Any:
        """Leave out how EfficientNet would scale: with weights that `finish` does not copy."""
        if isinstance(operation, layers.Normalization) or (
            isinstance(operation, layers.Rescaling) and _named_by_keras(operation)
        ):
            return args[0]
        return operation(*args, **kwargs)

    clone = keras.models.clone_model(
        built, input_tensors=[pixels], clone_function=renamed, call_function=called
    )
    return clone.output


def _standardised(
    pixels: keras.KerasTensor,
    contract: InputContract,
    *,
    mean: tuple[float, ...],
    deviation: tuple[float, ...] = (1.0, 1.0, 1.0),
) -> keras.KerasTensor:
    """Subtract the mean of each channel and divide by its deviation, both for pixels 0 to 255."""
    low, high = contract.value_range
    unit = 255 / (high - low)
    scale = unit / np.array(deviation)
    offset = (-low * unit - np.array(mean)) / deviation
    return layers.Rescaling(scale.tolist(), offset.tolist(), dtype="float32", name="standardised")(
        pixels
    )


_caffe = partial(_standardised, mean=CAFFE_MEAN)
_standard = partial(
    _standardised,
    mean=tuple(255 * value for value in MEAN),
    deviation=tuple(255 * value for value in DEVIATION),
)


def _vgg(depth: int, builder: Callable[..., keras.Model]) -> Source:
    return Source(
        about=f"3×3 convolutions in five blocks, {depth} layers (Simonyan and Zisserman, 2014)",
        builder=builder,
        file=f"vgg{depth}_weights_tf_dim_ordering_tf_kernels_notop.h5",
        last_block="block5_conv1",
        colour="BGR",
        scaling=_caffe,
    )


def _efficientnet(number: int, builder: Callable[..., keras.Model], size: int, last: str) -> Source:
    return Source(
        about=f"inverted bottlenecks, depth, width and size scaled together, B{number} (Tan, 2019)",
        builder=builder,
        file=f"efficientnetb{number}_notop.h5",
        last_block=last,
        size=size,
        scaling=_standard,
    )


def _mobilenet_v2(width: float) -> Source:
    return Source(
        about=f"inverted bottlenecks with linear ends, width {width:g} (Sandler, 2018)",
        builder=partial(applications.MobileNetV2, alpha=width),
        file=f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{width}_224_no_top.h5",
        last_block="block_16_expand",
    )


def _mobilenet_v3(size: Literal["large", "small"], *, minimalistic: bool) -> Source:
    builder = applications.MobileNetV3Large if size == "large" else applications.MobileNetV3Small
    kind = f"{size}_minimalistic" if minimalistic else size
    return Source(
        about=(
            f"found by search, {size}, without hard-swish, squeezing and 5×5 (Howard, 2019)"
            if minimalistic
            else f"found by search, {size}, hard-swish and squeeze-and-excite (Howard, 2019)"
        ),
        # What it would scale from 0 to 255 by itself is what `centered` does from any range.
        builder=partial(builder, minimalistic=minimalistic, include_preprocessing=False),
        file=f"weights_mobilenet_v3_{kind}_224_1.0_float_no_top_v2.h5",
        last_block="expanded_conv_14_expand" if size == "large" else "expanded_conv_10_expand",
    )


SOURCES: dict[str, Source] = {
    "vgg16": _vgg(16, applications.VGG16),
    "vgg19": _vgg(19, applications.VGG19),
    "inception-v3": Source(
        about="factorised convolutions side by side (Szegedy, 2015)",
        builder=applications.InceptionV3,
        file="inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        last_block="conv2d_89",
        size=299,
        smallest=75,
    ),
    "inception-resnet-v2": Source(
        about="Inception with residual connections (Szegedy, 2016)",
        builder=applications.InceptionResNetV2,
        file="inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        last_block="conv2d_200",
        size=299,
        smallest=75,
    ),
    "efficientnet-b0": _efficientnet(0, applications.EfficientNetB0, 224, "block7a_expand_conv"),
    "efficientnet-b3": _efficientnet(3, applications.EfficientNetB3, 300, "block7b_expand_conv"),
    "mobilenet": Source(
        about="depthwise and 1×1 convolutions in turn (Howard, 2017)",
        builder=applications.MobileNet,
        file="mobilenet_1_0_224_tf_no_top.h5",
        last_block="conv_dw_13",
    ),
    "mobilenet-v2": _mobilenet_v2(1.0),
    **{f"mobilenet-v2-{width}": _mobilenet_v2(width) for width in (0.35, 0.5, 0.75, 1.3, 1.4)},
    "mobilenet-v3-large": _mobilenet_v3("large", minimalistic=False),
    "mobilenet-v3-small": _mobilenet_v3("small", minimalistic=False),
    "mobilenet-v3-large-minimalistic": _mobilenet_v3("large", minimalistic=True),
    "mobilenet-v3-small-minimalistic": _mobilenet_v3("small", minimalistic=True),
}

BACKBONES: dict[str, Network] = {
    name: Network(
        about=source.about,
        body=partial(_body, source=source),
        contract=InputContract(width=source.size, height=source.size, colour=source.colour),
        weights="imagenet",
        last_block=source.last_block,
    )
    for name, source in SOURCES.items()
} | {"mnasnet": MNASNET}
