"""The seam to the TFLite runtimes: number formats, operators, and files that do not open."""

import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edge.assets import fetch
from edge.errors import EdgeError
from edge.quiet import quiet
from edge.runtime.interpreter import Interpreter


@pytest.fixture(scope="module")
def blazeface():
    return fetch("blazeface").read_bytes()


@pytest.fixture(scope="module")
def tensorflow():
    return pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def networks(tensorflow):
    """Convert one small network four times: as float32, and as integers with each input type."""
    tf = tensorflow
    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(3)
    model = tf.keras.Sequential(
        [
            layers.Input((8, 8, 3), batch_size=1),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="sigmoid"),
        ]
    )
    pictures = np.random.default_rng(0).integers(0, 256, (50, 1, 8, 8, 3)).astype(np.float32)
    pictures[0], pictures[1] = 0, 255

    def convert(io=None):
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        if io is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([picture] for picture in pictures)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = io
        return converter.convert()

    with quiet(Exception), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Statistics for quantized inputs", UserWarning)
        return {
            "float32": convert(),
            "float32 io": convert(tf.float32),
            "int8": convert(tf.int8),
            "uint8": convert(tf.uint8),
        }


@pytest.fixture
def crop():
    return np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def test_says_what_goes_in_and_out(blazeface):
    network = Interpreter(blazeface, "blazeface")
    assert network.input.shape == (1, 128, 128, 3)
    assert network.input.dtype == "float32"
    assert sorted(output.shape for output in network.outputs) == [(1, 896, 1), (1, 896, 16)]
    outputs = network.run(np.zeros((128, 128, 3), np.float32))
    assert [output.shape for output in outputs] == [output.shape for output in network.outputs]
    assert {output.dtype for output in outputs} == {np.dtype(np.float32)}


@pytest.mark.parametrize("kind", ["float32 io", "int8", "uint8"])
def test_number_formats_are_invisible(networks, crop, kind):
    expected = Interpreter(networks["float32"], "float").run_pixels(crop, (0.0, 255.0))[0]
    network = Interpreter(networks[kind], kind)
    by_pixels = network.run_pixels(crop, (0.0, 255.0))[0]
    by_values = network.run(crop.astype(np.float32))[0]
    assert by_pixels.dtype == np.float32
    assert by_pixels == pytest.approx(expected, abs=0.03)
    np.testing.assert_array_equal(by_pixels, by_values)


@pytest.mark.parametrize("kind", ["float32", "int8", "uint8"])
def test_pixels_are_mapped_to_the_range_the_network_wants(networks, crop, kind):
    """Twice the range for half the pixel is the same picture."""
    network = Interpreter(networks[kind], kind)
    halved = crop // 2
    once = network.run_pixels(halved * 2, (0.0, 255.0))[0]
    assert network.run_pixels(halved, (0.0, 510.0))[0] == pytest.approx(once, abs=1e-5)
    assert network.run_pixels(halved, (0.0, 255.0))[0] != pytest.approx(once, abs=1e-5)


def test_values_beyond_the_type_are_held_at_its_end(networks):
    network = Interpreter(networks["uint8"], "uint8")
    brightest = network.run(np.full((8, 8, 3), 255, np.float32))[0]
    np.testing.assert_array_equal(network.run(np.full((8, 8, 3), 1e6, np.float32))[0], brightest)


def test_results_outlive_the_next_run(networks, crop):
    network = Interpreter(networks["float32"], "float")
    first = network.run_pixels(crop, (0.0, 255.0))[0]
    kept = first.copy()
    network.run_pixels(255 - crop, (0.0, 255.0))
    np.testing.assert_array_equal(first, kept)


def test_counts_the_operators_that_run(blazeface, networks):
    assert Interpreter(blazeface, "blazeface").operators() == {"DELEGATE": 1}
    counts = Interpreter(networks["float32 io"], "mixed").operators()
    assert counts["DELEGATE"] >= 1
    assert sum(counts.values()) <= 4
    assert "CONV_2D" not in counts


def test_counts_the_multiply_adds_of_the_original_graph(networks):
    """A 3 × 3 convolution at 6 × 6 positions, and a dense layer, delegated or not."""
    expected = 6 * 6 * 4 * 3 * 3 * 3 + 4 * 2
    for name, network in networks.items():
        assert Interpreter(network, name).multiply_adds() == expected


