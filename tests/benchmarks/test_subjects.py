"""Every kind of case, opened for real and called."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.assets import fetch
from edge.benchmarks.cases import Case
from edge.benchmarks.peak import GRAPHS, graph_bytes
from edge.benchmarks.prepare import Inputs
from edge.benchmarks.subjects import open_subject
from edge.errors import EdgeError
from edge.files import sha256_of
from edge.images import read_picture
from edge.modelfile import pack, read_model, resolve_model
from edge.runtime.classifier import Classifier
from edge.runtime.evaluate import evaluate_subject
from edge.runtime.interpreter import Interpreter

PACKAGES = {"openvino": "openvino", "dlib-hog": "dlib"}

# In a process of its own: how many threads TensorFlow takes is decided once a process.
KERAS = """
import json, sys
import numpy as np
from edge.benchmarks.cases import Case
from edge.benchmarks.subjects import open_subject
from edge.errors import EdgeError

crops, frames, model = sys.argv[1:]
found = {}
for suite, name, variant, runtime in (
    ("classifiers", "default", "float32", "keras-call"),
    ("classifiers", "default", "float32", "keras-predict"),
    ("classifiers", "default", "float32", "tensorflow"),
    ("pipeline", "default", "float32", "litert+keras-call"),
    ("training", "default", "float32", "keras"),
):
    case = Case(suite=suite, name=name, variant=variant, runtime=runtime)
    inputs = frames if suite == "pipeline" else crops
    subject = open_subject(case, {"model": model, "inputs": inputs})
    result = subject.call()
    found[runtime] = {
        "about": subject.about,
        "result": result.tolist() if isinstance(result, np.ndarray) else None,
        "stages": {name: len(taken) for name, taken in subject.stages_ms.items()},
        "accuracy": subject.accuracy is not None,
    }
try:
    open_subject(Case(suite="classifiers", name="default", variant="float32",
                      runtime="keras-call", device="gpu"), {"model": model, "inputs": crops})
except EdgeError as error:
    found["gpu"] = [error.message, error.hint]
