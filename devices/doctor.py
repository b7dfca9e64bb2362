"""The doctor: looks at all that `edge run` stands on, and says what to type."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge.devices.findings import Finding, fault, good, unknown
from edge.devices.hardware import hardware
from edge.devices.preflight import clock, preflight
from edge.devices.reach import Session, bringing_edge
from edge.devices.software import software

# What a flash with its runtime asks for: 509 MB on x86-64, less on arm64.
_NEEDS_MB = 510


def diagnose() -> list[Finding]:
    """Look at this machine; a check that fails itself is told of, and stops no other."""
    return [*_told(software, "software"), *_told(hardware, "hardware")]


def diagnose_at(host: str, *, config: Path | None = None) -> list[Finding]:
    """Look at a board over ssh: its own doctor is asked where edge is there.

    Args:
        host: As ssh takes it.
        config: An ssh configuration to use in place of the user's own.

    Raises:
        UnreachableError: The board cannot be reached.
    """
    with Session(host, config=config) as session:
        facts = session.ask("probe")
        now = time.time()
        again = bringing_edge(host, config)
        if facts["edge"] is None:
            return [
                *preflight(facts, now=now, needs_mb=_NEEDS_MB),
                fault("edge", "it is not there", again),
            ]
        version = session.ask("edge_version") or "of an unknown version"
        lines: list[str] = []
        session.ask(
            "run", arguments=["doctor", "--json"], hear=lambda said: lines.append(said["line"])
        )
    told = _read(lines)
    if told is None:
        return [fault("edge", f"{facts['edge']} does not answer; it may be too old", again)]
    if Path(facts["edge"]).is_relative_to(facts["root"]):
        told = [mended_by_flashing(one, again) for one in told]
    skew = clock(facts, now)
    return [
        good("edge", f"{version}, {facts['edge']}"),
        *([] if skew.state == "good" else [skew]),
        *told,
    ]


def mended_by_flashing(finding: Finding, again: str) -> Finding:
    """Return a finding with what mends a flashed environment, which has no pip."""
    return replace(finding, fix=again) if "pip " in (finding.fix or "") else finding


def _read(lines: list[str]) -> list[Finding] | None:
    """Return the findings in what a doctor wrote as JSON; None where it wrote none."""
    try:
        return [Finding(**finding) for finding in json.loads(lines[-1])["findings"]]
    except (IndexError, ValueError, KeyError, TypeError):
        return None


def to_json(findings: list[Finding]) -> dict[str, Any]:
    """Return what `edge doctor --json` writes."""
    return {
        "findings": [finding.to_json() for finding in findings],
        "runs": not any(finding.state == "fault" for finding in findings),
    }


def _told(look: Callable[[], Iterator[Finding]], about: str) -> Iterator[Finding]:
    try:
        yield from look()
    except OSError as error:
        yield unknown(about, f"could not be looked at: {error}")
