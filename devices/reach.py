"""Reaching a board: OpenSSH as the user has it, and a conversation with the board's Python."""

import json
import os
import re
import shlex
import subprocess
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from edge.errors import EdgeError
from edge.progress import Advance

# What is sent, in the order in which it is made there.
_MODULES = (
    "onboard_probe", "onboard_store", "onboard_whole", "onboard_manifest", "onboard_bundle",
    "onboard_trial", "onboard_unit", "onboard_service", "onboard_board", "onboard_work", "onboard",
)  # fmt: skip

# One line without anything that some login shell takes for its own.
_BOOT = "import sys,zlib;d=sys.stdin.buffer;exec(zlib.decompress(d.read(int(d.readline()))))"
_LOADER = """
import json, sys, types
if sys.version_info < (3, 9):
    sys.exit("edge wants Python 3.11 or later, this is " + sys.version.split()[0])
for name, text in json.loads({sources!r}):
    module = sys.modules[name] = types.ModuleType(name)
    module.__source__ = text
    exec(compile(text, name, "exec"), module.__dict__)
module.serve()
"""

# Nothing may ask, an unknown key is refused whatever the user's configuration says of it, and who
# does not answer for a quarter of a minute has gone.
_OPTIONS = (
    "BatchMode=yes", "StrictHostKeyChecking=yes", "ConnectTimeout=10", "ServerAliveInterval=5",
    "ServerAliveCountMax=3", "ForwardAgent=no", "ForwardX11=no", "RemoteCommand=none",
    "ClearAllForwardings=yes", "NoHostAuthenticationForLocalhost=no", "VerifyHostKeyDNS=no",
)  # fmt: skip

Hear = Callable[[dict[str, Any]], None]

# What a shell takes for its own: to one ssh may hand on who goes where.
_FOR_A_SHELL = re.compile(r"[\s\x00-\x1f\"'`$;&<>|(){}]")
# What is said again once it is known to be the end.
_ERROR = re.compile("(error|hint): ")
_LOOKS, _LOOK_EVERY_S = 20, 0.1
# An emulated board takes five seconds to answer.
_PATIENCE_S = 60.0


class UnreachableError(EdgeError):
    """The board could not be reached, or the connection to it was lost."""


def ssh_command(host: str, *, config: Path | None = None) -> list[str]:
    """Return the words of a command that goes to a board without asking anything.

    Args:
        host: As ssh takes it: an alias, `user@host`, or `ssh://user@host:port`.
        config: A configuration to use in place of the user's own.

    Raises:
        EdgeError: It is no host, or would be read as an option; or there is no such configuration.
    """
    if config is not None and not config.is_file():
        raise EdgeError(f"there is no ssh configuration {config}", "check its path")
    words = ["ssh", "-T", *(["-F", str(config)] if config is not None else [])]
    words += [word for option in _OPTIONS for word in ("-o", option)]
    return [*words, *_destination(host)]


def _destination(host: str) -> list[str]:
    """Return a host as words of ssh; not all of its releases read an IPv6 address with a port."""
    if host.startswith("ssh://"):
        try:
            found = urlsplit(host)
            port, more = found.port, bool(found.password or found.path.strip("/") or found.query)
        except ValueError:
            raise _no_host(host) from None
        user, at, name = found.netloc.rpartition("@")
        # As it was written: an alias may have capitals.
        name, user = re.sub(r":\d*$", "", name), unquote(user)
        words = ["-p", f"{port}"] if port is not None else []
    else:
        user, at, name = host.rpartition("@")
        # Of ssh's own form, which has no port.
        more, words = name.count(":") == 1 or "]:" in name, []
    bracketed = re.fullmatch(r"\[(.*)\]", name)
    name = bracketed[1] if bracketed else name
    whole = f"{user}{at}{name}"
    if not name or bool(at) != bool(user) or more or "-" in (whole[:1], name[:1]):
        raise _no_host(host)
    if _FOR_A_SHELL.search(whole):
        raise _no_host(host)
    return [*words, "--", whole]


def _no_host(host: str) -> EdgeError:
    return EdgeError(
        f"{host!r} is no host", "write it as for ssh: pi@192.168.1.7, or ssh://pi@192.168.1.7:2222"
    )


