"""A version proves itself: on golden pictures before it is switched to, in use afterwards.

Sent to a board as text, so the standard library alone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge.devices.onboard_bundle import Incoming
from edge.devices.onboard_store import COMPLETE, RefusedError, Store, remove_tree
from edge.devices.onboard_whole import altered, digest, finish_runtime, is_runtime_intact

# Of one program; an emulated board takes half a minute to start one.
_PATIENCE_S = 600.0
_FRAMES = 30
_LAST_WORDS = 400
_PR_SET_PDEATHSIG = 1


def install(store: Store, bundle: Incoming) -> str:
    """Make the virtual environment of a bundle from the wheels in staging, for good.

    One that is damaged is left to the versions that stand on it.

    Returns:
        Its name below `runtimes`.

    Raises:
        RefusedError: It cannot be made.
    """
    there = bundle.runtime()
    if there is not None:
        return there
    wanted = bundle.words["runtime"]["digest"]
    store.runtimes.mkdir(parents=True, exist_ok=True)
    folder, number = store.runtimes / wanted, 1
    while folder.exists():
        number += 1
        folder = store.runtimes / f"{wanted}-{number}"
    try:
        _install(folder, _gathered(store, bundle))
    except BaseException:
        remove_tree(folder)  # the room is for others
        raise
    remove_tree(store.staging / "wheels")
    return folder.name


def _gathered(store: Store, bundle: Incoming) -> Path:
    """Return a folder with the wheels of a bundle, which are kept for other bundles as well."""
    wheels = store.staging / "wheels"
    remove_tree(wheels)
    wheels.mkdir()
    store.wheels.mkdir(exist_ok=True)
    for name, entry in bundle.files.items():
        if name.startswith("wheels/"):
            arrived, kept = store.staging / entry["sha256"], store.wheels / entry["sha256"]
            if arrived.exists():
                arrived.replace(kept)
            if digest(kept) != entry["sha256"]:
                raise altered(name)
            os.link(str(kept), str(wheels / Path(name).name))
    return wheels


def _install(folder: Path, wheels: Path) -> None:
    python = folder / "bin" / "python"
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], "make an environment")
    # A wheel is a program, too: nothing has to be installed to install it.
    pip = next(iter(wheels.glob("pip-*.whl")), None)
    if pip is None:
        raise _failed("the bundle lacks pip")
    others = sorted(str(path) for path in wheels.glob("*.whl") if path != pip)
    _run(
        [str(python), str(pip / "pip"), "--isolated", "--disable-pip-version-check", "install",
         "--no-index", "--no-deps", "--no-cache-dir", *others],
        "install the wheels",
    )  # fmt: skip
    _run([str(folder / "bin" / "edge"), "--version"], "run what was installed")
    finish_runtime(folder)


def distrust(store: Store, name: str) -> bool:
    """Have the virtual environment of a version that fails be made anew, if it is damaged.

    Returns:
        Whether it is.
    """
    runtime = store.runtime_of(name)
    if runtime is None or is_runtime_intact(store.runtimes / runtime):
        return False
    with suppress(FileNotFoundError):
        (store.runtimes / runtime / COMPLETE).unlink()
    return True


def smoke(
    store: Store, name: str, *, max_latency_ms: float, max_memory_mb: float
) -> dict[str, Any]:
    """Have a version judge its golden pictures, and compare with what was expected.

    Args:
        store: Where it is.
        name: The version.
        max_latency_ms: The most that half of its frames may take.
        max_memory_mb: The most memory that it may take.

    Returns:
        How many frames and faces, the largest difference of a score, p50 of the latency, memory.

    Raises:
        RefusedError: It fails, says something else, is too slow, or takes too much memory.
    """
    version = store.version(name)
    golden = _golden(version)
    *frames, last = _lines(store, version, ["run", str(version / "golden"), "--json"])
    expected = golden["frames"]
    if len(frames) != len(expected):
        raise _failed(f"{len(frames)} frames instead of {len(expected)}")
    largest = 0.0
    for at, (said, right) in enumerate(zip(frames, expected, strict=True)):
        largest = max(largest, _difference(said["faces"], right, golden["tolerance"], at))
    latency = last["summary"]["latency_ms"]["total"]["p50"]
    if not latency <= max_latency_ms:
        raise RefusedError(
            f"it is too slow: half of the frames take more than {latency:.1f} ms, "
            f"{max_latency_ms:g} are allowed",
            "take a smaller or faster model, or allow more with --max-latency",
        )
    memory = _memory_mb(last, max_memory_mb)
    return {
        "frames": len(frames),
        "faces": sum(len(said["faces"]) for said in frames),
        "largest_difference": round(largest, 4),
        "latency_ms": latency,
        "memory_mb": memory,
        "runtime": last["summary"]["environment"]["versions"]["runtime"],
    }


def _golden(version: Path) -> dict[str, Any]:
    try:
        golden = json.loads((version / "golden.json").read_text())
        whole = {"tolerance", "frames"} <= set(golden) and {"box", "score"} <= set(
            golden["tolerance"]
        )
        for frame in golden["frames"]:
            whole = whole and all({"box", "attributes"} <= set(face) for face in frame)
    except (OSError, ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise RefusedError("golden.json is damaged", "flash the model itself")
    return dict(golden)


def use(store: Store, *, max_memory_mb: float) -> dict[str, Any]:
    """Have the current version label the demo, as who uses it would.

    Raises:
        RefusedError: It fails, loses frames, or takes too much memory.
    """
    version = store.root / "current"
    *frames, last = _lines(store, version, ["run", "--demo", "--frames", str(_FRAMES), "--json"])
    if len(frames) != _FRAMES or not any(frame["faces"] for frame in frames):
        raise _failed(f"of {_FRAMES} frames of the demo {len(frames)} came, or none had a face")
    memory = _memory_mb(last, max_memory_mb)
    return {"frames": len(frames), "memory_mb": memory, "fps": last["summary"]["fps"]}


def _memory_mb(last: dict[str, Any], max_memory_mb: float) -> float:
    """Return what a run took, by its last line, if that may be."""
    memory = float(last["summary"]["peak_rss_mb"])
    if not memory <= max_memory_mb:
        raise RefusedError(
            f"it takes {memory:.0f} MB of memory, {max_memory_mb:.0f} are allowed",
            "take a smaller model, or allow more with --max-memory",
        )
    return memory


def _difference(
    said: list[dict[str, Any]], right: list[dict[str, Any]], tolerance: dict[str, float], at: int
) -> float:
    """Return by how much the scores of a picture's faces differ.

    Raises:
        RefusedError: By more than is allowed; or there are other faces, at other places.
    """
    if len(said) != len(right):
        raise _failed(f"{len(said)} faces in golden picture {at} instead of {len(right)}")
    largest = 0.0
    left = list(said)
    for other in right:
        face = min(left, key=lambda one: _pixels_off(one, other))
        left.remove(face)
        size, off = max(other["box"][2:]), _pixels_off(face, other)
        if off > max(2, tolerance["box"] * size):
            raise _failed(f"a face of golden picture {at} is {off} pixels off")
        if set(face["attributes"]) != set(other["attributes"]):
            raise _failed(f"other attributes in golden picture {at}")
        for name, value in other["attributes"].items():
            difference = abs(face["attributes"][name] - value)
            if not difference <= tolerance["score"]:  # nor is one that is no number
                raise _failed(
                    f"a score of golden picture {at} is {difference:.3f} off, "
                    f"{tolerance['score']:g} allowed"
                )
            largest = max(largest, difference)
    return largest


def _pixels_off(face: dict[str, Any], other: dict[str, Any]) -> int:
    return max(abs(a - b) for a, b in zip(face["box"], other["box"], strict=True))


def _lines(store: Store, version: Path, arguments: list[str]) -> list[dict[str, Any]]:
    """Run the edge of a version; return the JSON of its lines, the last with the summary."""
    store.home.mkdir(parents=True, exist_ok=True)
    said = _run([str(version / "edge"), *arguments], "run the model")
    try:
        lines = [json.loads(line) for line in said.splitlines()]
        lines[-1]["summary"]["latency_ms"]["total"]["p50"]
        all(line["faces"] for line in lines[:-1])
    except (ValueError, LookupError, TypeError):
        raise _failed("edge on the board speaks another language") from None
    return lines


def _run(command: list[str], doing: str) -> str:
    from ctypes import CDLL

    def end_with_parent() -> None:  # what nobody waits for is not made
        CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    # Nothing of who came over ssh: only the version counts.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_")}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False,
            timeout=_PATIENCE_S, env=kept, preexec_fn=end_with_parent,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise _failed(f"cannot {doing}: it takes more than {_PATIENCE_S:.0f} s") from None
    except OSError as error:
        raise _failed(f"cannot {doing}: {error}") from None
    if done.returncode:
        words = " ".join(done.stderr.decode(errors="replace").split())[-_LAST_WORDS:]
        raise _failed(f"cannot {doing} (exit {done.returncode}): {words}")
    return done.stdout.decode(errors="replace")


def _failed(why: str) -> RefusedError:
    return RefusedError(f"it fails there: {why}", "look at the board with: edge doctor HOST")
