"""What `edge train` shows a person: networks, recipes and how a run ended."""

from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table

from edge.train.networks import summaries
from edge.train.recipes import RECIPES


def listing() -> dict[str, Any]:
    """Return every network and recipe as plain values."""
    return {
        "networks": summaries(),
        "recipes": [
            recipe.to_json() | {"input": f"{recipe.contract.width}×{recipe.contract.height}"}
            for recipe in RECIPES.values()
        ],
    }


def list_tables(values: dict[str, Any]) -> Group:
    """Show `listing` as two tables."""
    networks = Table("network", "parameters", "multiply-adds", "input")
    for row in values["networks"]:
        networks.add_row(
            row["name"],
            f"{row['parameters']:,}",
            f"{row['multiply_adds'] / 1e6:,.1f} M",
            row["input"],
        )
    recipes = Table("recipe", "network", "input", "epochs", "about")
    for row in values["recipes"]:
        recipes.add_row(row["name"], row["network"], row["input"], str(row["epochs"]), row["about"])
    return Group(networks, recipes)


def run_table(config: dict[str, Any], folder: Path) -> Table:
    """Show how a run ended: validation accuracy of each attribute, with its interval."""
    table = Table(
        "attribute",
        "accuracy",
        "95 % interval",
        "pictures",
        title=f"{folder}: best epoch {config['best_epoch']}, {config['parameters']:,} parameters",
        title_justify="left",
        caption=f"next: edge convert {folder} --int8",
        caption_justify="left",
    )
    for name, score in config["accuracy"].items():
        if score["samples"]:
            low, high = score["ci95"]
            table.add_row(
                name, f"{score['accuracy']:.4f}", f"{low:.4f}–{high:.4f}", f"{score['samples']:,}"
            )
    return table
