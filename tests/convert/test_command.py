"""`edge convert` as processes that are stopped, starved and run at once: whole files or none."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.modelfile import read_model


def command(run: Path, *words: str | Path) -> list[str]:
    asked = ["convert", run, "--int8", "--calibration", "6", "--max-drop", "100", *words]
    return [sys.executable, "-m", "edge", *map(str, asked)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root mounts a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("after_s", [0.0, 1.0, 2.0, 3.0])
def test_ctrl_c_leaves_a_whole_file_or_none(run: Path, tmp_path: Path, after_s: float) -> None:
    out = tmp_path / "out" / "a.tflite"
    out.parent.mkdir()
    with subprocess.Popen(command(run, "--out", out), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as child:  # fmt: skip
        assert child.stderr is not None
        child.stderr.read(1)  # the first progress bar: it is at work
        time.sleep(after_s)
        child.send_signal(signal.SIGINT)
        said, errors = child.communicate(timeout=60)
    assert child.returncode in (0, 130)
    assert "Traceback" not in said + errors
    for path in out.parent.iterdir():
        assert path == out
        assert read_model(out).card.variant == "int8"


def test_a_full_disk_leaves_no_file_and_says_so(run: Path, small_disk: Path) -> None:
    done = subprocess.run(command(run, "--out", small_disk / "a.tflite"), capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 1
    error, hint = done.stderr.strip().splitlines()[-2:]
    assert error.startswith(f"error: cannot write {small_disk}")
    assert "No space left on device" in error
    assert hint.startswith("hint: ")
    assert list(small_disk.iterdir()) == []


def test_two_conversions_into_one_path_leave_one_of_both(run: Path, tmp_path: Path) -> None:
    alone = {}
    for seed in ("0", "1"):
        alone[seed] = tmp_path / f"alone-{seed}.tflite"
        subprocess.run(command(run, "--seed", seed, "--out", alone[seed]), check=True,
                       capture_output=True)  # fmt: skip
    out = tmp_path / "out" / "a.tflite"
    both = [subprocess.Popen(command(run, "--seed", seed, "--out", out), stdout=subprocess.DEVNULL)
            for seed in alone]  # fmt: skip
    assert [child.wait(timeout=120) for child in both] == [0, 0]
    assert list(out.parent.iterdir()) == [out]
    assert out.read_bytes() in {path.read_bytes() for path in alone.values()}


@pytest.mark.parametrize("spoilt", ["one", "all"])
def test_calibration_pictures_that_cannot_be_read(
    run: Path, data: Path, tmp_path: Path, spoilt: str
) -> None:
    moved = tmp_path / "faces"
    shutil.copytree(data, moved)
    for at, path in enumerate(sorted((moved / "train").rglob("*.png"))):
        if spoilt == "all" or at == 0:
            path.write_bytes(path.read_bytes()[:500])
    out = tmp_path / "a.tflite"
    done = subprocess.run(command(run, "--data", moved, "--calibration", "12", "--out", out),
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert "Traceback" not in done.stderr
    if spoilt == "one":
        assert done.returncode == 0, done.stderr
        calibration = read_model(out).card.calibration
        assert calibration is not None
        assert len(calibration["names"]) == 11
    else:
        assert done.returncode == 1
        assert done.stderr.splitlines()[-2].startswith("error: ")
        assert done.stderr.splitlines()[-1].startswith("hint: ")
        assert not out.exists()
