"""Recipes: everything that decides a training but the data, as plain values."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from edge.contract import InputContract
from edge.errors import EdgeError
from edge.train.augment import Augmentation


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained.

    Args:
        name: What `--recipe` calls it.
        about: One line for `edge train --list`.
        network: Name in `edge.train.networks.NETWORKS`.
        contract: How faces are cut.
        dropout: Rate of each dropout of the network.
        augmentation: How far faces are changed.
        epochs: Most passes over the training pictures.
        batch: Faces a step.
        learning_rate: First (and highest) step of Adam (β 0.9 and 0.999).
        schedule: "plateau" divides the rate by ten when the validation loss stops falling;
            "cosine" lets it fall to `lowest_rate` over the epochs, after a short warm-up.
        lowest_rate: Where the rate stops falling.
        patience: Epochs without a better validation loss before the rate falls ("plateau"), and
            after three times as many the training stops.
        weight_decay: Decoupled weight decay of kernels, a share of the rate.
        average: Momentum of an exponential average of the weights that is validated and saved
            in their stead; 0 keeps the weights themselves.
        normalised: Train with batch normalisation and fold it away at the end, for a network that
            has none.
        auxiliary: Weight in the loss of every other attribute of the data sets, which teach the
            features and are cut off at the end; 0 trains on the asked-for attributes alone.
    """

    name: str
    about: str
    network: str
    contract: InputContract
    dropout: float = 0.1
    augmentation: Augmentation = field(default_factory=Augmentation)
    epochs: int = 60
    batch: int = 64
    learning_rate: float = 1e-4
    schedule: Literal["plateau", "cosine"] = "plateau"
    lowest_rate: float = 1e-7
    patience: int = 3
    weight_decay: float = 0.0
    average: float = 0.0
    normalised: bool = False
    auxiliary: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain JSON values; the contract stands beside it."""
        values = asdict(self)
        del values["contract"]
        return values


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="proposed",
            about="the U-Net contraction path as its paper trains it (seed S2g)",
            network="proposed",
            contract=InputContract(width=128, height=128),
        ),
        Recipe(
            name="default",
            about="the bundled model: `proposed` at 96×96, all attributes teach, cosine schedule",
            network="proposed",
            contract=InputContract(width=96, height=96),
            # Eyes are level already, so faces need less turning than whole pictures do.
            augmentation=Augmentation(
                turn=8, shift=0.06, shear=0.05, light=0.25, colour=0.12, kernel=0.25, noise=6
            ),
            epochs=18,
            learning_rate=2e-3,
            schedule="cosine",
            lowest_rate=1e-6,
            weight_decay=0.02,
            average=0.998,
            normalised=True,
            auxiliary=0.5,
        ),
    )
}


def recipe_named(name: str) -> Recipe:
    """Return a recipe by name.

    Raises:
        EdgeError: There is no such recipe.
    """
    if name not in RECIPES:
        raise EdgeError(f"unknown recipe {name}", f"choose one of {', '.join(RECIPES)}")
    return RECIPES[name]
