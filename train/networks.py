"""Networks in backend-neutral Keras 3; each takes crops in the value range of its contract.

A network is a body, which turns a crop into features, and a head (`edge.train.heads`), which ends
in one output an answer, inside the graph. It is built twice from the same code: in the policy that
trains fastest, and in float32 to be saved and converted.
"""

import math
import tomllib
from importlib.resources import files
from typing import Any

import keras
from keras import layers

from edge.contract import InputContract
from edge.errors import EdgeError
from edge.train.backbones import BACKBONES
from edge.train.bodies import BODIES, Network
from edge.train.heads import POOLED, add_head
from edge.train.recipe import Head, Task

NETWORKS: dict[str, Network] = BODIES | BACKBONES


def network_named(name: str) -> Network:
    """Return a network by name.

    Raises:
        EdgeError: There is no such network.
    """
    if name not in NETWORKS:
        raise EdgeError(f"unknown network {name}", f"choose one of {', '.join(NETWORKS)}")
    return NETWORKS[name]


def build(
    name: str,
    contract: InputContract,
    answers: int,
    *,
    head: Head | None = None,
    cut: str = "",
    task: Task = "attributes",
    dropout: float = 0.1,
    normalised: bool = False,
    policy: str = "float32",
) -> keras.Model:
    """Build a network with fresh weights.

    Args:
        name: One of `NETWORKS`.
        contract: Gives the size and the value range of the input.
        answers: How many outputs.
        head: What stands on the features; None takes the network's own.
        cut: Name of the last layer of the body that is kept; empty keeps all.
        task: As `add_head`.
        dropout: Rate of each dropout of the body.
        normalised: True adds the batch normalisation that a network without any is trained
            with; `edge.train.folding.finish` folds it into the convolutions of the network without.
        policy: Keras dtype policy of the layers; variables are float32 in each.

    Returns:
        float32 (n, height, width, 3) → float32 (n, answers), 0 to 1.

    Raises:
        EdgeError: There is no such network, or no such layer in it.
    """
    network = network_named(name)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        pixels = keras.Input((contract.height, contract.width, 3), name="crop")
        features = network.body(pixels, contract, dropout, normalised)
        if cut:
            features = _cut(pixels, features, cut)
        output = add_head(features, head or network.head, answers, task)
        return keras.Model(pixels, output, name=name.replace("-", "_").replace(".", "_"))
    finally:
        keras.config.set_dtype_policy(before)


def build_again(recipe: dict[str, Any], contract: InputContract, answers: int) -> keras.Model:
    """Build the network that a recipe of a run or a model's card describes, with fresh weights."""
    head = recipe.get("head")
    return build(
        recipe["network"],
        contract,
        answers,
        head=Head(**head) if head else None,
        cut=recipe.get("cut", ""),
        task=recipe.get("task", "attributes"),
    )


def _cut(pixels: keras.KerasTensor, features: keras.KerasTensor, last: str) -> keras.KerasTensor:
    """Return the output of one layer of a body."""
    body = keras.Model(pixels, features)
    names = [layer.name for layer in body.layers]
    if last not in names:
        raise EdgeError(f"the network has no layer {last}", f"its layers are {', '.join(names)}")
    return body.get_layer(last).output


def layers_from(network: keras.Model, first: str, last_block: str) -> list[keras.layers.Layer]:
    """Return the layers of a network from one on.

    Args:
        network: From `build`.
        first: As `edge.train.recipe.Phase.trains`.
        last_block: Of the network's body.

    Raises:
        EdgeError: There is no such layer.
    """
    if first == "all":
        return list(network.layers)
    if first == "last block" and not last_block:
        raise EdgeError(
            f"{network.name} has no last block to unfreeze",
            "choose a recipe without one, or a backbone of `edge train --list`",
        )
    name = {"head": POOLED, "last block": last_block}.get(first, first)
    names = [layer.name for layer in network.layers]
    if name not in names:
        raise EdgeError(f"the network has no layer {name}", f"its layers are {', '.join(names)}")
    return list(network.layers[names.index(name) :])


def multiply_adds(model: keras.Model) -> int:
    """Count the multiply-adds of the convolutions and dense layers for one picture."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, layers.DepthwiseConv2D):
            total += math.prod(layer.output.shape[1:]) * math.prod(layer.kernel_size)
        elif isinstance(layer, layers.Conv2D | layers.Dense):
            positions = math.prod(layer.output.shape[1:-1])
            total += positions * math.prod(layer.kernel.shape)
    return total


def summaries() -> list[dict[str, Any]]:
    """Describe every network: name, parameters, multiply-adds and input size; none is built."""
    sizes = tomllib.loads(files("edge.train").joinpath("sizes.toml").read_text("utf-8"))
    return [
        {
            "name": name,
            "about": network.about,
            **sizes[name],
            "input": f"{network.contract.width}×{network.contract.height}",
            "weights": network.weights or "none",
        }
        for name, network in NETWORKS.items()
    ]
