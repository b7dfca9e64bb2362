"""What a bundle says of itself, and who signed that.

Sent to a board as text, so the standard library alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from edge.devices.onboard_store import MANIFEST, SIGNATURE, RefusedError, is_manifest

SCHEMA = 1
SIGNERS = "allowed_signers"
# What a signature is for: one made for something else is none.
NAMESPACE = "edge-bundle"
IDENTITY = "edge"

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*(/[A-Za-z0-9_][A-Za-z0-9._+-]*)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_BYTES = 1 << 31


def read_manifest(text: bytes) -> dict[str, Any]:
    """Return a manifest whose every name stays inside of its bundle.

    Raises:
        RefusedError: It is none, or is of another schema, or names something outside.
    """
    try:
        words = json.loads(text)
    except ValueError:
        words = None
    if not is_manifest(words) or not {"edge", "model.tflite", "golden.json"} <= set(words["files"]):
        raise RefusedError("the manifest is damaged", "flash the model itself")
    files, runtime = words["files"], words["runtime"]
    wheels = {
        name.partition("/")[2]: entry["sha256"]
        for name, entry in files.items()
        if name.startswith("wheels/")
    }
    # It is found by this name on a board, so it has to be the name of these wheels and no others.
    if runtime is not None and runtime["digest"] != runtime_digest(
        str(runtime.get("python")), str(runtime.get("machine")), wheels
    ):
        raise RefusedError("the manifest's runtime is damaged", "flash the model itself")
    if words.get("schema") != SCHEMA:
        raise RefusedError(
            f"the bundle is of schema {words.get('schema')}, expected {SCHEMA}",
            "flash with the edge that made it",
        )
    for name, entry in files.items():
        if not _NAME.fullmatch(name) or name.split("/")[0] in (MANIFEST, SIGNATURE, "runtime"):
            raise RefusedError(
                f"the manifest names {name!r}, which is no file of a bundle",
                "flash the model itself",
            )
        if not 0 <= entry["size"] < _MOST_BYTES:
            raise RefusedError(f"the manifest gives {name} no size", "flash the model itself")
        if not _SHA256.fullmatch(entry["sha256"]):
            raise RefusedError(f"the manifest gives {name} no sha256", "flash the model itself")
    return dict(words)


def runtime_digest(python: str, machine: str, wheels: dict[str, str]) -> str:
    """Return what a virtual environment is called by.

    Args:
        python: Its Python, such as "3.11".
        machine: Its processor, as `uname -m` says.
        wheels: The sha256 of each by its name.
    """
    total = hashlib.sha256(f"{python} {machine}\n".encode())
    for name in sorted(wheels):
        total.update(f"{name} {wheels[name]}\n".encode())
    return total.hexdigest()


def check_signature(signers: Path, manifest: bytes, signature: str | None) -> None:
    """Check who signed a manifest; where nobody is named who may, anybody may.

    Raises:
        RefusedError: It is not signed, or by a stranger, or for something else, or altered since.
    """
    if not os.path.lexists(str(signers)):
        return
    if signature is None:
        raise RefusedError(
            "the bundle is not signed, and only signed ones may come here", "sign it: --sign KEY"
        )
    if shutil.which("ssh-keygen") is None:
        raise RefusedError(
            "a signature cannot be verified without ssh-keygen",
            "sudo apt install -y openssh-client",
        )
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(signature)
        file.flush()
        done = subprocess.run(
            ["ssh-keygen", "-Y", "verify", "-f", str(signers), "-I", IDENTITY, "-n", NAMESPACE,
             "-s", file.name],
            input=manifest, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    if done.returncode:
        said = " ".join(done.stdout.decode(errors="replace").split())
        raise RefusedError(
            f"the signature is not of one who may sign, or the manifest was altered: {said}",
            f"sign it with a key of {signers}",
        )
