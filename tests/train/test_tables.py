import io
from pathlib import Path

from rich.console import Console

from edge.train.tables import run_table

_SCORE = {"accuracy": 0.5, "ci95": [0.4, 0.6], "f1": 0.5, "labelled": 8}


def shown(config: dict, folder: str = "runs/x") -> str:
    console = Console(width=100, record=True, file=io.StringIO(), markup=False)
    console.print(run_table({"best_epoch": 1, "parameters": 9} | config, Path(folder)))
    return console.export_text()


def test_people_have_no_score_apart_from_the_pictures_that_test():
    scores = {"accuracy": {"identity": _SCORE}, "test": {"identity": _SCORE}}
    said = shown({"task": "identity"} | scores)
    assert "validation" not in said
    assert "test" in said
    assert "validation" in shown({"task": "attributes"} | scores)
