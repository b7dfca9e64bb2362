"""Flashing: a model and all that it needs onto a board, which is never left broken."""

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.devices.bundle import Bundle, make_bundle, public_key, read_bundle
from edge.devices.onboard_store import MANIFEST
from edge.devices.preflight import preflight
from edge.devices.reach import Session, UnreachableError
from edge.devices.wheels import runtime_for
from edge.errors import EdgeError
from edge.modelfile import bundled_models
from edge.progress import progress, waiting

Say = Callable[[str], None]

# How many times its wheels an environment takes; 3.0 on x86-64, 3.1 on arm64.
_INSTALLED = 3.3
_SPARE_MB = 50
_MOST_LATENCY_MS = 1000.0
_MOST_MEMORY_MB = 500.0


@dataclass(frozen=True, kw_only=True)
class FlashOptions:
    """How a board is flashed.

    Args:
        with_runtime: Bring edge and its wheels as well.
        key: An ssh key to sign the bundle with.
        no_downgrade: Refuse to replace a newer version.
        dry_run: Change nothing, only say what would be done.
        max_latency_ms: The most that half of the golden pictures may take there; None for a
            second, or for no bound when going back.
        max_memory_mb: The most memory that a run may take there; None for 500 MB, or, when going
            back, for what the version was allowed before.
        service: Options of `edge run` for a service of systemd; None for none, or the one there.
        window_s: How long a service is watched before it is good.
        patience_s: How long to wait for another flash to end.
        config: An ssh configuration in place of the user's own.
    """

    with_runtime: bool = False
    key: Path | None = None
    no_downgrade: bool = False
    dry_run: bool = False
    max_latency_ms: float | None = None
    max_memory_mb: float | None = None
    service: tuple[str, ...] | None = None
    window_s: float = 15.0
    patience_s: float = 60.0
    config: Path | None = None


def flash(model: str, host: str, options: FlashOptions, *, say: Say) -> dict[str, Any]:
    """Put a model on a board: sent, verified, tried there, switched to, and back if it fails.

    Args:
        model: Name of a bundled model, a path, or the folder of a bundle.
        host: As ssh takes it.
        options: How.
        say: Told of each step.

    Returns:
        What was done: version, whether anything changed, bytes sent, what was measured there.

    Raises:
        EdgeError: The board or the bundle is refused, or it failed there and was taken back.
    """
    begun = time.monotonic()
    with Session(host, config=options.config) as session:
        facts = session.ask("probe")
        # What a flash that was cut off left behind is cleaned up first, and makes room.
        _require(facts, host, needs_mb=0)
        if options.service is not None:
            session.ask("may_serve")
        bundle = _bundle(model, facts, options)
        if bundle.words["runtime"] is None and facts["edge"] is None:
            raise EdgeError(
                f"{host}: there is no edge that could run the model",
                f"bring it as well: edge flash {_model_of(bundle, model)} {host} --with-runtime",
            )
        report = {"host": host, "bundle": str(bundle.folder)}
        if options.dry_run:
            report |= _compare(session, bundle, facts, options)
        else:
            try:
                report |= _put(session, bundle, facts, options, say)
            except KeyboardInterrupt:
                say(f"{host} runs what it ran before, or the new version; flash again to go on")
                raise
        return report | {
            "sent_bytes": session.sent, "seconds": round(time.monotonic() - begun, 1)
        }  # fmt: skip


def rollback(host: str, options: FlashOptions, *, say: Say) -> dict[str, Any]:
    """Go back to the version before on a board.

    Where a flash was cut off, that version is the one before it: this is what going back means
    then.

    Returns:
        The same as `flash`.

    Raises:
        EdgeError: There is none, or it no longer works there.
    """
    begun = time.monotonic()
    with Session(host, config=options.config) as session:
        found = session.ask("status")
        if found["previous"] is None and found["trial"] is None:
            raise EdgeError(
                f"{host}: there is no version before this one", "flash the one that you want"
            )
        taken = _begin(session, options, say)
        done = {"current": taken["current"]}
        replaced = taken["taken_back"]
        if replaced is None:
            replaced = taken["current"]
            with waiting(f"going back on {host}"):
                done = session.ask(
                    "rollback", max_latency_ms=options.max_latency_ms,
                    max_memory_mb=options.max_memory_mb, window_s=options.window_s,
                )  # fmt: skip
        return {
            "host": host,
            "bundle": None,
            "version": done["current"],
            "changed": True,
            "replaced": replaced,
            "smoke": done.get("smoke"),
            "use": done.get("use"),
            "sent_bytes": session.sent,
            "seconds": round(time.monotonic() - begun, 1),
        }


