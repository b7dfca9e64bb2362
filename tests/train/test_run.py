import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.datasets import load
from edge.errors import EdgeError
from edge.train.facecache import cut_faces
from edge.train.job import Job, job_of, load_data
from edge.train.model import KerasClassifier
from edge.train.recipe import Phase
from edge.train.run import train
from edge.train.teacher import teacher_answers
from edge.train.words import make_job

pytestmark = pytest.mark.usefixtures("without_figures")


@pytest.fixture(scope="module")
def job(portraits, tiny) -> Job:
    return Job(recipe=tiny, data=((portraits, "auto"),), attributes=("dark",), seed=5)


@pytest.fixture(scope="module")
def run(job, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    train(job, folder, resume=False, report=lambda line: None)
    return folder


def test_a_run_folder_holds_everything(run):
    names = {path.name for path in run.iterdir()}
    assert names == {"config.json", "checkpoint.npz", "history.json", "model.keras", "plots"}
    assert {path.name for path in (run / "plots").iterdir()} == {
        "curves.png", "label_balance.png", "samples.png", "augmentations.png", "confusion.png",
        "roc.png", "calibration.png", "worst-dark.png", "feature_maps.png", "tsne.png",
    }  # fmt: skip
    for plot in run.glob("plots/*.png"):
        assert plot.read_bytes().startswith(b"\x89PNG")
        assert plot.stat().st_size > 5_000


def test_the_config_tells_what_was_trained_on(run, portraits):
    config = json.loads((run / "config.json").read_text())
    assert config["attributes"] == ["dark"]
    assert config["data"][0]["counts"] == {"train": 24, "val": 8, "test": 8}
    assert len(config["data"][0]["digest"]) == 64
    assert config["contract"]["width"] == 32
    assert config["accuracy"]["dark"]["labelled"] == 8
    assert Path(config["data"][0]["root"]) == portraits


def test_the_model_opens_with_its_contract(run):
    classifier = KerasClassifier(run)
    assert classifier.attributes == ("dark",)
    crops = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    assert classifier.classify(crops).shape == (3, 1)


def test_an_interrupted_training_says_how_to_go_on(job, tmp_path):
    said = []

    def interrupt(line: str) -> None:
        said.append(line)
        if "epoch 1/" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(job, tmp_path / "run", resume=False, report=interrupt)
    assert said[-1] == f"stopped; to go on: edge train --resume --out {tmp_path / 'run'}"
    assert (tmp_path / "run" / "checkpoint.npz").is_file()


def test_weights_that_cannot_be_had_are_refused_before_a_face_is_cut(job, tmp_path):
    said = []
    with pytest.raises(EdgeError, match=r"there is no file .*absent\.h5"):
        train(replace(job, weights=str(tmp_path / "absent.h5")), tmp_path / "run",
              resume=False, report=said.append)  # fmt: skip
    assert said == []


def test_a_body_that_stays_random_is_told(job, tmp_path):
    frozen = replace(job.recipe, phases=(Phase(epochs=1, trains="head"),))
    said = []
    train(replace(job, recipe=frozen), tmp_path / "run", resume=False, report=said.append)
    assert "begins with random weights" in said[0]


@pytest.mark.parametrize("whole", [0, 5_000])
def test_a_damaged_model_is_refused(run, tmp_path, whole):
    shutil.copytree(run, tmp_path / "run")
    file = tmp_path / "run" / "model.keras"
    file.write_bytes(file.read_bytes()[:whole])
    with pytest.raises(EdgeError, match="is damaged: not a whole"):
        KerasClassifier(tmp_path / "run")


def test_the_job_can_be_read_back(run, job):
    again = job_of(run)
    assert again.recipe == job.recipe
    assert again.attributes == job.attributes
    assert again.seed == job.seed


def test_a_finished_run_is_not_overwritten(run, job):
    before = (run / "model.keras").read_bytes()
    with pytest.raises(EdgeError, match="already holds a run") as caught:
        train(job, run, resume=False, report=lambda line: None)
    assert "--resume" in caught.value.hint
    assert (run / "model.keras").read_bytes() == before


def test_other_pictures_than_it_began_with_are_refused(run, job, portraits, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "model.keras").unlink()
    shutil.copytree(portraits, tmp_path / "pictures")
    next((tmp_path / "pictures" / "train" / "dark").iterdir()).unlink()
    changed = replace(job, data=((tmp_path / "pictures", "auto"),))
    with pytest.raises(EdgeError, match="has changed since"):
        train(changed, tmp_path / "run", resume=True, report=lambda line: None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"network": "resnet"}, "unknown network resnet"),
        ({"recipe": "none"}, "unknown recipe none"),
        ({"data": []}, "no pictures to train on"),
        ({"kinds": ["celeba", "mtfl"]}, "2 --dataset for 1 --data"),
        ({"attributes": " , "}, "no attributes to learn"),
        ({"attributes": "Smiling,Male,smile"}, "smile is asked for twice"),
        ({"subset": "10,20"}, "subset is 10,20, expected three counts"),
        ({"teachers": ["runs/teacher"]}, "recipe default has no phase in which a teacher"),
        ({"people": 4}, "--people means nothing to recipe default"),
        ({"recipe": "celeb-cnn"}, "--attributes means nothing to recipe celeb-cnn"),
        (
            {"recipe": "celeb-cnn", "attributes": None, "subset": "8,4,4"},
            "--subset means nothing to recipe celeb-cnn",
        ),
        ({"recipe": "default-taught"}, "learns from a teacher, and there is none"),
        ({"recipe": "default-taught", "teachers": ["runs/typo"]}, "no teacher runs/typo"),
        ({"recipe": "default-taught", "teachers": ["imagenet"]}, "no teacher imagenet"),
        (
            {"recipe": "celeb-cnn-cosine", "attributes": None, "teachers": ["none"]},
            "no teacher none",
        ),
        (
            {"recipe": "celeb-cnn-cosine", "attributes": None, "teachers": ["a", "b"]},
            "features of one teacher, not of 2",
        ),
    ],
)
def test_words_that_name_nothing_are_refused(words, message):
    given = {
        "network": None, "recipe": None, "data": [Path("faces")], "kinds": [],
        "attributes": "Smiling", "subset": None, "epochs": None, "batch": None,
        "people": None, "class_weights": False,
        "weights": None, "teachers": [], "seed": 0, "deterministic": False,
    }  # fmt: skip
    given |= words
    network, recipe = given.pop("network"), given.pop("recipe")
    with pytest.raises(EdgeError, match=message):
        make_job(network, recipe, **given)


