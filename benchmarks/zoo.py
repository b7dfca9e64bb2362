"""Every network that can be trained, with fresh weights, as model files to measure the speed of.

Batch-norm statistics come from real crops: how an integer graph falls into delegate partitions
depends on its scales, so random statistics would measure another graph.
"""

import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge import __version__
from edge.benchmarks.models import ZOO_VARIANTS
from edge.contract import InputContract
from edge.errors import EdgeError
from edge.files import replacing, write_bytes, write_json
from edge.modelfile import ModelCard, pack, read_model
from edge.progress import progress
from edge.quiet import quiet

Crops = NDArray[np.uint8]

# As the bundled model has them, so that the heads compare.
ATTRIBUTES = ("Smiling", "Male")

_SEED = 0
# Frames between two crops: far enough apart that the demo has moved on.
_STRIDE = 23
_LICENCE = "Apache-2.0; fresh weights, nothing learnt from any data"
# The code that a network's file depends on, beside this one.
_SOURCES = {
    "edge.train": (
        "backbones.py",
        "bodies.py",
        "filters.py",
        "folding.py",
        "fresh.py",
        "heads.py",
        "mnasnet.py",
        "networks.py",
        "recipe.py",
        "recipes.py",
        "statistics.py",
    ),
    "edge.convert": (
        "calibrate.py",
        "graph.py",
        "integers.py",
        "pixels.py",
        "quantize.py",
        "rewrite.py",
    ),
}


@dataclass(frozen=True)
class ZooModel:
    """One model file of a network with fresh weights.

    Args:
        path: The model file.
        name: Of the network.
        variant: One of `edge.benchmarks.models.ZOO_VARIANTS`.
        keras: The same network as a `.keras` file, with a config.json beside it.
    """

    path: Path
    name: str
    variant: str
    keras: Path


def build_zoo(
    names: Sequence[str], folder: Path, crops: Callable[[InputContract], Crops]
) -> list[ZooModel]:
    """Make the four variants of each network, or find them made.

    Args:
        names: Of `edge.train.networks.NETWORKS`.
        folder: Where they are kept, each network in a folder of its own that is named by a
            digest of all that decides it.
        crops: Gives faces cut by a contract, for statistics and integer ranges; see
            `demo_crops`.

    Raises:
        EdgeError: There is no such network, or what converts networks is not installed.
    """
    zoo = []
    with progress("building networks", len(names), "networks") as advance:
        for name in names:
            contract = default_contract(name)
            faces = crops(contract)
            home = folder / f"{name}-{_digest(name, contract, faces)[:16]}"
            models = [
                ZooModel(home / f"{name}-{variant}.tflite", name, variant, home / "model.keras")
                for variant in ZOO_VARIANTS
            ]
            if not all(map(_is_whole, models)):
                _build(models, contract, faces)
            zoo += models
            advance(1)
    return zoo


def default_contract(name: str) -> InputContract:
    """Return the contract that a network is trained with where no recipe is named."""
    from edge.train.networks import network_named
    from edge.train.recipes import RECIPES

    return RECIPES[name].contract if name in RECIPES else network_named(name).contract


def demo_crops(contract: InputContract, number: int = 64) -> Crops:
    """Cut faces out of the demo.

    Args:
        contract: How to cut.
        number: How many crops.

    Returns:
        uint8 (number, height, width, 3), the same for the same contract.
    """
    from edge.runtime.blazeface import BlazeFace
    from edge.runtime.demo import Demo

    demo, detector = Demo(), BlazeFace()
    crops: list[Crops] = []
    for index in count(step=_STRIDE):
        picture = demo.render(index)
        crops += [contract.cut(picture, face) for face in detector.detect(picture)]
        if len(crops) >= number:
            break
    return np.stack(crops[:number])


def _build(models: Sequence[ZooModel], contract: InputContract, faces: Crops) -> None:
    """Write the files of one network, the .keras file and its config last."""
    name = models[0].name
    with _training():
        from edge.convert.calibrate import Calibration
        from edge.convert.metadata import describe
        from edge.convert.quantize import quantize
        from edge.train.fresh import fresh

        network = fresh(name, contract, len(ATTRIBUTES), faces, seed=_SEED)
        card = ModelCard(
            name=name,
            contract=contract,
            attributes=ATTRIBUTES,
            thresholds=(0.5,) * len(ATTRIBUTES),
            variant="float32",
            recipe={"name": "untrained", "network": name, "seed": _SEED, "untrained": True},
            data={},
            calibration=None,
            accuracy={},
            versions=_versions(),
            licence=_LICENCE,
        )
        drawn = Calibration(faces, (), _SEED).manifest()
        for model in models:
            graph = quantize(network, model.variant, contract, calibration=faces)
            graph = describe(graph, name=f"{name} {model.variant}", contract=contract,
                             attributes=ATTRIBUTES, licence=_LICENCE)  # fmt: skip
            own = drawn if model.variant == "int8" else None
            write_bytes(model.path, pack(graph, replace(card, variant=model.variant,
                                                        calibration=own)))  # fmt: skip
        keras_file = models[0].keras
        with replacing(keras_file) as temporary:
            network.save(temporary)
        write_json(keras_file.parent / "config.json", card.to_json())


def _is_whole(model: ZooModel) -> bool:
    if not (zipfile.is_zipfile(model.keras) and model.keras.with_name("config.json").is_file()):
        return False
    try:
        read_model(model.path)
    except EdgeError:
        return False
    return True


def _digest(name: str, contract: InputContract, faces: Crops) -> str:
    """Return a digest of what decides a network's files."""
    known = json.dumps([name, contract.to_json(), _versions()], sort_keys=True)
    digest = sha256(known.encode())
    digest.update(np.ascontiguousarray(faces).tobytes())
    digest.update(Path(__file__).read_bytes())
    for package, modules in _SOURCES.items():
        for module in modules:
            digest.update(files(package).joinpath(module).read_bytes())
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    try:
        needed = {package: version(package) for package in ("keras", "numpy", "tensorflow")}
    except PackageNotFoundError as error:
        raise _not_installed(str(error.name)) from error
    return {"edge": __version__, **needed}


@contextmanager
def _training() -> Iterator[None]:
    """Hold back what TensorFlow writes; say what to install where it is missing."""
    try:
        with quiet(ImportError):
            yield
    except ImportError as error:
        raise _not_installed(str(error.name)) from error


def _not_installed(package: str) -> EdgeError:
    return EdgeError(f"{package} is not installed here", "pip install 'edge-tflite[train]'")
