"""The front door of devices: `edge doctor`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from edge.options import JsonOption, SshConfigOption
from edge.progress import waiting

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edge.devices.findings import Finding

_MARKS = {"good": "✓", "advice": "!", "fault": "✗", "unknown": "?"}
_STYLES = {"good": "green", "advice": "yellow", "fault": "bold red", "unknown": "dim"}


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
