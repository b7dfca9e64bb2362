"""The same int8 file on an arm64 Debian, whose kernels round differently: the same answers."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.benchmarks.zoo import demo_crops
from edge.modelfile import read_model, resolve_model
from edge.runtime.classifier import Classifier

pytestmark = [pytest.mark.device, pytest.mark.timeout(3600)]

MAKE = Path(__file__).resolve().parents[1] / "board" / "make.sh"

# Steps of the answer.
ALLOWED = 2 / 256

ON_BOARD = """
import sys
from pathlib import Path
import numpy as np
from edge.modelfile import read_model
from edge.runtime.classifier import Classifier
classifier = Classifier(read_model(Path(sys.argv[1])))
np.save(sys.argv[3], classifier.classify(np.load(sys.argv[2])))
"""


@pytest.fixture(scope="module")
def board() -> Path:
    """Return the root of an arm64 system with edge in it."""
    folder = Path(os.environ.get("EDGE_BOARD", Path.home() / ".cache" / "edge-board"))
    environment = {**os.environ, "PYTHON": sys.executable}
    subprocess.run(["bash", str(MAKE), str(folder)], check=True, env=environment)
    return folder / "root"


def classified(board: Path, model: Path, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what a model file makes of crops on the board."""
    folder = board / "tmp" / "judge"
    folder.mkdir(exist_ok=True)
    (folder / "model.tflite").write_bytes(model.read_bytes())
    np.save(folder / "crops.npy", crops)
    command = ["chroot", board, "/edge/bin/python", "-c", ON_BOARD]
    files = ["/tmp/judge/model.tflite", "/tmp/judge/crops.npy", "/tmp/judge/said.npy"]
    subprocess.run([*map(str, command), *files], check=True, cwd="/")
    return np.asarray(np.load(folder / "said.npy"))


def test_it_is_another_processor(board: Path) -> None:
    script = "import platform; print(platform.machine())"
    command = ["chroot", str(board), "/edge/bin/python", "-c", script]
    said = subprocess.run(command, check=True, capture_output=True, text=True, cwd="/")
    assert said.stdout.strip() == "aarch64"


def test_the_bundled_int8_model_says_the_same_within_two_steps(board: Path) -> None:
    path = resolve_model("default")
    model = read_model(path)
    crops = demo_crops(model.card.contract, 64)
    here, there = Classifier(model).classify(crops), classified(board, path, crops)
    assert here.std() > 0.05
    assert np.abs(here - there).max() <= ALLOWED + 1e-6
    thresholds = np.array(model.card.thresholds)
    assert np.array_equal(here >= thresholds, there >= thresholds)
