"""What there is to measure for what was asked, and what is said of the rest."""

import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from edge.benchmarks import suites
from edge.benchmarks.cases import SUITES, Case
from edge.benchmarks.peak import graph_bytes
from edge.benchmarks.suites import RUNTIMES, Request, Skipped, plan
from edge.errors import EdgeError
from edge.modelfile import resolve_model

NO_GPU = "no Vulkan adapter was found"
OPTIONAL = ("openvino", "onnxruntime", "tensorflow", "keras", "mediapipe", "mtcnn", "dlib")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache without the environment of tflite-runtime, on a machine with four cores."""
    monkeypatch.setenv("EDGE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(suites, "usable_cores", lambda: 4)
    return tmp_path / "home"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that leaves only some of the optional packages installed."""

    def leave(*names: str) -> None:
        def find(name: str) -> Any:
            if name in OPTIONAL:
                return name in names or None
            return find_spec(name)

        for module in ("suites", "models"):
            monkeypatch.setattr(f"edge.benchmarks.{module}.find_spec", find)

    return leave


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    path = tmp_path / "theirs.tflite"
    path.write_bytes(graph_bytes("int8"))
    return path


def rows(found: list[Any], suite: str) -> list[tuple[str, ...]]:
    """Return name, variant, runtime, device and threads of the cases of a suite."""
    cases = [one.case if isinstance(one, Skipped) else one for one in found]
    return [case.key[1:] for case in cases if case.suite == suite]


def test_without_a_word_it_is_short_and_what_the_base_installation_brings(installed) -> None:
    installed()
    cases, skipped = plan(Request(), NO_GPU)
    assert {case.suite for case in cases} == set(SUITES[:3])
    assert {case.runtime for case in cases} == {"litert"}
    assert {case.device for case in cases} == {"cpu"}
    assert rows(cases, "classifiers") == [
        ("default", variant, "litert", "cpu", threads)
        for variant in ("int8", "float32")
        for threads in (1, 2, 4)
    ]
    assert [row[0] for row in rows(cases, "detectors")] == ["blazeface"] * 3 + [
        "blazeface-full"
    ] * 3
    assert rows(cases, "pipeline") == rows(cases, "classifiers")
    assert {(one.case.device, one.reason) for one in skipped} == {("gpu", NO_GPU)}
    assert not any(case.asked for case in cases)


def test_what_is_installed_beside_does_not_lengthen_the_short_one(installed) -> None:
    installed()
    few = plan(Request(), NO_GPU)
    installed(*OPTIONAL)
    assert plan(Request(), NO_GPU) == few


def test_a_gpu_is_measured_beside_the_cpu_where_there_is_one(installed) -> None:
    installed()
    cases, skipped = plan(Request(), None)
    gpu = [case for case in cases if case.device == "gpu"]
    assert [(case.suite, case.variant, case.threads) for case in gpu] == [
        ("classifiers", "int8", 1), ("classifiers", "float32", 1),
    ]  # fmt: skip
    assert skipped == []


def test_a_suite_takes_every_engine_and_says_which_are_not_here(installed) -> None:
    installed("openvino")
    cases, skipped = plan(Request(suites=("classifiers",)), NO_GPU)
    assert {case.suite for case in cases} == {"classifiers"}
    assert {case.runtime for case in cases} == {"litert", "openvino"}
    reasons = {one.case.runtime: one.reason for one in skipped if one.case.device == "cpu"}
    assert reasons["onnxruntime"] == "onnxruntime is not installed"
    assert reasons["tensorflow"] == "tensorflow is not installed"
    assert reasons["keras-call"] == reasons["keras-predict"] == "keras is not installed"
    assert "tflite-runtime" in reasons["tflite-runtime"]
    assert {case.runtime for case in cases} | set(reasons) == set(RUNTIMES)
    # LiteRT shows how threads scale; the others are compared on one.
    assert {case.threads for case in cases if case.runtime == "openvino"} == {1}
    assert {case.threads for case in cases if case.runtime == "litert"} == {1, 2, 4}