def command_line(model: str, options: FlashOptions, *, rollback: bool) -> list[str]:
    """Return the arguments of `edge flash` that do the same to any board.

    A bundle that is the same for all boards is made here, once.

    Raises:
        EdgeError: It cannot be made.
    """
    words = ["--health-window", f"{options.window_s}"]
    bounds = {"--max-latency": options.max_latency_ms, "--max-memory": options.max_memory_mb}
    for option, bound in bounds.items():
        words += [] if bound is None else [option, f"{bound}"]
    if options.config is not None:
        words += ["--ssh-config", str(options.config.absolute())]
    if rollback:
        return [*words, "--rollback"]
    flags = {"--with-runtime": options.with_runtime, "--no-downgrade": options.no_downgrade,
             "--dry-run": options.dry_run}  # fmt: skip
    words += [flag for flag, given in flags.items() if given]
    if options.service is not None:
        words += ["--service", "--run-options", shlex.join(options.service)]
    if options.key is not None:
        words += ["--sign", str(options.key.absolute())]
    if not options.with_runtime:
        return [str(_bundle(model, {}, options).folder.absolute()), *words]
    return [model if model in bundled_models() else str(Path(model).absolute()), *words]


def status(host: str, *, config: Path | None = None) -> dict[str, Any]:
    """Return which versions are on a board, and what happened to them."""
    with Session(host, config=config) as session:
        return {"host": host, **session.ask("status")}


def trust(
    host: str, key: Path, *, remove: bool = False, config: Path | None = None
) -> dict[str, Any]:
    """Have a board take only bundles that are signed, with this key or others it trusts.

    Args:
        host: As ssh takes it.
        key: The file of a public key.
        remove: Trust it no longer; without any key left, unsigned bundles are taken again.
        config: An ssh configuration in place of the user's own.

    Returns:
        The host, and the keys that it trusts now.

    Raises:
        EdgeError: The file is no public key of ssh, or the board did not trust it.
    """
    words = public_key(key)
    with Session(host, config=config) as session:
        session.ask("begin", patience_s=0)
        done = session.ask("trust", key=words, remove=remove)
    if remove and not done["known"]:
        raise EdgeError(f"{host} does not trust {key}", f"edge devices status {host}")
    return {"host": host, "trusted_keys": done["keys"]}


def _require(facts: dict[str, Any], host: str, *, needs_mb: float) -> None:
    """Refuse a board on which nothing could run."""
    for found in preflight(facts, now=time.time(), needs_mb=needs_mb):
        if found.state == "fault":
            assert found.fix is not None
            raise EdgeError(f"{host}: {found.about}: {found.found}", found.fix)


def _bundle(model: str, facts: dict[str, Any], options: FlashOptions) -> Bundle:
    if (Path(model) / MANIFEST).is_file():
        bundle = read_bundle(Path(model))
        if options.with_runtime and bundle.words["runtime"] is None:
            raise EdgeError(f"the bundle {model} has no runtime", "give the model instead of it")
        return bundle if options.key is None else bundle.signed(options.key)
    runtime = runtime_for(facts) if options.with_runtime else None
    with waiting("making the bundle"):
        return make_bundle(model, runtime=runtime, key=options.key)


def _compare(
    session: Session, bundle: Bundle, facts: dict[str, Any], options: FlashOptions
) -> dict[str, Any]:
    """Ask what would be sent, and change nothing."""
    staged = _stage(session, bundle, options, dry=True)
    _require_room(session.host, bundle, facts, staged)
    return {
        "version": staged["id"],
        "changed": False,
        "would_change": staged["there"] is None or staged["there"] != staged["current"],
        "would_send_bytes": sum(file["size"] - file["offset"] for file in staged["missing"]),
        "would_replace": None if staged["there"] == staged["current"] else staged["current"],
    }


