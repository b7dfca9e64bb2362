"""How the small benchmarks tell what they measured: JSON, and a Markdown table on demand."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.files import write_bytes


def tell(
    report: dict[str, Any], table: Callable[[dict[str, Any]], str], markdown: Path | None
) -> None:
    """Print a report as one JSON object, and write its table to a file if one is named."""
    if markdown:
        write_bytes(markdown, table(report).encode())
    json.dump(report, sys.stdout, indent=2)
    sys.stdout.write("\n")
