"""What dataset readers share: text tables with line numbers, picture folders, and their join."""

import csv
import io
import os
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edge.errors import EdgeError
from edge.images import SUFFIXES, is_picture
from edge.samples import Place, Sample

Labels = tuple[float, ...]
Rows = dict[str, tuple[Labels, str]]  # stem of a picture: its labels and its split


@dataclass(frozen=True)
class Listing:
    """What a reader found in a folder.

    Args:
        attributes: Names of the columns of the labels.
        samples: The labelled pictures, in any order.
        labels: Those of each sample, one an attribute: 1.0 yes, 0.0 no.
        findings: How many of what did not fit.
    """

    attributes: tuple[str, ...]
    samples: list[Sample]
    labels: list[Labels]
    findings: Counter[str] = field(default_factory=Counter)


@contextmanager
def reading(root: Path) -> Iterator[None]:
    """Say of a folder that cannot be read what to do about it.

    Raises:
        EdgeError: The folder, or something in it, cannot be read.
    """
    try:
        os.scandir(root).close()
        yield
    except OSError as error:
        raise EdgeError(
            f"cannot read {error.filename or root}: {error.strerror}",
            "point --data at the folder of a data set",
        ) from error


def stem(name: str) -> str:
    """Return a picture's name without its ending; the same picture may have been re-encoded."""
    base, dot, ending = name.rpartition(".")
    return base if dot and f".{ending.lower()}" in SUFFIXES else name


def bad_line(path: Path, number: int, found: str, expected: str) -> EdgeError:
    """Return the refusal of one line of a file."""
    return EdgeError(
        f"{path}, line {number}: found {found}, expected {expected}",
        "mend that line, or copy the file again from its source",
    )


def quoted(text: str) -> str:
    """Return text fit for a message: short, without control characters."""
    return repr(text if len(text) <= 40 else text[:40] + "…")


def listed(names: Iterable[str], most: int = 8) -> str:
    """Return the first few names in a row, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return (", ".join(names[:most]) + more) or "nothing"


def read_text(path: Path) -> str:
    """Read a text file as UTF-8, or UTF-16 where its first bytes say so, with plain line ends.

    Raises:
        EdgeError: The file cannot be read, or is not text.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EdgeError(f"cannot read {path}: {error.strerror}", "check the path") from error
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise bad_line(path, number, f"byte 0x{data[error.start]:02x}", "text in UTF-8") from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        number = text.count("\n", 0, text.index("\0")) + 1
        raise bad_line(path, number, "binary data", "text in UTF-8")
    return text


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number, from 1, and the text of each line that is not blank.

    Raises:
        EdgeError: The file cannot be read, or is not text.
    """
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            yield number, line


def csv_rows(path: Path, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield the line number, from 1, and the cells of each row, the header included.

    Raises:
        EdgeError: The file cannot be read, is not text, or is not a table.
    """
    text = io.StringIO(read_text(path))
    if delimiter == "\t":
        # Quotes mean nothing there, and an open one would swallow the lines below.
        reader = csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(text, delimiter=delimiter, skipinitialspace=True)
    try:
        for row in reader:
            if any(map(str.strip, row)):
                yield reader.line_num, row
    except csv.Error as error:
        raise bad_line(path, reader.line_num, str(error), "comma separated values") from error


def columns_of(path: Path, number: int, header: list[str], wanted: Iterable[str]) -> list[int]:
    """Return where the wanted columns stand in a header.

    Raises:
        EdgeError: One of them is missing.
    """
    names = [name.strip() for name in header]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise bad_line(
            path,
            number,
            f"the columns {quoted(listed(names))}",
            f"a column {' and a column '.join(missing)}",
        )
    return [names.index(name) for name in wanted]


def add_row(
    rows: Rows, key: str, row: tuple[Labels, str], path: Path, number: int, findings: Counter[str]
) -> None:
    """Add a row; one that repeats another is counted, one that contradicts it is refused.

    Raises:
        EdgeError: The picture has other labels, or another split, further up.
    """
    if rows.setdefault(key, row) is row:
        return
    if rows[key] != row:
        raise bad_line(
            path,
            number,
            f"a second row for {quoted(key)} that contradicts the first",
            "one row a picture",
        )
    findings["labels listed twice"] += 1


def folder_pictures(folder: Path) -> dict[str, Place]:
    """Find the pictures in a folder and the folders below it.

    Returns:
        Where each picture is, by its path below the folder, with forward slashes.

    Raises:
        OSError: A folder cannot be read.
    """
    found: dict[str, Place] = {}
    seen: set[tuple[int, int]] = set()  # a link may lead back to a folder above it
    pending = [(folder, "")]
    while pending:
        here, prefix = pending.pop()
        status = here.stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(here) as entries:
            names = sorted(entry.name for entry in entries)
        # Paths that are made in the order of names lie together, and so their room is free again
        # when the training pictures are let go and only others are kept.
        for name in names:
            path = f"{here}{os.sep}{name}"
            if is_picture(name):
                found[prefix + name] = path, None
            elif not name.startswith(".") and Path(path).is_dir():
                pending.append((Path(path), f"{prefix}{name}/"))
    return found


def zip_pictures(path: Path) -> dict[str, Place]:
    """Find the pictures in a zip.

    Returns:
        Where each picture is, by its member name.

    Raises:
        EdgeError: The zip cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise EdgeError(
            f"cannot read {path}: {error}", "copy the zip again; it may be cut short"
        ) from error
    return {
        member: (str(path), member)
        for member in members
        if not member.startswith("__MACOSX/") and is_picture(member.rpartition("/")[2])
    }


def by_stem(pictures: Mapping[str, Place], findings: Counter[str]) -> dict[str, Place]:
    """Key pictures by their names without endings; of two formats of one picture, keep one."""
    order = {suffix: rank for rank, suffix in enumerate(SUFFIXES)}
    kept: dict[str, tuple[int, str]] = {}
    for name in pictures:
        key = stem(name)
        choice = order[f".{name.rpartition('.')[2].lower()}"], name
        if key in kept:
            findings["pictures in a second format"] += 1
            choice = min(choice, kept[key])
        kept[key] = choice
    return {key: pictures[name] for key, (_, name) in kept.items()}


def join(
    rows: Rows, pictures: Mapping[str, Place], findings: Counter[str], where: str
) -> tuple[list[Sample], list[Labels]]:
    """Bring pictures and labels together; count what stands alone.

    Args:
        rows: The labels, by stem.
        pictures: The pictures, by stem.
        findings: Where to count.
        where: What was searched for pictures, for the message.

    Raises:
        EdgeError: No label has a picture.
    """
    keys = [key for key in rows if key in pictures]
    if not keys:
        raise EdgeError(
            f"none of the {len(rows):,} labelled pictures is in {where}, which holds "
            f"{len(pictures):,} others",
            "copy the pictures beside their labels",
        )
    findings["labels without a picture"] += len(rows) - len(keys)
    findings["pictures without a label"] += len(pictures) - len(keys)
    samples = [Sample(*pictures[key], rows[key][1]) for key in keys]
    return samples, [rows[key][0] for key in keys]
