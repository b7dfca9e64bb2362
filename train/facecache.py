"""Faces cut once by the contract and kept on disk for every epoch and every run.

A crop is kept with a rim around it, so that training can turn, shift and zoom a face without
running into an artificial border. The centre of what is kept is the contract's own crop, pixel
for pixel, so validation and calibration read the same cache. Crops are read when they are wanted
and never mapped: pages of a mapped file count as memory, until it holds the whole data set.
"""

import fcntl
import json
import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from io import BufferedWriter
from pathlib import Path
from threading import local
from typing import Protocol

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from edge.assets import home
from edge.contract import InputContract, Picture
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

# Pictures that a thread cuts before it reports.
_AT_ONCE = 64


class Rows(Protocol):
    """Crops by their number: an array, or a file of them."""

    def __getitem__(self, row: int, /) -> NDArray[np.uint8]:
        """Return one crop with its rim: uint8 (height + 2 rim, width + 2 rim, 3)."""


class CropFile:
    """Crops in a .npy file, each read when it is asked for, by any thread.

    The file stays open until the object is gone, whatever happens to its name.

    Args:
        path: A uint8 array with any number of axes; the first counts the crops.

    Raises:
        EdgeError: The file cannot be read, or is none of ours.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                npy.read_magic(file)
                self.shape, _, dtype = npy.read_array_header_1_0(file)
                self._start = file.tell()
            descriptor = os.open(path, os.O_RDONLY)
        except (OSError, ValueError) as error:
            raise _damaged(path, str(error)) from error
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)
        if dtype != np.uint8:
            raise _damaged(path, f"holds {dtype}, not uint8")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, row: int, /) -> NDArray[np.uint8]:
        """Read one crop: uint8, the shape of the file without its first axis; not writable.

        Raises:
            EdgeError: The file ends before it.
        """
        if not 0 <= row < self.shape[0]:
            raise IndexError(f"row {row} of {self.shape[0]}")
        shape = self.shape[1:]
        size = math.prod(shape)
        data = os.pread(self._descriptor, size, self._start + int(row) * size)
        if len(data) < size:
            raise _damaged(self.path, f"ends in row {row} of {self.shape[0]}")
        return np.frombuffer(data, np.uint8).reshape(shape)


@dataclass(frozen=True)
class Faces:
    """The faces of one or more data sets, with their labels.

    Args:
        contract: How they were cut.
        rim: (vertical, horizontal) rim in pixels around each crop.
        wide: For each data set its crops with their rims.
        places: (data set, row) of each face.
        labels: float32 (faces, attributes); 1 yes, 0 no, nan unknown.
        names: Name of each face's picture.
        missing: Pictures without a face and unreadable ones, by reason.
    """

    contract: InputContract
    rim: tuple[int, int]
    wide: tuple[Rows, ...]
    places: NDArray[np.int64]
    labels: NDArray[np.float32]
    names: tuple[str, ...]
    missing: dict[str, int]

    def __len__(self) -> int:
        return len(self.places)

    def with_rim(self, index: int) -> NDArray[np.uint8]:
        """Return one face with its rim, to be read only.

        Returns:
            uint8 (height + 2 rim, width + 2 rim, 3), in the channel order of the contract.
        """
        part, row = self.places[index].tolist()
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

    def batches(self, size: int) -> Iterator[NDArray[np.uint8]]:
        """Yield the contract's own crops of all faces in order, at most `size` at a time.

        Yields:
            uint8 (n, height, width, 3), in the channel order of the contract.
        """
        for start in range(0, len(self), size):
            yield self.crops(range(start, min(start + size, len(self))))

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> "Faces":
        """Return some of the faces, in the order of `indices`; they share the crops."""
        chosen = np.asarray(indices, np.int64)
        return replace(
            self,
            places=self.places[chosen],
            labels=self.labels[chosen],
            names=tuple(self.names[index] for index in chosen.tolist()),
        )


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
    found = [
        dataset.samples[row]
        for dataset, rows in zip(datasets, places, strict=True)
        for row in rows.tolist()
    ]
    # Straight into one array: for many pictures each copy in between is the peak of memory.
    row = np.dtype((np.float32, (len(datasets[0].attributes),)))
    labels = np.fromiter((sample.labels for sample in found), row, len(found))
    states = np.concatenate([state for _, state in parts])
    faces = Faces(
        contract=contract,
        rim=rim,
        wide=tuple(crops for crops, _ in parts),
        places=np.concatenate(
            [np.column_stack([np.full(len(rows), part), rows]) for part, rows in enumerate(places)]
        ),
        labels=np.asarray(labels, np.float32),
        names=tuple(sample.name for sample in found),
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


def _cached(dataset: Dataset, contract: InputContract) -> tuple[CropFile, NDArray[np.uint8]]:
    """Return the crops and the state of each picture of a data set."""
    folder = home() / "faces" / _key(dataset, contract)
    if not folder.is_dir():
        _fill(folder, dataset, contract)
    crops = CropFile(folder / "crops.npy")
    try:
        return crops, np.load(folder / "state.npy")
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(folder / "state.npy", str(error)) from error


def _damaged(path: Path, what: str) -> EdgeError:
    return EdgeError(
        f"the cut faces in {path} cannot be read: {what}",
        f"remove {path.parent}; the faces are cut again",
    )


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
    """Cut the faces of a data set into a folder that is whole or absent."""
    shape = (len(dataset.samples), contract.height, contract.width, 3)
    caches = folder.parent
    try:
        caches.mkdir(parents=True, exist_ok=True)
        _require_room(caches, math.prod(shape))
        _sweep(caches)
        temporary = Path(tempfile.mkdtemp(prefix=_FILLING, dir=caches))
        try:
            with (temporary / _LOCK).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                with (temporary / "crops.npy").open("wb") as file:
                    state = _cut_into(file, shape, dataset, contract)
                np.save(temporary / "state.npy", state)
                (temporary / _LOCK).unlink()
                temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        if folder.is_dir():  # another process has cut the same faces in the meantime
            return
        raise EdgeError(
            f"cannot keep cut faces in {caches}: {error.strerror or error}",
            "free some space, or set EDGE_HOME elsewhere",
        ) from error


def _require_room(caches: Path, needed: int) -> None:
    free = shutil.disk_usage(caches).free
    if needed > free:
        raise EdgeError(
            f"cut faces need {needed / 1e6:,.0f} MB, {caches} has {free / 1e6:,.0f} MB free",
            "free some space, or set EDGE_HOME elsewhere",
        )


def _cut_into(
    file: BufferedWriter, shape: tuple[int, ...], dataset: Dataset, contract: InputContract
) -> NDArray[np.uint8]:
    """Write the crops of a data set as a .npy file, in whatever order they come.

    Returns:
        uint8 (samples,), what became of each picture.
    """
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, header)
    file.flush()
    start, size = file.tell(), math.prod(shape[1:])
    file.truncate(start + math.prod(shape))
    state = np.zeros(shape[0], np.uint8)
    cut = _cutter(contract)

    def work(first: int) -> int:
        rows = range(first, min(first + _AT_ONCE, shape[0]))
        for row in rows:
            state[row], crop = cut(dataset.samples[row])
            if crop is not None:
                _write(file.fileno(), crop.tobytes(), start + row * size)
        return len(rows)

    with (
        progress(f"cutting faces of {dataset.name}", shape[0], "pictures") as advance,
        ThreadPoolExecutor(usable_cores()) as pool,
    ):
        for done in pool.map(work, range(0, shape[0], _AT_ONCE)):
            advance(done)
    os.fsync(file.fileno())
    return state


def _write(descriptor: int, data: bytes, place: int) -> None:
    """Write all of some bytes at a place; a disk that is nearly full takes a part at first."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, place)
        rest, place = rest[written:], place + written


def _sweep(caches: Path) -> None:
    """Remove what a process that was killed while cutting has left: nobody holds its lock."""
    for leftover in caches.glob(_FILLING + "*"):
        try:
            with (leftover / _LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(leftover, ignore_errors=True)
        except OSError:  # still being filled, or gone
            continue


def _cutter(contract: InputContract) -> Callable[[Sample], tuple[int, Picture | None]]:
    """Return a function that says how a sample went and gives the crop of its best face."""
    own = local()

    def cut(sample: Sample) -> tuple[int, Picture | None]:
        if not hasattr(own, "detector"):
            own.detector = create_detector(contract.detector, runtime="auto", threads=1)
        try:
            picture = sample.read()
        except EdgeError:
            return _UNREADABLE, None
        detections = own.detector.detect(picture)
        if not detections:
            return _NO_FACE, None
        return _FOUND, contract.cut(picture, detections[0])

    return cut
