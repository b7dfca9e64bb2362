"""Many boards: Ansible goes through them, a canary first, and runs `edge flash` for each.

Ansible rather than pyinfra: its `serial` and `max_fail_percentage` are a canary and a share of
failures to stop at, its inventories are what people have, and it leaves the connection to OpenSSH,
where pyinfra brings an ssh of its own that knows parts of the user's configuration.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha1
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edge.devices.reach import ssh_command
from edge.errors import EdgeError
from edge.progress import Advance, progress

_LOOK_EVERY_S = 0.2
# Of who was interrupted, to bring what runs on a board to its end.
_PATIENCE_S = 30.0
_LAST_WORDS = 300
# The connection to a board is that of `edge flash`, whatever an inventory says of it.
_LOCAL = {"ansible_connection": "local", "ansible_become": False}
# A host of an inventory as ssh takes it: an alias as it is, or with the user and port given there.
_DESTINATION = (
    "{% if edge_host is defined %}{{ edge_host }}"
    "{% elif ansible_user is defined or ansible_port is defined %}"
    "ssh://{{ (ansible_user | urlencode ~ '@') if ansible_user is defined else '' }}"
    "{% set name = ansible_host | default(inventory_hostname) %}"
    "{{ '[' ~ name ~ ']' if ':' in name else name }}"
    "{{ (':' ~ ansible_port) if ansible_port is defined else '' }}"
    "{% else %}{{ ansible_host | default(inventory_hostname) }}{% endif %}"
)


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The boards, and how many of them at a time.

    Args:
        hosts: As ssh takes them; empty for those of the inventory.
        inventory: A file or folder of Ansible's; None for `hosts`.
        parallel: How many at a time, once the first has succeeded.
        stop_at: The percentage of those at a time whose failure stops the rest, if exceeded.
    """

    hosts: Sequence[str] = ()
    inventory: Path | None = None
    parallel: int = 8
    stop_at: int = 30


def flash_all(arguments: Sequence[str], fleet: Fleet) -> dict[str, Any]:
    """Run `edge flash` for each board.

    Args:
        arguments: Of `edge flash`, without hosts.
        fleet: The boards.

    Returns:
        hosts (by name: the report of its flash, or error and hint; None for one that was not tried
        since others failed), how many were updated (or would be), unchanged, failed and not tried,
        and whether Ctrl-C ended it.

    Raises:
        EdgeError: Ansible is not installed, a host is none, or the inventory has no hosts.
    """
    for host in fleet.hosts:
        ssh_command(host)
    if find_spec("ansible") is None:
        raise EdgeError("ansible is not installed here", "pip install 'edge-tflite[fleet]'")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        inventory = fleet.inventory or _inventory(folder, fleet.hosts)
        names = _names(folder, inventory)
        (folder / "reports").mkdir()
        interrupted = _play(folder, inventory, arguments, fleet, len(names))
        reports = {given: _report(folder / "reports", name) for name, given in names.items()}
    return {"hosts": reports, **_counted(reports), "interrupted": interrupted}


def _inventory(folder: Path, hosts: Sequence[str]) -> Path:
    """Write an inventory of hosts, which Ansible would else read as patterns and ports."""
    named = {f"board{at}": {"edge_host": host} for at, host in enumerate(dict.fromkeys(hosts))}
    path = folder / "inventory.json"
    path.write_text(json.dumps({"all": {"hosts": named}}))
    return path


def _names(folder: Path, inventory: Path) -> dict[str, str]:
    """Return the names of an inventory's hosts, in its order, and what the user calls them."""
    if not inventory.exists():
        raise EdgeError(f"there is no {inventory}", "check the path of --inventory")
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "inventory", "-i", str(inventory), "--list"],
        capture_output=True, text=True, check=False, env=_environment(folder),
    )  # fmt: skip
    try:
        found = json.loads(done.stdout)
        variables = found["_meta"]["hostvars"]
        names = {name: variables.get(name, {}).get("edge_host", name)
                 for name in _members(found, "all")}  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(inventory, done.stderr) from error
    if not names:
        if "WARNING" in done.stderr:
            raise _unreadable(inventory, done.stderr)
        raise EdgeError(f"{inventory} has no hosts", "name at least one board in it")
    return names


def _unreadable(inventory: Path, said: str) -> EdgeError:
    """Return that Ansible cannot read an inventory, with what it says first."""
    words = " ".join(said.split())
    parts = re.split(r"\[(?:ERROR|WARNING)\]: |ERROR! ", words)
    first = next((part for part in parts if part.strip()), words)
    return EdgeError(
        f"{inventory} cannot be read: {first[:_LAST_WORDS].strip()}",
        "write it as an inventory of Ansible's",
    )


