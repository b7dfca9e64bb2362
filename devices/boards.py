"""Boards as data: one TOML file each, with what is known of the board and where from."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files

from edge.devices.figures import Figure, read_figures
from edge.errors import EdgeError


@dataclass(frozen=True, kw_only=True)
class Board:
    """One board; what has no citable source is left out of its file and empty here.

    Args:
        key: The name of its file, which is also what a user types.
        name: Its name in sentences.
        soc: The chip.
        cpu: The kind of its cores, such as "Cortex-A53".
        cores: How many cores.
        clock_mhz: The highest clock of the cores as sold, in MHz.
        isa: What decides the speed of int8, in the words of a fingerprint's `isa`.
        facts: Address of the source of `soc` to `isa`.
        published: Speeds that others published of other software on it.
    """

    key: str
    name: str
    soc: str = ""
    cpu: str = ""
    cores: int | None = None
    clock_mhz: float | None = None
    isa: tuple[str, ...] = ()
    facts: str = ""
    published: tuple[Figure, ...] = ()


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
    isa = tuple(table.pop("isa", ()))
    published = read_figures(table.pop("published", ()), hardware=table["name"])
    return Board(key=key, isa=isa, published=published, **table)
