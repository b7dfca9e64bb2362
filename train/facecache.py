"""Faces cut once by the contract and kept on disk for every epoch and every run.

A crop is kept with a rim around it, so that training can turn, shift and zoom a face without
running into an artificial border. The centre of what is kept is the contract's own crop, pixel
for pixel, so validation and calibration read the same cache.
"""

import json
import math
import os
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
from edge.train.rowfile import RowFile, damaged, filling

# The rim on each side, as a fraction of the crop: all but the corners of the strongest turns and
# shifts find real pixels there.
RIM = 1 / 6

# Raised whenever the same pictures and contract would give other crops.
_VERSION = 1

_FOUND, _NO_FACE, _UNREADABLE = 1, 0, 2

# Pictures that a thread cuts before it reports.
_AT_ONCE = 64


class Rows(Protocol):
    """Crops by their number: an array, or a file of them."""

    def __getitem__(self, row: int, /) -> NDArray[np.uint8]:
        """Return one crop with its rim: uint8 (height + 2 rim, width + 2 rim, 3)."""


@dataclass(frozen=True)
class Faces:
    """The faces of one or more data sets, with their labels.

    Args:
        contract: How they were cut.
        rim: (vertical, horizontal) rim in pixels around each crop.
        wide: For each data set its crops with their rims.
        places: (data set, row) of each face.
        labels: float32 or float16 (faces, attributes); 1 yes, 0 no, nan unknown.
        missing: (data set, row) of the pictures without a face and of the unreadable ones, by
            reason.
    """

    contract: InputContract
    rim: tuple[int, int]
    wide: tuple[Rows, ...]
    places: NDArray[np.int64]
    labels: NDArray[np.floating]
    missing: dict[str, NDArray[np.int64]]

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

    def names(self, datasets: Sequence[Dataset]) -> tuple[str, ...]:
        """Return the name of each face's picture, of the data sets that the faces were cut of.

        They are not held: there may be millions.
        """
        return tuple([datasets[part].samples[row].name for part, row in self.places.tolist()])

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> "Faces":
        """Return some of the faces, in the order of `indices`; they share the crops."""
        chosen = np.asarray(indices, np.int64)
        return replace(
            self,
            places=self.places[chosen],
            labels=self.labels[chosen],
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
    found, faceless, unreadable = (
        np.concatenate([_places(part, state == what) for part, (_, state) in enumerate(parts)])
        for what in (_FOUND, _NO_FACE, _UNREADABLE)
    )
    faces = Faces(
        contract=contract,
        rim=rim,
        wide=tuple(crops for crops, _ in parts),
        places=found,
        labels=np.concatenate(
            [one.labels[state == _FOUND] for one, (_, state) in zip(datasets, parts, strict=True)]
        ),
        missing={"no face found": faceless, "unreadable": unreadable},
    )
    if not len(faces):
        raise EdgeError(
            f"no face found in {len(faceless) + len(unreadable):,} pictures",
            "check that --data holds pictures of faces",
        )
    return faces


def _places(part: int, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return (data set, row) of the chosen pictures of a data set."""
    rows = np.flatnonzero(chosen)
    return np.column_stack([np.full(len(rows), part), rows])


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


def _cached(dataset: Dataset, contract: InputContract) -> tuple[Rows, NDArray[np.uint8]]:
    """Return the crops and the state of each picture of a data set."""
    folder = home() / "faces" / _key(dataset, contract)
    if not folder.is_dir():
        _fill(folder, dataset, contract)
    crops = RowFile(folder / "crops.npy", np.uint8)
    try:
        return crops, np.load(folder / "state.npy")
    except (OSError, ValueError, EOFError) as error:
        raise damaged(folder / "state.npy", str(error)) from error


def _key(dataset: Dataset, contract: InputContract) -> str:
    """Name what the crops depend on: the pictures (by place, size and time) and the contract."""
    digest = sha256(json.dumps([_VERSION, contract.to_json()], sort_keys=True).encode())
    root, given = str(dataset.root.resolve()), str(dataset.root)
    digest.update(root.encode(errors="surrogateescape"))
    for sample in dataset.samples:
        # The same whether the folder was named from here or from the root.
        file = f"{root}/{sample.file.removeprefix(given).removeprefix('/')}"
        place = f"\0{file}\0{sample.member}\0{_size_and_time(sample.file)}"
        digest.update(place.encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _size_and_time(file: str) -> tuple[int, int] | None:
    """Return a file's size and change; None if it cannot be looked at, as a link to nothing."""
    try:
        status = Path(file).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _fill(folder: Path, dataset: Dataset, contract: InputContract) -> None:
    """Cut the faces of a data set into a folder that is whole or absent."""
    shape = (len(dataset.samples), contract.height, contract.width, 3)
    with filling(folder, math.prod(shape), "cut faces") as temporary:
        with (temporary / "crops.npy").open("wb") as file:
            state = _cut_into(file, shape, dataset, contract)
        np.save(temporary / "state.npy", state)


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