def _members(listing: dict[str, Any], group: str) -> dict[str, None]:
    """Return the hosts of a group and those below it, each once."""
    entry = listing.get(group, {})
    found = dict.fromkeys(entry.get("hosts", ()))
    for child in entry.get("children", ()):
        found |= _members(listing, child)
    return found


def _play(
    folder: Path, inventory: Path, arguments: Sequence[str], fleet: Fleet, count: int
) -> bool:
    """Go through the boards, and show how many are done; return whether Ctrl-C ended it."""
    flash = shlex.join([sys.executable, "-m", "edge", "flash", *arguments, "--json", "--"])
    report = f"{_raw(shlex.quote(str(folder / 'reports')))}/{{{{ report }}}}"
    command = (
        f"echo {{{{ destination | quote }}}} > {report}.host; "
        f"{_raw(flash)} {{{{ destination | quote }}}} > {report}.json "
        f"2> {report}.err; status=$?; echo $status > {report}.status; exit $status"
    )
    play = {
        "hosts": "all",
        "gather_facts": False,
        "serial": [1, fleet.parallel],
        "max_fail_percentage": fleet.stop_at,
        "vars": {"destination": _DESTINATION, "report": "{{ inventory_hostname | hash('sha1') }}"},
        "tasks": [{"ansible.builtin.raw": command}],
    }
    (folder / "play.json").write_text(json.dumps([play]))
    with (
        progress("flashing", count, "boards") as advance,
        (folder / "ansible.log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-m", "ansible", "playbook", "-i", str(inventory), "--forks",
             str(fleet.parallel), "-e", json.dumps(_LOCAL), str(folder / "play.json")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=_environment(folder),
        ) as process,
    ):  # fmt: skip
        try:
            seen = _watch(process, folder / "reports", advance)
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE_S)
            process.kill()
            return True
    if not seen:
        raise _unplayable((folder / "ansible.log").read_text(errors="replace"))
    return False


def _watch(process: "subprocess.Popen[bytes]", reports: Path, advance: Advance) -> int:
    """Wait for the end, and tell how many boards are done; return that."""
    seen = 0
    while True:
        over = process.poll() is not None
        done = len(list(reports.glob("*.status")))
        if done > seen:
            advance(done - seen)
        seen = done
        if over:
            return seen
        time.sleep(_LOOK_EVERY_S)


def _unplayable(log: str) -> EdgeError:
    """Return that no board was flashed, and what Ansible says of it."""
    lines = [line for line in log.splitlines() if re.match(r"fatal:|\[ERROR\]|ERROR", line)]
    said = lines[0] if lines else " ".join(log.split())[-_LAST_WORDS:]
    return EdgeError(f"ansible flashed no board: {said[:_LAST_WORDS]}", "check the inventory")


def _raw(words: str) -> str:
    """Hide words from Ansible's templates."""
    return f"{{% raw %}}{words}{{% endraw %}}"


def _report(folder: Path, name: str) -> dict[str, Any] | None:
    """Return what became of a board; None where it was not tried."""
    base = folder / sha1(name.encode(), usedforsecurity=False).hexdigest()
    if not base.with_suffix(".host").exists():
        return None
    if not base.with_suffix(".status").exists():
        return {
            "error": "the flash was interrupted; what ran before still runs, or the new version",
            "hint": "flash again to go on",
        }
    if base.with_suffix(".status").read_text().strip() == "0":
        found: dict[str, Any] = json.loads(base.with_suffix(".json").read_text())
        return found
    lines = base.with_suffix(".err").read_text(errors="replace").splitlines()
    told = {key: words for key, _, words in (line.partition(": ") for line in lines)}
    error = told.get("error", lines[-1] if lines else "it ended without a word")
    host = base.with_suffix(".host").read_text().strip()
    hint = told.get("hint", "flash this one alone")
    return {"error": error.removeprefix(f"{host}: "), "hint": hint}


def _counted(reports: dict[str, dict[str, Any] | None]) -> dict[str, int]:
    told = [report for report in reports.values() if report is not None]
    return {
        "updated": sum(_is_changed(report) for report in told),
        "unchanged": sum("error" not in one and not _is_changed(one) for one in told),
        "failed": sum("error" in report for report in told),
        "not_tried": len(reports) - len(told),
    }


def _is_changed(report: dict[str, Any]) -> bool:
    return bool(report.get("changed") or report.get("would_change"))


def _environment(folder: Path) -> dict[str, str]:
    """Return an environment in which Ansible heeds nothing but what it is told here."""
    (folder / "ansible.cfg").write_text("[defaults]\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return kept | {
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_RETRY_FILES_ENABLED": "0",
        "ANSIBLE_NOCOLOR": "1",
        # It refuses to run under any other.
        "LC_ALL": "C.UTF-8",
    }
