"""The environment of tflite_runtime; a bare one with today's packages stands in for it."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import platformdirs
import pytest

import edge
from edge.benchmarks import venvs, worker
from edge.benchmarks.cases import Case
from edge.errors import EdgeError

CASE = Case(suite="classifiers", name="default", variant="int8", runtime="tflite-runtime")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, on a machine whose own packages are too new."""
    monkeypatch.setenv("EDGE_HOME", str(tmp_path / "a home"))
    monkeypatch.setattr(venvs, "_is_usable_here", lambda: False)
    venvs._with_edge.cache_clear()
    return tmp_path / "a home"


def stand_in(folder: Path) -> None:
    """Make what `_install` makes, without an index."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    [site] = folder.glob("lib/python*/site-packages")
    seen = {Path(module.__file__).parents[1] for module in (np, cv2, platformdirs)}  # type: ignore[arg-type]
    site.joinpath("here.pth").write_text("".join(f"{path}\n" for path in seen))
    site.joinpath("tflite_runtime.py").write_text("")


@pytest.fixture
def environment(home: Path) -> Path:
    folder = home / "bench" / "tflite-runtime"
    stand_in(folder)
    return folder


def said_by(python: str, code: str) -> str:
    done = subprocess.run([python, "-P", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


WHERE = (
    "import edge, edge.benchmarks.worker as worker; print(edge.__file__); print(worker.__file__)"
)


def test_a_case_is_measured_there_by_this_very_code(environment: Path) -> None:
    python = venvs.python_for(CASE)
    copies = [Path(line) for line in said_by(python, WHERE).splitlines()]
    for copy, source in zip(copies, (edge.__file__, worker.__file__), strict=True):
        assert environment in copy.parents
        assert copy.read_bytes() == Path(source).read_bytes()
    assert venvs.tflite_runtime_absent(make=False) is None


def test_what_needs_nothing_older_is_measured_here(environment: Path) -> None:
    litert = Case(suite="classifiers", name="default", variant="int8", runtime="litert")
    assert venvs.python_for(litert) == sys.executable


def test_other_code_gets_a_copy_of_its_own(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = venvs.python_for(CASE)
    made = Path(first).parent.stat().st_ino
    venvs._with_edge.cache_clear()
    assert venvs.python_for(CASE) == first
    assert Path(first).parent.stat().st_ino == made

    sources = venvs._sources()
    other = tmp_path / "other.py"
    other.write_text("OTHER = 1\n")
    monkeypatch.setattr(venvs, "_sources", lambda: sources | {"edge/errors.py": other})
    venvs._with_edge.cache_clear()
    second = venvs.python_for(CASE)
    assert second != first
    assert said_by(second, "from edge.errors import OTHER; print(OTHER)") == "1"
    said_by(first, "from edge.errors import EdgeError")


def test_measurements_that_begin_at_once_share_one_copy(environment: Path) -> None:
    uncached: Callable[[Path], Path] = venvs._with_edge.__wrapped__
    with ThreadPoolExecutor(3) as pool:
        pythons = list(pool.map(uncached, [environment] * 3))
    assert len(set(pythons)) == 1
    said_by(str(pythons[0]), WHERE)
    assert [path.name for path in environment.iterdir() if path.name.startswith(".")] == []


def test_an_environment_whose_python_is_gone_is_made_anew(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.version_info[:2] > venvs._NEWEST:
        monkeypatch.setattr(venvs, "_NEWEST", sys.version_info[:2])
    python = environment / "bin" / "python"
    python.unlink()
    python.symlink_to(environment / "no python")
    assert "makes it" in str(venvs.tflite_runtime_absent(make=False))
    monkeypatch.setattr(venvs, "_install", stand_in)
    assert venvs.tflite_runtime_absent(make=True) is None
    said_by(venvs.python_for(CASE), WHERE)
    assert [path.name for path in environment.parent.iterdir()] == [environment.name]


@pytest.mark.parametrize("break_it", ["packages", "python"])
def test_an_environment_that_does_not_run_is_removed(environment: Path, break_it: str) -> None:
    if break_it == "packages":
        [site] = environment.glob("lib/python*/site-packages")
        site.joinpath("tflite_runtime.py").unlink()
    else:
        python = environment / "bin" / "python"
        python.unlink()
        python.touch()
    with pytest.raises(EdgeError, match="no longer runs and was removed") as caught:
        venvs.python_for(CASE)
    assert "--runtime tflite-runtime" in caught.value.hint
    assert not environment.exists()


def test_without_an_index_nothing_is_left(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venvs, "_NEWEST", sys.version_info[:2])
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(
        EdgeError, match="cannot make an environment for tflite-runtime: "
    ) as caught:
        venvs.tflite_runtime_absent(make=True)
    assert "package index" in caught.value.hint
    assert list((home / "bench").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(venvs, "_NEWEST", sys.version_info[:2])
    home.write_text("a file")
    with pytest.raises(EdgeError, match=r"cannot write .*tflite-runtime: "):
        venvs.tflite_runtime_absent(make=True)


def test_a_python_without_a_release_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venvs, "_NEWEST", (3, 10))
    assert "no release for Python after" in str(venvs.tflite_runtime_absent(make=True))


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info[:2] > venvs._NEWEST, reason="tflite-runtime ends at 3.11")
def test_the_real_one_runs_the_bundled_model(home: Path) -> None:
    assert venvs.tflite_runtime_absent(make=True) is None
    code = (
        "import cv2; from edge.runtime.classifier import Classifier\n"
        "from edge.modelfile import read_model, resolve_model\n"
        "model = read_model(resolve_model('default'))\n"
        "print(Classifier(model, runtime='tflite-runtime').runtime, 'OpenCV', cv2.__version__)\n"
    )
    said = said_by(venvs.python_for(CASE), code)
    assert said.startswith("tflite-runtime 2.14.0 OpenCV 4.")
