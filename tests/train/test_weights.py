import json
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest

from edge.contract import InputContract
from edge.errors import EdgeError
from edge.files import sha256_of
from edge.train import networks
from edge.train.backbones import BACKBONES, DEVIATION, MEAN, SOURCES
from edge.train.recipe import Head
from edge.train.weights import load_weights

CONTRACT = InputContract(width=64, height=64)
V1 = "mobilenet_1_0_224_tf_no_top.h5"
V2 = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_no_top.h5"
ONE_AND_SLOWLY_ALL = [
    name if name == "mobilenet-v3-small" else pytest.param(name, marks=pytest.mark.slow)
    for name in SOURCES
]


def contract_of(name):
    size = 75 if name.startswith("inception") else 64
    return replace(BACKBONES[name].contract, width=size, height=size)


def crops_of(contract):
    shape = (2, contract.height, contract.width, 3)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)


def features(model, crops):
    import keras

    return np.asarray(keras.Model(model.input, model.get_layer("pooled").input)(crops))


def refused(model, name, source, match):
    """The error of weights that do not fit, once it is sure that nothing has changed."""
    before = [weight.copy() for weight in model.get_weights()]
    with pytest.raises(EdgeError, match=match) as caught:
        load_weights(model, name, str(source))
    after = model.get_weights()
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))
    return caught.value


@pytest.fixture(scope="module")
def small():
    """A network that no test changes."""
    return networks.build("mobilenet-v2-0.35", CONTRACT, 2)


@pytest.fixture
def weights(data_dir) -> Path:
    return data_dir / "weights"


def test_none_leaves_the_network_alone(small):
    before = small.get_weights()
    assert load_weights(small, "mobilenet-v2-0.35", "none") == "none"
    assert all(map(np.array_equal, before, small.get_weights()))


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "file"), [("mobilenet", V1), ("mobilenet-v2-0.35", V2)], ids=["v1", "v2"]
)
def test_a_published_file_makes_the_features_that_it_makes_in_keras(name, file, weights):
    from keras.applications import mobilenet

    model = networks.build(name, CONTRACT, 2)
    said = load_weights(model, name, str(weights / file))
    assert said == f"{file} sha256 {sha256_of(weights / file)[:12]}…"
    published = SOURCES[name].builder(
        include_top=False, weights=str(weights / file), input_shape=(64, 64, 3)
    )
    crops = crops_of(CONTRACT)
    expected = np.asarray(published(mobilenet.preprocess_input(crops.copy())))
    assert expected.max() > 1
    assert np.allclose(features(model, crops), expected, atol=1e-3)


@pytest.mark.data
def test_a_cut_network_in_bfloat16_with_another_head_takes_its_part(weights):
    whole = networks.build("mobilenet", CONTRACT, 2)
    part = networks.build(
        "mobilenet",
        CONTRACT,
        5,
        head=Head(layers=(0.2, 8)),
        cut="conv_pw_6_relu",
        policy="mixed_bfloat16",
    )
    for model in (whole, part):
        load_weights(model, "mobilenet", str(weights / V1))
    for name in ("conv1", "conv_pw_6", "conv_pw_6_bn"):
        pairs = zip(
            whole.get_layer(name).get_weights(), part.get_layer(name).get_weights(), strict=True
        )
        assert all(np.array_equal(one, other) for one, other in pairs)


@pytest.mark.data
def test_a_file_of_another_network_is_refused(small, weights):
    error = refused(small, "mobilenet-v2-0.35", weights / V1, f"{V1} does not fit mobilenet-v2")
    assert "expected 104 layers, found 54" in error.message
    assert SOURCES["mobilenet-v2-0.35"].file in error.hint


@pytest.mark.data
def test_a_file_of_another_width_is_refused(weights):
    model = networks.build("mobilenet-v2-0.5", CONTRACT, 2)
    error = refused(model, "mobilenet-v2-0.5", weights / V2, "does not fit mobilenet-v2-0.5")
    assert "expects shape (1, 1, 48, 16)" in error.message
    assert "shape (1, 1, 48, 8)" in error.message


