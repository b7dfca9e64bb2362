"""What is sent to a board and answers there, one request a line, until the connection ends.

`edge.devices.reach` sends this module and the others of its name as text to the board's `python3`,
over ssh: nothing has to be installed there, and nothing stays. So all of them use the standard
library alone, and old Pythons can read them, if only to tell that they are too old.
"""

from __future__ import annotations

import json
import math
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from edge.devices.onboard_board import Board, Impatient
from edge.devices.onboard_bundle import Body, Incoming
from edge.devices.onboard_manifest import IDENTITY, NAMESPACE, SIGNERS, check_signature
from edge.devices.onboard_probe import facts, find_edge, free_mb, version
from edge.devices.onboard_service import Service, watched
from edge.devices.onboard_store import MANIFEST, SIGNATURE, RefusedError
from edge.devices.onboard_trial import distrust, install, smoke, use
from edge.devices.onboard_whole import is_ready, verify
from edge.devices.onboard_work import run, take

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
    left = board.store.trial()
    switched = left is not None and board.store.pointed("current") == left["to"]
    current = board.store.fail_trial("the flash was interrupted")
    Service(board.store).catch_up()
    board.store.clean()
    return {"current": current, "taken_back": left["to"] if left and switched else None}


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
        (sha256, size and offset of each file), whether a runtime has to be made, the room on the
        disk in MB, and the version that is current.
    """
    board.incoming = Incoming(board.store, manifest, signature)
    if no_downgrade:
        board.bundle.require_newer()
    there = board.bundle.installed()
    if not dry:
        board.bundle.clear_staging() if there is None else board.bundle.keep_signature(there)
    brings = board.bundle.words["runtime"] is not None
    return {
        "id": board.bundle.id,
        "there": there,
        "missing": [] if there else board.bundle.missing(),
        "installs": there is None and brings and board.bundle.runtime() is None,
        "free_mb": free_mb(board.store.root),
        "current": board.store.pointed("current"),
    }


def receive(board: Board, sha256: str, offset: int, size: int) -> None:
    """Take a file, or the rest of one, whose bytes follow the request."""
    with Body(board.data, size) as body:
        board.bundle.receive(sha256, offset, body)


def make(board: Board) -> str:
    """Make a version of what has arrived, with its runtime; return its name."""
    runtime = None
    if board.bundle.words["runtime"] is not None:
        runtime = install(board.store, board.bundle)
    return board.bundle.assemble(runtime)


def test(
    board: Board, name: str, max_latency_ms: float, max_memory_mb: float
) -> dict[str, Any] | None:
    """Have a version judge its golden pictures; one that fails is removed, if it does not run.

    Returns:
        How it did; None where its runtime was damaged, which from now on has to be made anew.
    """
    try:
        tested = smoke(
            board.store, name, max_latency_ms=max_latency_ms, max_memory_mb=max_memory_mb
        )
    except RefusedError as error:
        if distrust(board.store, name):
            board.store.note("damaged", runtime=board.store.runtime_of(name))
            board.store.prune()
            return None
        board.store.note("refused", to=name, why=error.message)
        board.store.prune()
        raise
    if name == board.store.pointed("current"):
        board.store.prune()
    return tested


def may_serve(board: Board) -> None:
    """Refuse where there can be no service."""
    Service(board.store).require()


def activate(
    board: Board, name: str, max_memory_mb: float, window_s: float, options: list[str] | None
) -> dict[str, Any]:
    """Switch to a version, and back again where it does not prove itself in use.

    Both happen whether or not somebody still listens.

    Args:
        board: This one.
        name: The version.
        max_memory_mb: The most memory that it may take in use.
        window_s: How long a service is watched.
        options: Of `edge run` in a service that shall run it; None for those of the service that
            is there, if one is.

    Returns:
        The version that is current, and what it did in use; None of one that ran like this before.
    """
    # Whatever happened since it was made.
    verify(board.store.version(name))
    unit = Service(board.store)
    before = board.store.served()
    service = before[1]
    if options is None and service is not None and unit.runs:
        options = service["options"]
    if options is not None:
        unit.require()
        service = {"options": watched(options), "memory_mb": max_memory_mb}
        changes = unit.plan(_start(), max_memory_mb=max_memory_mb, python=sys.executable)
        if (name, service) == before and unit.runs and not changes:
            return {"current": name, "use": None}
    used = _switch(board, unit, name, service, max_memory_mb=max_memory_mb, window_s=window_s)
    return {"current": name, "use": used}


def _switch(
    board: Board, unit: Service, name: str, service: dict[str, Any] | None, *,
    max_memory_mb: float, window_s: float,
) -> dict[str, Any]:  # fmt: skip
    """Let a version prove itself in use, as a service would run it; return how it did."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    store, ran = board.store, unit.runs
    before = store.pointed("current")
    try:
        store.begin_trial(name, service)
        board.answer(switched=name)
        unit.write()
        if service is not None and (unit.is_planned or ran):
            unit.restart()
            used = unit.prove(seconds=window_s, max_memory_mb=max_memory_mb)
        else:
            used = use(store, max_memory_mb=max_memory_mb)
        # What was damaged is nothing to go back to.
        store.pass_trial(keep=is_ready(store, before))
    except Exception as error:  # whatever it is, the version has not proven itself
        raise _taken_back(board, unit, error, ran=ran) from error
    unit.settle()
    with suppress(OSError):
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


