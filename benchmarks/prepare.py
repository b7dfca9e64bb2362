"""What workers read: models in every form, crops, frames and labelled pictures."""

import json
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np

from edge.assets import fetch, home
from edge.benchmarks.baselines import onnx_of
from edge.benchmarks.cases import FRAME_SIDE, Case
from edge.benchmarks.models import KERAS_ENGINES, file_of, network_of
from edge.benchmarks.zoo import demo_crops
from edge.contract import InputContract, Picture
from edge.errors import EdgeError
from edge.modelfile import ForeignModelError, read_model
from edge.progress import progress
from edge.runtime.demo import Demo
from edge.runtime.detectors import Detector, create_detector

Child = Callable[[dict[str, Any]], dict[str, Any]]

_FRAMES = 24
_CROPS = 16
_TRAINING_CROPS = 320
_ZOO_CROPS = 64
_PICTURES = 1_000
_ASSETS = ("blazeface", "blazeface-full", "yunet", "haar")


class Inputs:
    """Makes what the workers of one bench read, each thing once; gone with its `with` block.

    Args:
        data: Labelled pictures for accuracy, or None.
        child: Runs a job of `edge.benchmarks.worker`.
    """

    def __init__(self, data: Path | None, child: Child) -> None:
        self._data, self._child = data, child
        self._scratch = tempfile.TemporaryDirectory(prefix="edge-bench-")
        self._zoo: dict[tuple[str, str], dict[str, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.cleanup()

    def files(self, case: Case) -> dict[str, str]:
        """Return the files of a case, by what they are for.

        Raises:
            EdgeError: One of them cannot be made.
        """
        if case.suite == "training":
            from edge.train.recipes import recipe_named

            contract = recipe_named(case.name).contract
            return {"inputs": str(self._crops(contract, _TRAINING_CROPS))}
        if case.suite == "detectors":
            files = {"inputs": str(self._frames())}
            if case.name in _ASSETS:
                files["model"] = str(fetch(case.name))
            return files | self._labelled_pictures()
        files = self._model(case)
        if case.suite == "pipeline":
            return files | {"inputs": str(self._frames())}
        seen = self._seen(case)
        if seen is None:
            return files
        files["inputs"] = str(self._crops(seen[0], _CROPS))
        return files | self._labelled_faces(*seen, case)

    def _model(self, case: Case) -> dict[str, str]:
        engine = case.runtime.rpartition("+")[2]
        if network := network_of(case.model):
            made = self._zoo_model(network, case.variant)
            files = {"model": made["keras"] if engine in KERAS_ENGINES else made["path"]}
        else:
            files = {"model": str(file_of(case.model).absolute())}
        if engine == "onnxruntime":
            onnx = onnx_of(Path(files["model"]), home() / "bench" / "onnx")
            files["onnx"] = str(onnx)
        return files

    def _zoo_model(self, network: str, variant: str) -> dict[str, str]:
        if (network, variant) not in self._zoo:
            made = self._child({"do": "zoo", "networks": [network], "crops": _ZOO_CROPS,
                                "folder": str(home() / "bench" / "zoo")})  # fmt: skip
            self._zoo |= {(one["name"], one["variant"]): one for one in made["models"]}
        return self._zoo[network, variant]

    def _seen(self, case: Case) -> tuple[InputContract, tuple[str, ...]] | None:
        """Return contract and attributes of a classifier; None of a file without a card."""
        path = self._model(case)["model"]
        try:
            if path.endswith(".tflite"):
                card = read_model(Path(path)).card
                return card.contract, card.attributes
        except ForeignModelError:
            return None
        from edge.train.config import read_config

        folder = Path(path)
        folder = folder.parent if folder.suffix == ".keras" else folder
        config = read_config(folder)
        return InputContract.from_json(config["contract"]), tuple(config["attributes"])

    def _crops(self, contract: InputContract, number: int) -> Path:
        file = self._file(f"crops-{number}-{_digest(contract)}.npy")
        if not file.is_file():
            np.save(file, demo_crops(contract, number))
        return file

    def _frames(self) -> Path:
        file = self._file("frames.npy")
        if not file.is_file():
            np.save(file, np.stack(demo_frames(_FRAMES, create_detector("blazeface"))))
        return file

    def _labelled_pictures(self) -> dict[str, str]:
        if self._data is None:
            return {}
        file = self._file("pictures.txt")
        if not file.is_file():
            samples = _drawn(self._data, ()).samples
            if any(sample.member for sample in samples):
                raise EdgeError(
                    f"the pictures of {self._data} are in a zip", "unpack it for the detectors"
                )
            paths = [str(sample.path.absolute()) for sample in samples]
            file.write_text("\n".join(paths), "utf-8")
        return {"labelled": str(file)}

    def _labelled_faces(
        self, contract: InputContract, attributes: tuple[str, ...], case: Case
    ) -> dict[str, str]:
        # `predict` judges as the compiled call does, and takes minutes over it.
        if self._data is None or network_of(case.model) or case.runtime == "keras-predict":
            return {}
        # Attributes decide which class of a folder of two says yes.
        file = self._file(f"faces-{_digest(contract, *attributes)}.npz")
        if not file.is_file():
            _cut(self._data, contract, attributes, file)
        return {"labelled": str(file)}

    def _file(self, name: str) -> Path:
        return Path(self._scratch.name) / name


def demo_frames(
    number: int, detector: Detector, *, width: int = FRAME_SIDE, height: int = FRAME_SIDE
) -> list[Picture]:
    """Return frames of the demo with one face, a third of their height.

    One in each, so that it does not matter which of them a block of samples meets.

    Args:
        number: How many.
        detector: Tells how many faces there are.
        width: Of a frame, in pixels; what is wider than high is black.
        height: Of a frame, in pixels.

    Returns:
        uint8 (height, width, 3), BGR.
    """
    demo, index = Demo(), 0
    found: list[Picture] = []
    while len(found) < number:
        frame = demo.render(index)
        left = (frame.shape[1] - frame.shape[0]) // 2
        square = frame[:, left : left + frame.shape[0]]
        scaled = cv2.resize(square, (height, height), interpolation=cv2.INTER_AREA)
        scaled = cv2.copyMakeBorder(scaled, 0, 0, 0, width - height, cv2.BORDER_CONSTANT)
        if len(detector.detect(scaled)) == 1:
            found.append(scaled)
        index += 7
    return found


def _drawn(data: Path, attributes: tuple[str, ...]) -> Any:
    """Return the test pictures of a data set, at most so many, evenly drawn from its order."""
    from edge.datasets import load

    dataset = load(data, wanted=attributes).only("test")
    step = max(1, -(-len(dataset.samples) // _PICTURES))
    return dataset.chosen(range(0, len(dataset.samples), step))


def _cut(data: Path, contract: InputContract, attributes: tuple[str, ...], file: Path) -> None:
    """Find and cut the face of each labelled picture, as `edge evaluate` does."""
    dataset = _drawn(data, attributes)
    detector = create_detector(contract.detector)
    crops: list[Picture] = []
    rows: list[int] = []
    readable: list[int] = []
    with progress("cutting faces", len(dataset.samples), "pictures") as advance:
        for index, sample in enumerate(dataset.samples):
            advance(1)
            try:
                picture = sample.read()
            except EdgeError:
                continue
            if faces := detector.detect(picture):
                crops.append(contract.cut(picture, faces[0]))
                rows.append(len(readable))
            readable.append(index)
    shape = (len(crops), contract.height, contract.width, 3)
    np.savez(
        file, crops=np.array(crops, np.uint8).reshape(shape), rows=np.array(rows, np.int64),
        labels=dataset.labels[readable], attributes=np.array(dataset.attributes),
    )  # fmt: skip


def _digest(contract: InputContract, *more: str) -> str:
    return sha256(json.dumps([contract.to_json(), more], sort_keys=True).encode()).hexdigest()[:12]
