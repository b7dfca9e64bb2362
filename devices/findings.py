"""Findings of the doctor: what was looked at, what was found, and what to type."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

# "fault" stops `edge run`; "advice" does not; "unknown" could not be looked at.
State = Literal["good", "advice", "fault", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Args:
        about: What, such as "camera".
        state: How it is.
        found: What was found, in a few words.
        fix: What to type where something is to be done; None where nothing is.
    """

    about: str
    state: State
    found: str
    fix: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)


def good(about: str, found: str) -> Finding:
    """Return that all is well."""
    return Finding(about=about, state="good", found=found)


def advice(about: str, found: str, fix: str) -> Finding:
    """Return what would be better otherwise."""
    return Finding(about=about, state="advice", found=found, fix=fix)


def fault(about: str, found: str, fix: str) -> Finding:
    """Return what stops `edge run`."""
    return Finding(about=about, state="fault", found=found, fix=fix)


def unknown(about: str, found: str) -> Finding:
    """Return that this machine does not tell."""
    return Finding(about=about, state="unknown", found=found)
