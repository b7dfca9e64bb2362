"""What tests share: where the real data is, and quiet libraries."""

import os
import signal
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

# As `edge train` sets them.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# As `edge run` sets it; FFmpeg reads it once, and a test that writes a video may be the first.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

# A shell that starts the tests in the background has them ignore Ctrl-C, and all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    if not DATA.is_dir():
        reason = f"no pictures at {DATA}"
        if os.environ.get("EDGE_REQUIRE_DATA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return DATA


@pytest.fixture(scope="session")
def need() -> Callable[[str], None]:
    """A function that skips where an optional package is missing, or fails if it must be there."""

    def need(package: str) -> None:
        if find_spec(package) is None:
            reason = f"{package} is not installed"
            if os.environ.get("EDGE_REQUIRE_PEERS") == "1":
                pytest.fail(reason)
            pytest.skip(reason)

    return need


@pytest.fixture(scope="session")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One public-domain face, lit two ways: folders "bright" and "dark", 24 / 8 / 8 pictures."""
    root = tmp_path_factory.mktemp("portraits")
    import cv2

    from edge.assets import fetch
    from edge.images import read_picture

    face = read_picture(fetch("demo"))[40:240, 110:310]
    random = np.random.default_rng(0)
    for split, count in (("train", 24), ("val", 8), ("test", 8)):
        for at in range(count):
            name = ("dark", "bright")[at % 2]
            moved = np.roll(face, random.integers(-8, 9, 2), axis=(0, 1))
            lit = np.clip(moved * (0.55, 1.0)[at % 2] + random.integers(-10, 10), 0, 255)
            path = root / split / name / f"{at:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), lit.astype(np.uint8))
    return root


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the bundled int8 model, to be damaged and renamed at will."""
    from edge.modelfile import resolve_model

    path = tmp_path_factory.mktemp("models") / "small.tflite"
    path.write_bytes(resolve_model("default").read_bytes())
    return path
