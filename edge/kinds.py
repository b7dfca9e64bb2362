"""The kinds of data sets: how each is recognised and read, and on what terms it is given."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from edge.errors import EdgeError
from edge.listings import Listing, listed
from edge.readers import (
    ADIENCE_SPLITS,
    celeba_file,
    read_adience,
    read_celeba,
    read_genki4k,
    read_mtfl,
)

FOLDER_LICENCE = "unknown: that of the pictures' owner"


class Kind(NamedTuple):
    """One kind of data set: how it is recognised and read, and its terms."""

    signs: str
    present: Callable[[Path], bool]
    read: Callable[[Path], Listing]
    licence: str


KINDS = {
    "celeba": Kind(
        "list_attr_celeba.txt or .csv",
        lambda root: celeba_file(root, "list_attr_celeba") is not None,
        read_celeba,
        "CelebA: non-commercial research only",
    ),
    "genki4k": Kind(
        "labels.txt beside files/",
        lambda root: (root / "labels.txt").is_file() and (root / "files").is_dir(),
        read_genki4k,
        "GENKI-4K: acknowledge the UCSD Machine Perception Laboratory",
    ),
    "mtfl": Kind(
        "training.txt or testing.txt",
        lambda root: (root / "training.txt").is_file() or (root / "testing.txt").is_file(),
        read_mtfl,
        "MTFL: non-commercial research only",
    ),
    "adience": Kind(
        "fold_0_data.txt to fold_4_data.txt",
        lambda root: any((root / f"fold_{n}_data.txt").is_file() for n in ADIENCE_SPLITS),
        read_adience,
        "Adience: research, by the terms of the Open University of Israel",
    ),
}


def recognised(root: Path) -> str:
    """Return the kind of data set that a folder holds."""
    kinds = _kinds_in(root)
    if len(kinds) > 1:
        raise EdgeError(
            f"{root} holds the files of {' and '.join(kinds)}", f"choose one: --dataset {kinds[0]}"
        )
    if kinds:
        return kinds[0]
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    below = {path: kinds for path in folders if (kinds := _kinds_in(path))}
    if below:
        held = ", ".join(f"{path.name} ({' and '.join(kinds)})" for path, kinds in below.items())
        raise EdgeError(
            f"{root} is not a data set, its folders are: {held}",
            f"point at one: --data {next(iter(below))}",
        )
    if not folders:
        found = sorted(path.name for path in root.iterdir())
        signs = "; ".join(f"{name}: {kind.signs}" for name, kind in KINDS.items())
        raise EdgeError(
            f"no data set in {root}, which holds {listed(found)}",
            f"expected {signs}; folder: one folder a class",
        )
    return "folder"


def _kinds_in(root: Path) -> list[str]:
    return [name for name, kind in KINDS.items() if kind.present(root)]
