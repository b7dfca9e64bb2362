"""Which files a --model means."""

import shutil
from pathlib import Path

import pytest

from edge.benchmarks.models import (
    BUNDLED,
    KERAS_ENGINES,
    ZOO_VARIANTS,
    Model,
    file_of,
    models_of,
    network_of,
    whole_zoo,
)
from edge.benchmarks.peak import graph_bytes
from edge.errors import EdgeError
from edge.modelfile import VARIANTS, resolve_model


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A whole .tflite file without a card."""
    path = tmp_path / "theirs.tflite"
    path.write_bytes(graph_bytes("int8"))
    return path


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "smile"
    folder.mkdir(parents=True)
    (folder / "model.keras").write_bytes(b"opened by the worker alone")
    return folder


def test_an_integer_file_is_one_model() -> None:
    assert list(models_of("default")) == [Model(name="default", variant="int8", source="default")]


def test_a_float_file_has_a_keras_form_too() -> None:
    file, network = models_of("default-float32")
    assert file == Model(name="default", variant="float32", source="default-float32")
    assert network == Model(name="default", variant="float32", source="default-float32", keras=True)


def test_a_file_is_named_by_its_card_and_opened_by_its_path(small_model: Path) -> None:
    [model] = models_of(str(small_model))
    assert (model.name, model.variant, model.source) == ("default", "int8", str(small_model))
    assert file_of(model.source) == small_model


def test_a_file_without_a_card_is_named_by_itself(foreign: Path) -> None:
    [model] = models_of(str(foreign))
    assert (model.name, model.variant, model.keras) == ("theirs", "unknown", False)
    assert model.runs_on("litert")
    assert model.runs_on("openvino")
    assert not model.runs_on("onnxruntime")
    assert not any(map(model.runs_on, KERAS_ENGINES))


def test_a_run_folder_is_all_its_files_and_its_network(run_folder: Path) -> None:
    for name in BUNDLED:
        shutil.copy(resolve_model(name), run_folder / f"{name}.tflite")
    models = list(models_of(str(run_folder)))
    assert [(one.name, one.variant, one.keras) for one in models] == [
        ("default", "float32", False), ("default", "int8", False), ("default", "float32", True),
    ]  # fmt: skip
    assert file_of(models[0].source) == run_folder / "default-float32.tflite"
    assert file_of(models[2].source) == run_folder


def test_a_run_folder_that_was_not_converted_is_its_network(run_folder: Path) -> None:
    [network] = models_of(str(run_folder))
    assert (network.name, network.variant, network.keras) == ("smile", "float32", True)


def test_a_network_of_the_zoo_is_every_variant_and_keras() -> None:
    models = list(models_of("zoo/proposed"))
    assert [one.variant for one in models] == [*ZOO_VARIANTS, "float32"]
    assert [one.keras for one in models] == [False] * len(ZOO_VARIANTS) + [True]
    assert {(one.name, one.source) for one in models} == {("proposed", "zoo/proposed")}
    assert network_of("zoo/proposed") == "proposed"
    assert network_of("default") is network_of("runs/zoo/proposed") is None


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_engine_opens_the_forms_that_it_can(variant: str) -> None:
    file = Model(name="a", variant=variant, source="a")
    network = Model(name="a", variant=variant, source="a", keras=True)
    for engine in ("litert", "openvino", "tflite-runtime", "tensorflow"):
        assert file.runs_on(engine)
        assert not network.runs_on(engine)
    for engine in KERAS_ENGINES:
        assert network.runs_on(engine)
        assert not file.runs_on(engine)
    assert file.runs_on("onnxruntime") == (variant in ("float32", "int8"))
    assert not network.runs_on("onnxruntime")


def test_what_is_missing_or_damaged_is_refused(tmp_path: Path, small_model: Path) -> None:
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(small_model.read_bytes()[:-100])
    for given, what in (
        ("best", "no model is called best"),
        (str(tmp_path / "absent.tflite"), "there is no file"),
        (str(damaged), "is damaged"),
        (str(tmp_path), "is a folder"),
    ):
        with pytest.raises(EdgeError, match=what) as caught:
            list(models_of(given))
        assert caught.value.hint


def test_one_damaged_file_of_a_run_folder_is_named(run_folder: Path, small_model: Path) -> None:
    (run_folder / "cut.tflite").write_bytes(small_model.read_bytes()[:5000])
    with pytest.raises(EdgeError, match=r"cut\.tflite is damaged"):
        list(models_of(str(run_folder)))


def test_the_whole_zoo_is_every_network_that_can_be_trained() -> None:
    pytest.importorskip("tensorflow")
    from edge.train.networks import NETWORKS

    assert set(whole_zoo()) == {f"zoo/{name}" for name in NETWORKS}


def test_without_tensorflow_there_is_no_zoo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.benchmarks.models.find_spec", lambda name: None)
    assert whole_zoo() == ()