@pytest.mark.data
def test_a_damaged_file_is_refused(small, weights, tmp_path):
    data = (weights / V2).read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, 3000, np.uint8).tobytes()
    cases = {"cut": data[: len(data) // 2], "empty": b"", "noisy": noise + data[3000:]}
    for name, content in cases.items():
        path = tmp_path / f"{name}.h5"
        path.write_bytes(content)
        refused(small, "mobilenet-v2-0.35", path, f"{name}.h5 is damaged")


def test_what_is_no_file_of_weights_is_refused(small, tmp_path):
    (tmp_path / "weights.txt").write_text("1 2 3")
    error = refused(small, "mobilenet-v2-0.35", tmp_path / "weights.txt", "no file of weights")
    assert ".h5 file of keras.applications" in error.hint
    refused(small, "mobilenet-v2-0.35", tmp_path / "absent.h5", "there is no file .*absent.h5")
    refused(small, "mobilenet-v2-0.35", tmp_path, "there is no file .*model.keras")
    (tmp_path / "model.keras").write_bytes(b"PK")
    refused(small, "mobilenet-v2-0.35", tmp_path, "model.keras is damaged")


@pytest.mark.parametrize("name", ["mnasnet", "proposed"])
def test_networks_without_published_weights_say_so(name, tmp_path):
    model = networks.build(name, CONTRACT, 2)
    error = refused(model, name, "imagenet", f"no published weights of {name}")
    assert "mobilenet-v2" in error.hint
    (tmp_path / "x.h5").write_bytes(b"")
    refused(model, name, tmp_path / "x.h5", f"no published weights of {name}")


@pytest.mark.parametrize("name", ONE_AND_SLOWLY_ALL)
def test_without_a_network_the_file_to_bring_is_named(name, monkeypatch, tmp_path, capsys):
    asked = []

    def offline(address, *_):
        asked.append(address)
        raise URLError("no route to host")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", offline)
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    model = networks.build(name, contract_of(name), 2)
    error = refused(model, name, "imagenet", f"cannot download the weights of {name}: .*no route")
    assert asked[0].rsplit("/")[-1] == SOURCES[name].file
    assert error.hint.startswith(f"copy {SOURCES[name].file} ")
    assert "--weights PATH" in error.hint
    assert capsys.readouterr().out == ""


@pytest.mark.filterwarnings("ignore:`input_shape` is undefined or non-square")
@pytest.mark.parametrize("name", ONE_AND_SLOWLY_ALL)
def test_imagenet_makes_the_features_that_it_makes_in_keras(name, monkeypatch, tmp_path):
    """With weights of our own in the place of the published ones, which are not at hand."""
    import keras

    keras.utils.set_random_seed(0)
    path = tmp_path / "published.weights.h5"
    source, contract = SOURCES[name], contract_of(name)
    stand_in = source.build()
    random = np.random.default_rng(0)
    for layer in stand_in.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.set_weights([np.array(MEAN), np.array(DEVIATION), np.array(0)])
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in layer.weights])
    stand_in.save_weights(path)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: str(path))

    model = networks.build(name, contract, 2)
    assert load_weights(model, name, "imagenet") == "imagenet"
    crops = crops_of(contract)
    rgb = crops if contract.colour == "RGB" else crops[..., ::-1]
    published = source.builder(
        include_top=False, weights="imagenet", input_shape=(*crops.shape[1:3], 3)
    )
    prepare = {
        "vgg": keras.applications.vgg16,
        "inc": keras.applications.inception_v3,
        "mob": keras.applications.mobilenet,
    }.get(name[:3], keras.applications.efficientnet)
    expected = np.asarray(published(prepare.preprocess_input(rgb.copy())))
    assert expected.std() > 0
    assert np.allclose(features(model, crops), expected, rtol=1e-3, atol=1e-3 * expected.std())


def test_weights_of_efficientnet_for_other_pixels_are_refused(small, tmp_path):
    own = tmp_path / "own.weights.h5"
    SOURCES["efficientnet-b0"].build().save_weights(own)
    error = refused(small, "efficientnet-b0", own, "want pixels of mean 0, 0, 0 and deviation 1")
    assert "the network makes 0.485, 0.456, 0.406 and 0.229" in error.message


def run_of(folder, model):
    folder.mkdir()
    model.save(folder / "model.keras")
    (folder / "config.json").write_text(json.dumps({}))
    return folder


def test_a_run_gives_its_body_to_another_head(tmp_path):
    trained = networks.build("simple-cnn", CONTRACT, 2)
    run = run_of(tmp_path / "run", trained)
    digest = sha256_of(run / "model.keras")[:12]
    for source, shown in ((run, "run/model.keras"), (run / "model.keras", "model.keras")):
        model = networks.build("simple-cnn", CONTRACT, 3, head=Head(layers=(16,)))
        head = model.get_layer("dense").get_weights()
        said = load_weights(model, "simple-cnn", str(source))
        assert said == f"{shown} sha256 {digest}…"
        crops = crops_of(CONTRACT)
        assert np.array_equal(features(model, crops), features(trained, crops))
        assert np.array_equal(model.get_layer("dense").get_weights()[0], head[0])


def test_a_run_of_another_network_is_refused(small, tmp_path):
    run = run_of(tmp_path / "run", networks.build("simple-cnn", CONTRACT, 2))
    wider = networks.build("gender-cnn", CONTRACT, 2)
    error = refused(wider, "gender-cnn", run, "run/model.keras does not fit gender-cnn")
    assert "conv0 is 3×3×3×16 + 16, expected 3×3×3×64 + 64" in error.message
    refused(small, "mobilenet-v2-0.35", run, "has no layer Conv1")


def test_a_finished_run_fills_a_network_that_is_built_to_be_normalised(tmp_path):
    finished = networks.build("simple-cnn", CONTRACT, 2)
    run = run_of(tmp_path / "run", finished)
    model = networks.build("simple-cnn", CONTRACT, 2, normalised=True)
    load_weights(model, "simple-cnn", str(run))
    pairs = zip(
        model.get_layer("conv1").get_weights(),
        finished.get_layer("conv1").get_weights(),
        strict=True,
    )
    assert all(np.array_equal(one, other) for one, other in pairs)
