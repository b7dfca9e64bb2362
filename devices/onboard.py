"""What is sent to a board and answers there, one request a line, until the connection ends.

`edge.devices.reach` sends this module and the others of its name as text to the board's `python3`,
over ssh: nothing has to be installed there, and nothing stays. So all of them use the standard
library alone, and old Pythons can read them, if only to tell that they are too old.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge.devices.onboard_board import Board, Impatient
from edge.devices.onboard_bundle import (
    IDENTITY,
    NAMESPACE,
    SIGNERS,
    Incoming,
    check_signature,
)
from edge.devices.onboard_probe import facts, find_edge, version
from edge.devices.onboard_service import Service, watched
from edge.devices.onboard_store import (
    MANIFEST,
    SIGNATURE,
    RefusedError,
    Store,
)
from edge.devices.onboard_trial import install, smoke, use
from edge.devices.onboard_whole import is_runtime_whole, is_whole, verify

# Of who holds the store; a newcomer waits a little longer.
_SILENCE_S = 45
_JOURNAL = 20


def probe(board: Board) -> dict[str, Any]:
    """Tell what this machine is."""
    return facts(board.store.root)


def edge_version(board: Board) -> str | None:
    """Return the version of the edge of this machine; None where there is none that runs."""
    edge = find_edge(board.store.root)
    return None if edge is None else version(edge)


def run(board: Board, arguments: list[str]) -> dict[str, Any]:
    """Run `edge` here with some arguments, its lines sent as they come.

    Returns:
        The exit status; None where there is no edge.
    """
    edge = find_edge(board.store.root)
    if edge is None:
        return {"status": None}
    with subprocess.Popen(
        [edge, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=board.work
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            board.answer(line=line.decode(errors="replace").rstrip("\n"))
    return {"status": process.returncode}


def take(board: Board, files: list[list[Any]]) -> None:
    """Take files to work with, each a name and a size, whose bytes follow one after the other.

    They lie in the folder that `run` runs in, and are gone at the end of the conversation.
    """
    if board.work is None:
        board.store.claim()
        board.work = tempfile.mkdtemp(prefix="work-", dir=str(board.store.root))
    left = sum(size for _, size in files)
    try:
        for name, size in files:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise RefusedError(f"{name} leads outside", "send it under another name")
            path = Path(board.work) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                while size and (block := board.data.read(min(size, 1 << 16))):
                    size -= len(block)
                    left -= len(block)
                    file.write(block)
    finally:
        while left and (block := board.data.read(min(left, 1 << 16))):
            left -= len(block)


def begin(board: Board, patience_s: float) -> dict[str, Any]:
    """Take the store for this conversation, and end what an interrupted one left behind.

    From now on who asks has to go on asking: one who is silent is taken for dead, so that the
    store is free for others.

    Returns:
        The version that is current, and the one that was taken back since it never proved itself.
    """
    end = time.monotonic() + patience_s
    while (other := board.store.lock()) is not None:
        if time.monotonic() > end:
            raise RefusedError(
                f"another flash is under way there: {other['held']}", "wait for its end"
            )
        board.answer(waiting=other["held"])
        time.sleep(1)
    board.data = Impatient(board.data, _SILENCE_S)
    board.store.clean()
    left = board.store.trial()
    unit = Service(board.store)
    ran = unit.runs
    current = board.store.fail_trial("the flash was interrupted")
    # A unit may also be what is left of a first flash with one.
    if left is not None or board.store.options_of(current) is None:
        unit.follow(ran=ran)
    return {"current": current, "taken_back": left and left["to"]}


def stage(
    board: Board, manifest: str, signature: str | None, no_downgrade: bool, dry: bool
) -> dict[str, Any]:
    """Check a manifest, and say what has to be sent for it.

    Args:
        board: This one.
        manifest: Its text.
        signature: Of that; None for none.
        no_downgrade: Refuse what is older than what runs.
        dry: Change nothing.

    Returns:
        The bundle's id, the version that it is already (None where it is not), what is missing
        (sha256, size and offset of each file), and the version that is current.
    """
    board.incoming = Incoming(board.store, manifest, signature)
    if no_downgrade:
        board.bundle.require_newer()
    there = board.bundle.installed()
    if there is None and not dry:
        board.bundle.clear_staging()
    return {
        "id": board.bundle.id,
        "there": there,
        "missing": [] if there else board.bundle.missing(),
        "current": board.store.pointed("current"),
    }


def receive(board: Board, sha256: str, offset: int, size: int) -> None:
    """Take a file, or the rest of one, whose bytes follow the request."""
    board.bundle.receive(sha256, offset, size, board.data)


def make(board: Board) -> str:
    """Make a version of what has arrived, with its runtime; return its name."""
    runtime = None
    if board.bundle.words["runtime"] is not None:
        runtime = install(board.store, board.bundle.words)
    return board.bundle.assemble(runtime)


def test(board: Board, name: str, max_latency_ms: float) -> dict[str, Any]:
    """Have a version judge its golden pictures; one that fails is removed, if it does not run."""
    try:
        tested = smoke(board.store, name, max_latency_ms=max_latency_ms)
    except RefusedError as error:
        board.store.note("refused", to=name, why=error.message)
        board.store.prune()
        raise
    if name == board.store.pointed("current"):
        board.store.prune()
    return tested


def activate(
    board: Board, name: str, max_memory_mb: float, window_s: float, service: dict[str, Any] | None
) -> dict[str, Any]:
    """Switch to a version, and back again where it does not prove itself in use.

    Both happen whether or not somebody still listens.

    Args:
        board: This one.
        name: The version.
        max_memory_mb: The most memory that it may take in use.
        window_s: How long a service is watched.
        service: Options of `edge run`, and the program `start` that a service shall run; None for
            the service that is there, if one is.

    Returns:
        The version that is current, and what it did in use.
    """
    # Whatever happened since it was made.
    verify(board.store.version(name))
    store, unit = board.store, Service(board.store)
    current = store.pointed("current")
    options = store.options_of(current)
    if service is not None:
        unit.require()
        other = watched(service["options"])
        changes = unit.plan(service["start"], max_memory_mb=max_memory_mb, python=sys.executable)
        if (name, other) == (current, options) and unit.runs and not changes:
            return {"current": name, "use": None}
        options = other
    used = _switch(board, unit, name, options, max_memory_mb=max_memory_mb, window_s=window_s)
    return {"current": name, "use": used}


def _switch(
    board: Board, unit: Service, name: str, options: list[str] | None, *, max_memory_mb: float,
    window_s: float,
) -> dict[str, Any]:  # fmt: skip
    """Let a version prove itself in use, with options for its service; return how it did."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    store, ran = board.store, unit.runs
    try:
        store.begin_trial(name, options)
        board.answer(switched=name)
        unit.write()
        if options is not None and (unit.is_planned or ran):
            unit.restart()
            used = unit.prove(seconds=window_s, max_memory_mb=max_memory_mb)
        else:
            used = use(store, max_memory_mb=max_memory_mb)
    except Exception as error:  # whatever it is, the version has not proven itself
        raise _taken_back(board, unit, error, ran=ran) from error
    before = (store.trial() or {}).get("from")
    # What was damaged is nothing to go back to.
    store.pass_trial(keep=before is not None and is_whole(store.version(before)))
    unit.settle()
    store.prune()
    return used


