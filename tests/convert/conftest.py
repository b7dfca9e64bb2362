"""A tiny network and faces that need no picture."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.assets import fetch
from edge.contract import InputContract
from edge.convert.graph import Graph
from edge.images import read_picture
from edge.runtime.interpreter import Interpreter
from edge.train.job import Job, config_of, load_data
from edge.train.recipes import recipe_named

ATTRIBUTES = ("Smiling", "Male")

# Of each of two classes.
PICTURES = {"train": 6, "val": 4}

# What the odd channel is multiplied by, and divided by after it.
ODD = 1000.0


def build(
    size: int | None = 32,
    outputs: int = 2,
    low: float = 0.0,
    high: float = 255.0,
    answer: str = "sigmoid",
) -> Any:
    """Return a network with batch normalisation whose statistics are not the initial ones."""
    import keras

    keras.utils.set_random_seed(5)
    layers = keras.layers
    scale = 2 / (high - low)
    network = keras.Sequential(
        [
            keras.Input((size, size, 3)),
            layers.Rescaling(scale, -1 - low * scale),
            layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(outputs, kernel_initializer=keras.initializers.RandomNormal(stddev=4)),
            layers.Activation(answer),
        ]
    )
    statistics = network.layers[2]
    statistics.moving_mean.assign(np.linspace(-0.1, 0.1, 8))
    statistics.moving_variance.assign(np.linspace(0.05, 0.2, 8))
    return network


def build_odd(outputs: int = 2) -> Any:
    """Return a network in which one channel of the first layer takes all of its range."""
    network = build(outputs=outputs)
    norm, second = network.layers[2], network.layers[4]
    gamma, beta = norm.gamma.numpy(), norm.beta.numpy()
    gamma[0], beta[0] = ODD * gamma[0], ODD * (beta[0] + 1)
    norm.gamma.assign(gamma)
    norm.beta.assign(beta)
    kernel = second.kernel.numpy()
    kernel[:, :, 0] /= ODD
    second.kernel.assign(kernel)
    return network


def build_people(people: int, crops: NDArray[np.uint8]) -> Any:
    """Return a network with a softmax that takes the crops for different people."""
    import keras

    network = build(outputs=people, answer="softmax")
    dense = network.layers[-2]
    logits = np.asarray(keras.Model(network.inputs[0], dense.output)(crops.astype(np.float32)))
    dense.kernel.assign(dense.kernel / logits.std(axis=0) * 2)
    dense.bias.assign(-logits.mean(axis=0) / logits.std(axis=0) * 2)
    return network


def kinds(packed: bytes) -> Counter[str]:
    """Return how often each operator occurs in a graph."""
    graph = Graph(packed)
    return Counter(graph.kind(operator) for operator in graph.operators)


def outputs(graph: bytes, contract: InputContract, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what a graph makes of crops."""
    network = Interpreter(graph, "graph")
    return np.stack([network.run_pixels(crop, contract.value_range)[0][0] for crop in crops])


@pytest.fixture(scope="session")
def network() -> Any:
    return build()


@pytest.fixture(scope="session")
def contract() -> InputContract:
    return InputContract(width=32, height=32)


@pytest.fixture(scope="session")
def crops() -> NDArray[np.uint8]:
    """Return smooth pictures that use neither black nor white."""
    random = np.random.default_rng(0)
    coarse = random.integers(30, 200, (24, 4, 4, 3)).astype(np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of pictures of one face, brighter when "smiling"."""
    root = tmp_path_factory.mktemp("faces")
    face = read_picture(fetch("demo"))[:300, 100:400]
    for split, count in PICTURES.items():
        for label, gain in (("smiling", 1.1), ("not_smiling", 0.6)):
            folder = root / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                shifted = np.roll(face, 7 * number, axis=1)
                picture = np.clip(shifted * gain, 0, 255).astype(np.uint8)
                cv2.imwrite(str(folder / f"{split}-{label}-{number}.png"), picture)
    return root


@pytest.fixture(scope="session")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(build(outputs=1), data, tmp_path_factory.mktemp("run"))


def saved(network: Any, data: Path, folder: Path) -> Path:
    network.save(folder / "model.keras")
    recipe = replace(recipe_named("proposed"), contract=InputContract(width=32, height=32))
    job = Job(recipe=recipe, data=((data, "folder"),), attributes=("smiling",), seed=4)
    config = config_of(job, "tiny", load_data(job))
    (folder / "config.json").write_text(json.dumps(config))
    return folder
