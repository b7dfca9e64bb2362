"""What was done to boards, and what is on them, for people."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edge.devices.boards import Board


def flash_report(done: Mapping[str, Any]) -> RenderableType:
    """Show what a flash did to one board."""
    return _unwrapped(_flash_lines(done))


def fleet_report(done: Mapping[str, Any]) -> RenderableType:
    """Show what a flash did to many boards."""
    lines = []
    for name, report in done["hosts"].items():
        if report is None:
            lines.append(
                f"{name}: not tried{'' if done['interrupted'] else ', since others failed'}"
            )
        elif "error" in report:
            lines += [f"{name}: {report['error']}", f"  {report['hint']}"]
        else:
            lines += _flash_lines({**report, "host": name})[:1]
    is_trial_run = any("would_change" in (report or {}) for report in done["hosts"].values())
    words = {"updated": "would be updated" if is_trial_run else "updated",
             "unchanged": "unchanged", "failed": "failed", "not_tried": "not tried"}  # fmt: skip
    counts = [f"{done[key]} {told}" for key, told in words.items() if done[key]]
    return _unwrapped([*lines, ", ".join(counts)])


def _unwrapped(lines: Iterable[str]) -> RenderableType:
    """Return lines that whoever looks for words in them finds whole."""
    return Group(*(Text(line, no_wrap=True, overflow="ignore") for line in lines))


def _flash_lines(done: Mapping[str, Any]) -> list[str]:
    host, version = done["host"], done["version"]
    sent = f"; {done['sent_bytes'] / 1e6:,.2f} MB sent" if "sent_bytes" in done else ""
    if "would_send_bytes" in done:
        other = done["would_replace"]
        if not done["would_change"]:
            return [f"{host}: {version} runs already"]
        place = f" in place of {other}" if other else ""
        would = f"{done['would_send_bytes'] / 1e6:,.2f} MB would be sent"
        return [f"{host}: {version} would run{place}; {would}"]
    if version is None:
        lines = [f"{host}: nothing runs there any more{sent}"]
    elif not done["changed"]:
        lines = [f"{host}: {version} runs already{sent}"]
    else:
        place = f", in place of {done['replaced']}" if done.get("replaced") else ""
        lines = [f"{host}: {version} runs{place}{sent}"]
    if smoke := done.get("smoke"):
        lines.append(
            f"  {smoke['frames']} golden pictures, {smoke['faces']} faces: scores within "
            f"{smoke['largest_difference']:.3f}, {smoke['latency_ms']:.1f} ms a frame "
            f"({smoke['runtime']})"
        )
    if use := done.get("use"):
        fps = use["fps"] if "fps" in use else use["frames"] / use["seconds"]
        how = "as a service" if "seconds" in use else "in use"
        lines.append(f"  {how}: {use['frames']} frames, {use['memory_mb']:.0f} MB, {fps:.1f} FPS")
    return lines


def trust_report(done: Mapping[str, Any]) -> RenderableType:
    """Show who may sign what comes onto a board."""
    host, keys = done["host"], done["trusted_keys"]
    if not keys:
        return _unwrapped([f"{host} trusts no key any more, and takes unsigned bundles again"])
    return _unwrapped([f"{host} takes bundles alone that are signed with one of {len(keys)}:",
                       *(f"  {key}" for key in keys)])  # fmt: skip


def status_report(found: Mapping[str, Any]) -> RenderableType:
    """Show which versions are on a board, and what happened to them last."""
    lines = [f"{found['host']}: {found['root']}"]
    for link in ("current", "previous"):
        lines.append(f"  {link:9} {_version(found[link])}")
    if trial := found["trial"]:
        lines.append(
            f"  a flash was interrupted: {trial['to']} has not proven itself; the next flash goes "
            f"back to {trial['from'] or 'nothing'} first"
        )
    if found["service"]:
        lines.append(f"  service   {found['service']}")
    if found["trusted_keys"]:
        lines.append("  takes bundles alone that are signed with")
        lines += [f"    {key}" for key in found["trusted_keys"]]
    for line in found["journal"]:
        words = " ".join(
            f"{key} {value}"
            for key, value in line.items()
            if key not in ("time", "event") and value is not None
        )
        lines.append(f"  {line['time']}  {line['event']}  {words}")
    return _unwrapped(lines)


def _version(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "none"
    model = found.get("model", {})
    state = "" if found["whole"] else "  DAMAGED"
    return f"{found['version']}  {model.get('name', '?')} {model.get('variant', '?')}{state}"


def boards_table(known: Mapping[str, Board]) -> RenderableType:
    """Show the boards that are known."""
    table = Table(box=None, pad_edge=False)
    for column in ("board", "name", "processor", "memory"):
        table.add_column(column)
    for key, board in known.items():
        cores = f"{board.cores} × {board.cpu}" if board.cores else board.cpu
        memory = ", ".join(f"{size:g}" for size in board.memory_gb)
        table.add_row(key, board.name, cores, f"{memory} GB" if memory else "")
    return table


def board_table(facts: Sequence[tuple[str, str]]) -> RenderableType:
    """Show what is known of one board."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, Text(value))
    return table
