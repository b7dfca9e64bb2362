"""The doctor: looks at all that `edge run` stands on, and says what to type."""

from collections.abc import Callable, Iterator
from typing import Any

from edge.devices.findings import Finding, unknown
from edge.devices.hardware import hardware
from edge.devices.software import software


def diagnose() -> list[Finding]:
    """Look at this machine; a check that fails itself is told of, and stops no other."""
    return [*_told(software, "software"), *_told(hardware, "hardware")]


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
