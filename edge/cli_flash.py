"""The front door of `edge flash`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.options import JsonOption, SshConfigOption
from edge.terminal import print_result, say

if TYPE_CHECKING:
    pass

_CAMERA = "--camera 0"

_Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A bundled model, a .tflite file, or the folder of a bundle."
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
    float, typer.Option(min=1, metavar="SECONDS", help="How long a service is watched first.")
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
_Rollback = Annotated[bool, typer.Option("--rollback", help="Go back to the version before.")]
_NoDowngrade = Annotated[
    bool, typer.Option("--no-downgrade", help="Refuse to replace a newer version.")
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would be done.")]
_MaxLatency = Annotated[
    float,
    typer.Option(min=0, metavar="MS", help="The most that half of the golden pictures may take."),
]
_MaxMemory = Annotated[
    float, typer.Option(min=0, metavar="MB", help="The most memory that a run may take.")
]


def flash(
    model: _Model,
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
    max_latency: _MaxLatency = 1000.0,
    max_memory: _MaxMemory = 500.0,
    ssh_config: SshConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a model on a board: verified, tried there, switched to, and taken back if it fails."""
    boards = [model] * (rollback and not _is_model(model)) + list(hosts or [])
    if bool(boards) == (inventory is not None):
        both = "both" if boards else "neither"
        raise typer.BadParameter(f"name boards after the model, or give an --inventory, not {both}")
    if rollback and (dry_run or service or sign or with_runtime or no_downgrade):
        raise typer.BadParameter("--rollback goes back to what was there: it takes no such option")
    if run_options is not None and not service:
        raise typer.BadParameter("--run-options are those of a --service")
    from edge.devices import flash as flashing
    from edge.devices.tables import flash_report

    options = flashing.FlashOptions(
        with_runtime=with_runtime, key=sign, no_downgrade=no_downgrade, dry_run=dry_run,
        max_latency_ms=max_latency, max_memory_mb=max_memory, config=ssh_config,
        service=_words(run_options or _CAMERA) if service else None, window_s=health_window,
    )  # fmt: skip
    if inventory is not None or len(boards) > 1:
        told = flashing.command_line(model, options, rollback=rollback)
        _flash_all(told, boards, inventory, parallel, stop_at, as_json)
    elif rollback:
        print_result(flashing.rollback(boards[0], options), flash_report, as_json)
    else:
        done = flashing.flash(model, boards[0], options, say=say)
        print_result(done, flash_report, as_json)


def _flash_all(
    told: list[str], boards: list[str], inventory: Path | None, parallel: int, stop_at: int,
    as_json: bool,
) -> None:  # fmt: skip
    from edge.devices.fleet import Fleet, flash_all
    from edge.devices.tables import fleet_report

    fleet = Fleet(hosts=boards, inventory=inventory, parallel=parallel, stop_at=stop_at)
    report = flash_all(told, fleet)
    print_result(report, fleet_report, as_json)
    if report["failed"]:
        raise typer.Exit(1)


def _is_model(word: str) -> bool:
    """Tell whether a word is a model, which --rollback does without, and not a board."""
    from edge.modelfile import bundled_models

    path = Path(word)
    file = path.is_file() and path.suffix == ".tflite"
    return word in bundled_models() or file or (path / "manifest.json").is_file()


def _words(options: str) -> tuple[str, ...]:
    """Return the words of --run-options."""
    try:
        return tuple(shlex.split(options))
    except ValueError as error:
        raise typer.BadParameter(f"--run-options: {error}") from error
