"""Boards as data: one TOML file each, with what is known of the board and where from."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from typing import Any

from edge.devices.figures import Figure, read_figures
from edge.errors import EdgeError

# What makes int8 fast, by the kind of processor: its name, and its word in `isa`.
_INT8 = {
    "aarch64": {"dotprod": "asimddp", "i8mm": "i8mm"},
    "x86_64": {"AVX-VNNI": "avx_vnni", "AVX-512 VNNI": "avx512_vnni", "AMX": "amx_int8"},
}
_CAMERAS = {"ribbon": "ribbon (--camera picamera)", "usb": "USB (--camera 0)"}
_TUPLES = ("isa", "memory_gb", "cameras", "notes", "facts")


@dataclass(frozen=True, kw_only=True)
class Board:
    """One board; what has no citable source is left out of its file and empty here.

    Args:
        key: The name of its file, which is also what a user types.
        name: Its name in sentences.
        soc: The chip.
        cpu: The kind of its cores, such as "Cortex-A53"; empty for a box of any kind.
        cores: How many cores.
        clock_mhz: The highest clock of the cores as sold, in MHz.
        isa: What decides the speed of int8, in the words of a fingerprint's `isa`: the kind of
            processor first, and all of them where `cpu` is known.
        memory_gb: The sizes of memory it is sold with.
        os: Systems that run on it and that LiteRT has wheels for, each with its Python.
        cameras: What can be plugged in: "ribbon" (picamera2) and "usb".
        thermal: Where it tells its temperature, in thousandths of a degree Celsius.
        throttled: Where its firmware tells whether it slows itself down.
        throttles_at_c: The temperature from which it slows itself down.
        notes: What else one has to know of it.
        facts: Addresses of the sources of all of these.
        published: Speeds that others published of other software on it.
    """

    key: str
    name: str
    soc: str = ""
    cpu: str = ""
    cores: int | None = None
    clock_mhz: float | None = None
    isa: tuple[str, ...] = ()
    memory_gb: tuple[float, ...] = ()
    os: Mapping[str, str] = field(default_factory=dict)
    cameras: tuple[str, ...] = ()
    thermal: str = ""
    throttled: str = ""
    throttles_at_c: float | None = None
    notes: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    published: tuple[Figure, ...] = ()

    @property
    def threads(self) -> int | None:
        """How many threads a network uses there, as `edge.environment.threads_of_a_network`."""
        return None if self.cores is None else min(max(self.cores // 2, 1), 4)


def boards() -> dict[str, Board]:
    """Return every board by its key, in the order of the keys."""
    found = {
        file.name.removesuffix(".toml"): file.read_text("utf-8")
        for file in files("edge.devices").iterdir()
        if file.name.endswith(".toml")
    }
    return {key: read_board(key, found[key]) for key in sorted(found)}


def board(key: str) -> Board:
    """Return one board.

    Raises:
        EdgeError: No board has that key.
    """
    known = boards()
    if key not in known:
        raise EdgeError(f"unknown board {key}", f"choose one of {', '.join(known)}")
    return known[key]


def read_board(key: str, text: str) -> Board:
    """Return the board that the text of its TOML file describes."""
    table = tomllib.loads(text)
    table |= {name: _several(table[name]) for name in _TUPLES if name in table}
    published = read_figures(table.pop("published", ()), hardware=table["name"])
    return Board(key=key, published=published, **table)


def facts(board: Board) -> list[tuple[str, str]]:
    """Return what is known of a board, for people: names and values, without the figures."""
    degrees = "" if board.throttles_at_c is None else f"{board.throttles_at_c:g} °C"
    systems = [f"{system} (Python {python})" for system, python in board.os.items()]
    rows = [
        ("name", board.name),
        ("chip", board.soc),
        ("processor", _processor(board)),
        ("int8 instructions", _int8(board)),
        ("memory", _memory(board)),
        *(("system", system) for system in systems),
        ("cameras", ", ".join(_CAMERAS[kind] for kind in board.cameras)),
        ("threads of a network", f"{board.threads or 'half of its cores, from 1 to 4'}"),
        ("temperature", board.thermal),
        ("slows down from", degrees),
        ("throttled", board.throttled),
        *(("note", note) for note in board.notes),
        *(("source", address) for address in board.facts),
    ]
    return [(name, value) for name, value in rows if value]


def to_json(board: Board) -> dict[str, Any]:
    """Return all that is known of a board, its published figures too, for machines."""
    return asdict(board) | {"threads": board.threads}


def _several(value: Any) -> tuple[Any, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _processor(board: Board) -> str:
    cores = f"{board.cores} × {board.cpu}" if board.cores else board.cpu
    return f"{cores} at up to {board.clock_mhz:g} MHz" if board.clock_mhz else cores


def _int8(board: Board) -> str:
    words = _INT8.get(board.isa[0], {}) if board.isa else {}
    if words and not board.cpu:
        return f"{_joined(words, 'and')} depend on its processor"
    return ", ".join(
        f"{name} {'yes' if word in board.isa else 'no'}" for name, word in words.items()
    )


def _memory(board: Board) -> str:
    sizes = [f"{size:g}" for size in board.memory_gb]
    return f"{_joined(sizes, 'or')} GB" if sizes else ""


def _joined(words: Iterable[str], last: str) -> str:
    """Join words as in a sentence, such as "1, 2 or 4"."""
    *others, final = words
    return f"{', '.join(others)} {last} {final}" if others else final
