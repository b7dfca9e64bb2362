"""A version proves itself: on golden pictures before it is switched to, in use afterwards.

Sent to a board as text, so the standard library alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from edge.devices.onboard_bundle import whole_runtime
from edge.devices.onboard_store import RefusedError, Store, remove_tree
from edge.devices.onboard_whole import altered, digest, finish_runtime

# Of one program; an emulated board takes half a minute to start one.
_PATIENCE_S = 600.0
_FRAMES = 30
_LAST_WORDS = 400


def install(store: Store, words: dict[str, Any]) -> str:
    """Make the virtual environment of a bundle from the wheels in staging, for good.

    One that is damaged is left to the versions that stand on it.

    Returns:
        Its name below `runtimes`.

    Raises:
        RefusedError: It cannot be made.
    """
    wanted = words["runtime"]["digest"]
    there = whole_runtime(store, wanted)
    if there is not None:
        return there
    store.runtimes.mkdir(parents=True, exist_ok=True)
    used = {store.runtime_of(link) for link in ("current", "previous")}
    folder, number = store.runtimes / wanted, 1
    while folder.name in used:
        number += 1
        folder = store.runtimes / f"{wanted}-{number}"
    remove_tree(folder)
    wheels = store.staging / "wheels"
    remove_tree(wheels)
    wheels.mkdir()
    store.wheels.mkdir(exist_ok=True)
    for name, entry in words["files"].items():
        if name.startswith("wheels/"):
            arrived, kept = store.staging / entry["sha256"], store.wheels / entry["sha256"]
            if arrived.exists():
                arrived.replace(kept)
            if digest(kept) != entry["sha256"]:
                raise altered(name)
            os.link(str(kept), str(wheels / Path(name).name))
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
    remove_tree(wheels)
    return folder.name


def smoke(store: Store, name: str, *, max_latency_ms: float) -> dict[str, Any]:
    """Have a version judge its golden pictures, and compare with what was expected.

    Args:
        store: Where it is.
        name: The version.
        max_latency_ms: The most that half of its frames may take.

    Returns:
        How many frames and faces, the largest difference of a score, p50 of the latency.

    Raises:
        RefusedError: It fails, says something else, or is too slow.
    """
    version = store.version(name)
    golden = _golden(version)
    arguments = ["run", str(version / "golden"), "--json", *golden["arguments"]]
    *frames, last = _lines(store, version, arguments)
    expected = golden["frames"]
    if len(frames) != len(expected):
        raise _failed(f"{len(frames)} frames instead of {len(expected)}")
    largest = 0.0
    for at, (said, right) in enumerate(zip(frames, expected, strict=True)):
        largest = max(largest, _difference(said["faces"], right, golden["tolerance"], at))
    latency = last["summary"]["latency_ms"]["total"]["p50"]
    if latency > max_latency_ms:
        raise RefusedError(
            f"it is too slow: half of the frames take more than {latency:.1f} ms, "
            f"{max_latency_ms:g} are allowed",
            "take a smaller or faster model, or allow more with --max-latency",
        )
    return {
        "frames": len(frames),
        "faces": sum(len(said["faces"]) for said in frames),
        "largest_difference": round(largest, 4),
        "latency_ms": latency,
        "runtime": last["summary"]["environment"]["versions"]["runtime"],
    }


def _golden(version: Path) -> dict[str, Any]:
    try:
        golden = json.loads((version / "golden.json").read_text())
        whole = {"arguments", "tolerance", "frames"} <= set(golden) and {"box", "score"} <= set(
            golden["tolerance"]
        )
        for frame in golden["frames"]:
            whole = whole and all({"box", "attributes"} <= set(face) for face in frame)
    except (OSError, ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise RefusedError("golden.json is damaged", "make the bundle again")
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
    memory = last["summary"]["peak_rss_mb"]
    if memory > max_memory_mb:
        raise RefusedError(
            f"it takes {memory:.0f} MB of memory, {max_memory_mb:.0f} are allowed",
            "take a smaller model, or allow more with --max-memory",
        )
    return {"frames": len(frames), "memory_mb": memory, "fps": last["summary"]["fps"]}


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
    # Of the same order, since the surest face comes first; equally sure ones by their place.
    pairs = zip(sorted(said, key=_place), sorted(right, key=_place), strict=True)
    for face, other in pairs:
        size = max(other["box"][2:])
        off = max(abs(a - b) for a, b in zip(face["box"], other["box"], strict=True))
        if off > max(2, tolerance["box"] * size):
            raise _failed(f"a face of golden picture {at} is {off} pixels off")
        if set(face["attributes"]) != set(other["attributes"]):
            raise _failed(f"other attributes in golden picture {at}")
        for name, value in other["attributes"].items():
            largest = max(largest, abs(face["attributes"][name] - value))
    if largest > tolerance["score"]:
        raise _failed(
            f"a score of golden picture {at} is {largest:.3f} off, {tolerance['score']:g} allowed"
        )
    return largest


def _place(face: dict[str, Any]) -> tuple[int, int]:
    # In steps wide enough that no pixel decides.
    return (face["box"][0] + 16) // 32, face["box"][1]


def _lines(store: Store, version: Path, arguments: list[str]) -> list[dict[str, Any]]:
    """Run the edge of a version; return the JSON of its lines, the last with the summary."""
    store.home.mkdir(parents=True, exist_ok=True)
    said = _run([str(version / "edge"), *arguments], "run the model")
    try:
        lines = [json.loads(line) for line in said.splitlines()]
        lines[-1]["summary"]["latency_ms"]["total"]["p50"]
    except (ValueError, LookupError, TypeError):
        raise _failed("edge on the board speaks another language") from None
    return lines


def _run(command: list[str], doing: str) -> str:
    # Nothing of who came over ssh: only the version counts.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_")}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False,
            timeout=_PATIENCE_S, env=kept,
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
