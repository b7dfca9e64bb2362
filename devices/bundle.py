"""What is sent to a board: a folder with a model and all that it needs, and a manifest of it."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge.assets import assets, fetch, home
from edge.devices.golden import expectations, write_golden
from edge.devices.onboard_manifest import NAMESPACE, SCHEMA, read_manifest
from edge.devices.onboard_store import MANIFEST, SIGNATURE, RefusedError
from edge.devices.onboard_whole import digest
from edge.devices.wheels import Runtime
from edge.environment import numbers, versions
from edge.errors import EdgeError
from edge.files import locked
from edge.modelfile import bundled_models, read_model, resolve_model

# The detectors that MediaPipe wraps are the same files.
_SAME = {"mediapipe": "blazeface"}
_KEPT = 8
_YOUNG_S = 3600

LAUNCHER = b"""#!/bin/sh
# Runs the edge of this version, with its model and what it needs beside it.
here=$(dirname "$(readlink -f "$0")")
root=$(dirname "$(dirname "$here")")
export EDGE_HOME="${EDGE_HOME:-$root/home}" EDGE_ASSETS="$here/assets"
export EDGE_MODEL="${EDGE_MODEL:-$here/model.tflite}"
exec "$here/runtime/bin/edge" "$@"
"""


@dataclass(frozen=True)
class Bundle:
    """A bundle on this machine.

    Args:
        folder: Where it is.
        manifest: The text of its manifest.
        signature: The armoured signature of that; None for none.
        words: The manifest.
    """

    folder: Path
    manifest: str
    signature: str | None
    words: dict[str, Any]

    def path_of(self, sha256: str) -> Path:
        """Return the file with a digest."""
        files = self.words["files"]
        return self.folder / next(key for key in files if files[key]["sha256"] == sha256)

    def signed(self, key: Path) -> "Bundle":
        """Return the same bundle with a signature by another key.

        Raises:
            EdgeError: The key does not sign.
        """
        return replace(self, signature=sign(self.folder / MANIFEST, key))

    def size(self, *, wheels: bool) -> int:
        """Return the bytes of its wheels, or of all else."""
        files = self.words["files"].items()
        return sum(file["size"] for name, file in files if name.startswith("wheels/") is wheels)


def make_bundle(model: str, *, runtime: Runtime | None, key: Path | None) -> Bundle:
    """Make the bundle of a model; the same one for the same files.

    Args:
        model: Name of a bundled model, or a path.
        runtime: The wheels to bring with it; None for none.
        key: An ssh key to sign it with: private, or public where an agent has the private one.

    Raises:
        EdgeError: The model cannot be used, an asset cannot be had, or the key does not sign.
    """
    whole = home() / "bundles"
    with locked(whole), tempfile.TemporaryDirectory(dir=whole, prefix=".new-") as scratch:
        folder = Path(scratch) / "bundle"
        folder.mkdir()
        words = _fill(folder, model, runtime)
        text = json.dumps(words, indent=1, sort_keys=True) + "\n"
        (folder / MANIFEST).write_text(text)
        if key is not None:
            (folder / SIGNATURE).write_text(sign(folder / MANIFEST, key))
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        final = whole / (f"{name}-signed" if key else name)
        if final.exists():
            # Another flash may be sending it; where it is whole, only the signature is new.
            with suppress(EdgeError):
                read_bundle(final)
                if key is not None:
                    (folder / SIGNATURE).replace(final / SIGNATURE)
                os.utime(final)  # it is on its way again, and not to be forgotten
                return read_bundle(final)
            shutil.rmtree(final)
        folder.rename(final)
        _forget_old(whole)
        return read_bundle(final)


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle that was made before, and check every file of it.

    Raises:
        EdgeError: A file is missing or not what the manifest says, or a name leads outside.
    """
    try:
        # Not as text, which would change line ends that were signed.
        text = (folder / MANIFEST).read_bytes().decode()
        signature = folder / SIGNATURE
        signed = signature.read_bytes().decode() if signature.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise EdgeError(f"{folder} is no bundle: {error}", "give a model, or a bundle") from error
    try:
        words = read_manifest(text.encode())
    except RefusedError as error:
        raise EdgeError(f"{folder}: {error.message}", error.hint) from error
    for name, entry in words["files"].items():
        inside = [folder / part for part in Path(name).parents if str(part) != "."]
        if any(part.is_symlink() for part in inside) or digest(folder / name) != entry["sha256"]:
            raise EdgeError(
                f"{folder / name} is not what the manifest says",
                "flash the model itself",
            )
    return Bundle(folder, text, signed, words)


