"""An environment of its own for what wants NumPy 1 or OpenCV 4: tflite_runtime, Haar cascades."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cv2

from edge.assets import home
from edge.benchmarks.cases import Case
from edge.errors import EdgeError
from edge.progress import waiting

_PACKAGES = (
    "tflite-runtime==2.14.0", "numpy<2", "opencv-python-headless<4.12", "platformdirs>=4",
)  # fmt: skip
_MODULES = ("tflite_runtime", "numpy", "cv2", "platformdirs")
_PARTS = ("edge", "edge.runtime", "edge.benchmarks", "edge.train", "edge.convert", "edge.devices")
_LEFT_OUT = {"__pycache__", "reference"}
_NEWEST = (3, 11)


def tflite_runtime_absent(*, make: bool) -> str | None:
    """Return why tflite_runtime cannot be measured here; None where it can.

    Args:
        make: Make the virtual environment if there is none yet.

    Raises:
        EdgeError: It cannot be made.
    """
    if _is_usable_here() or _is_there():
        return None
    if sys.version_info[:2] > _NEWEST:
        return "tflite-runtime has no release for Python after 3.11"
    if not make:
        return "tflite-runtime needs an environment of its own: `--runtime tflite-runtime` makes it"
    _make()
    return None


def haar_absent() -> str | None:
    """Return why the Haar cascade cannot be measured here; None where it can."""
    if _has_cascades() or _is_there():
        return None
    return "OpenCV 5 has no cascades; the environment of --runtime tflite-runtime has OpenCV 4"


def python_for(case: Case) -> str:
    """Return the interpreter that measures a case.

    Raises:
        EdgeError: The environment that it needs is broken; it is gone then.
    """
    older = (case.runtime == "tflite-runtime" and not _is_usable_here()) or (
        case.name == "haar" and not _has_cascades()
    )
    return str(_with_edge(_folder())) if older else sys.executable


def _has_cascades() -> bool:
    return hasattr(cv2, "CascadeClassifier")


def _is_usable_here() -> bool:
    try:
        version("tflite-runtime")
        return int(version("numpy").split(".")[0]) < 2
    except PackageNotFoundError:
        return False


def _folder() -> Path:
    return home() / "bench" / "tflite-runtime"


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _is_there() -> bool:
    # Follows the link: a Python that was uninstalled has taken its environments with it.
    return _python(_folder()).is_file()


def _make() -> None:
    """Make the environment, whole or not at all; one that no longer runs gives way."""
    with waiting("making an environment for tflite-runtime"), _beside(_folder()) as making:
        _install(making)
        if not _is_there():
            shutil.rmtree(_folder(), ignore_errors=True)
        # Scripts in it name the old place, but only its interpreter is used.
        _put(making, _folder())


def _install(folder: Path) -> None:
    pip = [str(_python(folder)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([sys.executable, "-m", "venv", str(folder)], [*pip, *_PACKAGES]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["it failed"]
            raise EdgeError(
                f"cannot make an environment for tflite-runtime: {said[-1]}",
                "reach a package index, or leave tflite-runtime out of --runtime",
            )


@cache
def _with_edge(base: Path) -> Path:
    """Return a Python that has the packages of an environment and this very code.

    It is an environment around the first one, named by a digest of the code: a measurement that
    goes on is not disturbed by one of other code that begins.

    Args:
        base: The folder of the environment with the packages.

    Raises:
        EdgeError: What is in that folder does not run; it is removed.
    """
    sources = _sources()
    digest = sha256()
    for name, path in sources.items():
        digest.update(f"{name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    folder = base / f"edge-{digest.hexdigest()[:16]}"
    if not _python(folder).is_file():
        with _beside(folder) as making:
            _surround(base, making, sources)
            _put(making, folder)
    return _python(folder)


def _surround(base: Path, folder: Path, sources: dict[str, Path]) -> None:
    """Make an environment that sees another one's packages and holds copies of the sources."""
    _require_to_run(base, [_python(base), "-m", "venv", "--without-pip", folder])
    [packages] = base.glob("lib/python*/site-packages")
    site = folder / packages.relative_to(base)
    site.joinpath("packages.pth").write_text(f"import site; site.addsitedir({str(packages)!r})\n")
    for name, path in sources.items():
        copy = site / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    find = f"from importlib.util import find_spec as find; assert all(map(find, {_MODULES}))"
    _require_to_run(base, [_python(folder), "-c", find])


def _require_to_run(base: Path, command: Sequence[str | Path]) -> None:
    """Run something; where that fails, remove the environment that it needs.

    Raises:
        EdgeError: It failed.
    """
    try:
        subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        shutil.rmtree(base, ignore_errors=True)
        raise EdgeError(
            "the environment of tflite-runtime no longer runs and was removed",
            "`edge bench --runtime tflite-runtime` makes it anew",
        ) from error


def _sources() -> dict[str, Path]:
    """Return every file of this package by its place in one, wherever its parts are here."""
    found = {}
    for part in _PARTS:
        file = import_module(part).__file__
        assert file is not None
        folder = Path(file).parent
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.is_file() and not _LEFT_OUT & set(inside.parts):
                found[str(Path(*part.split("."), inside))] = path
    return dict(sorted(found.items()))


@contextmanager
def _beside(place: Path) -> Iterator[Path]:
    """Give the name of a folder beside a place, and leave nothing there.

    Raises:
        EdgeError: Something cannot be written.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{place.name}-", dir=place.parent, ignore_cleanup_errors=True
        ) as folder:
            yield Path(folder, place.name)
    except OSError as error:
        raise EdgeError(
            f"cannot write {place}: {error.strerror}", "make room, or set EDGE_HOME"
        ) from error


def _put(made: Path, place: Path) -> None:
    """Rename a folder into place, unless another process was faster."""
    try:
        made.rename(place)
    except OSError:
        if not _python(place).is_file():
            raise
