"""Runs side by side with what their sources report: one row a recipe, measured or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.contract import InputContract
from edge.errors import EdgeError
from edge.files import write_bytes, write_json
from edge.train.recipe import Recipe
from edge.train.recipes import RECIPES
from edge.train.report import report_of

# Where the scores of a data set stand: its test pictures, through the detector.
_TESTED = "{}-test-detect"
WILD = "genki4k"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the comparison.

    Args:
        recipe: The recipe.
        network: The network that was trained, which may be another than the recipe's.
        run: Name of the run; empty where there is none.
        epochs: How many it was to train for at most, over all phases.
        attribute: The one whose scores are shown: Smiling where the run learnt it, which most of
            the seeds report, else its first.
        tested: Scores of the test pictures of the run's own data set: accuracy, ci95, f1.
        wild: The same on GENKI-4K.
        data: Names of the run's data sets, the one that tests it first.
        subset: Balanced (train, val, test) counts of the first, where not all was taken.
        faces: How many it was trained on.
        weights: What the body started from.
        parameters: Of the network.
        multiply_adds: Of one crop.
        int8_bytes: Size of the int8 file, where there is one.
        hours: Of training.
        reason: Why there is no run.
    """

    recipe: Recipe
    network: str
    run: str = ""
    epochs: int = 0
    attribute: str = ""
    tested: dict[str, Any] | None = None
    wild: dict[str, Any] | None = None
    data: tuple[str, ...] = ()
    subset: tuple[int, int, int] | None = None
    faces: int = 0
    weights: str = ""
    parameters: int = 0
    multiply_adds: int = 0
    int8_bytes: int | None = None
    hours: float = 0.0
    reason: str = ""

    @property
    def published(self) -> dict[str, float]:
        """What the source reports of this network and attribute."""
        same = self.network == self.recipe.network and (
            not self.run or self.attribute in self.recipe.attributes
        )
        return self.recipe.published if same else {}

    @property
    def as_published(self) -> bool:
        """Whether the run learnt and was tested on as many pictures of the source's data set."""
        source = len(self.data) == 1 and self.data[0] in self.published
        return source and self.subset == self.recipe.subset is not None

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain values."""
        return {
            "seed": self.recipe.seed, "recipe": self.recipe.name, "network": self.network,
            "run": self.run, "epochs": self.epochs, "attribute": self.attribute, "data": self.data,
            "subset": self.subset, "faces": self.faces, "as_published": self.as_published,
            "weights": self.weights, "protocol": self.recipe.protocol,
            "published": self.published, "tested": self.tested, "genki4k": self.wild,
            "parameters": self.parameters, "multiply_adds": self.multiply_adds,
            "int8_bytes": self.int8_bytes, "hours": self.hours, "reason": self.reason,
        }  # fmt: skip


def compare(sources: Sequence[Path], out: Path | None) -> dict[str, Any]:
    """Put runs beside what their sources report: what `edge train --compare` calls.

    Args:
        sources: Run folders, or reports of them.
        out: A folder for RESULTS.md and one report a run, `results/NAME.json`; None writes
            nothing.

    Returns:
        The rows, as plain values.

    Raises:
        EdgeError: One of them is not a finished run.
    """
    if not sources:
        raise EdgeError("no runs to compare", "name run folders: edge train --compare runs/*")
    reports = [report_of(source) for source in sources]
    names = [report["name"] for report in reports]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise EdgeError(
            f"two runs are called {', '.join(twice)}", "give their folders different names"
        )
    rows = rows_of(reports)
    if out is not None:
        for report in reports:
            write_json(out / "results" / f"{report['name']}.json", report)
        write_bytes(out / "RESULTS.md", markdown(rows).encode())
    return {"rows": [row.to_json() for row in rows]}


def rows_of(reports: Sequence[dict[str, Any]]) -> list[Row]:
    """Return the rows: recipes of the seeds in their order, measured or not, then our own."""
    order = sorted(RECIPES.values(), key=lambda recipe: recipe.seed or "T")
    rows = []
    for recipe in order:
        own = [report for report in reports if report["recipe"]["name"] == recipe.name]
        rows += [_measured(recipe, report) for report in own]
        if recipe.seed and not any(row.network == recipe.network for row in rows if
                                   row.recipe is recipe):  # fmt: skip
            rows.append(Row(recipe=recipe, network=recipe.network, reason=_reason(recipe)))
    strange = [report for report in reports if report["recipe"]["name"] not in RECIPES]
    for report in strange:
        try:
            contract = InputContract.from_json(report["contract"])
            recipe = Recipe.from_json(report["recipe"], contract)
        except (KeyError, TypeError, ValueError) as error:
            raise EdgeError(
                f"the recipe of {report['name']} is of another version of edge: {error}",
                "leave that run out, or train it again",
            ) from error
        rows.append(_measured(recipe, report))
    return rows


def _measured(recipe: Recipe, report: dict[str, Any]) -> Row:
    names = ["identity"] if report["task"] == "identity" else report["attributes"]
    attribute = "Smiling" if "Smiling" in names else names[0]
    wild = report["evaluations"].get(_TESTED.format(WILD), {}).get("attributes", {})
    data = tuple(entry["dataset"] for entry in report["data"])
    evaluated = report["evaluations"].get(_TESTED.format(data[0]), {}).get("attributes", {})
    sizes = [size for name, size in report["sizes"].items() if name.endswith("int8.tflite")]
    return Row(
        recipe=recipe,
        network=report["recipe"]["network"],
        run=report["name"],
        epochs=sum(phase["epochs"] for phase in report["recipe"]["phases"]),
        attribute=attribute,
        tested=report.get("test", {}).get(attribute) or evaluated.get(attribute),
        wild=wild.get(attribute),
        data=data,
        subset=tuple(report["subset"]) if report.get("subset") else None,
        faces=report["faces"],
        weights=report["weights_used"],
        parameters=report["parameters"],
        multiply_adds=report["multiply_adds"],
        int8_bytes=min(sizes, default=None),
        hours=round(report["seconds"] / 3600, 2),
    )


def _reason(recipe: Recipe) -> str:
    """Say why a recipe has no run, as far as the recipe itself tells."""
    if recipe.weights == "imagenet":
        return f"wants the published weights of {recipe.network}"
    if "Adience" in recipe.protocol:
        return "wants Adience"
    return "not trained"


def markdown(rows: Sequence[Row]) -> str:
    """Return the page: what was measured, and what was not and why."""
    lines = [
        "# Results of the recipes",
        "",
        "Published and measured accuracy of every recipe, side by side. Measured: on the test "
        "pictures of the run's own data set, and on GENKI-4K, which nothing was trained or "
        "calibrated on; through the detector, a picture without a face found counting as wrong; in "
        "brackets the 95 % interval (Wilson). Published figures are their sources' own: a * marks "
        "those of other pictures, or of more or fewer, than were learnt and tested on here.",
        "",
        "Written by `edge train --compare RUN… --out docs`.",
        "",
        "| seed | recipe | network | data | faces | epochs | weights | attribute | published "
        "| measured | F1 | GENKI-4K, published | GENKI-4K, measured | parameters | multiply-adds "
        "| int8 | hours |",
        "|---|---|---|---|--:|--:|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [_line(row) for row in rows if row.run]
    absent = [row for row in rows if not row.run]
    if absent:
        lines += ["", "## Not measured", ""]
        lines += ["| seed | recipe | published | GENKI-4K, published | why |",
                  "|---|---|--:|--:|---|"]  # fmt: skip
        lines += [
            f"| {row.recipe.seed} | {row.recipe.name} | {published_figures(row.published)} "
            f"| {_wild(row)} | {row.reason} |"
            for row in absent
        ]
    protocols: dict[str, list[str]] = {}
    for row in rows:
        if row.recipe.protocol:
            protocols.setdefault(row.recipe.protocol, []).extend(row.recipe.seed.split(", "))
    lines += ["", "## Protocols of the published figures", ""]
    lines += [
        f"- {', '.join(dict.fromkeys(seeds))}: {protocol}" for protocol, seeds in protocols.items()
    ]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    size = f"{row.int8_bytes / 1e3:,.0f} kB" if row.int8_bytes else ""
    cells = [
        row.recipe.seed, _named(row.recipe.name, row.run), row.network,
        ", ".join(row.data), f"{row.faces:,}", str(row.epochs), row.weights, row.attribute,
        published_figures(row.published, row.as_published), _score(row.tested),
        f"{row.tested['f1']:.3f}" if row.tested else "", _wild(row),
        _score(row.wild), f"{row.parameters:,}", f"{row.multiply_adds / 1e6:,.1f} M", size,
        f"{row.hours:.1f}",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def _named(recipe: str, run: str) -> str:
    """Return a recipe's name, and the run's where that is called otherwise."""
    return recipe if run == recipe else f"{recipe} ({run})"


def _wild(row: Row) -> str:
    """Return what was published for GENKI-4K."""
    return f"{row.published[WILD]:.3f}" if WILD in row.published else ""


def published_figures(published: dict[str, float], as_published: bool = True) -> str:
    """Return what was published, GENKI-4K left out; with its data set where that is another.

    Args:
        published: As `Recipe`.
        as_published: False marks each one: it was of other pictures.
    """
    own = {name: value for name, value in published.items() if name != WILD}
    mark = "" if as_published else "*"
    return ", ".join(
        f"{value:.4f}".rstrip("0") + mark + (f" ({name})" if "-" in name else "")
        for name, value in own.items()
    )


def _score(score: dict[str, Any] | None) -> str:
    if not score:
        return ""
    low, high = score["ci95"]
    return f"{score['accuracy']:.3f} ({low:.3f}–{high:.3f})"
