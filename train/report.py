"""What is told of a finished run: small, without paths, fit to be kept with a project."""

import json
from pathlib import Path
from typing import Any

from edge.errors import EdgeError
from edge.train.config import read_config

_EVALUATIONS = "evaluations"
# Folders mean nothing elsewhere.
_LEFT_OUT = ("root",)
_NEEDED = ("task", "attributes", "faces", "weights_used", "parameters", "multiply_adds", "seconds")


def report_of(source: Path) -> dict[str, Any]:
    """Return the report of a run folder, or read one that was kept.

    Args:
        source: A run folder of `edge train`, or a report as JSON.

    Returns:
        The run's config, with the results of `edge evaluate` under "evaluations" (by data set,
        split and crop) and the sizes of its files in bytes under "sizes".

    Raises:
        EdgeError: It is neither, or the run is unfinished.
    """
    if source.is_file():
        return _kept(source)
    config = read_config(source)
    if not (source / "model.keras").is_file():
        raise EdgeError(
            f"{source} holds no model.keras: its training has not finished",
            f"finish it: `edge train --resume --out {source}`",
        )
    config["data"] = [
        {key: value for key, value in entry.items() if key not in _LEFT_OUT}
        for entry in config["data"]
    ]
    missing = [name for name in _NEEDED if name not in config]
    if missing:
        raise EdgeError(
            f"the config.json of {source} lacks {', '.join(missing)}",
            f"finish the run: `edge train --resume --out {source}`",
        )
    config |= {"weights": config["weights_used"], "teachers": config.get("teachers_used", [])}
    evaluations = sorted((source / _EVALUATIONS).glob("*.json"))
    config["evaluations"] = {path.stem: _evaluation(path) for path in evaluations}
    files = [source / "model.keras", *sorted(source.glob("*.tflite"))]
    config["sizes"] = {file.name: file.stat().st_size for file in files}
    return config


def _evaluation(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise EdgeError(
            f"{file} cannot be read: {error}", "remove it and evaluate again"
        ) from error


def _kept(file: Path) -> dict[str, Any]:
    try:
        report = json.loads(file.read_text())
        for name in (*_NEEDED, "evaluations", "sizes", "recipe", "contract", "name", "data"):
            report[name]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EdgeError(
            f"{file} is no report of a run: {error}", "name run folders, or reports of them"
        ) from error
    return dict(report)
