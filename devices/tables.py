"""What was done to boards, and what is on them, for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edge.devices.boards import Board


def flash_report(done: Mapping[str, Any]) -> RenderableType:
    """Show what a flash did to one board."""
    return Group(*map(Text, _flash_lines(done)))


def fleet_report(done: Mapping[str, Any]) -> RenderableType:
    """Show what a flash did to many boards."""
    lines = []
    for name, report in done["hosts"].items():
        if report is None:
            lines.append(f"{name}: not tried, since others failed")
        elif "error" in report:
            lines += [f"{name}: {report['error']}", f"  {report['hint']}"]
        else:
            lines += _flash_lines(report)[:1]
    counts = [f"{done[key]} {key.replace('_', ' ')}"
              for key in ("updated", "unchanged", "failed", "not_tried") if done[key]]  # fmt: skip
    return Group(*map(Text, [*lines, ", ".join(counts)]))


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
    if not done["changed"]:
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
    if found["signed_only"]:
        lines.append("  takes signed bundles alone")
    for line in found["journal"]:
        words = " ".join(
            f"{key} {value}"
            for key, value in line.items()
            if key not in ("time", "event") and value is not None
        )
        lines.append(f"  {line['time']}  {line['event']}  {words}")
    return Group(*map(Text, lines))


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
