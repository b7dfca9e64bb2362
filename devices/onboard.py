"""What is sent to a board and answers there, one request a line, until the connection ends.

`edge.devices.reach` sends this module and the others of its name as text to the board's `python3`,
over ssh: nothing has to be installed there, and nothing stays. So all of them use the standard
library alone, in words that Python 3.7 knows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from edge.devices.onboard_probe import facts, find_edge

_DEFAULT_ROOT = "~/.local/share/edge"


class Board:
    """The machine that this runs on, and the line to who asks.

    Args:
        root: The folder that edge keeps; "" for `EDGE_DEVICE_ROOT`, or the default.
        data: Requests, and the bytes of files.
        out: Where answers go.
    """

    def __init__(self, root: str, data: BinaryIO, out: BinaryIO) -> None:
        chosen = root or os.environ.get("EDGE_DEVICE_ROOT") or _DEFAULT_ROOT
        self.root = Path(chosen).expanduser().absolute()
        self.data = data
        self._out = out

    def answer(self, **words: Any) -> None:
        """Write one line; who has gone hears no more, and what is begun is brought to its end."""
        with suppress(OSError):
            self._out.write(json.dumps(words).encode() + b"\n")
            self._out.flush()


def probe(board: Board) -> dict[str, Any]:
    """Tell what this machine is."""
    return facts(board.root)


def run(board: Board, arguments: list[str]) -> dict[str, Any]:
    """Run `edge` here with some arguments, its lines sent as they come.

    Returns:
        The exit status; None where there is no edge.
    """
    edge = find_edge(board.root)
    if edge is None:
        return {"status": None}
    command = [edge, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        if "--json" not in arguments else None, text=True, errors="replace",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            board.answer(line=line.rstrip("\n"))
    return {"status": process.returncode}


REQUESTS: dict[str, Callable[..., Any]] = {"probe": probe, "run": run}


def serve() -> None:
    """Answer requests until there are no more; each is one line of JSON, and so is each answer."""
    data, out = sys.stdin.buffer, sys.stdout.buffer
    hello = json.loads(data.readline())
    board = Board(hello["root"], data, out)
    board.answer(ready=hello["token"])
    for line in data:
        request = json.loads(line)
        try:
            done = REQUESTS[request.pop("do")](board, **request)
        except OSError as error:
            board.answer(error=f"{error.filename or board.root}: {error.strerror or error}")
        else:
            board.answer(done=done)
