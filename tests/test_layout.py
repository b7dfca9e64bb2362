"""The house rules: which package imports which, where heavy imports stand, how long things are."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("train", "convert", "runtime", "benchmarks", "devices")
FOLDERS = ("edge", *STAGES)

# What each folder may import of the others, besides itself and the core.
ARROWS = {
    "edge": set(),
    "runtime": set(),
    "train": {"runtime"},
    "convert": {"runtime", "train"},
    "devices": {"runtime"},
    "benchmarks": set(STAGES),
}
# The front door reaches every stage, but only once a command runs.
FRONT_DOOR = (
    "edge/cli.py",
    "edge/cli_bench.py",
    "edge/cli_devices.py",
    "edge/cli_flash.py",
    "edge/cli_run.py",
    "edge/extras.py",
    "edge/terminal.py",
)

# Where a heavy or optional package may be imported: at the top of a module, or inside a function.
AT_TOP = {
    "tensorflow": ("train/", "convert/"),
    "keras": ("train/", "convert/"),
    "uvicorn": ("runtime/guard.py", "runtime/serving.py"),
    "starlette": ("runtime/preview_app.py",),
    "paho": ("runtime/mqtt.py",),
    "prometheus_client": ("runtime/metrics.py",),
}
IN_FUNCTIONS = {
    "ai_edge_litert": ("runtime/interpreter.py",),
    "tflite_runtime": ("runtime/interpreter.py",),
    "mediapipe": ("runtime/mediapipe_detector.py",),
    "dlib": ("benchmarks/peers.py",),
    "mtcnn": ("benchmarks/peers.py",),
    "openvino": ("runtime/openvino_engine.py",),
    "onnxruntime": ("benchmarks/baselines.py",),
    "picamera2": ("runtime/camera.py",),
    "tensorflow": ("train/", "convert/", "runtime/interpreter.py"),
    "keras": ("train/", "convert/"),
}

LONGEST_FILE = 400
LONGEST_FUNCTION = 70


def modules(root):
    return sorted(path for folder in FOLDERS for path in (root / folder).rglob("*.py"))


def imports(tree):
    """Yield (node, full dotted names, whether it waits) of every import.

    What stands in a function, or is for type checkers alone, does not run with the module.
    """

    def visit(node, waits):
        if isinstance(node, ast.Import):
            yield node, [alias.name for alias in node.names], waits
        elif isinstance(node, ast.ImportFrom):
            yield node, [f"{node.module or ''}.{alias.name}" for alias in node.names], waits
        waits = waits or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        waits = waits or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        for child in ast.iter_child_nodes(node):
            yield from visit(child, waits)

    yield from visit(tree, False)


def every_import(root):
    """Yield (path from the root, line, level, dotted name, whether it waits)."""
    for path in modules(root):
        place = path.relative_to(root).as_posix()
        for node, names, waits in imports(ast.parse(path.read_text("utf-8"))):
            for name in names:
                yield place, node.lineno, getattr(node, "level", 0), name, waits


def undeclared_packages(root):
    """Return folders with modules that the wheel would lack, and declared ones without."""
    setuptools = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    found = {path.parent.relative_to(root).as_posix().replace("/", ".") for path in modules(root)}
    found = {name if name.split(".")[0] == "edge" else f"edge.{name}" for name in found}
    faults = [f"{name} is not declared" for name in found - set(setuptools["packages"])]
    faults += [f"{name} is declared but empty" for name in set(setuptools["packages"]) - found]
    for name, folder in setuptools["package-dir"].items():
        if name != ("edge" if folder == "edge" else f"edge.{folder}"):
            faults.append(f"{name} is mapped to {folder}")
    return faults


def forbidden_arrows(root):
    """Return imports of a stage by one that may not know it."""
    faults = []
    for place, line, _, name, waits in every_import(root):
        home = place.split("/")[0]
        parts = name.split(".")
        if parts[0] != "edge" or len(parts) < 2 or parts[1] not in STAGES or parts[1] == home:
            continue
        if parts[1] not in ARROWS[home] and not (place in FRONT_DOOR and waits):
            faults.append(f"{place}:{line} imports {name}")
    return faults


def bare_imports(root):
    """Return imports of our own folders that are relative or lack the `edge.` in front."""
    return [
        f"{place}:{line} imports {name}"
        for place, line, level, name, _ in every_import(root)
        if level or name.split(".")[0] in STAGES
    ]


def misplaced_heavy_imports(root):
    """Return imports of heavy or optional packages outside their one site."""
    faults = []
    for place, line, _, name, waits in every_import(root):
        package = name.split(".")[0]
        sites = (IN_FUNCTIONS if waits else AT_TOP).get(package, ())
        if package in IN_FUNCTIONS and not place.startswith(sites):
            faults.append(f"{place}:{line} imports {name}")
    return faults


def undocumented(root):
    """Return modules without a docstring."""
    return [
        path.relative_to(root).as_posix()
        for path in modules(root)
        if not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]


def too_long(root):
    """Return files and functions beyond the ceiling."""
    faults = []
    for path in modules(root):
        text, place = path.read_text("utf-8"), path.relative_to(root).as_posix()
        if (lines := len(text.splitlines())) > LONGEST_FILE:
            faults.append(f"{place} has {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    faults.append(f"{place} {node.name} has {lines} lines")
    return faults


def what_boards_lack(root):
    """Return what is sent to a board as text, but would not run on its bare Python."""
    faults = []
    for path in sorted((root / "devices").glob("onboard*.py")):
        place = path.relative_to(root).as_posix()
        try:
            tree = ast.parse(path.read_text("utf-8"), feature_version=(3, 8))
        except SyntaxError as error:
            faults.append(f"{place}:{error.lineno} is no Python 3.8")
            continue
        for node, names, _ in imports(tree):
            for name in names:
                package = name.split(".")[0]
                ours = name.startswith("edge.devices.onboard")
                if package not in sys.stdlib_module_names and not ours:
                    faults.append(f"{place}:{node.lineno} imports {name}")
    return faults


GUARDS = (
    undeclared_packages,
    forbidden_arrows,
    bare_imports,
    misplaced_heavy_imports,
    undocumented,
    too_long,
    what_boards_lack,
)


@pytest.mark.parametrize("guard", GUARDS)
def test_the_house_is_in_order(guard):
    assert guard(ROOT) == []


@pytest.fixture
def house(tmp_path):
    """A house in order, to be put out of it."""
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text("utf-8"))
    for folder in FOLDERS:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text('"""A package."""\n')
    assert [fault for guard in GUARDS for fault in guard(tmp_path)] == []
    return tmp_path


@pytest.mark.parametrize(
    ("guard", "place", "code"),
    [
        (undeclared_packages, "train/augment/__init__.py", ""),
        (undeclared_packages, "edge/inner/module.py", ""),
        (forbidden_arrows, "train/loop.py", "from edge import benchmarks"),
        (forbidden_arrows, "train/loop.py", "from edge.convert.quantize import int8"),
        (forbidden_arrows, "runtime/x.py", "def f():\n    import edge.train.loop"),
        (forbidden_arrows, "convert/x.py", "import edge.devices.boards as boards"),
        (forbidden_arrows, "devices/x.py", "from edge.train import loop"),
        (forbidden_arrows, "edge/x.py", "def f():\n    from edge import runtime"),
        (forbidden_arrows, "edge/cli.py", "from edge.runtime.pipeline import run"),
        (bare_imports, "train/x.py", "from runtime.blazeface import BlazeFace"),
        (bare_imports, "convert/x.py", "import train"),
        (bare_imports, "train/x.py", "from .loop import fit"),
        (bare_imports, "train/x.py", "from .. import runtime"),
        (misplaced_heavy_imports, "runtime/interpreter.py", "import tensorflow as tf"),
        (misplaced_heavy_imports, "runtime/interpreter.py", "from ai_edge_litert import x"),
        (misplaced_heavy_imports, "runtime/x.py", "def f():\n    from keras import layers"),
        (misplaced_heavy_imports, "edge/cli.py", "def f():\n    import tensorflow"),
        (misplaced_heavy_imports, "benchmarks/x.py", "def f():\n    import ai_edge_litert"),
        (misplaced_heavy_imports, "convert/x.py", "from mediapipe import tasks"),
        (misplaced_heavy_imports, "runtime/mediapipe_detector.py", "import mediapipe"),
        (what_boards_lack, "devices/onboard_x.py", "import numpy"),
        (what_boards_lack, "devices/onboard_x.py", "from edge.files import sha256_of"),
        (what_boards_lack, "devices/onboard_x.py", "match x:\n    case 1:\n        pass"),
        (too_long, "train/x.py", "x = 1\n" * 400),
        (too_long, "train/x.py", "def f():\n" + "    x = 1\n" * 70),
        (too_long, "train/x.py", "class C:\n    def f(self):\n" + "        x = 1\n" * 70),
    ],
)
def test_each_guard_bites(house, guard, place, code):
    path = house / place
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'"""A module."""\n{code}\n')
    assert len(guard(house)) == 1
    assert [other for other in GUARDS if other is not guard and other(house)] == []


def test_a_module_without_a_docstring_is_found(house):
    (house / "train" / "x.py").write_text("x = 1\n")
    assert undocumented(house) == ["train/x.py"]


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("train/x.py", "import keras\nfrom edge.runtime.evaluate import evaluate"),
        ("convert/x.py", "import tensorflow as tf\nfrom edge.train.run import load"),
        ("devices/x.py", "from edge import runtime"),
        ("devices/onboard_x.py", "import json\nfrom edge.devices.onboard_probe import facts"),
        ("benchmarks/x.py", "from edge.devices import boards\nfrom edge.convert import compare"),
        ("edge/cli.py", "def run():\n    from edge.runtime.pipeline import run"),
        ("edge/cli.py", "if TYPE_CHECKING:\n    from edge.runtime.pipeline import Pipeline"),
        ("runtime/interpreter.py", "def f():\n    import tensorflow\n    import tflite_runtime"),
        ("runtime/mediapipe_detector.py", "def f():\n    import mediapipe"),
    ],
)
def test_what_is_allowed_passes(house, place, code):
    (house / place).write_text(f'"""A module."""\n{code}\n')
    assert [fault for guard in GUARDS for fault in guard(house)] == []


def test_importing_has_no_side_effect():
    """All of the core and of the runtime: nothing heavy, nothing printed, nothing changed."""
    names = [
        f"edge.{path.stem}" if folder == "edge" else f"edge.{folder}.{path.stem}"
        for folder in ("edge", "runtime", "devices")
        for path in sorted((ROOT / folder).glob("*.py"))
        if not path.stem.startswith("__")
    ]
    code = (
        "import importlib, os, sys, threading\n"
        "import cv2  # sets a library path of its own\n"
        "before = dict(os.environ)\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "heavy = {'tensorflow', 'keras', 'mediapipe', 'ai_edge_litert', 'tflite_runtime',"
        " 'picamera2', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "changed = {k for k in before | os.environ if before.get(k) != os.environ.get(k)}\n"
        "assert not changed, changed\n"
        "assert threading.active_count() == 1\n"
    )
    child = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False
    )
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")
