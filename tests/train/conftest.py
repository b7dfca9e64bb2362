"""A recipe that trains in seconds."""

from dataclasses import replace

import pytest

from edge.contract import InputContract
from edge.train.recipe import Head, Phase, Recipe
from edge.train.recipes import recipe_named


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs end without their figures, which take longer than so small a training."""
    from edge.train import finished

    monkeypatch.setattr(finished, "training_plots", lambda folder, **what: [])


@pytest.fixture(scope="session")
def tiny() -> Recipe:
    """A recipe that trains in seconds."""
    return replace(
        recipe_named("proposed"),
        network="simple-cnn",
        head=Head(layers=(128,)),
        contract=InputContract(width=32, height=32),
        phases=(Phase(epochs=3, learning_rate=2e-3),),
        batch=8,
    )
