import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import edge as edge_package
from edge.assets import fetch
from edge.cli import main
from edge.modelfile import CARD_FILE, SCHEMA, pack, read_model

COMMANDS = [
    ["run"],
    ["train"],
    ["convert"],
    ["evaluate"],
    ["models", "show"],
    ["models", "list"],
    ["models", "verify"],
    ["bench"],
    ["bench", "compare"],
    ["bench", "report"],
]

Here = Callable[..., subprocess.CompletedProcess[str]]


def edge(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    command = [sys.executable, "-m", "edge", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False,
                          env=os.environ | environment)  # fmt: skip


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Here:
    """Run the command in this process; what native libraries write to stderr is seen as well."""

    def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["edge", *map(str, arguments)])
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return subprocess.CompletedProcess([], ended.value.code or 0, out, err)

    return run


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")
    assert done.stdout == ""
    for word in words:
        assert word in error


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_help_of_each_command_ends_with_an_example_of_it(
    here: Here, command: list[str]
) -> None:
    done = here(*command, "--help")
    assert done.returncode == 0
    assert done.stdout.strip().splitlines()[-1].strip().startswith(f"Example: edge {command[0]}")


def test_version(here: Here) -> None:
    assert here("--version").stdout == "edge 0.1.0\n"


def test_json_is_lines_and_nothing_else(small_model: Path) -> None:
    done = edge("run", "--demo", "--frames", "3", "--json", EDGE_MODEL=str(small_model))
    assert (done.returncode, done.stderr) == (0, "")
    *frames, last = map(json.loads, done.stdout.splitlines())
    assert [frame["frame"] for frame in frames] == [0, 1, 2]
    assert last["summary"]["frames"] == 3
    assert last["summary"]["first_result_ms"] > 0


def test_the_demo_ends_with_what_a_person_wants_to_know(small_model: Path) -> None:
    done = edge("run", "--demo", "--model", small_model)
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("frame 299 of demo", "Smiling", "Male", "p99", "classify", "FPS", "litert"):
        assert words in done.stdout


