"""The whole line as a user types it: a folder of faces, a run, a model file, its results."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge.cli import main


def edge(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge", *map(str, arguments)],
        capture_output=True, text=True, check=False, cwd=folder,
    )  # fmt: skip


@pytest.fixture(scope="module")
def line(portraits: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Train and convert once; return what each command printed."""
    folder = tmp_path_factory.mktemp("line")
    trained = edge("train", "--data", portraits, "--attributes", "bright", "--recipe", "default",
                   "--epochs", "4", "--batch", "8", "--json", folder=folder)  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    converted = edge("convert", "runs/default", "--int8", "--calibration", "12", "--json",
                     folder=folder)  # fmt: skip
    assert converted.returncode == 0, converted.stderr
    return {"folder": folder, "data": portraits, "train": trained, "convert": converted}


def test_training_prints_its_config_and_tells_each_epoch(line):
    config = json.loads(line["train"].stdout)
    assert config["attributes"] == ["bright"]
    lines = line["train"].stderr.splitlines()
    assert lines[0].startswith("24 faces to train on, 8 to validate")
    assert [text.split(":")[0] for text in lines[1:]] == [
        f"train, epoch {n}/4" for n in (1, 2, 3, 4)
    ]


def test_conversion_prints_its_verdict_and_nothing_else(line):
    (entry,) = json.loads(line["convert"].stdout)["variants"]
    assert entry["name"] == "int8"
    assert entry["delegate"]["partitions"] == 1
    assert line["convert"].stderr == ""
    assert (line["folder"] / entry["file"]).is_file()


@pytest.mark.parametrize("model", ["runs/default", "runs/default/default-int8.tflite"])
def test_both_forms_are_evaluated_alike(line, model):
    done = edge("evaluate", model, "--data", line["data"], "--json", folder=line["folder"])
    name = f"folder-{line['data'].name}-test-detect"
    kept = f"figures in runs/default/evaluations/{name}\n"
    assert (done.returncode, done.stderr) == (0, kept if model == "runs/default" else "")
    result = json.loads(done.stdout)
    assert (result["samples"], result["detected"]) == (8, 8)
    assert set(result["attributes"]) == {"bright"}


def test_the_model_runs_on_pictures(line):
    done = edge("run", line["data"] / "test" / "dark", "--json",
                "--model", "runs/default/default-int8.tflite", folder=line["folder"])  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(text) for text in done.stdout.splitlines()]
    assert len(lines) == 5
    assert all(set(face["attributes"]) == {"bright"} for one in lines[:-1] for face in one["faces"])


def test_a_run_is_not_overwritten_but_goes_on(line, monkeypatch, capfd):
    def here(*arguments: str | Path) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["edge", "train", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code or 0, *capfd.readouterr())

    monkeypatch.chdir(line["folder"])
    code, _, told = here("--data", line["data"], "--attributes", "bright")
    assert (code, told.splitlines()[0]) == (1, "error: runs/default already holds a run")
    code, printed, _ = here("--resume", "--json")
    assert (code, json.loads(printed)) == (0, json.loads(line["train"].stdout))
