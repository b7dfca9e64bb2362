"""Every recipe and every network, two steps on real pictures and then to int8."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge.convert.convert import convert
from edge.train import networks
from edge.train.job import Job
from edge.train.recipes import RECIPES, recipe_named
from edge.train.run import train
from edge.train.words import make_job

pytestmark = [pytest.mark.data, pytest.mark.usefixtures("without_figures")]

# Large enough for each backbone to have a place left at its end.
_SIDE = 96
_WEIGHTS = {
    "mobilenet": "mobilenet_1_0_224_tf_no_top.h5",
    "mobilenet-v2-0.35": "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_no_top.h5",
}

_WITHOUT_A_RECIPE = sorted(set(networks.NETWORKS) - {recipe.network for recipe in RECIPES.values()})


def two_steps(job: Job, side: int) -> Job:
    """Return a job of two batches of eight in each phase, on smaller crops."""
    recipe = job.recipe
    phases = tuple(replace(phase, epochs=1) for phase in recipe.phases)
    contract = replace(recipe.contract, width=side, height=side)
    return replace(job, recipe=replace(recipe, phases=phases, contract=contract, batch=8, people=4))


def drive(job: Job, folder: Path) -> dict:
    """Train and convert; return the config of the run."""
    config = train(job, folder, resume=False, report=lambda line: None)
    assert len(config["thresholds"]) == len(config["attributes"])
    assert {entry["phase"] for entry in history(folder)} == {
        phase.name for phase in job.recipe.phases
    }
    report = convert(folder, ["int8"], calibration=8, force=True)
    assert Path(report["variants"][0]["file"]).stat().st_size > 10_000
    return config


def history(folder: Path) -> list[dict]:
    return json.loads((folder / "history.json").read_text())


@pytest.fixture
def make(data_dir):
    """Return a function that makes a job on a few CelebA pictures."""

    def job(network: str | None, recipe: str, *, weights: str = "none", teachers=()) -> Job:
        identity = recipe_named(recipe).task == "identity"
        return make_job(
            network, recipe, data=[data_dir / "celeba"], kinds=[],
            attributes=None if identity else "Smiling", subset="all" if identity else "16,8,8",
            epochs=None, batch=None, people=None, class_weights=False,
            weights=weights, teachers=teachers, seed=0,
            deterministic=False,
        )  # fmt: skip

    return job


# One recipe of each kind, on the smallest backbone whose weights are at hand; what takes longest
# to start is left to the slow tests below.
@pytest.mark.parametrize(
    ("recipe", "network"),
    [
        pytest.param("vgg19-fine-tuned", "mobilenet-v2-0.35", marks=pytest.mark.slow),
        ("default", None),
        pytest.param("simple-cnn-augmented", None, marks=pytest.mark.slow),
        pytest.param("vgg19-joined", "mobilenet-v2-0.35", marks=pytest.mark.slow),
        pytest.param("vgg16-features", "mobilenet-v2-0.35", marks=pytest.mark.slow),
        pytest.param("mobilenet-v2-0.35", None, marks=pytest.mark.slow),
    ],
)
def test_every_kind_of_recipe_trains_and_converts(make, tmp_path, data_dir, recipe, network):
    name = network or recipe_named(recipe).network
    weights = str(data_dir / "weights" / _WEIGHTS[name]) if name in _WEIGHTS else "none"
    config = drive(two_steps(make(network, recipe, weights=weights), 64), tmp_path / "run")
    assert config["weights_used"].startswith(Path(weights).name)
    assert config["test"]["Smiling"]["labelled"] == 8
    if recipe_named(recipe).threshold == "validation":
        assert config["thresholds"] != [0.5]


def test_a_cut_body_is_stored_and_then_unfrozen_from_a_named_layer(make, tmp_path, data_dir):
    job = make("mobilenet-v2-0.35", "vgg19-fine-tuned",
               weights=str(data_dir / "weights" / _WEIGHTS["mobilenet-v2-0.35"]))  # fmt: skip
    stored, unfrozen = job.recipe.phases
    phases = (stored, replace(unfrozen, trains="block_2_expand"))
    cut = replace(job, recipe=replace(job.recipe, cut="block_2_add", phases=phases))
    config = drive(two_steps(cut, 64), tmp_path / "run")
    assert config["weights_used"].startswith(_WEIGHTS["mobilenet-v2-0.35"])
    assert config["test"]["Smiling"]["labelled"] == 8


@pytest.mark.parametrize(
    "recipe",
    [
        "celeb-cnn-two-step",
        pytest.param("celeb-cnn", marks=pytest.mark.slow),
        pytest.param("celeb-cnn-cosine", marks=pytest.mark.slow),
    ],
)
def test_every_kind_of_recipe_for_people_trains_and_converts(make, tmp_path, data_dir, recipe):
    teacher = str(data_dir / "weights" / _WEIGHTS["mobilenet"])
    teachers = [teacher] if recipe_named(recipe).teacher else []
    config = drive(two_steps(make(None, recipe, teachers=teachers), 48), tmp_path / "run")
    assert len(config["attributes"]) == 4
    assert config["test"]["identity"]["labelled"] == 4


@pytest.mark.slow
def test_any_run_teaches_any_network(make, tmp_path):
    teachers = [str(tmp_path / "teacher"), str(tmp_path / "another")]
    drive(two_steps(make(None, "default"), 32), tmp_path / "teacher")
    drive(two_steps(make("simple-cnn", "default"), 48), tmp_path / "another")
    taught = make("simple-cnn", "default-taught", teachers=teachers)
    config = drive(two_steps(taught, 48), tmp_path / "run")
    assert config["teachers"] == [str(Path(teacher).resolve()) for teacher in teachers]
    assert config["teachers_used"][0].startswith("teacher/model.keras sha256 ")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("network", _WITHOUT_A_RECIPE)
def test_every_other_network_trains_and_converts(make, tmp_path, network):
    drive(two_steps(make(network, "simple-cnn"), _SIDE), tmp_path / "run")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_trains_and_converts(make, tmp_path, data_dir, recipe):
    chosen = recipe_named(recipe)
    teachers = [str(data_dir / "weights" / _WEIGHTS["mobilenet"])] if chosen.teacher else []
    if any(phase.goal == "answers" for phase in chosen.phases):
        teachers = [str(tmp_path / "teacher")]
        drive(two_steps(make(None, "default"), _SIDE), tmp_path / "teacher")
    drive(two_steps(make(None, recipe, teachers=teachers), _SIDE), tmp_path / "run")