def _start() -> str:
    """Return the program that a service runs, which is one of the modules that were sent."""
    return str(sys.modules[RefusedError.__module__].__dict__["__source__"])


def rollback(
    board: Board, max_latency_ms: float | None, max_memory_mb: float | None, window_s: float
) -> dict[str, Any]:
    """Go back to the version before, which has to prove itself like any other.

    Bounds that are None are those that it once had, or there are none.
    """
    store, unit = board.store, Service(board.store)
    before = store.pointed("previous")
    if before is None or before == store.pointed("current"):
        raise RefusedError("there is no version before this one", "flash the one that you want")
    version = store.version(before)
    verify(version)
    signature = version / SIGNATURE
    check_signature(
        store.root / SIGNERS, (version / MANIFEST).read_bytes(),
        signature.read_text() if signature.exists() else None,
    )  # fmt: skip
    # As it ran then: options of the one after may be none that it knows.
    service = store.service_of(before) or store.served()[1]
    if service is not None:
        service = {**service, "memory_mb": max_memory_mb or service["memory_mb"]}
        if unit.runs:
            unit.require()
            unit.plan(_start(), max_memory_mb=service["memory_mb"], python=sys.executable)
    most = service["memory_mb"] if service is not None else max_memory_mb or math.inf
    tested = smoke(store, before, max_latency_ms=max_latency_ms or math.inf, max_memory_mb=most)
    used = _switch(board, unit, before, service, max_memory_mb=most, window_s=window_s)
    return {"smoke": tested, "current": before, "use": used}


def status(board: Board) -> dict[str, Any]:
    """Tell what is there, without changing anything."""
    found = {}
    for link in ("current", "previous"):
        name = board.store.pointed(link)
        words = board.store.manifest(name) if name else None
        whole = is_ready(board.store, name)
        told = {key: words[key] for key in ("model", "release")} if words else {}
        found[link] = {"version": name, "whole": whole, **told} if name else None
    return {
        **found,
        "root": str(board.store.root),
        "trial": board.store.trial(),
        "service": Service(board.store).state(),
        "trusted_keys": _trusted(board),
        "journal": board.store.journal(_JOURNAL),
    }


def trust(board: Board, key: str, remove: bool) -> dict[str, Any]:
    """Let bundles come that are signed with a key, or no longer.

    From the first one on none comes that is not signed; with the last one that is over.

    Returns:
        The keys that are trusted now, and whether this one was before.
    """
    before = _trusted(board)
    after = [kept for kept in before if kept != key] + [key] * (not remove)
    if after:
        lines = [f'{IDENTITY} namespaces="{NAMESPACE}" {kept}\n' for kept in after]
        board.store.write(SIGNERS, "".join(lines).encode())
    else:
        board.store.remove(SIGNERS)
    if set(after) != set(before):
        board.store.note("distrusts" if remove else "trusts", key=key)
    return {"keys": after, "known": key in before}


def _trusted(board: Board) -> list[str]:
    """Return the keys that may sign what comes here; where there are none, anybody may."""
    try:
        lines = (board.store.root / SIGNERS).read_text().splitlines()
    except FileNotFoundError:
        return []
    return [line.split(" ", 2)[2] for line in lines if line.count(" ") >= 2]


REQUESTS: dict[str, Callable[..., Any]] = {
    one.__name__: one
    for one in (
        probe, edge_version, run, take, may_serve, begin, stage, receive, make, test, activate,
        rollback, status, trust,
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
