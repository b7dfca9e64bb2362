import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from edge.errors import EdgeError
from edge.train.compare import compare, markdown, rows_of
from edge.train.recipes import RECIPES, recipe_named
from edge.train.tables import compare_table

SCORE = {"accuracy": 0.85, "ci95": [0.84, 0.86], "f1": 0.83, "labelled": 2500}


def report(recipe: str, **changes: object) -> dict:
    """Return the report of a run that never was."""
    chosen = recipe_named(recipe)
    return {
        "schema": 2, "name": recipe, "recipe": chosen.to_json(), "task": chosen.task,
        "attributes": list(chosen.attributes), "weights_used": "none", "faces": 9_991,
        "contract": chosen.contract.to_json(),
        "data": [{"dataset": "celeba"}], "test": {"Smiling": SCORE}, "parameters": 98_000,
        "multiply_adds": 149_000_000, "seconds": 5400, "evaluations": {},
        "sizes": {"model.keras": 400_000, "simple-int8.tflite": 105_000},
    } | changes  # fmt: skip


def test_a_run_stands_beside_what_its_source_reports():
    (row,) = [row for row in rows_of([report("simple-cnn")]) if row.run]
    assert (row.recipe.seed, row.published, row.tested) == ("S0a", {"celeba": 0.8104}, SCORE)
    assert (row.int8_bytes, row.hours, row.faces) == (105_000, 1.5, 9_991)


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"subset": [10_000, 2_500, 2_500]}, "| 0.8104 |"),
        ({"subset": [64, 16, 16]}, "| 0.8104* |"),
        ({"subset": [10_000, 2_500, 2_500], "data": [{"dataset": "mtfl"}]}, "| 0.8104* |"),
        (
            {
                "subset": [10_000, 2_500, 2_500],
                "data": [{"dataset": "celeba"}, {"dataset": "mtfl"}],
            },
            "| 0.8104* |",
        ),
        ({"subset": [10_000, 2_500, 2_500], "attributes": ["Male"]}, "| Male |  |"),
    ],
)
def test_a_published_figure_of_other_pictures_is_marked_and_of_another_attribute_left_out(
    changes, shown
):
    page = markdown(rows_of([report("simple-cnn", **changes)]))
    (line,) = [line for line in page.splitlines() if "| simple-cnn |" in line]
    assert shown in line


def test_every_recipe_of_the_seeds_has_a_row_with_a_run_or_a_reason():
    rows = rows_of([report("simple-cnn")])
    seeded = [recipe.name for recipe in RECIPES.values() if recipe.seed]
    assert sorted({row.recipe.name for row in rows}) == sorted(seeded)
    assert all(bool(row.run) != bool(row.reason) for row in rows)
    reasons = {row.recipe.name: row.reason for row in rows}
    assert reasons["vgg19-bottleneck"] == "wants the published weights of vgg19"
    assert reasons["gender-cnn"] == "wants Adience"


def test_another_network_in_a_recipe_is_not_set_beside_its_figure():
    other = report("vgg19-bottleneck")
    other["recipe"] = replace(recipe_named("vgg19-bottleneck"), network="mobilenet").to_json()
    rows = [row for row in rows_of([other]) if row.recipe.name == "vgg19-bottleneck"]
    assert [(row.network, row.run, row.published) for row in rows] == [
        ("mobilenet", "vgg19-bottleneck", {}),
        ("vgg19", "", {"celeba": 0.8104}),
    ]


def test_the_runs_own_test_is_taken_before_an_evaluation_of_more_pictures():
    found = SCORE | {"accuracy": 0.9}
    evaluations = {
        "celeba-test-detect": {"attributes": {"Smiling": found}},
        "genki4k-test-detect": {"attributes": {"Smiling": SCORE}},
    }
    (row,) = [row for row in rows_of([report("proposed", evaluations=evaluations)]) if row.run]
    assert (row.tested, row.wild) == (SCORE, SCORE)
    without = report("proposed", evaluations=evaluations, test={})
    (row,) = [row for row in rows_of([without]) if row.run]
    assert row.tested == found


def test_a_run_of_a_recipe_that_is_no_more_keeps_its_row():
    old = report("simple-cnn")
    old["recipe"] = old["recipe"] | {"name": "of-old"}
    (row,) = [row for row in rows_of([old]) if row.run]
    assert (row.recipe.name, row.tested) == ("of-old", SCORE)


def test_the_table_names_runs_and_networks_whole_and_gathers_what_is_missing_by_reason():
    other = report("vgg19-bottleneck", name="mine")
    other["recipe"] = replace(recipe_named("vgg19-bottleneck"), network="mobilenet").to_json()
    rows = [row.to_json() for row in rows_of([report("simple-cnn-augmented"), other])]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(compare_table({"rows": rows}))
    lines = console.export_text().splitlines()
    words = {word for line in lines for word in line.split()}
    assert {"simple-cnn-augmented", "vgg19-bottleneck", "mine", "0.840–0.860"} <= words
    assert any("on mobilenet" in line for line in lines)
    wanting = "wants the published weights of vgg19: vgg19-joined, vgg19-bottleneck,"
    assert [line.strip() for line in lines if line.startswith(wanting[:37])] == [wanting]


def test_two_runs_of_one_name_are_refused(tmp_path: Path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.json").write_text(json.dumps(report("simple-cnn")))
    with pytest.raises(EdgeError, match="two runs are called simple-cnn"):
        compare([tmp_path / "a" / "x.json", tmp_path / "b" / "x.json"], None)


def test_the_page_says_what_was_measured_and_what_was_not():
    page = markdown(rows_of([report("simple-cnn")]))
    assert (
        "| S0a | simple-cnn | simple-cnn | celeba | 9,991 | 20 | none | Smiling | 0.8104* "
        "| 0.850 (0.840–0.860) |" in page
    )
    measured, absent = page.split("## Not measured")
    assert "vgg19" not in measured
    assert "| S0d | vgg19-bottleneck | 0.8104 |  | wants the published weights of vgg19 |" in absent


def test_the_page_can_be_written_again_from_the_reports_it_keeps(tmp_path: Path):
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps(report("simple-cnn")))
    first = compare([kept], tmp_path / "docs")
    page = (tmp_path / "docs" / "RESULTS.md").read_text()
    again = compare([tmp_path / "docs" / "results" / "simple-cnn.json"], tmp_path / "docs")
    assert again == first
    assert (tmp_path / "docs" / "RESULTS.md").read_text() == page


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"evaluations": 1}'])
def test_what_is_no_report_is_refused(tmp_path: Path, text: str):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(EdgeError, match="is no report of a run"):
        compare([tmp_path / "x.json"], None)


def test_a_recipe_of_another_version_is_refused(tmp_path: Path):
    strange = report("simple-cnn")
    strange["recipe"] |= {"name": "mine", "of_tomorrow": 1}
    (tmp_path / "x.json").write_text(json.dumps(strange))
    with pytest.raises(EdgeError, match="the recipe of simple-cnn is of another version"):
        compare([tmp_path / "x.json"], None)


def test_a_folder_without_a_run_and_no_run_at_all_are_refused(tmp_path: Path):
    with pytest.raises(EdgeError, match="is not a run folder"):
        compare([tmp_path], None)
    with pytest.raises(EdgeError, match="no runs to compare"):
        compare([], None)
