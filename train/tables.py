"""What `edge train` shows a person: networks, recipes, how a run ended, and runs side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table

from edge.train.compare import WILD, published_figures
from edge.train.recipes import RECIPES


def listing() -> dict[str, Any]:
    """Return every network and recipe as plain values."""
    from edge.train.networks import summaries  # imports Keras

    return {
        "networks": summaries(),
        "recipes": [
            recipe.to_json() | {"input": f"{recipe.contract.width}×{recipe.contract.height}"}
            for recipe in RECIPES.values()
        ],
    }


def list_tables(values: dict[str, Any]) -> Group:
    """Show `listing` as two tables."""
    networks = Table("network", "parameters", "multiply-adds", "input", "weights", "about")
    for row in values["networks"]:
        networks.add_row(
            row["name"],
            f"{row['parameters']:,}",
            f"{row['multiply_adds'] / 1e6:,.1f} M",
            row["input"],
            row["weights"],
            row["about"],
        )
    recipes = Table("recipe", "seed", "network", "input", "epochs", "about")
    for row in values["recipes"]:
        epochs = " + ".join(str(phase["epochs"]) for phase in row["phases"])
        recipes.add_row(
            row["name"], row["seed"], row["network"], row["input"], epochs, row["about"]
        )
    return Group(networks, recipes)


def run_table(config: dict[str, Any], folder: Path) -> Table:
    """Show how a run ended: accuracy of each attribute, with its interval."""
    table = Table(
        "attribute",
        "split",
        "accuracy",
        "95 % interval",
        "F1",
        "pictures",
        title=f"{folder}: best epoch {config['best_epoch']}, {config['parameters']:,} parameters",
        title_justify="left",
        caption=f"next: edge convert {folder} --int8",
        caption_justify="left",
    )
    scored = {"validation": config["accuracy"], "test": config.get("test", {})}
    if config["task"] == "identity":
        del scored["validation"]  # they are the test pictures
    for split, scores in scored.items():
        for name, score in scores.items():
            low, high = score["ci95"]
            table.add_row(
                name,
                split,
                f"{score['accuracy']:.4f}",
                f"{low:.4f}–{high:.4f}",
                f"{score['f1']:.4f}",
                f"{score['labelled']:,}",
            )
    return table


def compare_table(values: dict[str, Any]) -> Table:
    """Show the rows of `edge.train.compare` as a table; under it what was not measured, and why."""
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        caption="\n".join(
            ["* of other pictures, or of more or fewer, than here", *_absent(values["rows"])]
        ),
        caption_justify="left",
    )
    table.add_column("recipe", overflow="fold")
    for heading in ("faces", "published", "measured", "published", "GENKI-4K"):
        table.add_column(heading, justify="right")
    for row in values["rows"]:
        if row["run"]:
            table.add_row(
                "\n".join(_titles(row)),
                f"{row['faces']:,}\n{row['attribute']}",
                published_figures(row["published"], row["as_published"]),
                "\n".join(_scores(row["tested"])),
                f"{row['published'][WILD]:.3f}" if WILD in row["published"] else "",
                "\n".join(_scores(row["genki4k"])),
                end_section=True,
            )
    return table


def _titles(row: dict[str, Any]) -> list[str]:
    """Return a row's recipe, and its seed, run and network where they say something else."""
    recipe = RECIPES.get(row["recipe"])
    usual = recipe is not None and recipe.network == row["network"]
    return [
        row["recipe"],
        *([row["seed"]] if row["seed"] else []),
        *([] if row["run"] == row["recipe"] else [f"run {row['run']}"]),
        *([] if usual else [f"on {row['network']}"]),
    ]


def _scores(score: dict[str, Any] | None) -> list[str]:
    """Return accuracy, its interval and F1, a line each."""
    if not score:
        return []
    low, high = score["ci95"]
    return [f"{score['accuracy']:.3f}", f"{low:.3f}–{high:.3f}", f"F1 {score['f1']:.3f}"]


def _absent(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the recipes that were not measured, a line a reason."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if not row["run"]:
            reasons.setdefault(row["reason"], []).append(row["recipe"])
    return [f"{reason}: {', '.join(names)}" for reason, names in reasons.items()]
