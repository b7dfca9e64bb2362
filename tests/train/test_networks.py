import numpy as np
import pytest

from edge.contract import InputContract
from edge.errors import EdgeError
from edge.train import folding, networks


def test_the_first_convolution_of_proposed_is_that_of_its_paper():
    model = networks.build("proposed", InputContract(), 2)
    first = next(layer for layer in model.layers if hasattr(layer, "kernel"))
    assert first.kernel.shape == (5, 5, 3, 32)
    # Table 7.2 of the paper: 39.321 million multiply-adds and 2,400 weights.
    assert np.prod(first.output.shape[1:3]) * np.prod(first.kernel.shape) == 39_321_600
    assert np.prod(first.kernel.shape) == 2_400


def test_it_drops_whole_feature_maps():
    names = {
        type(layer).__name__ for layer in networks.build("proposed", InputContract(), 2).layers
    }
    assert "SpatialDropout2D" in names
    assert "Dropout" not in names


def test_probabilities_come_out_of_the_graph():
    model = networks.build("proposed", InputContract(width=32, height=32), 3)
    crops = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    output = np.asarray(model(crops.astype(np.float32)))
    assert output.shape == (4, 3)
    assert ((output > 0) & (output < 1)).all()


@pytest.mark.parametrize("value_range", [(0.0, 255.0), (0.0, 1.0), (-1.0, 1.0)])
def test_the_value_range_of_the_contract_is_centred_inside(value_range):
    contract = InputContract(width=32, height=32, value_range=value_range)
    model = networks.build("proposed", contract, 1)
    low, high = value_range
    centered = model.get_layer("centered")
    assert np.allclose(centered(np.array([low, (low + high) / 2, high], np.float32)), [-1, 0, 1])


def test_the_policy_outside_is_left_alone():
    import keras

    before = keras.config.dtype_policy()
    networks.build("proposed", InputContract(width=32, height=32), 1, policy="mixed_bfloat16")
    assert keras.config.dtype_policy() == before


def test_an_unknown_network_names_those_there_are():
    with pytest.raises(EdgeError, match="unknown network resnet") as caught:
        networks.build("resnet", InputContract(), 2)
    assert "proposed" in caught.value.hint


def test_normalisation_folds_away_without_a_trace():
    contract = InputContract(width=32, height=32)
    trained = networks.build("proposed", contract, 5, normalised=True)
    random = np.random.default_rng(0)
    for layer in trained.layers:
        if layer.name.endswith("_norm"):
            size = layer.gamma.shape
            layer.set_weights(
                [
                    random.uniform(0.1, 2, size),
                    random.normal(size=size),
                    random.normal(size=size),
                    random.uniform(0.1, 3, size),
                ]
            )
    finished = networks.build("proposed", contract, 2)
    folding.finish(trained, finished)
    crops = random.integers(0, 256, (8, 32, 32, 3)).astype(np.float32)
    assert np.allclose(trained(crops)[:, :2], finished(crops), atol=1e-4)
    assert finished.count_params() < trained.count_params()
    assert not any("Normalization" in type(layer).__name__ for layer in finished.layers)


_QUICK = ("proposed", "proposed-dropout", "proposed-3x3", "compact", "simple-cnn", "gender-cnn",
          "celeb-cnn", "mobilenet", "mobilenet-v3-small-minimalistic")  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        name if name in _QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in networks.NETWORKS
    ],
)
def test_the_list_shows_the_sizes_of_the_networks_as_they_are_built(name):
    listed = {row["name"]: row for row in networks.summaries()}[name]
    model = networks.build(name, networks.network_named(name).contract, 2)
    assert listed["parameters"] == model.count_params()
    assert listed["multiply_adds"] == networks.multiply_adds(model)


def test_two_3x3_convolutions_cost_what_their_paper_says():
    model = networks.build("proposed-3x3", InputContract(), 2)
    first, second = (model.get_layer(name) for name in ("conv0", "conv0a"))
    # Table 7.2 of the paper: 190.996 million multiply-adds and 10,080 weights.
    kernels = int(np.prod(first.kernel.shape) + np.prod(second.kernel.shape))
    assert kernels == 10_080
    # Times 128 squared places they are 165.2 million, whatever the paper counts beside them.
    assert kernels * 128 * 128 == 165_150_720
