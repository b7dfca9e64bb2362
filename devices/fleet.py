"""Many boards: Ansible goes through them, a canary first, and runs `edge flash` for each.

Ansible rather than pyinfra: its `serial` and `max_fail_percentage` are a canary and a share of
failures to stop at, its inventories are what people have, and it leaves the connection to OpenSSH,
where pyinfra brings an ssh of its own that knows parts of the user's configuration.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edge.errors import EdgeError
from edge.progress import progress

_LOOK_EVERY_S = 0.2
# Set for what a fleet starts, which never is a fleet.
_CHILD = "EDGE_FLEET_CHILD"
# The connection to a board is that of `edge flash`, whatever an inventory says of it.
_LOCAL = {"ansible_connection": "local", "ansible_become": False}
# A host of an inventory as ssh takes it: an alias as it is, or with the user and port given there.
_DESTINATION = (
    "{% if edge_host is defined %}{{ edge_host }}"
    "{% elif ansible_user is defined or ansible_port is defined %}"
    "ssh://{{ (ansible_user ~ '@') if ansible_user is defined else '' }}"
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
        since others failed), and how many were updated, unchanged, failed and not tried.

    Raises:
        EdgeError: Ansible is not installed, or the inventory has no hosts.
    """
    if os.environ.get(_CHILD):
        raise EdgeError("a board of a fleet is none of its own", "flash one board at a time")
    if find_spec("ansible") is None:
        raise EdgeError("ansible is not installed here", "pip install 'edge-tflite[fleet]'")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        inventory = fleet.inventory or _inventory(folder, fleet.hosts)
        names = _names(folder, inventory)
        if not names:
            raise EdgeError(f"{inventory} has no hosts", "name at least one board in it")
        (folder / "reports").mkdir()
        _play(folder, inventory, arguments, fleet, len(names))
        given = dict(zip(names, dict.fromkeys(fleet.hosts), strict=False))
        reports = {given.get(name, name): _report(folder / "reports", name) for name in names}
    return {"hosts": reports, **_counted(reports)}


def _inventory(folder: Path, hosts: Sequence[str]) -> Path:
    """Write an inventory of hosts, which Ansible would else read as patterns and ports."""
    named = {f"board{at}": {"edge_host": host} for at, host in enumerate(dict.fromkeys(hosts))}
    path = folder / "inventory.json"
    path.write_text(json.dumps({"all": {"hosts": named}}))
    return path


def _names(folder: Path, inventory: Path) -> list[str]:
    """Return the names of an inventory's hosts, in its order."""
    if not inventory.exists():
        raise EdgeError(f"there is no {inventory}", "check the path of --inventory")
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "inventory", "-i", str(inventory), "--list"],
        capture_output=True, text=True, check=False, env=_environment(folder),
    )  # fmt: skip
    try:
        found = json.loads(done.stdout)
        return list(_members(found, "all"))
    except (ValueError, KeyError) as error:
        said = " ".join(done.stderr.split())[-300:]
        raise EdgeError(
            f"{inventory} cannot be read: {said}", "write it as an inventory of Ansible's"
        ) from error


def _members(listing: dict[str, Any], group: str) -> dict[str, None]:
    """Return the hosts of a group and those below it, each once."""
    entry = listing.get(group, {})
    found = dict.fromkeys(entry.get("hosts", ()))
    for child in entry.get("children", ()):
        found |= _members(listing, child)
    return found


def _play(
    folder: Path, inventory: Path, arguments: Sequence[str], fleet: Fleet, count: int
) -> None:
    """Go through the boards, and show how many are done."""
    flash = shlex.join([sys.executable, "-m", "edge", "flash", *arguments, "--json", "--"])
    report = f"{_raw(shlex.quote(str(folder / 'reports')))}/{{{{ report }}}}"
    command = (
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
            env=_environment(folder) | {_CHILD: "1"},
        ) as process,
    ):  # fmt: skip
        seen = 0
        while True:
            over = process.poll() is not None
            done = len(list((folder / "reports").glob("*.status")))
            advance(done - seen)
            seen = done
            if over:
                break
            time.sleep(_LOOK_EVERY_S)
    if not seen:
        said = " ".join((folder / "ansible.log").read_text().split())[-300:]
        raise EdgeError(f"ansible did not begin: {said}", "check the inventory")


def _raw(words: str) -> str:
    """Hide words from Ansible's templates."""
    return f"{{% raw %}}{words}{{% endraw %}}"


def _report(folder: Path, name: str) -> dict[str, Any] | None:
    """Return what became of a board; None where it was not tried."""
    base = folder / sha1(name.encode(), usedforsecurity=False).hexdigest()
    if not base.with_suffix(".status").exists():
        return None
    if base.with_suffix(".status").read_text().strip() == "0":
        found: dict[str, Any] = json.loads(base.with_suffix(".json").read_text())
        return found
    lines = base.with_suffix(".err").read_text(errors="replace").splitlines()
    told = {key: words for key, _, words in (line.partition(": ") for line in lines)}
    return {
        "error": told.get("error", lines[-1] if lines else "it ended without a word"),
        "hint": told.get("hint", ""),
    }


def _counted(reports: dict[str, dict[str, Any] | None]) -> dict[str, int]:
    told = [report for report in reports.values() if report is not None]
    return {
        "updated": sum(bool(report.get("changed")) for report in told),
        "unchanged": sum(report.get("changed") is False for report in told),
        "failed": sum("error" in report for report in told),
        "not_tried": len(reports) - len(told),
    }


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
