"""ONNX Runtime on the graphs of model files: the same answers as LiteRT."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from edge.benchmarks.baselines import OnnxClassifier, onnx_of
from edge.benchmarks.cases import Case
from edge.benchmarks.subjects import open_subject
from edge.benchmarks.zoo import demo_crops
from edge.errors import EdgeError
from edge.modelfile import read_model, resolve_model
from edge.runtime.classifier import Classifier
from edge.runtime.interpreter import Interpreter

# Float graphs do the same sums in another order. Integer ones round at other places: a probability
# may be off by some of its 256 steps, though rarely by more than one.
CLOSE = {"default": 6 / 256, "default-float32": 1e-4}


@pytest.fixture(scope="module")
def folder(need, tmp_path_factory):
    """Both bundled models as ONNX, in `made`."""
    for package in ("onnxruntime", "tf2onnx", "tensorflow"):
        need(package)
    folder = tmp_path_factory.mktemp("onnx")
    with ThreadPoolExecutor() as pool:
        made = [pool.submit(onnx_of, resolve_model(name), folder / "made") for name in CLOSE]
        assert all(one.result().is_file() for one in made)
    return folder


def onnx(name, folder):
    return onnx_of(resolve_model(name), folder / "made")


@pytest.mark.parametrize("name", CLOSE)
def test_probabilities_are_those_of_litert(name, folder):
    model = read_model(resolve_model(name))
    classifier = OnnxClassifier(model, onnx(name, folder), threads=1)
    crops = demo_crops(model.card.contract, 16)
    ours = Classifier(model).classify(crops)
    theirs = np.stack([classifier.probabilities(crop) for crop in crops])
    assert (theirs.dtype, theirs.shape) == (np.float32, ours.shape)
    assert np.ptp(ours) > 0.3
    np.testing.assert_allclose(theirs, ours, atol=CLOSE[name])
    assert np.abs(theirs - ours).mean() < CLOSE[name] / 2


@pytest.mark.parametrize("name", CLOSE)
def test_the_case_is_opened_on_the_graph_of_the_model(name, folder, tmp_path):
    model, graph = read_model(resolve_model(name)), onnx(name, folder)
    inputs = tmp_path / "crops.npy"
    np.save(inputs, demo_crops(model.card.contract, 2))
    case = Case(suite="classifiers", name="default", variant=model.card.variant,
                runtime="onnxruntime", threads=1)  # fmt: skip
    files = {"model": str(model.path), "onnx": str(graph), "inputs": str(inputs)}
    subject = open_subject(case, files)
    assert subject.call().shape == (2,)
    assert subject.about["runtime_version"].startswith("onnxruntime 1.")
    assert subject.about["size_bytes"] == graph.stat().st_size
    assert subject.about["model"]["sha256"] == model.sha256
    # Counted once the memory was read: a second engine is none of the case's.
    assert "multiply_adds" not in subject.about
    assert subject.later is not None
    assert subject.later() == {"multiply_adds": Interpreter(model.graph, name).multiply_adds()}


def test_a_graph_is_converted_once(folder, monkeypatch):
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("converted again"))
    assert onnx("default", folder).parent == folder / "made"
    assert len(list((folder / "made").iterdir())) == len(CLOSE)


def test_a_graph_that_cannot_be_converted_leaves_nothing(need, tmp_path, monkeypatch):
    need("tf2onnx")
    need("tensorflow")
    failing = tmp_path / "python"
    failing.write_text(
        "#!/bin/sh\necho half > $6; echo first >&2; echo 'no such operator' >&2; exit 1"
    )
    failing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(failing))
    with pytest.raises(EdgeError, match=r"cannot convert default\.tflite: no such operator"):
        onnx_of(resolve_model("default"), tmp_path / "made")
    assert list((tmp_path / "made").iterdir()) == []


def test_a_graph_that_onnx_runtime_does_not_open_is_an_error(need, tmp_path):
    need("onnxruntime")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no graph")
    model = read_model(resolve_model("default"))
    with pytest.raises(EdgeError, match=r"does not open broken\.onnx") as caught:
        OnnxClassifier(model, broken, threads=1)
    assert caught.value.hint == "leave onnxruntime out of --runtime"


def test_says_how_to_install_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    model = read_model(resolve_model("default"))
    with pytest.raises(EdgeError, match="onnxruntime is not installed") as caught:
        OnnxClassifier(model, Path("any.onnx"), threads=1)
    assert caught.value.hint == "pip install 'edge-tflite[peers]'"