class Session:
    """A conversation with a board's `python3`: requests are answered there one after another.

    Args:
        host: As ssh takes it.
        config: An ssh configuration to use in place of the user's own.
        hear_errors: Called with each line that goes to stderr of what is run there.

    Raises:
        UnreachableError: The board cannot be reached, or has no Python.
    """

    def __init__(
        self, host: str, *, config: Path | None = None,
        hear_errors: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        self.host = host
        self.config = config
        self._hear_errors: Callable[[str], None] | None = None
        self.sent = 0
        command = ssh_command(host, config=config)
        self._errors: deque[str] = deque(maxlen=50)
        try:
            # A group of its own: Ctrl-C ends what is done here first, then this.
            self._process = subprocess.Popen(
                [*command, f"python3 -I -u -c {shlex.quote(_BOOT)}"], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                # Nor may the ssh of a jump host, which does not heed BatchMode.
                env=os.environ | {"SSH_ASKPASS_REQUIRE": "never"},
            )  # fmt: skip
        except FileNotFoundError as error:
            raise EdgeError("there is no ssh", "install OpenSSH's client") from error
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()
        # A menu, or a shell that runs nothing, says neither yes nor no.
        self._has_given_up = False
        self._silent = threading.Timer(_PATIENCE_S, self._give_up)
        self._silent.daemon = True
        self._silent.start()
        try:
            self._greet()
        except BaseException:
            self._process.kill()
            self.close()
            raise
        self._silent.cancel()
        self._hear_errors = hear_errors

    def _greet(self) -> None:
        """Have the board's Python execute the modules, and wait until it has."""
        program = _program()
        self._write(b"%d\n" % len(program) + program)
        hello = {"root": os.environ.get("EDGE_DEVICE_ROOT", ""), "token": token_hex(8)}
        self._write(json.dumps(hello) + "\n")
        # What a login shell has to say comes first.
        while self._line().strip() != f'{{"ready": "{hello["token"]}"}}'.encode():
            pass

    def ask(
        self, do: str, *, body: IO[bytes] | None = None, advance: Advance | None = None,
        hear: Hear | None = None, **words: Any,
    ) -> Any:  # fmt: skip
        """Have the board do something, and return its answer.

        Args:
            do: What, of the requests of `edge.devices.onboard`.
            body: Bytes that follow the request, to their end.
            advance: Called with the number of bytes of it that were just sent.
            hear: Called with whatever it says while it works.
            words: What the request takes; `size` is that of the body, where there is one.

        Raises:
            EdgeError: The board refuses.
            UnreachableError: The connection was lost.
        """
        self._write(json.dumps({"do": do, **words}) + "\n")
        left = words.get("size", 0)
        while body is not None and (block := body.read(1 << 16)):
            self._write(block)
            left -= len(block)
            if advance is not None:
                advance(len(block))
        if left > 0:  # the board would wait for the rest forever
            self.close()
            raise UnreachableError("a file was cut short while it was sent", "flash again")
        while True:
            answer = json.loads(self._line())
            if "done" in answer:
                return answer["done"]
            if "error" in answer:
                hint = answer["hint"].replace("HOST", self.host)
                raise EdgeError(f"{self.host}: {answer['error']}", hint)
            if hear is not None:
                hear(answer)

    def last_error(self) -> tuple[str, str]:
        """Return the last error and hint that went to stderr there."""
        found: dict[str, str] = {}
        # They come another way than answers, and may still be on it.
        for _ in range(_LOOKS):
            for line in list(self._errors):
                word, _, words = line.partition(": ")
                found[word] = words
            if {"error", "hint"} <= found.keys():
                return found["error"], found["hint"]
            time.sleep(_LOOK_EVERY_S)
        last = self._errors[-1] if self._errors else "it ended without a word"
        return last, f"try it there: {ssh_words(self.host, self.config)}"

    def close(self) -> None:
        """End the conversation; the board brings what it does to its end."""
        self._silent.cancel()
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with suppress(OSError):
            stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(timeout=5)
        stdout.close()

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def _write(self, data: str | bytes) -> None:
        data = data.encode() if isinstance(data, str) else data
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except OSError:
            raise self._lost() from None
        self.sent += len(data)

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise self._lost()
        return line

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in stream:
                self._errors.append(line.decode(errors="replace").strip())
                if self._hear_errors is not None and not _ERROR.match(self._errors[-1]):
                    self._hear_errors(self._errors[-1])

    def _lost(self) -> UnreachableError:
        """Return why the board no longer answers, in words."""
        self.close()
        said = " ".join(filter(None, self._errors))
        if self._has_given_up:
            return UnreachableError(
                f"{self.host} lets one in, but runs no command",
                f"try: {ssh_words(self.host, self.config)} python3 --version",
            )
        return lost(self.host, self._process.returncode, said, config=self.config)

    def _give_up(self) -> None:
        self._has_given_up = True
        self._process.kill()


def ssh_words(host: str, config: Path | None) -> str:
    """Return what a user types to log in, or with another program of ssh's in its place."""
    words = ["ssh", *(["-F", str(config)] if config is not None else [])]
    return shlex.join([*words, *(word for word in _destination(host) if word != "--")])


def bringing_edge(host: str, config: Path | None) -> str:
    """Return what a user types to bring edge to a board."""
    with_config = f" --ssh-config {shlex.quote(str(config))}" if config is not None else ""
    return f"edge flash default {host} --with-runtime{with_config}"


def lost(host: str, status: int | None, said: str, *, config: Path | None) -> UnreachableError:
    """Say in words why ssh ended.

    Args:
        host: Where it went to.
        status: Its exit status: 255 is its own, any other that of the command on the board.
        said: What it wrote to stderr.
        config: The ssh configuration in place of the user's own.
    """
    login = ssh_words(host, config)
    if status == 127:
        return UnreachableError(f"{host} has no python3", "install it: sudo apt install python3")
    if "edge wants Python" in said:
        return UnreachableError(f"{host}: {said[said.index('edge wants') :]}", "upgrade its system")
    told = f": {said[-300:]}" if said else ""
    if status != 255:
        return UnreachableError(
            f"what runs on {host} came to an end{told}",
            f"see whether one may run commands there, and its memory and log: {login}",
        )
    for words, found, hint in _REASONS:
        if words in said:
            return UnreachableError(
                f"{host}: {found}",
                hint.format(login=login, known=_known_as(host, said), rest=login[len("ssh ") :]),
            )
    return UnreachableError(
        f"{host} cannot be reached, or the connection was lost{told}", f"try: {login} true"
    )


def _known_as(host: str, said: str) -> str:
    """Return the command by which ssh says that a known key is removed."""
    found = re.search(r"ssh-keygen -f \S+ -R \S+", said)
    return found[0] if found else f"ssh-keygen -R {shlex.quote(host)}"


# What ssh says, what it means, and what to do.
_REASONS = (
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "its host key is another than the one known",
     "if the board was set up anew, remove the old key with {known}, then log in once: {login}"),
    ("Host key verification failed", "its host key is not known",
     "log in once, and compare the fingerprint with the board's own: {login}"),
    ("UNPROTECTED PRIVATE KEY FILE", "ssh does not use a key that others can read",
     "chmod 600 the private key"),
    ("Permission denied", "the login is refused",
     "put your key there: ssh-copy-id {rest}; one with a passphrase has to be in your agent"),
    ("Could not resolve hostname", "there is no host of this name",
     "check the name, or write its address"),
    ("Connection refused", "nothing listens for ssh there",
     "start its ssh server: sudo systemctl enable --now ssh"),
    ("timed out", "it does not answer", "check that it is on and in this network"),
    ("No route to host", "it is not in this network", "check the cable, and the address"),
)  # fmt: skip


def _program() -> bytes:
    """Return what the board's Python executes first: the modules, and the call that serves."""
    folder = files("edge.devices")
    sources = [
        (f"edge.devices.{name}", folder.joinpath(f"{name}.py").read_text("utf-8"))
        for name in _MODULES
    ]
    return zlib.compress(_LOADER.format(sources=json.dumps(sources)).encode())
