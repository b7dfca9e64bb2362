"""The front door of `edge flash`."""

import math
import shlex
from pathlib import Path
from typing import Annotated

import typer

from edge.errors import EdgeError
from edge.options import JsonOption, SshConfigOption
from edge.terminal import print_result, say

_CAMERA = "--camera 0"

_Model = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help="A bundled model, a .tflite file, or the folder of a bundle; not with --rollback.",
    ),
]
_Hosts = Annotated[
    list[str] | None, typer.Argument(metavar="HOST...", help="Boards, as ssh takes them.")
]
_WithRuntime = Annotated[
    bool,
    typer.Option(
        "--with-runtime",
        help="Bring edge and its wheels as well, for the board's own Python and processor; the "
        "board needs no internet.",
    ),
]
_Sign = Annotated[
    Path | None,
    typer.Option(
        "--sign",
        envvar="EDGE_SIGN",
        metavar="KEY",
        help="Sign the bundle with an ssh key; public where an agent has the private one.",
    ),
]
_Service = Annotated[
    bool,
    typer.Option("--service", help="Have systemd run it: hardened, watched, started at boot."),
]
_RunOptions = Annotated[
    str | None,
    typer.Option(
        metavar="OPTIONS",
        help=f"Of `edge run` in the service, as one word; default: {_CAMERA}.",
    ),
]
_HealthWindow = Annotated[
    float,
    typer.Option(min=1, max=86400, metavar="SECONDS", help="How long a service is watched first."),
]
_Inventory = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Boards as an inventory of Ansible's, instead of HOST."),
]
_Parallel = Annotated[
    int,
    typer.Option(min=1, max=200, metavar="N", help="Boards at a time, once the first succeeded."),
]
_StopAt = Annotated[
    int,
    typer.Option(
        min=0,
        max=100,
        metavar="PERCENT",
        help="Stop once more than that of the boards at a time failed; the first one, or all of "
        "them, always stop the rest.",
    ),
]
_Rollback = Annotated[
    bool,
    typer.Option(
        "--rollback", help="Go back to the version before; once more: forward again. No MODEL."
    ),
]
_NoDowngrade = Annotated[
    bool, typer.Option("--no-downgrade", help="Refuse to replace a newer version.")
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would be done.")]
_MaxLatency = Annotated[
    float | None,
    typer.Option(
        min=1,
        metavar="MS",
        help="The most that half of the golden pictures may take; default: 1000, going back: any.",
    ),
]
_MaxMemory = Annotated[
    float | None,
    typer.Option(
        min=1,
        metavar="MB",
        help="The most memory that a run may take; default: 500, going back: as it was.",
    ),
]


def flash(
    context: typer.Context,
    model: _Model = None,
    hosts: _Hosts = None,
    with_runtime: _WithRuntime = False,
    sign: _Sign = None,
    service: _Service = False,
    run_options: _RunOptions = None,
    health_window: _HealthWindow = 15.0,
    inventory: _Inventory = None,
    parallel: _Parallel = 8,
    stop_at: _StopAt = 30,
    rollback: _Rollback = False,
    no_downgrade: _NoDowngrade = False,
    dry_run: _DryRun = False,
    max_latency: _MaxLatency = None,
    max_memory: _MaxMemory = None,
    ssh_config: SshConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a model on a board: verified, tried there, switched to, and taken back if it fails."""
    boards = list(hosts or ())
    if rollback and model is not None and not _is_model(model):
        boards.insert(0, model)
    _require_boards(model, boards, inventory, rollback=rollback)
    source = context.get_parameter_source("sign")
    signs = source is not None and source.name == "COMMANDLINE"  # EDGE_SIGN is for flashes
    if rollback and (dry_run or service or signs or with_runtime or no_downgrade):
        raise typer.BadParameter("--rollback goes back to what was there: it takes no such option")
    if run_options is not None and not service:
        raise typer.BadParameter("--run-options are those of a --service")
    if not all(map(math.isfinite, (max_latency or 1, max_memory or 1, health_window))):
        raise typer.BadParameter("--max-latency, --max-memory and --health-window are numbers")
    from edge.devices import flash as flashing
    from edge.devices.tables import flash_report

    options = flashing.FlashOptions(
        with_runtime=with_runtime, key=sign, no_downgrade=no_downgrade, dry_run=dry_run,
        max_latency_ms=max_latency, max_memory_mb=max_memory, config=ssh_config,
        service=_words(run_options or _CAMERA) if service else None, window_s=health_window,
    )  # fmt: skip
    if inventory is not None or len(boards) > 1:
        told = flashing.command_line(model or "", options, rollback=rollback)
        _flash_all(told, boards, inventory, parallel, stop_at, as_json)
    elif rollback:
        print_result(flashing.rollback(boards[0], options, say=say), flash_report, as_json)
    else:
        done = flashing.flash(model or "", boards[0], options, say=say)
        print_result(done, flash_report, as_json)


def _require_boards(
    model: str | None, boards: list[str], inventory: Path | None, *, rollback: bool
) -> None:
    if not model and not rollback:
        raise typer.BadParameter("name a model, and boards after it")
    if bool(boards) == (inventory is not None):
        both = "both" if boards else "neither"
        raise typer.BadParameter(f"name boards after the model, or give an --inventory, not {both}")
    # An empty word is this folder, whose programs Ansible would run.
    if inventory == Path():
        raise typer.BadParameter("--inventory is a file or folder of Ansible's, not this folder")


def _flash_all(
    told: list[str], boards: list[str], inventory: Path | None, parallel: int, stop_at: int,
    as_json: bool,
) -> None:  # fmt: skip
    from edge.devices.fleet import Fleet, flash_all
    from edge.devices.tables import fleet_report

    fleet = Fleet(hosts=boards, inventory=inventory, parallel=parallel, stop_at=stop_at)
    report = flash_all(told, fleet)
    print_result(report, fleet_report, as_json)
    if report["interrupted"]:
        raise KeyboardInterrupt
    if report["failed"]:
        raise EdgeError(
            f"{report['failed']} of {len(report['hosts'])} boards failed",
            "mend them and flash again; those that run it already are left as they are",
        )


def _is_model(word: str) -> bool:
    """Tell whether a word is a model, which --rollback does without, and not a board."""
    from edge.modelfile import bundled_models

    path = Path(word)
    try:
        file = path.is_file() and path.suffix == ".tflite"
        return word in bundled_models() or file or (path / "manifest.json").is_file()
    except OSError:  # too long for the name of a file
        return False


def _words(options: str) -> tuple[str, ...]:
    """Return the words of --run-options."""
    try:
        return tuple(shlex.split(options))
    except ValueError as error:
        raise typer.BadParameter(f"--run-options: {error}") from error
