"""How the small benchmarks tell what they measured: JSON, and a Markdown table on demand."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.files import write_bytes


def run(
    about: str | None,
    measure: Callable[[], dict[str, Any]],
    table: Callable[[dict[str, Any]], str],
) -> None:
    """Be the command of a benchmark that has nothing to choose: parse, measure, tell."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0] if about else None)
    parser.add_argument("--markdown", type=Path)
    markdown = parser.parse_args().markdown
    tell(measure(), table, markdown)


def tell(
    report: dict[str, Any], table: Callable[[dict[str, Any]], str], markdown: Path | None
) -> None:
    """Print a report as one JSON object, and write its table to a file if one is named."""
    if markdown:
        write_bytes(markdown, table(report).encode())
    json.dump(report, sys.stdout, indent=2)
    sys.stdout.write("\n")
