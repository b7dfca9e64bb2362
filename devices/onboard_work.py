"""Work that a board's own edge is given: files to work with, and what it says of them.

Sent to a board as text, so the standard library alone.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from edge.devices.onboard_board import Board
from edge.devices.onboard_bundle import Body
from edge.devices.onboard_probe import find_edge
from edge.devices.onboard_store import RefusedError


def run(board: Board, arguments: list[str]) -> dict[str, Any]:
    """Run `edge` here with some arguments, its lines sent as they come, while somebody listens.

    Returns:
        The exit status; None where there is no edge.
    """
    edge = find_edge(board.store.root)
    if edge is None:
        return {"status": None}
    with subprocess.Popen(
        [edge, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=board.work
    ) as process:
        threading.Thread(target=_end_with_asker, args=(board, process), daemon=True).start()
        assert process.stdout is not None
        for line in process.stdout:
            board.answer(line=line.decode(errors="replace").rstrip("\n"))
    return {"status": process.returncode}


def _end_with_asker(board: Board, process: subprocess.Popen[bytes]) -> None:
    """End a program once nobody waits for what it says."""
    while process.poll() is None:
        if board.has_lost_asker(wait_s=1):
            process.kill()
            return


def take(board: Board, files: list[list[Any]]) -> None:
    """Take files to work with, each a name and a size, whose bytes follow one after the other.

    They lie in the folder that `run` runs in, and are gone at the end of the conversation.
    """
    with Body(board.data, sum(size for _, size in files)) as body:
        if board.work is None:
            board.store.claim()
            prefix = f"work-{os.getpid()}-"
            board.work = Path(tempfile.mkdtemp(prefix=prefix, dir=str(board.store.root)))
        for name, size in files:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise RefusedError(f"{name} leads outside", "send it under another name")
            path = board.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                body.write(file, size)
