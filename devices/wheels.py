"""The wheels of edge for a board's own Python and processor; it may be without internet."""

import hashlib
import io
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import distribution, distributions
from importlib.resources import files
from pathlib import Path
from typing import Any

from edge.assets import home
from edge.devices.onboard_manifest import runtime_digest
from edge.devices.onboard_store import sync
from edge.devices.preflight import OLDEST_GLIBC
from edge.environment import numbers
from edge.errors import EdgeError
from edge.files import locked, sha256_of, write_bytes
from edge.progress import waiting

_NAME = "edge-tflite"
# What a board is watched by, besides what a run needs.
_EXTRAS = "watch"
_PACKAGES = (
    "edge",
    "edge.runtime",
    "edge.devices",
    "edge.benchmarks",
    "edge.convert",
    "edge.train",
)
_OLDEST_MANYLINUX = 17
_PATIENCE_S = 1800


@dataclass(frozen=True)
class Runtime:
    """What a virtual environment on a board is made of.

    Args:
        python: Its Python, such as "3.11".
        machine: Its processor, as `uname -m` says.
        wheels: All of them, edge and pip among them.
    """

    python: str
    machine: str
    wheels: tuple[Path, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what a manifest says of it; the digest names the environment."""
        wheels = {wheel.name: sha256_of(wheel) for wheel in self.wheels}
        return {
            "digest": runtime_digest(self.python, self.machine, wheels),
            "python": self.python,
            "machine": self.machine,
        }


def runtime_for(facts: Mapping[str, Any]) -> Runtime:
    """Return the runtime for a board, fetched once and kept.

    Args:
        facts: What the board told of itself.

    Raises:
        EdgeError: There is no pip, no package index, or no wheel for such a board.
    """
    python = ".".join(map(str, numbers(facts["python"])[:2]))
    glibc = numbers(facts["glibc"])[:2]
    ours = own_wheel()
    # Other versions here, other versions there.
    constraints = "".join(f"{line}\n" for line in _constraints())
    wanted = hashlib.sha256(f"{_requirements()}{constraints}".encode()).hexdigest()[:8]
    minor = ".".join(map(str, glibc))
    folder = home() / "wheels" / f"cp{python}-{facts['machine']}-glibc{minor}-{wanted}"
    with locked(folder.parent):
        if not folder.exists():
            with waiting(f"fetching wheels for Python {python} on {facts['machine']}"):
                _fetch(folder, ours, python, _platforms(facts["machine"], glibc), constraints)
    kept = home() / "wheels" / sha_name(ours)
    if not kept.exists():
        write_bytes(kept, ours)
    return Runtime(python, facts["machine"], (*sorted(folder.glob("*.whl")), kept))


def sha_name(wheel: bytes) -> str:
    """Return a name for our own wheel: of the same version there are many while it is developed."""
    version = distribution(_NAME).version
    return f"edge_tflite-{version}-1_{hashlib.sha256(wheel).hexdigest()[:8]}-py3-none-any.whl"


def own_wheel() -> bytes:
    """Return edge as a wheel, from the very modules that run here; the same for the same ones."""
    ours = distribution(_NAME)
    name = f"edge_tflite-{ours.version}.dist-info"
    members = dict(_modules())
    # Beside sources that are being worked on stand the same words under another name.
    about = ours.read_text("METADATA") or ours.read_text("PKG-INFO") or ""
    members[f"{name}/METADATA"] = about.encode()
    members[f"{name}/entry_points.txt"] = (ours.read_text("entry_points.txt") or "").encode()
    members[f"{name}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: edge\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    # Digests in a record are optional, and this one travels with a digest of the whole.
    record = [*(f"{member},," for member in members), f"{name}/RECORD,,"]
    members[f"{name}/RECORD"] = "\n".join([*record, ""]).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as wheel:
        for member, data in members.items():
            entry = zipfile.ZipInfo(member, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, data)
    return buffer.getvalue()


def _modules() -> Iterator[tuple[str, bytes]]:
    """Yield the modules and data of edge by their names in a wheel."""
    for package in _PACKAGES:
        folder = Path(str(files(package)))
        inner = ("", "models") if package == "edge" else ("", "reference", "peak")
        for part in inner:
            for path in sorted((folder / part).glob("*")):
                if path.is_file() and path.suffix != ".pyc":
                    place = Path(*package.split(".")) / part / path.name
                    yield place.as_posix(), path.read_bytes()


def _requirements() -> list[str]:
    return sorted(distribution(_NAME).requires or ())


def _constraints() -> list[str]:
    """Return the versions that are here, which are known to work together."""
    found = {(one.metadata["Name"] or "").lower(): one.version for one in distributions()}
    return sorted(
        f"{name}=={version}"
        for name, version in found.items()
        if re.fullmatch(r"[a-z0-9._-]+", name) and "+" not in version and name != _NAME
    )


def _platforms(machine: str, glibc: tuple[int, ...]) -> list[str]:
    """Return the tags of wheels that a board can load, newest first."""
    newest = glibc[1] if glibc[0] == OLDEST_GLIBC[0] else OLDEST_GLIBC[1]
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(newest, _OLDEST_MANYLINUX - 1, -1)]
    tags += [f"manylinux2014_{machine}"]
    if machine == "x86_64":
        tags += [f"manylinux_2_{minor}_{machine}" for minor in range(16, 4, -1)]
        tags += [f"manylinux2010_{machine}", f"manylinux1_{machine}"]
    return tags


def _fetch(folder: Path, ours: bytes, python: str, platforms: list[str], constraints: str) -> None:
    """Download all that edge needs into a folder, which is there whole or not at all."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as scratch:
        wheel = Path(scratch) / sha_name(ours)
        wheel.write_bytes(ours)
        limits = Path(scratch) / "constraints.txt"
        limits.write_text(constraints)
        into = Path(scratch) / "wheels"
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-input",
            "--disable-pip-version-check", "--only-binary=:all:", "--implementation", "cp",
            "--python-version", python, *(f"--platform={tag}" for tag in platforms),
            "--dest", str(into), f"{_NAME}[{_EXTRAS}] @ {wheel.as_uri()}", "pip",
        ]  # fmt: skip
        done = _pip([*command, "--constraint", str(limits)])
        if done.returncode:  # what is here is not there for each Python and processor
            shutil.rmtree(into, ignore_errors=True)
            done = _pip(command)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
            raise EdgeError(
                f"cannot fetch wheels for Python {python}, {platforms[0]}: {said}",
                "reach a package index, and try again; what was fetched once is kept",
            )
        (into / wheel.name).unlink(missing_ok=True)
        # They are trusted from now on, whatever happens to this machine.
        for path in [*into.iterdir(), into]:
            sync(path)
        into.rename(folder)


def _pip(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(error.cmd, 1, "", "it takes too long")
