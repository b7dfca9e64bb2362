"""The config.json of a run, and what the processor at hand trains in: read without Keras."""

import json
from pathlib import Path
from typing import Any

from edge.errors import EdgeError

# 1: recipe, contract, attributes, thresholds, data, subset, seed, deterministic, policy,
#    versions, accuracy.
# 2: recipes have phases; task, weights, teachers, test, seconds.
SCHEMA = 2
CONFIG = "config.json"


def read_config(folder: Path) -> dict[str, Any]:
    """Read the config.json of a run folder.

    Raises:
        EdgeError: There is none, it is damaged, or it is of a newer version.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text())
        schema = int(config["schema"])
    except FileNotFoundError as error:
        raise EdgeError(
            f"{folder} is not a run folder: it has no {CONFIG}",
            "name a folder that `edge train` wrote",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EdgeError(f"{path} cannot be read: {error}", "train again") from error
    if schema > SCHEMA:
        raise EdgeError(
            f"{path} is of schema {schema}, this edge reads up to {SCHEMA}",
            "pip install --upgrade edge-tflite",
        )
    if schema < 2:
        raise EdgeError(
            f"{path} is of schema {schema}, of an edge that trained in one phase",
            "train again, or convert with that version",
        )
    return dict(config)


def fastest_policy() -> str:
    """Return "mixed_bfloat16" where the processor multiplies bfloat16 itself, else "float32"."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "float32"
    return "mixed_bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"
