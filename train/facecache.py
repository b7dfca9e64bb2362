"""Faces cut once by the contract and kept on disk for every epoch and every run.

A crop is kept with a rim around it, so that training can turn, shift and zoom a face without
running into an artificial border. The centre of what is kept is the contract's own crop, pixel
for pixel, so validation and calibration read the same cache.
"""

import fcntl
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from threading import local

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from edge.assets import home
from edge.contract import InputContract
from edge.datasets import Dataset, Sample
from edge.environment import usable_cores
from edge.errors import EdgeError
from edge.progress import progress
from edge.runtime.detectors import create_detector

# The rim on each side, as a fraction of the crop: all but the corners of the strongest turns and
# shifts find real pixels there.
RIM = 1 / 6

# Raised whenever the same pictures and contract would give other crops.
_VERSION = 1

_FOUND, _NO_FACE, _UNREADABLE = 1, 0, 2
_FILLING, _LOCK = ".filling-", "lock"


@dataclass(frozen=True)
class Faces:
    """The faces of one or more data sets, with their labels.

    Args:
        contract: How they were cut.
        rim: (vertical, horizontal) rim in pixels around each crop.
        wide: One uint8 (n, height + 2 rim, width + 2 rim, 3) array a data set, memory-mapped.
        places: (data set, row) of each face.
        labels: float32 (faces, attributes); 1 yes, 0 no, nan unknown.
        names: Name of each face's picture.
        missing: Pictures without a face and unreadable ones, by reason.
    """

    contract: InputContract
    rim: tuple[int, int]
    wide: tuple[NDArray[np.uint8], ...]
    places: NDArray[np.int64]
    labels: NDArray[np.float32]
    names: tuple[str, ...]
    missing: dict[str, int]

    def __len__(self) -> int:
        return len(self.places)

    def with_rim(self, index: int) -> NDArray[np.uint8]:
        """Return one face with its rim: a view, uint8 (height + 2 rim, width + 2 rim, 3)."""
        part, row = self.places[index]
        return self.wide[part][row]

    def crops(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the contract's own crops: uint8 (n, height, width, 3)."""
        down, right = self.rim
        crops = np.empty((len(indices), self.contract.height, self.contract.width, 3), np.uint8)
        for crop, index in zip(crops, indices, strict=True):
            crop[:] = self.with_rim(int(index))[
                down : down + self.contract.height, right : right + self.contract.width
            ]
        return crops


def cut_faces(datasets: Sequence[Dataset], contract: InputContract) -> Faces:
    """Cut the faces of some data sets, or take them from the cache.

    Args:
        datasets: With the same attributes each; see `Dataset.with_attributes`.
        contract: How to cut.

    Raises:
        EdgeError: There is no room for the cache, or no picture holds a face.
    """
    rim, wide_contract = _widened(contract)
    parts = [_cached(dataset, wide_contract) for dataset in datasets]
    places = [np.argwhere(state == _FOUND)[:, 0] for _, state in parts]
    names = [
        sample.name
        for dataset, rows in zip(datasets, places, strict=True)
        for sample in (dataset.samples[row] for row in rows)
    ]
    labels = [dataset.labels_array()[rows] for dataset, rows in zip(datasets, places, strict=True)]
    states = np.concatenate([state for _, state in parts])
    faces = Faces(
        contract=contract,
        rim=rim,
        wide=tuple(crops for crops, _ in parts),
        places=np.concatenate(
            [np.column_stack([np.full(len(rows), part), rows]) for part, rows in enumerate(places)]
        ),
        labels=np.concatenate(labels),
        names=tuple(names),
        missing={
            "no face found": int((states == _NO_FACE).sum()),
            "unreadable": int((states == _UNREADABLE).sum()),
        },
    )
    if not len(faces):
        raise EdgeError(
            f"no face found in {len(states):,} pictures",
            "check that --data holds pictures of faces",
        )
    return faces


def _widened(contract: InputContract) -> tuple[tuple[int, int], InputContract]:
    """Return the rim and the contract that cuts crops with it, at the same scale."""
    down, right = round(contract.height * RIM), round(contract.width * RIM)
    grow = 1 + 2 * max(down / contract.height, right / contract.width)
    return (down, right), replace(
        contract,
        height=contract.height + 2 * down,
        width=contract.width + 2 * right,
        margin=((1 + 2 * contract.margin) * grow - 1) / 2,
    )


def _cached(dataset: Dataset, contract: InputContract) -> tuple[NDArray[np.uint8], np.ndarray]:
    """Return the crops (memory-mapped) and the state of each picture of a data set."""
    folder = home() / "faces" / _key(dataset, contract)
    if not folder.is_dir():
        _fill(folder, dataset, contract)
    return np.load(folder / "crops.npy", mmap_mode="r"), np.load(folder / "state.npy")


def _key(dataset: Dataset, contract: InputContract) -> str:
    """Name what the crops depend on: the pictures (by place, size and time) and the contract."""
    digest = sha256(json.dumps([_VERSION, contract.to_json()], sort_keys=True).encode())
    digest.update(str(dataset.root.resolve()).encode(errors="surrogateescape"))
    for sample in dataset.samples:
        place = f"\0{sample.path}\0{sample.member}\0{_size_and_time(sample.path)}"
        digest.update(place.encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _size_and_time(path: Path) -> tuple[int, int] | None:
    """Return a file's size and change; None if it cannot be looked at, as a link to nothing."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _fill(folder: Path, dataset: Dataset, contract: InputContract) -> None:
    shape = (len(dataset.samples), contract.height, contract.width, 3)
    needed = int(np.prod(shape))
    folder.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder.parent).free
    if needed > free:
        raise EdgeError(
            f"cut faces need {needed / 1e9:.1f} GB, {folder.parent} has {free / 1e9:.1f} GB free",
            "free some space, or set EDGE_HOME elsewhere",
        )
    _sweep(folder.parent)
    temporary = Path(tempfile.mkdtemp(prefix=_FILLING, dir=folder.parent))
    lock = (temporary / _LOCK).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        crops = open_memmap(temporary / "crops.npy", mode="w+", dtype=np.uint8, shape=shape)
        state = np.zeros(len(dataset.samples), np.uint8)
        cut = _cutter(contract)

        def work(row: int) -> None:
            state[row] = cut(dataset.samples[row], crops[row])

        with (
            progress(f"cutting faces of {dataset.name}", len(state), "pictures") as advance,
            ThreadPoolExecutor(usable_cores()) as pool,
        ):
            for _ in pool.map(work, range(len(state)), chunksize=64):
                advance(1)
        crops.flush()
        np.save(temporary / "state.npy", state)
        (temporary / _LOCK).unlink()
        temporary.rename(folder)
    except OSError as error:
        if folder.is_dir():  # another process has cut the same faces in the meantime
            return
        raise EdgeError(
            f"cannot keep cut faces in {folder.parent}: {error.strerror}",
            "free some space, or set EDGE_HOME elsewhere",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        lock.close()


def _sweep(caches: Path) -> None:
    """Remove what a process that was killed while cutting has left: nobody holds its lock."""
    for leftover in caches.glob(_FILLING + "*"):
        try:
            with (leftover / _LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(leftover, ignore_errors=True)
        except OSError:  # still being filled, or gone
            continue


def _cutter(contract: InputContract) -> Callable[[Sample, NDArray[np.uint8]], int]:
    """Return a function that cuts a sample's best face into a row and says how that went."""
    own = local()

    def cut(sample: Sample, row: NDArray[np.uint8]) -> int:
        if not hasattr(own, "detector"):
            own.detector = create_detector(contract.detector, runtime="auto", threads=1)
        try:
            picture = sample.read()
        except EdgeError:
            return _UNREADABLE
        detections = own.detector.detect(picture)
        if not detections:
            return _NO_FACE
        row[:] = contract.cut(picture, detections[0])
        return _FOUND

    return cut
