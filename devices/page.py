"""The page `docs/boards.md`, made from the boards' files: `python -m edge.devices.page`."""

import sys
from collections.abc import Iterable

from edge.devices.boards import Board, boards, facts
from edge.devices.figures import Figure

_HEAD = """\
# Boards

What is known of each board, with its sources, under the name that `edge devices show` takes; and
what others published of **other software** on it, each figure with its source: none of it is a
speed of edge, and none was measured with its protocol. Edge's own figures will stand beside them
once a real board has been measured; an emulated board says nothing about speed, so nothing emulated
is shown as one.

Durations are of one call; *statistic* is what the source says they are. Where a source gives frames
a second alone, the duration is their inverse. An empty cell is something not known of that figure.

This page is made from `devices/*.toml` by `python -m edge.devices.page > docs/boards.md`."""

_COLUMNS = ("case", "runtime", "ms", "statistic", "max ms", "FPS", "on", "source")
_NUMBERS = ("ms", "max ms", "FPS")


def page(known: Iterable[Board]) -> str:
    """Return the page as Markdown: a head, then each board with its facts and figures."""
    return "\n\n".join([_HEAD, *map(_section, known)]) + "\n"


def _section(board: Board) -> str:
    parts = [f"## {board.key}", "\n".join(f"- {name}: {value}" for name, value in facts(board))]
    if board.published:
        parts += [_table(board), _sources(board)]
    else:
        parts.append("No figures are known.")
    return "\n\n".join(parts)


def _table(board: Board) -> str:
    numbers = {source: at for at, source in enumerate(_cited(board), 1)}
    rule = ["--:" if column in _NUMBERS else "---" for column in _COLUMNS]
    rows = [
        [*_cells(figure, board), str(numbers[figure.title, figure.url])]
        for figure in board.published
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in [_COLUMNS, rule, *rows])


def _cells(figure: Figure, board: Board) -> list[str]:
    # A board run faster than it was sold is another machine to whoever compares.
    hardware = figure.hardware if figure.hardware != board.name else ""
    return [
        f"{figure.name} {figure.variant}".strip(),
        figure.runtime,
        _number(figure.ms),
        figure.statistic,
        _number(figure.max_ms),
        _number(figure.fps),
        ", ".join(part for part in (hardware, figure.input, figure.note) if part),
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _sources(board: Board) -> str:
    return "\n".join(f"{at}. [{title}]({url})" for at, (title, url) in enumerate(_cited(board), 1))


def _cited(board: Board) -> list[tuple[str, str]]:
    """Return the sources of a board as (title, address), each once."""
    return list(dict.fromkeys((figure.title, figure.url) for figure in board.published))


if __name__ == "__main__":
    sys.stdout.write(page(boards().values()))
