import math
import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from edge.contract import InputContract
from edge.errors import EdgeError
from edge.train import networks
from edge.train.backbones import BACKBONES, SOURCES
from edge.train.recipe import Head

WIDTHS = ("0.35", "0.5", "0.75", "1.3", "1.4")


def slow(*names):
    return [pytest.param(name, marks=pytest.mark.slow) for name in names]


# Published sizes with the classifier for 1,000, in millions: parameters that learn, multiply-adds
# for crops of the source's size. The least of them counts other layers than Keras builds.
PUBLISHED = {
    "vgg16": (138.4, 15_500),
    "vgg19": (143.7, 19_600),
    "inception-v3": (23.9, 5_700),
    "inception-resnet-v2": (55.9, 13_200),
    "efficientnet-b0": (5.3, 390),
    "efficientnet-b3": (12.3, 1_800),
    "mobilenet": (4.2, 569),
    "mobilenet-v2": (3.47, 300),
    "mobilenet-v2-0.35": (1.66, 59),
    "mobilenet-v2-0.5": (1.95, 97),
    "mobilenet-v2-0.75": (2.61, 209),
    "mobilenet-v2-1.3": (5.34, 509),
    "mobilenet-v2-1.4": (6.06, 582),
    "mobilenet-v3-large": (5.4, 219),
    "mobilenet-v3-small": (2.5, 56),
    "mobilenet-v3-large-minimalistic": (3.9, 209),
    "mobilenet-v3-small-minimalistic": (2.0, None),
}
# Dense layers that some have between the features and the classifier, and how VGG pools.
HEADS = {
    "vgg": Head(pool="flatten", layers=(4096, 4096)),
    "mobilenet-v3-large": Head(layers=(1280,)),
    "mobilenet-v3-small": Head(layers=(1024,)),
}
FAST = ("mobilenet", "mobilenet-v3-small")

# The last layer before the last block: the end of the block before it.
BEFORE = {
    "vgg": "block4_pool",
    "inception-v3": "mixed9",
    "inception-resnet-v2": "block8_9_ac",
    "efficientnet-b0": "block6d_add",
    "efficientnet-b3": "block7a_project_bn",
    "mobilenet": "conv_pw_12_relu",
    "mobilenet-v2": "block_15_add",
    "mobilenet-v3-large": "expanded_conv_13_add",
    "mobilenet-v3-small": "expanded_conv_9_add",
    "mnasnet": "block6c_add",
}


def small(name, size=32, **changes):
    """The contract of a network, with small crops."""
    size = max(size, 75 if name.startswith("inception") else 32)
    return replace(BACKBONES[name].contract, width=size, height=size, **changes)


@cache
def built(name):
    """A network of small crops; not to be changed."""
    return networks.build(name, small(name), 1)


def operations(model):
    return [operation.name for operation in model.operations]


def features(model, crops):
    import keras

    return np.asarray(keras.Model(model.input, model.get_layer("pooled").input)(crops))


def pixels(contract, count=2):
    shape = (count, contract.height, contract.width, 3)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)


def preprocessed(name, crops):
    """What keras.applications makes of RGB pixels before the network `name`, or inside it."""
    from keras import applications

    of = {
        "vgg16": applications.vgg16,
        "vgg19": applications.vgg19,
        "inception-v3": applications.inception_v3,
        "inception-resnet-v2": applications.inception_resnet_v2,
        "mobilenet": applications.mobilenet,
    }
    if name.startswith("mobilenet-v2"):
        return applications.mobilenet_v2.preprocess_input(crops.copy())
    if name in of:
        return of[name].preprocess_input(crops.copy())
    mode = "torch" if name.startswith("efficientnet") else "tf"
    return applications.imagenet_utils.preprocess_input(crops.copy(), mode=mode)


def test_the_networks_of_the_seeds_and_their_kin_are_there():
    minimalistic = {f"mobilenet-v3-{size}-minimalistic" for size in ("large", "small")}
    assert set(BACKBONES) == {*PUBLISHED, "mnasnet"} > minimalistic
    assert {f"mobilenet-v2-{width}" for width in WIDTHS} < set(BACKBONES)
    assert {name for name, network in BACKBONES.items() if not network.weights} == {"mnasnet"}


@pytest.mark.parametrize("value_range", [(0.0, 255.0), (0.0, 1.0), (-1.0, 1.0)])
@pytest.mark.parametrize("name", SOURCES)
def test_the_published_weights_see_the_pixels_that_they_were_made_on(name, value_range):
    import keras

    contract = small(name, value_range=value_range)
    rgb = pixels(contract)
    crops = rgb if contract.colour == "RGB" else rgb[..., ::-1]
    low, high = value_range
    given = keras.Input(crops.shape[1:])
    scaled = keras.Model(given, SOURCES[name].scaling(given, contract))
    seen = np.asarray(scaled(low + crops / 255 * (high - low)))
    assert np.allclose(seen, preprocessed(name, rgb), rtol=1e-4, atol=1e-4)


