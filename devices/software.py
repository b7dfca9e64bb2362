"""What the doctor looks at in Python: runtimes, OpenCV, system libraries, the model."""

import ctypes
import sys
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec

from edge.devices.findings import Finding, advice, fault, good, unknown
from edge.devices.preflight import OLDEST_PYTHON
from edge.environment import versions
from edge.errors import EdgeError

# Wheels that all bring a module cv2: the one that was installed last has overwritten the others.
_OPENCVS = (
    "opencv-python-headless", "opencv-python", "opencv-contrib-python",
    "opencv-contrib-python-headless",
)  # fmt: skip
# Libraries of the system, their Debian packages.
_SYSTEM = {"libGL.so.1": "libgl1", "libEGL.so.1": "libegl1", "libGLESv2.so.2": "libgles2"}
_HEADLESS = "opencv-python-headless"


def software() -> Iterator[Finding]:
    """Look at Python, OpenCV, the runtimes and the bundled model."""
    yield _python()
    opencv = _opencv()
    yield opencv
    if opencv.state == "fault":
        yield unknown("runtime", "looked at once OpenCV is mended")
    else:
        yield from _runtimes()
        yield _model()
    yield from _mediapipe()


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        return fault("Python", f"{found}, edge wants 3.11 or later", "install Python 3.11")
    return good("Python", found)


def _opencv() -> Finding:
    wheels = versions(_OPENCVS)
    mend = f"pip install --force-reinstall --no-deps {_HEADLESS}"
    remove = " ".join(name for name in wheels if name != _HEADLESS)
    try:
        import cv2
    except ImportError as error:
        if missing := next((name for name in _SYSTEM if name in str(error)), None):
            # The build with windows overwrote the one without.
            both = f"pip uninstall -y {remove} && {mend}" if remove else ""
            return fault(
                "OpenCV", f"cannot be imported: {missing} is missing",
                both or f"sudo apt install -y {_SYSTEM[missing]}",
            )  # fmt: skip
        return fault("OpenCV", f"cannot be imported: {error}", mend)
    if not hasattr(cv2, "VideoCapture"):
        # Uninstalling one of two wheels takes the files of both.
        return fault("OpenCV", "half of it is gone", mend)
    if len(wheels) > 1:
        told = " and ".join(f"{name} {number}" for name, number in wheels.items())
        return advice(
            "OpenCV", f"{told} overwrite each other's cv2; version {cv2.__version__} is there",
            f"pip uninstall -y {remove} && {mend}",
        )  # fmt: skip
    return good("OpenCV", f"{cv2.__version__} ({', '.join(wheels) or 'of the system'})")


def _runtimes() -> Iterator[Finding]:
    from edge.modelfile import read_model, resolve_model
    from edge.runtime.interpreter import Interpreter

    numpy = version("numpy")
    if versions(("tflite-runtime",)) and int(numpy.partition(".")[0]) >= 2:
        yield advice(
            "tflite_runtime", f"it cannot run with NumPy {numpy}",
            "pip uninstall -y tflite-runtime, or: pip install 'numpy<2'",
        )  # fmt: skip
    try:
        network = Interpreter(read_model(resolve_model("default")).graph, "the bundled model")
    except EdgeError as error:
        yield fault("runtime", error.message, error.hint)
    else:
        yield good("runtime", network.version())
    if find_spec("openvino") is not None:
        yield good("OpenVINO", versions(("openvino",)).get("openvino", "there"))


def _model() -> Finding:
    from edge.modelfile import read_model, resolve_model

    try:
        model = read_model(resolve_model("default"))
    except EdgeError as error:
        return fault("model", error.message, "pip install --force-reinstall --no-deps edge-tflite")
    return good("model", f"default {model.card.variant}, sha256 {model.sha256[:12]}")


def _mediapipe() -> Iterator[Finding]:
    """Look at what MediaPipe needs of the system, where it is installed."""
    found = versions(("mediapipe",))
    if not found:
        return
    missing = [package for library, package in _SYSTEM.items() if not _loads(library)]
    if missing:
        yield advice(
            "MediaPipe", "the detector mediapipe lacks libraries of the system",
            f"sudo apt install -y {' '.join(missing)}",
        )  # fmt: skip
    else:
        yield good("MediaPipe", found["mediapipe"])


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