def test_a_folder_called_imagenet_is_not_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for word in ("imagenet", "none", "mine"):
        Path(word).mkdir()
    given = {
        "data": [Path("faces")], "kinds": [], "attributes": "Smiling", "subset": None,
        "epochs": None, "batch": None, "people": None, "class_weights": False, "teachers": [],
        "seed": 0, "deterministic": False,
    }  # fmt: skip
    assert make_job("mobilenet", None, weights=None, **given).weights == "imagenet"
    assert make_job("mobilenet", None, weights="none", **given).weights == "none"
    assert make_job("mobilenet", None, weights="mine", **given).weights == str(tmp_path / "mine")


def test_an_attribute_that_the_data_lacks_is_refused(job, tmp_path):
    with pytest.raises(EdgeError, match="Smiling"):
        train(replace(job, attributes=("Smiling",)), tmp_path / "run", resume=False,
              report=lambda line: None)  # fmt: skip


def test_data_without_training_pictures_is_refused_before_anything_is_written(
    job, portraits, tmp_path
):
    for split, message in (("test", "no training pictures"), ("train", "no validation pictures")):
        root = tmp_path / split
        shutil.copytree(portraits / split, root / split)
        with pytest.raises(EdgeError, match=message):
            train(replace(job, data=((root, "folder"),)), tmp_path / "run", resume=False,
                  report=lambda line: None)  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_either_of_two_classes_can_be_learned(job, portraits, tmp_path):
    other = replace(
        job, attributes=("bright",), recipe=replace(job.recipe, phases=(Phase(epochs=1),))
    )
    config = train(other, tmp_path / "run", resume=False, report=lambda line: None)
    assert list(config["accuracy"]) == ["bright"]


def test_a_finished_run_is_left_as_it_is(run, job):
    before = (run / "config.json").read_bytes(), (run / "model.keras").read_bytes()
    said: list[str] = []
    config = train(job, run, resume=True, report=said.append)
    assert said == [f"{run} is finished"]
    assert config == json.loads(before[0])
    assert before == ((run / "config.json").read_bytes(), (run / "model.keras").read_bytes())


def test_a_run_that_began_with_weights_can_be_resumed(run, job, tmp_path):
    second = replace(job, weights=str(run), recipe=replace(job.recipe, phases=(Phase(epochs=1),)))
    begun = tmp_path / "begun"
    train(second, begun, resume=False, report=lambda line: None)
    (begun / "model.keras").unlink()
    config = train(job_of(begun), begun, resume=True, report=lambda line: None)
    assert config["weights"] == str(run)
    assert config["weights_used"].startswith("tiny/model.keras sha256 ")


def test_several_teachers_speak_with_their_mean(run, job, portraits, tmp_path):
    import keras

    other = shutil.copytree(run, tmp_path / "other")
    network = keras.saving.load_model(other / "model.keras", compile=False)
    network.set_weights([-weight for weight in network.get_weights()])
    network.save(other / "model.keras")
    data = [load(portraits, attributes=["dark"]).only("train")]
    faces = cut_faces(data, job.recipe.contract)
    names = ("unknown", "DARK")
    one, two, both = (
        teacher_answers(runs, data, faces, names) for runs in ([run], [other], [run, other])
    )
    assert np.isnan(both[:, 0]).all()
    assert not np.allclose(one[:, 1], two[:, 1], atol=0.05)
    assert np.allclose(both[:, 1], (one[:, 1] + two[:, 1]) / 2, atol=1e-3)


def test_without_a_test_face_there_is_a_model_and_no_test_score(job, portraits, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(portraits, root)
    for picture in (root / "test").rglob("*.png"):
        cv2.imwrite(str(picture), np.zeros((64, 64, 3), np.uint8))
    blind = replace(
        job, data=((root, "folder"),), recipe=replace(job.recipe, phases=(Phase(epochs=1),))
    )
    said: list[str] = []
    config = train(blind, tmp_path / "run", resume=False, report=said.append)
    assert "no test score: no face found in 8 pictures" in said
    assert "test" not in config


def test_a_recipe_that_ends_on_the_first_data_set_wants_training_pictures_there(
    job, portraits, tmp_path
):
    shutil.copytree(portraits / "val", tmp_path / "data" / "val")
    phases = (Phase(epochs=1), Phase(epochs=1, first_only=True))
    recipe = replace(job.recipe, phases=phases)
    data = ((tmp_path / "data", "folder"), (portraits, "folder"))
    with pytest.raises(EdgeError, match="folder has no training pictures"):
        load_data(replace(job, recipe=recipe, data=data))
    load_data(replace(job, recipe=recipe, data=data[::-1]))


@pytest.mark.parametrize("text", ["[1]", '{"schema": 1}', '{"schema": null}', "not json"])
def test_a_damaged_config_is_refused(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(EdgeError, match=r"config\.json"):
        job_of(tmp_path)
