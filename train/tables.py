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
    for split, scores in (("validation", config["accuracy"]), ("test", config.get("test", {}))):
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
