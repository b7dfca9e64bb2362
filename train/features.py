"""Features of faces, computed once and kept on disk: what a frozen body or a teacher makes of them.

Kept as float16, which halves them and moves no decision.
"""

import os
from hashlib import sha256
from pathlib import Path

import keras
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from edge.assets import home
from edge.progress import progress
from edge.train.facecache import Faces
from edge.train.predict import predict
from edge.train.rowfile import RowFile, filling

_BATCH = 64
_FILE = "rows.npy"
# Raised whenever the same network and faces would give other features.
_VERSION = 1


def features_of(
    network: keras.Model, faces: Faces, what: str, *, mirrored: bool = False
) -> RowFile[np.float16]:
    """Run a network over faces, or take what it made of them from the cache.

    Args:
        network: float32 (n, height, width, 3) → (n, width).
        faces: Cut by the network's contract.
        what: Said on the progress bar.
        mirrored: True takes the mean over each face and its mirror image.

    Returns:
        float16 rows of (width,), one a face.

    Raises:
        EdgeError: There is no room for them, or the cache is damaged.
    """
    folder = home() / "features" / _key(network, faces, mirrored)
    if not folder.is_dir():
        _fill(folder, network, faces, what, mirrored)
    return RowFile(folder / _FILE, np.float16)


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


def _fill(folder: Path, network: keras.Model, faces: Faces, what: str, mirrored: bool) -> None:
    width = int(network.output_shape[-1])

    def run(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return predict(network, crops, faces.contract)

    with (
        filling(folder, 2 * width * len(faces), "features") as temporary,
        (temporary / _FILE).open("wb") as file,
        progress(what, len(faces), "faces") as advance,
    ):
        header = {"descr": "<f2", "fortran_order": False, "shape": (len(faces), width)}
        npy.write_array_header_1_0(file, header)
        for crops in faces.batches(_BATCH):
            found = run(crops)
            if mirrored:
                found = (found + run(crops[:, :, ::-1])) / np.float32(2)
            file.write(found.astype(np.float16).tobytes())
            advance(len(crops))
        file.flush()
        os.fsync(file.fileno())
