"""A recipe that trains in seconds."""

from dataclasses import replace

import pytest

from edge.contract import InputContract
from edge.train.recipe import Phase, Recipe
from edge.train.recipes import recipe_named


@pytest.fixture(scope="session")
def tiny() -> Recipe:
    """A recipe that trains in seconds."""
    return replace(
        recipe_named("proposed"),
        contract=InputContract(width=32, height=32),
        phases=(Phase(epochs=3, learning_rate=2e-3),),
        batch=8,
    )
