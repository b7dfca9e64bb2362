"""The front door of devices: `edge doctor` and `edge devices`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.options import JsonOption, SshConfigOption, thread_count
from edge.progress import waiting
from edge.terminal import print_result, say

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edge.devices.findings import Finding

devices = typer.Typer(
    no_args_is_help=True,
    help="Look at boards: known ones, and your own.",
    epilog="Example: edge devices status pi@192.168.1.7",
)

_MARKS = {"good": "✓", "advice": "!", "fault": "✗", "unknown": "?"}
_STYLES = {"good": "green", "advice": "yellow", "fault": "bold red", "unknown": "dim"}

_Host = Annotated[str, typer.Argument(metavar="HOST", help="As ssh takes it.")]


def doctor(
    host: Annotated[
        str | None,
        typer.Argument(metavar="HOST", help="A board, as ssh takes it; without one: this machine."),
    ] = None,
    ssh_config: SshConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at all that `edge run` stands on; exit 1 where something would stop it."""
    from edge.devices.doctor import diagnose, diagnose_at, to_json

    if host is None:
        findings = diagnose()
    else:
        with waiting(f"looking at {host}"):
            findings = diagnose_at(host, config=ssh_config)
    report = to_json(findings)
    # Nothing of the runtime: the doctor has to speak where OpenCV is broken.
    if as_json:
        print(json.dumps(report))
    else:
        from rich.console import Console

        Console(highlight=False, emoji=False, markup=False).print(_lines(findings))
    if not report["runs"]:
        raise typer.Exit(1)


def evaluate_there(
    model: str, data: Path, dataset: str, split: str, crop: str, detector: str | None,
    runtime: str, threads: str, plots: Path | None, host: str, config: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Measure a model on a board; the arguments are those of `edge evaluate`."""
    if plots is not None:
        raise typer.BadParameter("--host does without --plots")
    if threads != "auto":
        thread_count(threads)
    from edge.devices import there
    from edge.runtime.screen import evaluation_table

    options = ["--crop", crop, "--runtime", runtime, "--threads", threads]
    options += ["--detector", detector] if detector else []
    result = there.evaluate_there(model, data, kind=dataset, split=split, options=options,
                                  host=host, config=config, say=say)  # fmt: skip
    print_result(result, evaluation_table, as_json)


@devices.command("list", epilog="Example: edge devices list")
def devices_list(as_json: JsonOption = False) -> None:
    """List the boards that are known."""
    from edge.devices.boards import boards, to_json
    from edge.devices.tables import boards_table

    known = boards()
    if as_json:
        print(json.dumps({key: to_json(board) for key, board in known.items()}))
    else:
        print_result(known, boards_table, as_json)


@devices.command("show", epilog="Example: edge devices show pi-5")
def devices_show(
    board: Annotated[str, typer.Argument(metavar="NAME", help="Of `edge devices list`.")],
    as_json: JsonOption = False,
) -> None:
    """Show what is known of a board, and where from."""
    from edge.devices import boards
    from edge.devices.tables import board_table

    found = boards.board(board)
    if as_json:
        print(json.dumps(boards.to_json(found)))
    else:
        print_result(boards.facts(found), board_table, as_json)


@devices.command("status", epilog="Example: edge devices status pi@192.168.1.7")
def devices_status(
    host: _Host, ssh_config: SshConfigOption = None, as_json: JsonOption = False
) -> None:
    """Show which versions are on a board, and what happened to them."""
    from edge.devices.flash import status
    from edge.devices.tables import status_report

    print_result(status(host, config=ssh_config), status_report, as_json)


@devices.command("trust", epilog="Example: edge devices trust pi@192.168.1.7 ~/.ssh/id_ed25519.pub")
def devices_trust(
    host: _Host,
    key: Annotated[Path, typer.Argument(metavar="KEY.pub", help="A public key of ssh.")],
    remove: Annotated[
        bool,
        typer.Option("--remove", help="Trust it no longer; without any, all bundles may come."),
    ] = False,
    ssh_config: SshConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have a board take signed bundles alone, of this key or others that it trusts."""
    from edge.devices.flash import trust
    from edge.devices.tables import trust_report

    done = trust(host, key, remove=remove, config=ssh_config)
    print_result(done, trust_report, as_json)


def _lines(findings: "list[Finding]") -> "RenderableType":
    """Return one line a finding, and below it what to type."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in findings:
        style = _STYLES[one.state]
        table.add_row(Text(_MARKS[one.state], style), Text(one.about), Text(one.found))
        if one.fix is not None:
            table.add_row("", "", Text(one.fix, "cyan"))
    return table
