"""What a command imports, since a person waits for it and a device may lack it."""

import subprocess
import sys
from pathlib import Path

import pytest

FORBIDDEN = ("tensorflow", "keras", "numpy", "cv2")


def loaded_by(*arguments: str | Path, status: int = 0) -> set[str]:
    """Return the modules that a command imported which exits with `status`."""
    code = (
        "import atexit, sys; from edge.cli import main;"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr)); main()"
    )
    child = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], text=True,
                           capture_output=True, timeout=60, check=False)  # fmt: skip
    assert child.returncode == status, child.stderr
    return set(child.stderr.split())


def test_help_imports_little_and_nothing_heavy() -> None:
    imported = loaded_by("--help")
    assert not {name.partition(".")[0] for name in imported} & set(FORBIDDEN)
    # Each costs a millisecond or so, which is what a person waits for; typer and rich bring 300.
    assert len(imported) < 360


def test_run_imports_neither_tensorflow_nor_keras(small_model: Path) -> None:
    loaded = loaded_by("run", "--demo", "--frames", "2", "--model", small_model)
    assert "ai_edge_litert" in loaded
    assert not loaded & {"tensorflow", "keras"}


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--recipe", "typo"], 1),
        (["--attributes", "Smiling"], 1),
        (["--compare", Path(__file__).parents[2] / "docs" / "results" / "simple-cnn.json"], 0),
    ],
)
def test_train_answers_what_needs_no_network_without_keras(
    words: list[str | Path], status: int
) -> None:
    assert not loaded_by("train", *words, status=status) & {"tensorflow", "keras"}


def test_evaluate_without_plots_imports_nothing_that_draws(
    small_model: Path, portraits_of_one: Path
) -> None:
    loaded = loaded_by("evaluate", small_model, "--data", portraits_of_one, "--split", "all")
    assert not loaded & {"matplotlib", "sklearn", "tensorflow", "keras"}