def sign(file: Path, key: Path) -> str:
    """Return the armoured signature of a file by an ssh key.

    Raises:
        EdgeError: The key does not sign.
    """
    command = ["ssh-keygen", "-Y", "sign", "-f", str(key), "-n", NAMESPACE]
    try:
        done = subprocess.run(
            command, input=file.read_bytes(), capture_output=True, check=False,
            # Nothing may ask for a passphrase.
            env=os.environ | {"SSH_ASKPASS_REQUIRE": "never"}, start_new_session=True,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise EdgeError("there is no ssh-keygen", "install OpenSSH's client") from error
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())
        raise EdgeError(
            f"{key} does not sign: {said}",
            "give a private key of yours; of one with a passphrase the public key, the private one "
            "being in your agent",
        )
    return done.stdout.decode()


def public_key(file: Path) -> str:
    """Return the kind and the key in a file of ssh.

    Raises:
        EdgeError: It is no public key.
    """
    try:
        words = file.read_text("utf-8").split()[:2]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise EdgeError(f"cannot read {file}: {reason}", "name a public key, *.pub") from error
    try:
        done = subprocess.run(
            ["ssh-keygen", "-l", "-f", str(file)], capture_output=True, check=False
        )
    except FileNotFoundError as error:
        raise EdgeError("there is no ssh-keygen", "install OpenSSH's client") from error
    kinds = ("ssh-", "ecdsa-", "sk-")
    # A certificate is verified in another way than a key.
    if done.returncode or not words[0].startswith(kinds) or "-cert-" in words[0]:
        raise EdgeError(f"{file} is no public key of ssh", "name the file that ends with .pub")
    return " ".join(words)


def _fill(folder: Path, model: str, runtime: Runtime | None) -> dict[str, Any]:
    """Put all files of a bundle into a folder, and return its manifest."""
    source = resolve_model(model)
    read = read_model(source)
    detector = _SAME.get(read.card.contract.detector, read.card.contract.detector)
    # A copy: it is the user's, who may write it anew in its place.
    shutil.copyfile(source, folder / "model.tflite")
    for name in ("demo", *([detector] if detector in assets() else [])):
        _link_or_copy(folder / "assets" / assets()[name].file, fetch(name))
    (folder / "edge").write_bytes(LAUNCHER)
    write_golden(folder / "golden")
    golden = expectations(folder / "model.tflite", folder / "golden")
    (folder / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")
    for wheel in runtime.wheels if runtime else ():
        _link_or_copy(folder / "wheels" / wheel.name, wheel)
    return {
        "schema": SCHEMA,
        "model": {
            "name": read.card.name,
            "variant": read.card.variant,
            "sha256": read.sha256,
            "attributes": list(read.card.attributes),
            "contract": read.card.contract.to_json(),
        },
        "release": {
            "edge": list(numbers(versions(["edge-tflite"])["edge-tflite"])),
            # Bundled ones are as old as their edge, whenever that was installed.
            "made": 0 if _is_bundled(read.sha256) else int(source.stat().st_mtime),
        },
        "runtime": runtime and runtime.to_json(),
        "files": {
            path.relative_to(folder).as_posix(): {
                "size": path.stat().st_size,
                "sha256": digest(path),
            }
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
    }


def _is_bundled(sha256: str) -> bool:
    return any(digest(file) == sha256 for file in bundled_models().values())


def _link_or_copy(path: Path, source: Path) -> None:
    """Let a file stand in a bundle as well; large ones are not copied where that can be had."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.hardlink_to(source.resolve())
    except OSError:
        shutil.copyfile(source, path)


def _forget_old(whole: Path) -> None:
    """Keep the newest bundles alone; wheels stand in each of them, but once on the disk."""
    found = [path for path in whole.iterdir() if path.is_dir() and path.name[0] != "."]
    now = time.time()
    for old in sorted(found, key=lambda path: path.stat().st_mtime)[:-_KEPT]:
        if now - old.stat().st_mtime < _YOUNG_S:  # it may be on its way to a board
            continue
        shutil.rmtree(old, ignore_errors=True)
