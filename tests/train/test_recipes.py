import re
from pathlib import Path

import pytest

from edge.errors import EdgeError
from edge.train import networks
from edge.train.recipe import Head, Phase, Recipe
from edge.train.recipes import RECIPES, recipe_named

SEEDS = [
    "S0a", "S0b", "S0c", "S0d", "S0e", "S0f", "S0g", "S1", "S2a", "S2b", "S2c", "S2d", "S2e",
    "S2f", "S2g", "S2h", "S2i", "S2j", "S3a", "S3b", "S3c", "S4a", "S4b", "S4c", "S4d",
]  # fmt: skip


def test_every_row_of_the_seeds_has_a_recipe():
    named = {row for recipe in RECIPES.values() for row in recipe.seed.split(", ") if row}
    assert named == set(SEEDS)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_a_recipe_is_data_that_can_be_read_back(recipe):
    assert Recipe.from_json(recipe.to_json(), recipe.contract) == recipe


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_a_recipe_names_what_there_is(recipe):
    network = networks.network_named(recipe.network)
    assert recipe.contract.colour == network.contract.colour
    assert recipe.weights == "none" or network.weights == recipe.weights
    if any(phase.trains == "last block" for phase in recipe.phases):
        assert network.last_block


def test_published_figures_stand_with_their_protocol():
    for recipe in RECIPES.values():
        assert bool(recipe.published) <= bool(recipe.protocol), recipe.name
        assert all(0 < value < 1 for value in recipe.published.values())


def test_an_unknown_recipe_names_those_there_are():
    with pytest.raises(EdgeError, match="unknown recipe none") as caught:
        recipe_named("none")
    assert "proposed" in caught.value.hint


def test_features_are_stored_for_a_head_alone():
    with pytest.raises(EdgeError, match="stores features but trains all"):
        Phase(stored=True)


@pytest.mark.parametrize("layers", [(0,), (-3,), (1.5,)])
def test_a_layer_of_a_head_is_a_width_or_a_rate(layers):
    with pytest.raises(EdgeError, match="layer of a head"):
        Head(layers=layers)


def test_the_figures_of_table_a_are_those_of_the_seeds():
    seeds = Path(__file__).resolve().parents[3] / "shared" / "SEEDS.md"
    if not seeds.is_file():
        pytest.skip(f"no {seeds.name} at {seeds.parent}")
    rows = re.findall(r"^\| \**([\w ()]+?)\** \| \**(0\.\d+)\** \| \**(0\.\d+)\** \|$",
                      seeds.read_text(), re.M)  # fmt: skip
    table = {(float(genki), float(celeba)) for _, genki, celeba in rows}
    ours = {
        (recipe.published["genki4k"], recipe.published["celeba"])
        for recipe in RECIPES.values()
        if "genki4k" in recipe.published
    }
    assert table <= ours
    assert len(table) == 7