def test_a_network_turns_the_colours_that_its_weights_do_not_know():
    bgr = small("vgg16")
    rgb = replace(bgr, colour="RGB")
    first, second = (networks.build("vgg16", contract, 1) for contract in (bgr, rgb))
    second.set_weights(first.get_weights())
    crops = pixels(bgr)
    assert np.allclose(features(first, crops), features(second, crops[..., ::-1]), atol=1e-4)


@pytest.mark.parametrize("name", [*FAST, *slow(*(set(PUBLISHED) - set(FAST)))])
def test_a_network_is_as_large_as_published(name):
    parameters, multiply_adds = PUBLISHED[name]
    head = next((HEADS[kind] for kind in HEADS if name.startswith(kind)), None)
    contract = BACKBONES[name].contract
    model = networks.build(name, contract, 1000, head=head, task="identity")
    learns = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    assert learns / 1e6 == pytest.approx(parameters, rel=0.025)
    if multiply_adds:
        assert networks.multiply_adds(model) / 1e6 == pytest.approx(multiply_adds, rel=0.03)


@pytest.mark.parametrize(
    "name", ["mobilenet-v3-small", *slow("inception-v3", "inception-resnet-v2")]
)
def test_layers_are_called_the_same_whatever_was_built_before(name):
    import keras

    first = operations(built(name))
    x = keras.Input((8, 8, 3))
    keras.layers.ReLU()(keras.layers.Conv2D(1, 1)(x) + 1.0)
    assert operations(networks.build(name, small(name), 1)) == first
    assert len(set(first)) == len(first)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOURCES)
def test_layers_are_called_as_keras_calls_them_in_a_fresh_process(name):
    code = (
        "from edge.train.backbones import SOURCES\n"
        f"print(*(one.name for one in SOURCES[{name!r}].build().operations))\n"
    )
    fresh = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    ours = {"crop", "centered", "standardised", "pooled", "logits", "probabilities"}
    theirs = {"input_layer", "rescaling", "normalization"}
    assert [one for one in fresh if one not in theirs] == [
        one for one in operations(built(name)) if one not in ours
    ]


@pytest.mark.parametrize("name", [*FAST, *slow(*(set(BACKBONES) - set(FAST)))])
def test_the_last_block_begins_where_the_one_before_ends(name):
    model = built(name)
    names = [layer.name for layer in model.layers]
    at = names.index(BACKBONES[name].last_block)
    before = max((one for one in BEFORE if name.startswith(one)), key=len)
    assert names[at - 1] == BEFORE[before]
    learns = networks.layers_from(model, "last block", BACKBONES[name].last_block)
    assert 3 < len(learns) < len(names) / 3


def test_a_network_can_be_cut_at_a_layer():
    model = networks.build("mobilenet", small("mobilenet"), 2, cut="conv_pw_6_relu")
    assert model.get_layer("pooled").input.shape == (None, 2, 2, 512)
    assert "conv_pw_7" not in [layer.name for layer in model.layers]


def test_crops_that_are_too_small_are_refused():
    with pytest.raises(EdgeError, match="crops are 74×80, the network takes 75×75 or more"):
        networks.build("inception-v3", InputContract(width=74, height=80), 2)


@pytest.mark.parametrize(
    "name", ["mobilenet-v3-small", *slow(*(set(BACKBONES) - {"mobilenet-v3-small"}))]
)
def test_a_saved_network_says_the_same(name, tmp_path):
    from edge.train.model import load_keras

    model = built(name)
    model.save(tmp_path / "model.keras")
    crops = pixels(small(name))
    assert np.array_equal(model(crops), load_keras(tmp_path / "model.keras")(crops))


@pytest.mark.parametrize("name", ["mobilenet-v2", "mobilenet-v3-small"])
def test_batch_statistics_forget_what_they_began_with_within_a_small_training(name):
    network = networks.build(name, InputContract(width=32, height=32), 1)
    norms = [one for one in network.layers if type(one).__name__ == "BatchNormalization"]
    assert norms
    assert max(norm.momentum for norm in norms) ** 1000 < 1e-4


def test_a_network_trains_in_bfloat16_with_float32_weights():
    model = networks.build("efficientnet-b0", small("efficientnet-b0"), 2, policy="mixed_bfloat16")
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert model.get_layer("stem_conv").compute_dtype == "bfloat16"
    assert features(model, pixels(small("efficientnet-b0"))).shape == (2, 1, 1, 1280)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", BACKBONES)
def test_every_network_becomes_integers_in_one_part(name):
    from edge.convert.quantize import quantize
    from edge.runtime.interpreter import Interpreter
    from edge.train.fresh import fresh

    contract = small(name, 96)
    crops = pixels(contract, 8).astype(np.uint8)
    # XNNPACK refuses sums whose scales are too far apart, as those of random statistics are.
    network = fresh(name, contract, 2, crops, seed=0)
    graph = quantize(network, "int8", contract, calibration=crops)
    interpreter = Interpreter(graph, name)
    assert interpreter.input.shape == (1, 96, 96, 3)
    assert interpreter.operators() == {"DELEGATE": 1, "QUANTIZE": 2}
