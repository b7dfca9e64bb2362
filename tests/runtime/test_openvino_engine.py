"""OpenVINO on the very files of LiteRT: the same classes, the same faces."""

import os
import sys

import numpy as np
import pytest

from edge.assets import fetch
from edge.environment import fingerprint
from edge.errors import EdgeError
from edge.images import read_picture
from edge.modelfile import read_model, resolve_model
from edge.runtime.blazeface import FULL_RANGE, SHORT_RANGE, BlazeFace
from edge.runtime.classifier import Classifier
from edge.runtime.demo import Demo
from edge.runtime.interpreter import Interpreter

# One step of the int8 model's logits moves a probability by a quarter of this at most.
LOGIT_STEP = 0.101

VNNI = {"avx_vnni", "avx512_vnni", "amx_int8", "asimddp"} & set(fingerprint(1, "")["isa"])
without_vnni = pytest.mark.skipif(
    not VNNI, reason="without VNNI OpenVINO's int8 differs by up to 0.2 in a probability"
)


@pytest.fixture(scope="module", autouse=True)
def openvino():
    if os.environ.get("EDGE_REQUIRE_PEERS") == "1":
        import openvino

        return openvino
    return pytest.importorskip("openvino")


def crops_of(pictures):
    contract, detector = read_model(resolve_model("default")).card.contract, BlazeFace()
    found = ((picture, detector.detect(picture)) for picture in pictures)
    return np.stack([contract.cut(picture, faces[0]) for picture, faces in found if faces])


@pytest.fixture(scope="module")
def crops():
    demo = Demo()
    return crops_of(demo.render(at) for at in range(0, 300, 20))


def both(name, **options):
    model = read_model(resolve_model(name))
    return Classifier(model), Classifier(model, runtime="openvino", **options)


@pytest.mark.parametrize("name", [pytest.param("default", marks=without_vnni), "default-float32"])
def test_probabilities_are_those_of_litert(name, crops):
    litert, openvino = both(name)
    ours, theirs = litert.classify(crops), openvino.classify(crops)
    assert len(crops) >= 10
    assert np.ptp(ours) > 0.3
    assert theirs == pytest.approx(ours, abs=2 * LOGIT_STEP / 4 + 1 / 256)
    assert np.abs(theirs - ours).mean() < 2 / 256


def test_both_decide_alike_where_a_face_is_not_on_the_border(crops):
    litert, openvino = both("default")
    ours, theirs = litert.classify(crops), openvino.classify(crops)
    sure = np.abs(ours - 0.5) > 0.2
    assert sure.sum() >= 20
    assert np.array_equal((theirs >= 0.5)[sure], (ours >= 0.5)[sure])


@pytest.mark.data
@without_vnni
def test_probabilities_are_those_of_litert_on_many_faces(data_dir):
    pictures = map(read_picture, sorted((data_dir / "genki4k" / "files").iterdir())[:40])
    crops = crops_of(pictures)
    litert, openvino = both("default")
    ours, theirs = litert.classify(crops), openvino.classify(crops)
    assert len(crops) >= 35
    assert np.abs(theirs - ours).max() <= 2 * LOGIT_STEP / 4 + 1 / 256
    assert np.abs(theirs - ours).mean() < 2 / 256


@pytest.mark.parametrize("variant", [SHORT_RANGE, FULL_RANGE])
def test_finds_the_same_face(variant):
    picture = read_picture(fetch("demo"))
    ours = BlazeFace(variant).detect(picture)
    theirs = BlazeFace(variant, runtime="openvino").detect(picture)
    assert len(ours) == len(theirs) == 1
    assert theirs[0].box.intersection_over_union(ours[0].box) > 0.95


def test_says_what_it_is_and_how_precise():
    _, openvino = both("default", threads=2)
    name, number = openvino.runtime.split()
    assert (name, openvino.adapter) == ("openvino", None)
    assert number[0].isdigit()
    assert openvino.precision in ("float32", "bfloat16", "float16")
    assert openvino.network.threads == 2
    assert openvino.network.operators() == {"DELEGATE": 1}


def test_shapes_types_and_sums_are_those_of_the_file():
    litert, openvino = (classifier.network for classifier in both("default"))
    assert openvino.input == litert.input
    assert openvino.outputs == litert.outputs
    assert openvino.multiply_adds() == litert.multiply_adds() > 0


def test_results_outlive_the_next_run(crops):
    _, openvino = both("default-float32")
    first = openvino.probabilities(crops[0])
    kept = first.copy()
    openvino.probabilities(255 - crops[0])
    np.testing.assert_array_equal(first, kept)


def test_opens_no_file_that_stays(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    both("default")
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_is_not_what_auto_takes():
    assert both("default")[0].network.runtime == "litert"


def test_describes_the_graph_without_litert(monkeypatch, crops):
    pytest.importorskip("tensorflow")
    expected = both("default-float32")[1].classify(crops[:1])
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", None)
    model = read_model(resolve_model("default-float32"))
    found = Classifier(model, runtime="openvino").classify(crops[:1])
    np.testing.assert_array_equal(found, expected)


def test_what_is_no_model_is_refused():
    with pytest.raises(EdgeError, match=r"notes\.tflite cannot be opened"):
        Interpreter(b"not a model at all " * 20, "notes.tflite", runtime="openvino")