def _taken_back(board: Board, unit: Service, error: Exception, *, ran: bool) -> RefusedError:
    """Go back from a version that failed, and say why and where to."""
    why = error.message if isinstance(error, RefusedError) else f"{type(error).__name__}: {error}"
    hint = error.hint if isinstance(error, RefusedError) else "look at the board's disk and log"
    on_trial = board.store.trial() is not None
    try:
        current = board.store.fail_trial(why)
    finally:
        unit.follow(ran=ran)
    with suppress(OSError):
        board.store.prune()
    back = f"; it is back at {current}" if current else "; nothing ran there before"
    return RefusedError(why + (back if on_trial else ""), hint)


def rollback(
    board: Board, max_latency_ms: float, max_memory_mb: float, window_s: float
) -> dict[str, Any]:
    """Go back to the version before, which has to prove itself like any other."""
    before = board.store.pointed("previous")
    if before is None or before == board.store.pointed("current"):
        raise RefusedError("there is no version before this one", "flash the one that you want")
    version = board.store.version(before)
    verify(version)
    signature = version / SIGNATURE
    check_signature(
        board.store.root / SIGNERS, (version / MANIFEST).read_bytes(),
        signature.read_text() if signature.exists() else None,
    )  # fmt: skip
    tested = smoke(board.store, before, max_latency_ms=max_latency_ms)
    # Its own options: those of the one after may be none that it knows.
    current = board.store.pointed("current")
    options = board.store.options_of(before) or board.store.options_of(current)
    used = _switch(
        board, Service(board.store), before, options, max_memory_mb=max_memory_mb, window_s=window_s
    )
    return {"smoke": tested, "current": before, "use": used}