def test_options_come_from_the_environment(here: Here, small_model: Path) -> None:
    done = here(
        *("run", "--demo", "--frames", "1", "--json"),
        EDGE_MODEL=str(small_model),
        EDGE_THREADS="3",
        EDGE_DETECTOR="blazeface-full",
        EDGE_RUNTIME="litert",
    )
    summary = json.loads(done.stdout.splitlines()[-1])["summary"]
    assert summary["environment"]["threads"] == 3
    assert summary["detector"]["name"] == "blazeface-full"
    assert done.stderr.startswith("warning: ")
    assert len(done.stderr.splitlines()) == 1
    assert_refused(here("run", EDGE_CAMERA="98"), "camera 98")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.jpg", None, "no such file"),
        ("text.jpg", b"hello", "not a picture"),
        ("zero.jpg", b"", "is empty"),
        ("zero.mp4", b"", "is empty"),
        ("text.mp4", b"hello", "neither a picture nor a video"),
        ("two\nlines.mp4", b"hello", "neither a picture nor a video"),
        ("n" * 300, None, "File name too long"),
    ],
)
def test_a_wrong_source(
    here: Here, small_model: Path, tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert_refused(here("run", tmp_path / name, "--model", small_model), words)


def test_camera_99(small_model: Path) -> None:
    assert_refused(edge("run", "--camera", "99", "--model", small_model), "camera 99")


def test_a_text_named_tflite(here: Here, tmp_path: Path) -> None:
    (tmp_path / "text.tflite").write_text("this is not a model, only its name says so")
    assert_refused(here("run", "--demo", "--model", tmp_path / "text.tflite"), "not a TFLite file")


@pytest.mark.parametrize("kept", [0.999, 0.5, 0.05])
def test_a_truncated_model(here: Here, small_model: Path, tmp_path: Path, kept: float) -> None:
    data = small_model.read_bytes()
    (tmp_path / "cut.tflite").write_bytes(data[: int(len(data) * kept)])
    assert_refused(here("run", "--demo", "--model", tmp_path / "cut.tflite"), "cut.tflite")


def test_a_model_of_another_task(here: Here) -> None:
    assert_refused(here("run", "--demo", "--model", fetch("blazeface")), "not a face classifier")


def test_a_model_of_a_newer_schema(here: Here, small_model: Path, tmp_path: Path) -> None:
    current, newer = f'"schema": {SCHEMA},'.encode(), f'"schema": {SCHEMA + 1},'.encode()
    model = read_model(small_model)
    stored = tmp_path / "newer.tflite"
    stored.write_bytes(repacked(pack(model.graph, model.card), current, newer))
    assert_refused(here("run", "--demo", "--model", stored), f"schema {SCHEMA + 1}")


def repacked(data: bytes, old: bytes, new: bytes) -> bytes:
    """Return a model file whose card was changed by someone who knows how to zip."""
    import io
    import zipfile

    source = zipfile.ZipFile(io.BytesIO(data))
    start = min(entry.header_offset for entry in source.infolist())
    buffer = io.BytesIO()
    buffer.write(data[:start])
    with zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == CARD_FILE:
                assert old in content
                content = content.replace(old, new)
            target.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("option", "value"), [("--model", "nothere"), ("--detector", "eyes"), ("--runtime", "magic")]
)
def test_an_unknown_name(here: Here, small_model: Path, option: str, value: str) -> None:
    assert_refused(here("run", "--demo", option, value, EDGE_MODEL=str(small_model)), value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--demo", "photo.jpg"],
        ["run", "--threads", "0"],
        ["run", "--threads", "many"],
        ["run", "--frames", "0"],
        ["run", "--nonsense"],
        ["evaluate"],
        ["evaluate", "default", "--data", ".", "--split", "some"],
        ["fly"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(here: Here, arguments: list[str]) -> None:
    done = here(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("form", [["--json"], []], ids=["json", "screen"])
def test_ctrl_c_ends_quietly_with_the_summary(small_model: Path, form: list[str]) -> None:
    command = [sys.executable, "-m", "edge", "run", "--demo", "--frames", "1000000", *form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=os.environ | {"EDGE_MODEL": str(small_model)}) as child:  # fmt: skip
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.2)
        child.send_signal(signal.SIGINT)
        rest, errors = child.communicate(timeout=20)
    assert (child.returncode, errors) == (130, "")
    assert "sha256" in rest


@pytest.mark.parametrize("form", [["--json"], []], ids=["json", "screen"])
def test_a_closed_pipe_ends_quietly(small_model: Path, form: list[str]) -> None:
    command = [sys.executable, "-m", "edge", "run", "--demo", *form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=os.environ | {"EDGE_MODEL": str(small_model)}) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        errors = child.stderr.read()
        assert (child.wait(timeout=20), errors) == (0, "")


@pytest.mark.parametrize("form", [["--json"], []])
def test_a_full_disk_under_the_output(small_model: Path, form: list[str]) -> None:
    command = [sys.executable, "-m", "edge", "run", "--demo", "--frames", "2", *form]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*command, "--model", str(small_model)], stdout=full, text=True,
                              stderr=subprocess.PIPE, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot write the output: No space left")
    assert len(done.stderr.splitlines()) == 2


def test_models_show_and_verify(here: Here, small_model: Path, tmp_path: Path) -> None:
    card = json.loads(here("models", "show", small_model, "--json").stdout)
    assert card["attributes"] == ["Smiling", "Male"]
    assert card["size_bytes"] == small_model.stat().st_size
    shown = here("models", "show", small_model).stdout
    assert "Smiling, Male" in shown
    assert "contract.margin" in shown
    assert here("models", "verify", small_model).stdout.startswith(f"{small_model} is whole")
    broken = tmp_path / "broken.tflite"
    model = read_model(small_model)
    broken.write_bytes(pack(model.graph, replace(model.card, name="broken")))
    damaged = bytearray(broken.read_bytes())
    damaged[len(model.graph) // 2] ^= 0xFF
    broken.write_bytes(damaged)
    assert_refused(here("models", "verify", broken), "damaged")


def test_evaluate_a_folder_of_classes(here: Here, small_model: Path, tmp_path: Path) -> None:
    picture = fetch("demo").read_bytes()
    for name in ("smiling/a.png", "smiling/b.png", "not_smiling/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(picture)
    (tmp_path / "smiling" / "bad.png").write_bytes(picture[:5000])
    asked = ["evaluate", small_model, "--data", tmp_path, "--split", "all"]
    done = here(*asked, "--json")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert (found["dataset"], found["split"], found["model"]["name"]) == (
        "folder",
        "all",
        "default",
    )
    assert (found["samples"], found["detected"], found["unreadable"]) == (3, 3, 1)
    assert list(found["attributes"]) == ["Smiling"]
    assert found["attributes"]["Smiling"]["positives"] == 2
    assert "1 pictures cannot be read" in done.stderr
    assert "ROC AUC" in here(*asked).stdout


def test_evaluate_refuses_what_is_not_there(here: Here, small_model: Path, tmp_path: Path) -> None:
    assert_refused(here("evaluate", small_model, "--data", tmp_path / "gone"), "gone")
    (tmp_path / "yes").mkdir()
    (tmp_path / "no").mkdir()
    for name in ("yes/a.png", "no/b.png"):
        (tmp_path / name).write_bytes(b"")
    refused = here("evaluate", tmp_path / "x.keras", "--data", tmp_path, "--split", "all")
    assert_refused(refused, "x.keras")


def test_evaluate_draws_where_it_is_told(
    here: Here, small_model: Path, portraits_of_one: Path, tmp_path: Path
) -> None:
    asked = ["evaluate", small_model, "--data", portraits_of_one, "--split", "all", "--json"]
    plain = here(*asked)
    done = here(*asked, "--plots", tmp_path / "plots")
    assert (done.returncode, done.stdout) == (0, plain.stdout)
    assert done.stderr.splitlines()[-1] == f"figures in {tmp_path / 'plots'}"
    assert {path.name for path in (tmp_path / "plots").glob("*.png")} == {
        "label_balance.png", "confusion.png", "roc.png", "calibration.png", "worst-Smiling.png",
        "sensitivity.png", "crops.png", "samples.png",
    }  # fmt: skip


def test_evaluating_a_run_is_kept_in_it(
    here: Here, small_model: Path, portraits_of_one: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from edge.runtime.classifier import Classifier

    run = tmp_path / "run"
    run.mkdir()
    (run / "model.keras").touch()
    subject = Classifier(read_model(small_model))
    monkeypatch.setattr("edge.cli._open_subject", lambda path, runtime, threads: subject)
    done = here("evaluate", run, "--data", portraits_of_one, "--split", "all", "--crop", "whole",
                "--json")  # fmt: skip
    assert done.returncode == 0
    folder, name = run / "evaluations", f"folder-{portraits_of_one.name}-all-whole"
    kept = (folder / f"{name}.json").read_text()
    assert json.loads(kept) == json.loads(done.stdout)
    assert (folder / name / "confusion.png").exists()
    # What takes as long again is drawn when it is asked for.
    assert not (folder / name / "sensitivity.png").exists()


def test_brackets_in_a_name_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    from edge.runtime.screen import show
    from edge.train.tables import run_table

    score = {"accuracy": 0.5, "ci95": [0.4, 0.6], "f1": 0.5, "labelled": 8}
    config = {"task": "attributes", "best_epoch": 1, "parameters": 9,
              "accuracy": {"[hat]": score}}  # fmt: skip
    show(run_table(config, Path("runs/x[/y]")))
    said = capsys.readouterr().out
    assert "runs/x[/y]: best epoch 1" in said
    assert "[hat]" in said
    assert "edge convert runs/x[/y] --int8" in said


def test_evaluate_says_what_drawing_needs(
    here: Here, small_model: Path, portraits_of_one: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    drawing = [name for name in sys.modules if name.startswith(("matplotlib", "edge.train"))]
    for name in drawing:
        monkeypatch.delitem(sys.modules, name)
    if "edge.train" in drawing:  # imported anew below; afterwards the package names the old one
        monkeypatch.setattr(edge_package, "train", edge_package.train)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    asked = ["evaluate", small_model, "--data", portraits_of_one, "--split", "all"]
    refused = here(*asked, "--plots", tmp_path / "plots")
    assert_refused(refused, "matplotlib")
    assert refused.stderr.splitlines()[1] == "hint: pip install 'edge-tflite[train]'"
    assert not (tmp_path / "plots").exists()
    assert here(*asked).returncode == 0


def test_evaluate_refuses_a_folder_of_plots_that_is_a_file(
    here: Here, small_model: Path, portraits_of_one: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    refused = here("evaluate", small_model, "--data", portraits_of_one, "--split", "all",
                   "--plots", tmp_path / "file")  # fmt: skip
    assert_refused(refused, "cannot make")


@pytest.mark.data
def test_photographs_never_seen(small_model: Path, data_dir: Path) -> None:
    done = edge("run", data_dir / "genki4k" / "files", "--json", "--model", small_model)
    *frames, last = map(json.loads, done.stdout.splitlines())
    assert last["summary"]["frames"] == len(frames) == 2000
    assert [frame["source"] for frame in frames] == sorted(frame["source"] for frame in frames)
    assert sum(bool(frame["faces"]) for frame in frames) >= 0.99 * len(frames)


@pytest.mark.parametrize("form", [["--json"], []], ids=["json", "screen"])
def test_without_any_stdout_it_runs_all_the_same(small_model: Path, form: list[str]) -> None:
    command = [sys.executable, "-m", "edge", "run", "--demo", "--frames", "2", *form]
    done = subprocess.run(
        ["bash", "-c", '"$@" >&-', "bash", *command], stderr=subprocess.PIPE, text=True,
        env=os.environ | {"EDGE_MODEL": str(small_model)}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("hangs", [True, False])
def test_a_thread_that_waits_for_a_device_does_not_see_python_end(hangs: bool) -> None:
    """Coming back to a Python that is ending, it would abort the process."""
    code = (
        "import atexit, sys, threading\n"
        "from edge import cli\n"
        "from edge.runtime.ahead import Ahead\n"
        "atexit.register(print, 'python ended')\n"
        "hung = threading.Event()\n"
        f"ahead = Ahead(hung.wait() for _ in range({int(hangs)}))\n"
        "ahead.close(0.05)\n"
        "sys.argv = ['edge', '--version']\n"
        "cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    told, *rest = done.stdout.splitlines()
    assert told.startswith("edge ")
    assert rest == ([] if hangs else ["python ended"])