def test_the_row_of_what_is_skipped_says_why(installed) -> None:
    installed()
    request = Request(suites=("classifiers",), models=("default",), threads=(1,))
    _, skipped = plan(request, NO_GPU)
    assert {"suite": "classifiers", "name": "default", "variant": "int8", "runtime": "openvino",
            "device": "cpu", "threads": 1, "reason": "openvino is not installed"} in [
        one.to_json() for one in skipped
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("runtime", "hint"),
    [
        ("openvino", "pip install 'edge-tflite[openvino]'"),
        ("onnxruntime", "pip install 'edge-tflite[peers]'"),
        ("keras-call", "pip install 'edge-tflite[train]'"),
        ("tensorflow", "pip install 'edge-tflite[train]'"),
    ],
)
def test_what_was_asked_for_and_is_not_here_is_an_error(installed, runtime, hint) -> None:
    installed()
    request = Request(suites=("classifiers",), models=("default-float32",), runtimes=(runtime,))
    with pytest.raises(EdgeError, match=f"{runtime} cannot be measured: .* is not inst") as caught:
        plan(request, NO_GPU)
    assert caught.value.hint == hint


def test_a_pipeline_that_was_asked_for_and_is_not_here_is_an_error(installed) -> None:
    installed()
    with pytest.raises(EdgeError, match="keras is not installed") as caught:
        plan(Request(suites=("pipeline",), runtimes=("keras-call",)), NO_GPU)
    assert caught.value.hint == "pip install 'edge-tflite[train]'"


def test_a_gpu_that_was_asked_for_and_is_not_here_is_an_error() -> None:
    with pytest.raises(EdgeError, match=NO_GPU) as caught:
        plan(Request(suites=("classifiers",), models=("default",), devices=("gpu",)), NO_GPU)
    assert caught.value.hint == "leave gpu out of --device"


def test_only_what_was_asked_for_is_measured(installed) -> None:
    installed("openvino", "onnxruntime")
    request = Request(
        suites=("classifiers",), models=("default",), runtimes=("openvino", "onnxruntime"),
        devices=("cpu",), threads=(1, 3),
    )  # fmt: skip
    cases, skipped = plan(request, NO_GPU)
    assert rows(cases, "classifiers") == [
        ("default", "int8", runtime, "cpu", threads)
        for runtime in ("openvino", "onnxruntime")
        for threads in (1, 3)
    ]
    assert all(case.asked for case in cases)
    assert skipped == []


def test_only_the_gpu_where_only_that_was_asked_for() -> None:
    request = Request(suites=("classifiers",), models=("default",), devices=("gpu",))
    cases, skipped = plan(request, None)
    assert rows(cases, "classifiers") == [("default", "int8", "litert", "gpu", 1)]
    assert cases[0].asked
    assert skipped == []


def test_the_environment_of_tflite_runtime_is_used_once_it_is_there(home: Path) -> None:
    request = Request(suites=("classifiers",), models=("default",), devices=("cpu",), threads=(1,))
    before = rows(plan(request, NO_GPU)[0], "classifiers")
    python = home / "bench/tflite-runtime/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()
    after = rows(plan(request, NO_GPU)[0], "classifiers")
    assert set(after) - set(before) <= {("default", "int8", "tflite-runtime", "cpu", 1)}
    assert ("default", "int8", "tflite-runtime", "cpu", 1) in after


def test_detectors_are_ours_and_those_compared_with(installed) -> None:
    installed("mtcnn")
    cases, skipped = plan(Request(suites=("detectors",)), NO_GPU)
    assert ("mtcnn", "float32", "mtcnn", "cpu", 1) in rows(cases, "detectors")
    assert ("yunet", "float32", "opencv", "cpu", 1) in rows(cases, "detectors")
    reasons = {one.case.name: one.reason for one in skipped if one.case.runtime != "openvino"}
    assert reasons["mediapipe"] == "mediapipe is not installed"
    assert reasons["dlib-hog"] == "dlib is not installed"
    assert {case.device for case in cases} == {"cpu"}


def test_detectors_on_one_engine_are_blazeface() -> None:
    cases, _ = plan(Request(suites=("detectors",), runtimes=("litert",), threads=(2,)), NO_GPU)
    assert rows(cases, "detectors") == [
        (name, "float32", "litert", "cpu", 2) for name in ("blazeface", "blazeface-full")
    ]


def test_the_pipelines_of_the_seeds_are_there(installed) -> None:
    installed(*OPTIONAL)
    cases, _ = plan(Request(suites=("pipeline",), threads=(1,)), NO_GPU)
    engines = {case.runtime for case in cases}
    assert {"mediapipe+keras-predict", "mediapipe+keras-call", "mediapipe+litert"} <= engines
    assert {case.variant for case in cases if "keras" in case.runtime} == {"float32"}
    assert not any("onnxruntime" in engine for engine in engines)
    installed("tensorflow", "keras")
    cases, skipped = plan(Request(suites=("pipeline",), threads=(1,)), NO_GPU)
    assert "litert+keras-call" in {case.runtime for case in cases}
    assert {one.reason for one in skipped} == {
        "openvino is not installed", "mediapipe is not installed",
    }  # fmt: skip


