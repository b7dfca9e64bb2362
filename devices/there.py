"""What is measured on a board and brought back: `edge bench --host` and `edge evaluate --host`."""

import io
import json
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from edge.devices.reach import Session, bringing_edge
from edge.errors import EdgeError
from edge.modelfile import read_model, resolve_model
from edge.picked import pick
from edge.progress import progress
from edge.runtime.evaluate import pictures_for

Say = Callable[[str], None]

# Files that are sent before an answer is waited for.
_AT_ONCE = 64
_MODEL = "model.tflite"
_DATA = "data"


def evaluate_there(
    model: str, data: Path, *, kind: str, split: str, options: Sequence[str], host: str,
    config: Path | None, say: Say,
) -> dict[str, Any]:  # fmt: skip
    """Measure a classifier on labelled pictures, on a board: the same code with the same pictures.

    Args:
        model: Name of a bundled model, or the path of a model file.
        data: The folder of the pictures, here.
        kind: As `edge.runtime.evaluate.evaluate_subject`.
        split: Likewise.
        options: Of `edge evaluate` there: --crop, --detector, --runtime, --threads.
        host: As ssh takes it.
        config: An ssh configuration in place of the user's own.
        say: Told what is said there meanwhile.

    Returns:
        What `edge evaluate --json` writes there.

    Raises:
        EdgeError: The model, the data or the board cannot be used.
    """
    path = resolve_model(model)
    card = read_model(path).card
    pictures = pictures_for(card.task, card.attributes, data, kind).only(split)
    with Session(host, config=config, hear_errors=say) as session:
        _require_edge(session)
        _send(session, [(_MODEL, path.read_bytes())], 1)
        named = ((f"{_DATA}/{name}", content) for name, content in pick(pictures))
        _send(session, named, len(pictures.samples) + 1)
        words = ["evaluate", _MODEL, "--data", _DATA, "--split", split, *options, "--json"]
        result: dict[str, Any] = _run(session, words)
    return result


def bench_there(
    arguments: Sequence[str], models: str | None, *, host: str, config: Path | None, say: Say
) -> dict[str, Any]:
    """Run `edge bench` on a board.

    Args:
        arguments: Of `edge bench` there, but for its models.
        models: As `--model`: names, and paths of files here.
        host: As ssh takes it.
        config: An ssh configuration in place of the user's own.
        say: Told what is said there meanwhile.

    Returns:
        The document that it writes there.

    Raises:
        EdgeError: A model or the board cannot be used, or nothing could be measured there.
    """
    with Session(host, config=config, hear_errors=say) as session:
        _require_edge(session)
        names = []
        for name in (models or "").split(",") if models else []:
            path = Path(name.strip())
            if path.is_dir():
                raise EdgeError(f"{path} is a folder", "name a .tflite file of it")
            if path.is_file():
                _send(session, [(path.name, path.read_bytes())], 1)
                names.append(path.name)
            else:
                names.append(name.strip())
        chosen = ["--model", ",".join(names)] if names else []
        document: dict[str, Any] = _run(session, ["bench", *arguments, *chosen, "--json"])
    return document


def _require_edge(session: Session) -> None:
    if session.ask("probe")["edge"] is None:
        raise EdgeError(f"{session.host} has no edge", bringing_edge(session.host, session.config))


def _send(session: Session, files: Iterable[tuple[str, bytes]], count: int) -> None:
    """Send files to work with; they are gone there once the conversation ends."""
    waiting = iter(files)
    with progress(f"sending to {session.host}", count, "files") as advance:
        while batch := list(islice(waiting, _AT_ONCE)):
            listed = [[name, len(content)] for name, content in batch]
            body = io.BytesIO(b"".join(content for _, content in batch))
            session.ask("take", files=listed, body=body)
            advance(len(batch))


def _run(session: Session, arguments: Sequence[str]) -> Any:
    """Run edge there, and return the JSON that it writes."""
    lines: list[str] = []
    done = session.ask(
        "run", arguments=list(arguments), hear=lambda said: lines.append(said["line"])
    )
    if done["status"] != 0:
        error, hint = session.last_error()
        # What edge is flashed into has no pip.
        hint = f"there, not here: {hint}" if "pip install" in hint else hint
        raise EdgeError(f"{session.host}: {error}", hint)
    try:
        return json.loads("\n".join(lines))
    except ValueError as error:
        raise EdgeError(
            f"{session.host}: its edge speaks another language",
            bringing_edge(session.host, session.config),
        ) from error
