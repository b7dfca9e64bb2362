"""The reader of your own pictures: one folder a class, with or without folders for the splits."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge.errors import EdgeError
from edge.listings import Labels, Listing, folder_pictures, listed
from edge.samples import Place, Sample

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_NEGATIONS = {
    "0",
    "absent",
    "background",
    "false",
    "neg",
    "negative",
    "neither",
    "neutral",
    "no",
    "non",
    "none",
    "not",
    "off",
    "other",
    "others",
    "without",
}
_NEGATIVE_PREFIXES = ("un", "non", "not", "no")


def read_folder(root: Path, wanted: Sequence[str] = ()) -> Listing:
    """Read `root/<class>/…` or `root/{train,val,test}/<class>/…`.

    Two classes are one attribute, named after the class that is not a negation ("smiling" of
    "smiling" and "not_smiling"), or else after the later in the alphabet; more classes are one
    attribute each. Without folders for the splits, the name of a picture decides: about 80 % are
    train, 10 % val, 10 % test, and no picture moves when others are added.

    Args:
        root: The folder.
        wanted: Attributes asked for; with two classes, either may be asked for.

    Raises:
        EdgeError: There are not two classes with pictures.
    """
    findings: Counter[str] = Counter()
    classes: dict[str, list[tuple[Place, str]]] = {}
    pictures = {tuple(name.split("/")): place for name, place in folder_pictures(root).items()}
    splits = {
        parts[0] for parts in pictures if len(parts) > 2 and parts[0].lower() in SPLIT_FOLDERS
    }
    for parts, place in pictures.items():
        split = SPLIT_FOLDERS[parts[0].lower()] if parts[0] in splits else None
        below = parts[1:] if split else parts
        if len(below) < 2 or (splits and split is None):
            findings["pictures outside the class folders"] += 1
            continue
        where = split or split_of("/".join(below[1:]))
        classes.setdefault(below[0], []).append((place, where))
    _require_classes(root, classes)
    tops = {path.name for path in root.iterdir() if path.is_dir() and path.name[0] != "."}
    findings["folders without pictures"] += len(tops - {parts[0] for parts in pictures})
    return _listing(classes, wanted, findings)


def split_of(name: str) -> str:
    """Return the split that a picture's name puts it in."""
    # Any change here moves pictures between the splits of data sets already trained on.
    share = int.from_bytes(hashlib.sha256(_bytes(name)).digest()[:8]) / 2**64
    return "train" if share < 0.8 else "val" if share < 0.9 else "test"


def positive_of(first: str, second: str) -> str:
    """Return which of two classes says yes."""
    if _negates(first, second) != _negates(second, first):
        return second if _negates(first, second) else first
    return max(first, second)


def _require_classes(root: Path, classes: Mapping[str, object]) -> None:
    if len(classes) < 2:
        found, expected = listed(sorted(classes)), "two or more folders of pictures, one a class"
    elif all(name.lower() in SPLIT_FOLDERS for name in classes):
        found, expected = f"pictures right in {listed(sorted(classes))}", "a folder a class in each"
    else:
        return
    raise EdgeError(
        f"looked for {expected}, in {root}, found {found}",
        "sort the pictures as DIR/yes and DIR/no, or DIR/train/yes and so on",
    )


def _listing(
    classes: dict[str, list[tuple[Place, str]]], wanted: Sequence[str], findings: Counter[str]
) -> Listing:
    names = sorted(classes)
    if len(names) == 2:
        yes = positive_of(names[0], names[1])
        asked = [name for name in names if name.lower() in {want.lower() for want in wanted}]
        names = asked or [yes]
    samples: list[Sample] = []
    labels: list[Labels] = []
    for one, members in classes.items():
        samples += [Sample(*place, split) for place, split in members]
        labels += [tuple(1.0 if one == name else 0.0 for name in names)] * len(members)
    return Listing(tuple(names), samples, labels, findings)


def _negates(name: str, other: str) -> bool:
    words = [word for word in re.split(r"[\W_]+", name.lower()) if word]
    glued = {prefix + other.lower() for prefix in _NEGATIVE_PREFIXES}
    return bool(words) and (words[0] in _NEGATIONS or name.lower() in glued)


def _bytes(name: str) -> bytes:
    return name.encode(errors="surrogateescape")