def test_training_is_one_case_a_policy(installed) -> None:
    installed()
    with pytest.raises(EdgeError, match="nothing to measure: keras is not installed"):
        plan(Request(suites=("training",)), NO_GPU)
    installed("keras")
    cases, _ = plan(Request(suites=("training",), threads=(2, 3)), NO_GPU)
    assert [case.key for case in cases] == [("training", "default", "float32", "keras", "cpu", 3)]


def test_a_file_without_a_card_is_measured_as_what_it_is(foreign: Path) -> None:
    request = Request(suites=("classifiers",), models=(str(foreign),), devices=("cpu",),
                      runtimes=("litert",), threads=(1,))  # fmt: skip
    [case], _ = plan(request, NO_GPU)
    assert (case.name, case.variant, case.model) == ("theirs", "unknown", str(foreign))


def test_a_run_folder_is_measured_in_all_its_forms(tmp_path: Path, installed) -> None:
    installed("keras")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "model.keras").touch()
    shutil.copy(resolve_model("default"), folder / "default.tflite")
    request = Request(suites=("classifiers",), models=(str(folder),), devices=("cpu",),
                      threads=(1,))  # fmt: skip
    cases, _ = plan(request, NO_GPU)
    assert [(case.variant, case.runtime, case.model) for case in cases] == [
        ("int8", "litert", str(folder / "default.tflite")),
        ("float32", "keras-predict", str(folder)),
        ("float32", "keras-call", str(folder)),
    ]


def test_one_file_given_twice_is_one_case() -> None:
    request = Request(suites=("classifiers",), models=("default", "default"), devices=("cpu",),
                      runtimes=("litert",), threads=(1,))  # fmt: skip
    assert len(plan(request, NO_GPU)[0]) == 1


def test_two_files_that_cannot_be_told_apart_are_refused(small_model: Path) -> None:
    request = Request(suites=("classifiers",), models=("default", str(small_model)),
                      devices=("cpu",), runtimes=("litert",), threads=(1,))  # fmt: skip
    with pytest.raises(EdgeError, match=r"default and .*small\.tflite are both default int8"):
        plan(request, NO_GPU)


@pytest.mark.parametrize(
    ("suite", "parts"),
    [
        ("detectors", {"runtimes": ("onnxruntime",)}),
        ("classifiers", {"models": ("default",), "runtimes": ("keras-call",)}),
    ],
)
def test_nothing_to_measure_is_an_error(suite: str, parts: dict) -> None:
    with pytest.raises(EdgeError, match="there is nothing to measure") as caught:
        plan(Request(suites=(suite,), **parts), None)
    assert caught.value.hint


@pytest.mark.parametrize("suite", ["detectors", "pipeline", "training"])
@pytest.mark.parametrize("devices", [("gpu",), ("cpu", "gpu")])
def test_a_gpu_is_refused_where_nothing_runs_on_it(suite: str, devices: tuple[str, ...]) -> None:
    with pytest.raises(EdgeError, match=f"{suite} cannot be measured on a GPU"):
        Request(suites=(suite,), devices=devices)


@pytest.mark.parametrize(
    ("parts", "what", "choice"),
    [
        ({"suites": ("fast",)}, "unknown suite fast", "classifiers"),
        ({"devices": ("npu",)}, "unknown device npu", "cpu, gpu"),
        ({"runtimes": ("torch",)}, "unknown runtime torch", "litert, openvino"),
    ],
)
def test_an_unknown_word_is_answered_with_the_known_ones(parts, what, choice) -> None:
    with pytest.raises(EdgeError, match=what) as caught:
        Request(**parts)
    assert choice in caught.value.hint


def test_a_missing_model_is_named() -> None:
    with pytest.raises(EdgeError, match="no model is called best"):
        plan(Request(models=("best",)), NO_GPU)


def test_cases_come_back_from_json() -> None:
    cases, _ = plan(Request(), NO_GPU)
    assert [Case.from_json(case.to_json() | {"later": 1}) for case in cases] == cases
    with pytest.raises(TypeError):
        Case.from_json({"suite": "classifiers"})


def test_no_two_cases_have_one_key(installed) -> None:
    installed("openvino", "onnxruntime", "mtcnn", "dlib", "mediapipe", "keras")
    cases, skipped = plan(Request(suites=SUITES), NO_GPU)
    keys = [one.key for one in (*cases, *(one.case for one in skipped))]
    assert len(keys) == len(set(keys))