def _put(
    session: Session, bundle: Bundle, facts: dict[str, Any], options: FlashOptions, say: Say
) -> dict[str, Any]:
    taken = _begin(session, options, say)
    name = _make(session, bundle, facts, options)
    tested = _test(session, name, options)
    if tested is None and bundle.words["runtime"] is None:
        raise EdgeError(
            f"{session.host}: what edge runs in is damaged there",
            "flash it again, and bring that as well: --with-runtime",
        )
    if tested is None:
        say(f"{session.host}: what edge runs in is damaged there, and made anew")
        name = _make(session, bundle, facts, options)
        tested = _test(session, name, options)
    if tested is None:
        raise EdgeError(f"{session.host}: it was damaged at once", "look at its disk")
    used = None
    if name != taken["current"] or options.service is not None:
        with waiting(f"trying it on {session.host}"):
            used = session.ask(
                "activate", name=name, max_memory_mb=_memory(options), window_s=options.window_s,
                options=options.service,
            )["use"]  # fmt: skip
    return {
        "version": name,
        "changed": name != taken["current"],
        "replaced": taken["current"] if name != taken["current"] else None,
        "smoke": tested,
        "use": used,
    }


def _begin(session: Session, options: FlashOptions, say: Say) -> dict[str, Any]:
    told: set[str] = set()

    def hear(said: dict[str, Any]) -> None:
        if said["waiting"] not in told:
            told.add(said["waiting"])
            say(f"{session.host}: waiting for another flash, {said['waiting']}")

    taken: dict[str, Any] = session.ask("begin", patience_s=options.patience_s, hear=hear)
    if taken["taken_back"]:
        say(
            f"{session.host}: {taken['taken_back']} never proved itself; back at "
            f"{taken['current'] or 'nothing'}"
        )
    return taken


def _make(session: Session, bundle: Bundle, facts: dict[str, Any], options: FlashOptions) -> str:
    """Have a bundle be a version there, and return its name."""
    staged = _stage(session, bundle, options, dry=False)
    if staged["there"] is not None:
        return str(staged["there"])
    _require_room(session.host, bundle, facts, staged)
    _send(session, bundle, staged["missing"])
    with waiting(f"making it ready on {session.host}"):
        return str(session.ask("make"))


def _test(session: Session, name: str, options: FlashOptions) -> dict[str, Any] | None:
    with waiting(f"trying it on {session.host}"):
        tested: dict[str, Any] | None = session.ask(
            "test", name=name, max_latency_ms=options.max_latency_ms or _MOST_LATENCY_MS,
            max_memory_mb=_memory(options),
        )  # fmt: skip
    return tested


def _memory(options: FlashOptions) -> float:
    return options.max_memory_mb or _MOST_MEMORY_MB


def _stage(session: Session, bundle: Bundle, options: FlashOptions, *, dry: bool) -> dict[str, Any]:
    found: dict[str, Any] = session.ask(
        "stage", manifest=bundle.manifest, signature=bundle.signature,
        no_downgrade=options.no_downgrade, dry=dry,
    )  # fmt: skip
    return found


def _require_room(host: str, bundle: Bundle, facts: dict[str, Any], staged: dict[str, Any]) -> None:
    """Refuse a board whose disk is too full for what will be there."""
    if staged["there"] is None:
        size = sum(file["size"] - file["offset"] for file in staged["missing"])
        size += bundle.size(wheels=False)
        if staged["installs"]:
            size += int(bundle.size(wheels=True) * _INSTALLED)
        facts = {**facts, "free_mb": staged["free_mb"]}
        _require(facts, host, needs_mb=size / 2**20 + _SPARE_MB)


def _model_of(bundle: Bundle, model: str) -> str:
    """Return a model to give in place of a bundle."""
    return str(bundle.words["model"]["name"]) if Path(model).is_dir() else model


def _send(session: Session, bundle: Bundle, missing: list[dict[str, Any]]) -> None:
    total = sum(file["size"] for file in missing)
    done = sum(file["offset"] for file in missing)
    with progress(f"sending to {session.host}", total, "bytes", done=done) as advance:
        for file in missing:
            with bundle.path_of(file["sha256"]).open("rb") as body:
                body.seek(file["offset"])
                asked = {"sha256": file["sha256"], "body": body, "advance": advance}
                try:
                    session.ask("receive", offset=file["offset"],
                                size=file["size"] - file["offset"], **asked)  # fmt: skip
                except EdgeError as error:
                    if isinstance(error, UnreachableError) or not file["offset"]:
                        raise
                    # The half that waited there was spoiled meanwhile.
                    body.seek(0)
                    session.ask("receive", offset=0, size=file["size"], **asked)
