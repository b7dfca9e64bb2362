"""Features of faces, computed once and kept on disk: what a frozen body or a teacher makes of them.

Kept as float16, which halves them and moves no decision.
"""

import os
import shutil
import tempfile
from hashlib import sha256
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from edge.assets import home
from edge.errors import EdgeError
from edge.progress import progress
from edge.train.facecache import Faces
from edge.train.predict import predict

_BATCH = 64
# Raised whenever the same network and faces would give other features.
_VERSION = 1


def features_of(
    network: keras.Model, faces: Faces, what: str, *, mirrored: bool = False
) -> NDArray[np.float16]:
    """Run a network over faces, or take what it made of them from the cache.

    Args:
        network: float32 (n, height, width, 3) → (n, width).
        faces: Cut by the network's contract.
        what: Said on the progress bar.
        mirrored: True takes the mean over each face and its mirror image.

    Returns:
        float16 (faces, width), memory-mapped.

    Raises:
        EdgeError: There is no room for them.
    """
    path = home() / "features" / f"{_key(network, faces, mirrored)}.npy"
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):  # absent, or cut short by a power cut
        _fill(path, network, faces, what, mirrored)
    return np.load(path, mmap_mode="r")


def _key(network: keras.Model, faces: Faces, mirrored: bool) -> str:
    digest = sha256(f"{_VERSION}\0{mirrored}\0{faces.contract}".encode())
    for part in faces.wide:
        # A cache of faces is named by all that decides them; faces in memory are their own name.
        path = getattr(part, "path", None)
        digest.update(path.parent.name.encode() if path else np.asarray(part).tobytes())
    digest.update(faces.places.tobytes())
    # Without the names of the layers, which a process counts up.
    for layer in network.layers:
        digest.update(type(layer).__name__.encode())
        for weight in layer.get_weights():
            digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()[:32]


def _fill(path: Path, network: keras.Model, faces: Faces, what: str, mirrored: bool) -> None:
    width = int(network.output_shape[-1])
    needed = 2 * width * len(faces)
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise EdgeError(
            f"features need {needed / 1e9:.1f} GB, {path.parent} has {free / 1e9:.1f} GB free",
            "free some space, or set EDGE_HOME elsewhere",
        )

    def run(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return predict(network, crops, faces.contract)

    folder = Path(tempfile.mkdtemp(prefix=".filling-", dir=path.parent))
    try:
        with (folder / "rows").open("wb") as file, progress(what, len(faces), "faces") as advance:
            header = {"descr": "<f2", "fortran_order": False, "shape": (len(faces), width)}
            np.lib.format.write_array_header_1_0(file, header)
            for crops in faces.batches(_BATCH):
                found = run(crops)
                if mirrored:
                    found = (found + run(crops[:, :, ::-1])) / np.float32(2)
                file.write(found.astype(np.float16).tobytes())
                advance(len(crops))
            file.flush()
            os.fsync(file.fileno())
        (folder / "rows").rename(path)
    except OSError as error:
        raise EdgeError(
            f"cannot keep features in {path.parent}: {error.strerror}",
            "free some space, or set EDGE_HOME elsewhere",
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
