"""What the front door writes: results on stdout, everything else on stderr."""

import os
import sys
from collections.abc import Callable
from typing import Any

from edge.errors import EdgeError


def complain(error: EdgeError) -> None:
    """Write an error as two lines, whatever a file name holds."""
    print("error:", " ".join(error.message.splitlines()), file=sys.stderr)
    print("hint:", " ".join(error.hint.splitlines()), file=sys.stderr)


def forget_output() -> None:
    """Send what is left to nowhere; Python would complain once more when it closes stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_result(value: Any, table: Callable[[Any], Any], as_json: bool) -> None:
    """Print a result as JSON, or as the table made of it."""
    if as_json:
        from edge.runtime.outputs import to_json

        print(to_json(value))
    else:
        from edge.runtime.screen import show

        show(table(value))


def say(sentence: str) -> None:
    """Tell how things go."""
    print(sentence, file=sys.stderr, flush=True)


def warn(sentence: str) -> None:
    """Tell what the user should know."""
    print("warning:", " ".join(sentence.splitlines()), file=sys.stderr)
