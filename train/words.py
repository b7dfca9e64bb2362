"""The words of a command line, made into a job."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edge.datasets import spellings
from edge.errors import EdgeError
from edge.train.job import Job, require_teachers
from edge.train.recipe import WORDS, Recipe
from edge.train.recipes import RECIPES, recipe_named


def make_job(
    network: str | None,
    recipe: str | None,
    *,
    data: Sequence[Path],
    kinds: Sequence[str],
    attributes: str | None,
    subset: str | None,
    epochs: int | None,
    batch: int | None,
    people: int | None,
    class_weights: bool,
    weights: str | None,
    teachers: Sequence[str],
    seed: int,
    deterministic: bool,
) -> Job:
    """Make a job of the words of a command line.

    Args:
        network: Name of a network; None takes the recipe's.
        recipe: Name of a recipe; None takes the one named like the network, else that of a
            transferred network where it has published weights, else "default".
        data: Folder of each data set.
        kinds: Kind of each data set, in the same order; those left out are recognised.
        attributes: Names, separated by commas, or "all"; None takes the recipe's.
        subset: "TRAIN,VAL,TEST" or "all"; None takes the recipe's.
        epochs: In place of the recipe's, of each phase.
        batch: In place of the recipe's.
        people: In place of the recipe's.
        class_weights: True weighs yes and no alike, whatever the recipe says.
        weights: In place of the recipe's.
        teachers: As `Job`; none takes the published weights of the recipe's teacher.
        seed: As `Job`.
        deterministic: As `Job`.

    Raises:
        EdgeError: A word says nothing that exists, or nothing to this recipe.
    """
    chosen = _changed(
        _chosen(network, recipe),
        epochs=epochs,
        batch=batch,
        people=people,
        class_weights=class_weights,
    )
    _require_meaning(chosen, attributes, subset, people, class_weights)
    require_teachers(chosen, teachers)
    names = chosen.attributes
    if attributes is not None:
        names = tuple(name.strip() for name in attributes.split(",") if name.strip())
    if chosen.task == "identity":
        names = chosen.attributes
    if not names:
        raise EdgeError("no attributes to learn", "name some, such as --attributes Smiling,Male")
    meanings = [spellings(name) for name in names]
    if twice := [name for at, name in enumerate(names) if meanings[at] in meanings[:at]]:
        raise EdgeError(f"{', '.join(twice)} is asked for twice", "name each attribute once")
    return Job(
        recipe=chosen,
        data=_data(data, kinds),
        attributes=names,
        subset=chosen.subset if subset is None else _counts(subset),
        seed=seed,
        deterministic=deterministic,
        weights=_source(weights or chosen.weights),
        teachers=tuple(map(_source, teachers or (["imagenet"] if chosen.teacher else []))),
    )


def _require_meaning(
    recipe: Recipe,
    attributes: str | None,
    subset: str | None,
    people: int | None,
    class_weights: bool,
) -> None:
    """Refuse words that would change nothing."""
    learns, given = "attributes", {"--people": people is not None}
    if recipe.task == "identity":
        learns, given = (
            "people",
            {
                "--attributes": attributes is not None,
                "--class-weights": class_weights,
                "--subset": subset not in (None, "all"),
            },
        )
    for word in (word for word, is_given in given.items() if is_given):
        raise EdgeError(
            f"{word} means nothing to recipe {recipe.name}, which learns {learns}",
            f"leave {word} out, or choose another --recipe",
        )


def _changed(
    recipe: Recipe,
    *,
    epochs: int | None,
    batch: int | None,
    people: int | None,
    class_weights: bool,
) -> Recipe:
    """Return a recipe with what the command line says in its place."""
    phases = recipe.phases
    if epochs is not None:
        phases = tuple(replace(phase, epochs=epochs) for phase in phases)
    return replace(
        recipe,
        phases=phases,
        batch=batch or recipe.batch,
        people=people or recipe.people,
        class_weights=class_weights or recipe.class_weights,
    )


def _source(word: str) -> str:
    """Return a word as it is, and a path so that it is found from any folder."""
    known = word in WORDS or not Path(word).exists()
    return word if known else str(Path(word).resolve())


def _data(folders: Sequence[Path], kinds: Sequence[str]) -> tuple[tuple[Path, str], ...]:
    """Return each folder with its kind."""
    if not folders:
        raise EdgeError("no pictures to train on", "add --data DIR")
    if len(kinds) > len(folders):
        raise EdgeError(
            f"{len(kinds)} --dataset for {len(folders)} --data", "give each --data one --dataset"
        )
    return tuple(zip(folders, [*kinds, *["auto"] * len(folders)], strict=False))


def _chosen(network: str | None, recipe: str | None) -> Recipe:
    """Return the recipe that a network and a recipe name together."""
    if network is None or (network in RECIPES and recipe in (None, network)):
        return recipe_named(recipe or network or "default")
    from edge.train.networks import network_named  # imports Keras

    known = network_named(network)
    chosen = recipe_named(recipe or ("mobilenet" if known.weights else "default"))
    if network == chosen.network:
        return chosen
    contract = replace(chosen.contract, colour=known.contract.colour)
    return replace(chosen, network=network, contract=contract)


def _counts(subset: str) -> tuple[int, int, int] | None:
    if subset == "all":
        return None
    try:
        train_count, val_count, test_count = (int(part) for part in subset.split(","))
    except ValueError as error:
        raise EdgeError(
            f"subset is {subset}, expected three counts", "write --subset 10000,2500,2500, or all"
        ) from error
    return train_count, val_count, test_count