print(json.dumps(found))
"""


def case(suite="classifiers", name="default", variant="int8", runtime="litert", **parts):
    return Case(suite=suite, name=name, variant=variant, runtime=runtime, model=name, **parts)


def no_child(job):
    raise AssertionError(f"nothing here needs a child: {job}")


@pytest.fixture(scope="module")
def inputs():
    with Inputs(None, no_child) as inputs:
        yield inputs


@pytest.fixture(scope="module")
def keras(need, inputs, tmp_path_factory):
    """What Keras and TensorFlow make of the cases that are theirs."""
    need("tensorflow")
    files = inputs.files(case())
    crops = tmp_path_factory.mktemp("keras") / "crops.npy"
    np.save(crops, np.tile(np.load(files["inputs"]), (20, 1, 1, 1)))
    frames = inputs.files(case("pipeline"))["inputs"]
    command = [sys.executable, "-P", "-c", KERAS, crops, frames, resolve_model("default-float32")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def need_of(need, runtime):
    """Go on only where the package of a runtime is installed."""
    if runtime in PACKAGES:
        need(PACKAGES[runtime])


@pytest.mark.parametrize("runtime", ["litert", "openvino"])
def test_a_classifier_judges_the_inputs_in_turn(inputs, need, runtime):
    need_of(need, runtime)
    one = case(runtime=runtime)
    files = inputs.files(one)
    subject = open_subject(one, files)
    crops, model = np.load(files["inputs"]), read_model(resolve_model("default"))
    direct = Classifier(model, runtime=runtime)
    for crop in [*crops, crops[0]]:
        np.testing.assert_array_equal(subject.call(), direct.probabilities(crop))
    about = subject.about
    assert about["runtime_version"] == direct.runtime
    assert about["precision"] == direct.precision
    assert about["multiply_adds"] == direct.network.multiply_adds() > 1e6
    assert about["size_bytes"] == model.path.stat().st_size
    assert about["model"] == {
        "name": "default", "sha256": model.sha256, "contract": model.card.contract.to_json(),
        "trained": True,
    }  # fmt: skip
    assert about["accuracy"] == model.card.accuracy["int8"]
    assert about["accuracy_from"] == "card"
    assert json.loads(json.dumps(about)) == about
    assert subject.stages_ms == {}


def test_an_untrained_network_has_no_accuracy(inputs, tmp_path):
    model = read_model(resolve_model("default"))
    recipe = model.card.recipe | {"untrained": True}
    path = tmp_path / "untrained.tflite"
    path.write_bytes(pack(model.graph, replace(model.card, recipe=recipe)))
    subject = open_subject(case(), inputs.files(case()) | {"model": str(path)})
    assert subject.about["model"]["trained"] is False
    assert (subject.about["accuracy"], subject.about["accuracy_from"]) == (None, None)
    assert subject.accuracy is None


@pytest.mark.parametrize("runtime", ["litert", "openvino"])
@pytest.mark.parametrize("graph", GRAPHS)
def test_a_file_without_a_card_is_timed_without_one(tmp_path, need, graph, runtime):
    need_of(need, runtime)
    path = tmp_path / "theirs.tflite"
    path.write_bytes(graph_bytes(graph))
    one = case(name=str(path), variant="unknown", runtime=runtime)
    with Inputs(None, no_child) as inputs:
        subject = open_subject(one, inputs.files(one))
    [output] = subject.call()
    assert np.isfinite(output).all()
    assert not np.array_equal(subject.call()[0], output)
    assert subject.accuracy is None
    assert subject.about["multiply_adds"] == GRAPHS[graph].multiply_adds
    assert subject.about["model"] == {
        "name": "theirs", "sha256": sha256_of(path), "contract": None, "trained": None,
    }  # fmt: skip


def test_a_detector_without_a_card_is_a_graph_too(tmp_path):
    """Two outputs, and a float input of another range than that of pixels."""
    files = {"model": str(fetch("blazeface"))}
    subject = open_subject(case(variant="unknown"), files)
    outputs = subject.call()
    assert len(outputs) == len(Interpreter(Path(files["model"]).read_bytes(), "it").outputs) == 2


@pytest.mark.parametrize(
    ("name", "runtime"),
    [("blazeface", "litert"), ("blazeface-full", "litert"), ("blazeface", "openvino"),
     ("yunet", "opencv"), ("dlib-hog", "dlib-hog")],
)  # fmt: skip
def test_a_detector_finds_the_face_of_every_frame(inputs, need, name, runtime):
    need_of(need, runtime)
    one = case("detectors", name, "float32", runtime)
    files = inputs.files(one)
    subject = open_subject(one, files)
    frames = np.load(files["inputs"])
    assert frames.shape[1:] == (350, 350, 3)
    assert sum(bool(subject.call()) for _ in frames[:6]) >= 5
    assert subject.about["runtime_version"]
    if "model" in files:
        assert subject.about["size_bytes"] == Path(files["model"]).stat().st_size
        assert subject.about["model"]["sha256"] == sha256_of(Path(files["model"]))
    assert subject.later is not None
    assert subject.later()["reach"]["faces"] == 1
    if name.startswith("blazeface"):
        assert subject.about["runtime_version"].startswith(runtime)
        assert subject.about["multiply_adds"] > 1e6


def test_a_detector_is_as_right_as_often_as_it_finds_a_face(inputs, tmp_path):
    black = tmp_path / "black.png"
    cv2.imwrite(str(black), np.zeros((64, 64, 3), np.uint8))
    listed = tmp_path / "pictures.txt"
    listed.write_text(f"{fetch('demo')}\n{black}")
    one = case("detectors", "blazeface", "float32")
    accuracy = open_subject(one, inputs.files(one)).accuracy
    assert accuracy is not None
    found = accuracy(str(listed))["face found"]
    assert (found["accuracy"], found["samples"]) == (0.5, 2)
    assert 0 < found["ci95"][0] < 0.5 < found["ci95"][1] < 1


@pytest.mark.parametrize("runtime", ["litert", "openvino"])
def test_the_stages_of_a_pipeline_add_up(inputs, need, runtime):
    from edge.measure import sample

    need_of(need, runtime)
    one = case("pipeline", runtime=runtime)
    subject = open_subject(one, inputs.files(one))
    subject.call()
    assert {name: len(taken) for name, taken in subject.stages_ms.items()} == {
        "detect": 1, "crop": 1, "classify": 1,
    }  # fmt: skip
    subject.forget_stages()
    samples = np.array(sample(subject.call, 40, 0.0))
    stages = np.array(list(subject.stages_ms.values()))
    assert stages.shape == (3, 40)
    # Every frame has a face: no stage was left out.
    assert (stages > 0).all()
    assert (stages.sum(axis=0) <= samples).all()
    assert np.median(stages.sum(axis=0) / samples) > 0.8
    assert subject.about["detector"] == "blazeface"
    assert subject.about["multiply_adds"] is None
    assert subject.accuracy is None


def test_a_pipeline_needs_a_face_classifier(inputs, tmp_path):
    path = tmp_path / "theirs.tflite"
    path.write_bytes(graph_bytes("int8"))
    with pytest.raises(EdgeError, match="not a face classifier"):
        open_subject(case("pipeline"), inputs.files(case("pipeline")) | {"model": str(path)})


def test_what_is_damaged_is_not_timed_as_a_file_without_a_card(inputs, tmp_path):
    path = tmp_path / "cut.tflite"
    path.write_bytes(resolve_model("default").read_bytes()[:-50])
    with pytest.raises(EdgeError, match="is damaged"):
        open_subject(case(), inputs.files(case()) | {"model": str(path)})


@pytest.mark.parametrize("runtime", ["keras-call", "keras-predict"])
def test_keras_judges_one_crop_with_fresh_weights(keras, runtime):
    found = keras[runtime]
    assert len(found["result"]) == 2
    assert all(0 < value < 1 for value in found["result"])
    assert found["about"]["runtime_version"].startswith("keras 3.")
    assert found["about"]["model"]["trained"] is False
    assert found["about"]["size_bytes"] is None
    assert not found["accuracy"]
    graph = read_model(resolve_model("default-float32")).graph
    assert found["about"]["multiply_adds"] == pytest.approx(
        Interpreter(graph, "default").multiply_adds(), rel=0.01
    )


def test_tensorflow_opens_the_file_of_litert(keras, inputs):
    crop = np.load(inputs.files(case())["inputs"])[0]
    expected = Classifier(read_model(resolve_model("default-float32"))).probabilities(crop)
    assert keras["tensorflow"]["result"] == pytest.approx(expected.tolist(), abs=1e-4)
    assert keras["tensorflow"]["about"]["runtime_version"].startswith("tensorflow ")
    assert keras["tensorflow"]["accuracy"]


def test_keras_takes_its_place_in_a_pipeline(keras):
    found = keras["litert+keras-call"]
    assert found["stages"] == {"detect": 1, "crop": 1, "classify": 1}
    assert found["about"]["detector"] == "blazeface"
    assert found["about"]["runtime_version"].startswith("keras 3.")


def test_a_training_step_takes_a_batch(keras):
    assert keras["keras"]["about"]["batch"] >= 16
    assert "model" not in keras["keras"]["about"]


def test_a_gpu_that_keras_does_not_see_is_an_error(keras):
    if "gpu" not in keras:
        pytest.skip("Keras sees a GPU here")
    message, hint = keras["gpu"]
    assert "sees no GPU" in message
    assert "leave gpu out of --device" in hint


def test_labels_that_nobody_knows_are_left_out(inputs, tmp_path):
    files = inputs.files(case())
    crops = np.load(files["inputs"])[:2]
    labels = np.array([[1, np.nan], [1, np.nan], [0, np.nan]], np.float32)
    np.savez(tmp_path / "faces.npz", crops=crops, rows=np.array([0, 1]), labels=labels,
             attributes=np.array(["Smiling", "Male"]))  # fmt: skip
    accuracy = open_subject(case(), files).accuracy
    assert accuracy is not None
    found = accuracy(str(tmp_path / "faces.npz"))
    assert list(found) == ["Smiling"]
    # The third picture is one without a face, which is wrong whatever its label.
    assert found["Smiling"]["samples"] == 3
    assert found["Smiling"]["accuracy"] == 2 / 3


@pytest.fixture(scope="module")
def labelled(data_dir, tmp_path_factory):
    """Twelve smiles, twelve straight faces, and a black picture; as GENKI-4K and as two folders."""
    root, genki = tmp_path_factory.mktemp("labelled"), data_dir / "genki4k"
    labels = [line.split()[0] for line in (genki / "labels.txt").read_text().splitlines()]
    there = [
        at for at in range(len(labels)) if (genki / "files" / f"file{at + 1:04}.jpg").is_file()
    ]
    chosen = [at for word in "10" for at in [at for at in there if labels[at] == word][:12]]
    (root / "genki" / "files").mkdir(parents=True)
    for number, at in enumerate(chosen, start=1):
        picture = genki / "files" / f"file{at + 1:04}.jpg"
        (root / "genki" / "files" / f"file{number:04}.jpg").symlink_to(picture)
        place = root / "folders" / "test" / ("Smiling" if labels[at] == "1" else "Straight")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:02}.jpg").symlink_to(picture)
    black = root / "genki" / "files" / "file0025.jpg"
    cv2.imwrite(str(black), np.zeros((192, 192, 3), np.uint8))
    words = [*(labels[at] for at in chosen), "1"]
    (root / "genki" / "labels.txt").write_text("\n".join(words) + "\n")
    return root


def assert_as_evaluate(data, **card):
    """Measure the accuracy both ways, and return it."""
    model = read_model(resolve_model("default"))
    path = data.parent / "model.tflite"
    path.write_bytes(pack(model.graph, replace(model.card, **card)))
    one = case(name=str(path))
    with Inputs(data, no_child) as inputs:
        files = inputs.files(one)
        accuracy = open_subject(one, files).accuracy
        assert accuracy is not None
        found = accuracy(files["labelled"])
    expected = evaluate_subject(
        Classifier(read_model(path)), data, kind="auto", split="test", crop="detect",
        detector=None, runtime="auto", threads=1, warn=lambda sentence: None,
    )["attributes"]  # fmt: skip
    assert found == {
        name: {"accuracy": one["accuracy"], "ci95": one["ci95"], "samples": one["labelled"]}
        for name, one in expected.items()
    }
    return found["Smiling"]


@pytest.mark.data
def test_the_accuracy_is_that_of_edge_evaluate(labelled):
    found = assert_as_evaluate(labelled / "genki")
    assert found["samples"] == 25
    assert 0.7 < found["accuracy"] < 1


@pytest.mark.data
def test_the_thresholds_of_the_card_decide(labelled):
    never = assert_as_evaluate(labelled / "genki", thresholds=(1.1, 0.5))
    # Nobody smiles: the straight faces alone are right.
    assert never["accuracy"] == 12 / 25


@pytest.mark.data
def test_of_two_folders_the_attribute_of_the_model_says_yes(labelled):
    assert assert_as_evaluate(labelled / "folders")["samples"] == 24


@pytest.mark.data
def test_a_picture_that_cannot_be_read_is_left_out(labelled):
    broken = labelled / "folders" / "test" / "Smiling" / "99.jpg"
    broken.write_bytes(b"no picture")
    try:
        assert assert_as_evaluate(labelled / "folders")["samples"] == 24
    finally:
        broken.unlink()


def test_of_people_the_accuracy_stays_that_of_the_card(inputs, tmp_path):
    model = read_model(resolve_model("default"))
    scores = {"identity": {"accuracy": 0.5, "ci95": [0.3, 0.7], "samples": 20}}
    card = replace(model.card, task="identity", accuracy={"int8": scores})
    path = tmp_path / "people.tflite"
    path.write_bytes(pack(model.graph, card))
    one = case(name=str(path))
    subject = open_subject(one, inputs.files(one))
    assert subject.accuracy is None
    assert (subject.about["accuracy"], subject.about["accuracy_from"]) == (scores, "card")
    assert subject.call().shape == (2,)


def test_the_frames_show_a_face_each(inputs):
    assert read_picture(fetch("demo")).shape == (512, 512, 3)
    frames = np.load(inputs.files(case("pipeline"))["inputs"])
    assert len({frame.tobytes() for frame in frames}) == len(frames) >= 20


def test_pictures_without_any_face_are_all_wrong(tmp_path):
    for name in ("Smiling", "Straight"):
        place = tmp_path / "data" / "test" / name
        place.mkdir(parents=True)
        cv2.imwrite(str(place / "black.png"), np.zeros((64, 64, 3), np.uint8))
    assert assert_as_evaluate(tmp_path / "data")["accuracy"] == 0