def status(board: Board) -> dict[str, Any]:
    """Tell what is there, without changing anything."""
    found = {}
    for link in ("current", "previous"):
        name = board.store.pointed(link)
        words = board.store.manifest(name) if name else None
        whole = name is not None and _is_whole(board.store, link)
        told = {key: words[key] for key in ("model", "release")} if words else {}
        found[link] = {"version": name, "whole": whole, **told} if name else None
    return {
        **found,
        "root": str(board.store.root),
        "trial": board.store.trial(),
        "service": Service(board.store).state(),
        "signed_only": (board.store.root / SIGNERS).exists(),
        "journal": board.store.journal(_JOURNAL),
    }


def _is_whole(store: Store, link: str) -> bool:
    """Tell whether a version is complete, and what it runs in."""
    runtime = store.runtime_of(link)
    whole = runtime is None or is_runtime_whole(store.runtimes / runtime)
    return whole and is_whole(store.root / link) and (store.root / link / "runtime").exists()


def trust(board: Board, key: str) -> None:
    """Let bundles come that are signed with a key, and from now on none that is not signed."""
    line = f'{IDENTITY} namespaces="{NAMESPACE}" {key}'
    path = board.store.root / SIGNERS
    kept = path.read_text().splitlines() if path.exists() else []
    if line not in kept:
        board.store.write(SIGNERS, "\n".join([*kept, line, ""]).encode())
        board.store.note("trusts", key=key)


REQUESTS: dict[str, Callable[..., Any]] = {
    one.__name__: one
    for one in (
        probe, edge_version, run, take, begin, stage, receive, make, test, activate, rollback,
        status, trust,
    )
}  # fmt: skip


def serve() -> None:
    """Answer requests until there are no more; each is one line of JSON, and so is each answer."""
    data, out = sys.stdin.buffer, sys.stdout.buffer
    hello = json.loads(data.readline())
    board = Board(hello["root"], data, out)
    board.answer(ready=hello["token"])
    try:
        while line := board.data.readline():
            _answer(board, json.loads(line))
    except EOFError:
        return
    finally:
        if board.work is not None:
            shutil.rmtree(board.work, ignore_errors=True)


def _answer(board: Board, request: dict[str, Any]) -> None:
    try:
        done = REQUESTS[request.pop("do")](board, **request)
    except RefusedError as error:
        board.answer(error=error.message, hint=error.hint)
    except OSError as error:
        place = error.filename or board.store.root
        board.answer(
            error=f"{place}: {error.strerror or error}",
            hint="look at its disk, and at who may write there",
        )
    except EOFError:
        raise
    except Exception as error:  # a bug is told of, and its traceback goes to stderr
        traceback.print_exc()
        board.answer(error=f"{type(error).__name__}: {error}", hint="this is a bug: report it")
    else:
        board.answer(done=done)