def test_counts_as_training_does(tensorflow):
    from edge.contract import InputContract
    from edge.train.networks import build, multiply_adds

    model = build("proposed", InputContract(), 2)
    with quiet(Exception):
        graph = tensorflow.lite.TFLiteConverter.from_keras_model(model).convert()
    network = Interpreter(graph, "proposed")
    assert network.multiply_adds() == multiply_adds(model)
    assert Interpreter(graph, "same", runtime="tensorflow").multiply_adds() == multiply_adds(model)


def test_tensorflow_gives_the_same_numbers(tensorflow, networks, crop):
    litert = Interpreter(networks["int8"], "int8", runtime="litert")
    other = Interpreter(networks["int8"], "int8", runtime="tensorflow")
    assert other.runtime == "tensorflow"
    ours, theirs = (network.run_pixels(crop, (0.0, 255.0))[0] for network in (litert, other))
    assert ours == pytest.approx(theirs, abs=1 / 128)


def test_names_the_runtime_and_its_version(blazeface):
    network = Interpreter(blazeface, "blazeface", threads=2)
    assert network.runtime == "litert"
    assert network.threads == 2
    assert network.version().startswith("litert ")
    assert network.version().split()[1][0].isdigit()


def test_a_picture_of_another_shape_is_a_mistake_of_the_caller(blazeface):
    with pytest.raises(ValueError, match=r"\(128, 128, 3\), not \(64, 64, 3\)"):
        Interpreter(blazeface, "blazeface").run(np.zeros((64, 64, 3), np.float32))


@pytest.mark.parametrize("data", [b"", b"not a model at all " * 20, b"\x1c\0\0\0TFL3"])
def test_what_is_no_model_is_refused(data):
    with pytest.raises(EdgeError, match=r"notes\.tflite cannot be opened by litert"):
        Interpreter(data, "notes.tflite")


def test_an_unknown_runtime_is_refused_with_the_known_ones(blazeface):
    with pytest.raises(EdgeError, match="unknown runtime tpu") as caught:
        Interpreter(blazeface, "blazeface", runtime="tpu")
    assert "litert" in caught.value.hint


@pytest.mark.parametrize(
    ("runtime", "package", "hint"),
    [
        ("litert", "ai_edge_litert.interpreter", "pip install ai-edge-litert"),
        ("tflite-runtime", "tflite_runtime.interpreter", "edge-tflite[tflite-runtime]"),
        ("tensorflow", "tensorflow", "edge-tflite[train]"),
        ("openvino", "openvino", "edge-tflite[openvino]"),
    ],
)
def test_a_runtime_that_is_not_installed_says_how(blazeface, monkeypatch, runtime, package, hint):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EdgeError, match=f"no TFLite runtime can open face .{runtime}") as caught:
        Interpreter(blazeface, "face", runtime=runtime)
    assert hint in caught.value.hint


def test_the_next_runtime_steps_in(blazeface, monkeypatch, tensorflow):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", None)
    assert Interpreter(blazeface, "blazeface").runtime == "tensorflow"


def test_several_inputs_and_batches_are_refused(tensorflow):
    tf = tensorflow
    layers = tf.keras.layers
    one, other = layers.Input((4,), batch_size=1), layers.Input((4,), batch_size=1)
    pair = tf.keras.Model([one, other], layers.Add()([one, other]))
    batch = tf.keras.Sequential([layers.Input((4,), batch_size=2), layers.ReLU()])
    with quiet(Exception):
        files = [tf.lite.TFLiteConverter.from_keras_model(m).convert() for m in (pair, batch)]
    with pytest.raises(EdgeError, match="has 2 inputs, expected one picture"):
        Interpreter(files[0], "pair")
    with pytest.raises(EdgeError, match=r"shape \(2, 4\), expected one picture at a time"):
        Interpreter(files[1], "batch")


def test_opening_a_model_is_quiet_and_loads_no_tensorflow():
    code = (
        "import sys; from edge.assets import fetch;"
        "from edge.runtime.interpreter import Interpreter;"
        "Interpreter(fetch('blazeface').read_bytes(), 'blazeface');"
        "print({'tensorflow', 'keras'} & set(sys.modules))"
    )
    child = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert (child.stdout, child.stderr) == ("set()\n", "")


def test_stderr_comes_back_whatever_happens_meanwhile(capfd):
    def whisper(_):
        with quiet(Exception):
            os.write(2, b"hidden")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(whisper, range(50)))
    with pytest.raises(KeyError), quiet(Exception):
        raise KeyError
    os.write(2, b"seen")
    assert capfd.readouterr().err == "seen"
