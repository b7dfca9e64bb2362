"""Pictures of people by who they are: chosen people, and which of their pictures test.

A person's pictures are divided by their own names alone, whatever the seed and whoever else is
chosen: a picture that tests in one run is trained on in none. Of five pictures four train and one
tests, so nothing is left to choose a model by: training keeps its last epoch and watches "test"
for the curve only.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.datasets import IDENTITY, Dataset, in_name_order, lot
from edge.errors import EdgeError
from edge.kinds import FOLDER_LICENCE, KINDS, recognised
from edge.listings import (
    Labels,
    Listing,
    bad_line,
    by_stem,
    folder_pictures,
    listed,
    numbered_lines,
    reading,
    stem,
)
from edge.readers import celeba_file, celeba_pictures
from edge.readers_folder import SPLIT_FOLDERS
from edge.samples import Place, Sample, place_name

LEAST_PICTURES = 5

_IDENTITIES = "identity_CelebA"
_LICENCES = {"celeba": KINDS["celeba"].licence, "folder": FOLDER_LICENCE}


@dataclass(frozen=True)
class _People:
    """Everybody in a folder: their pictures by name, and what did not fit."""

    kind: str
    root: Path
    pictures: dict[str, list[Place]]
    findings: Counter[str]


def load_identities(root: Path, kind: str, people: int, seed: int) -> Dataset:
    """Choose people at random, out of those with at least five pictures.

    CelebA's own partition has nobody in two parts and is not used.

    Args:
        root: CelebA with its identity_CelebA.txt, or a folder with one folder a person.
        kind: "celeba", "folder", or "auto" to recognise it.
        people: How many; those of a smaller number are among those of a larger.
        seed: Decides who.

    Returns:
        Their pictures, a fifth of each person's "test" (rounded down) and the others "train".

    Raises:
        EdgeError: The folder says nothing of who is who, or has too few people.
    """
    found = _read(root, kind)
    enough = [name for name, places in found.pictures.items() if len(places) >= LEAST_PICTURES]
    if not 2 <= people <= len(enough):
        raise _wrong_number(found, people, len(enough))
    found.findings[f"people with fewer than {LEAST_PICTURES} pictures"] += len(
        found.pictures
    ) - len(enough)
    chosen = sorted(enough, key=lambda name: lot(name, seed))[:people]
    return _dataset(found, sorted(chosen))


def identities_of(root: Path, kind: str, classes: Sequence[str]) -> Dataset:
    """Return the pictures of certain people, divided as `load_identities` divides them.

    Args:
        root: As `load_identities`.
        kind: As `load_identities`.
        classes: Names of the people, in the order of their labels; those without a picture are
            counted.

    Raises:
        EdgeError: The folder says nothing of who is who, or has none of them.
    """
    found = _read(root, kind)
    missing = [name for name in classes if name not in found.pictures]
    if len(missing) == len(classes):
        raise EdgeError(
            f"{found.kind} at {root} has none of the {len(classes):,} people "
            f"{listed(classes, 3)}, but {listed(sorted(found.pictures), 3)}",
            "point --data at pictures of those people",
        )
    found.findings["people without a picture"] += len(missing)
    return _dataset(found, classes)


def _read(root: Path, kind: str) -> _People:
    findings: Counter[str] = Counter()
    with reading(root):
        if kind == "auto":
            known = celeba_file(root, _IDENTITIES) is not None
            kind = "celeba" if known else recognised(root)
        if kind not in _LICENCES:
            raise EdgeError(
                f"{kind} says nothing of who is who",
                "give CelebA with its identity_CelebA.txt, or a folder with one folder a person",
            )
        read = _read_celeba if kind == "celeba" else _read_folder
        pictures = read(root, findings)
    # Labels are lines of a text file in every model.
    names = [name for name in pictures if name.isprintable() and name.strip()]
    findings["people whose name is no line of text"] += len(pictures) - len(names)
    return _People(kind, root, {name: pictures[name] for name in names}, findings)


def _read_celeba(root: Path, findings: Counter[str]) -> dict[str, list[Place]]:
    path = celeba_file(root, _IDENTITIES)
    if path is None:
        raise EdgeError(
            f"{root} has no {_IDENTITIES}.txt, which says who is who",
            "copy it beside list_attr_celeba; the publisher ships it in the folder Anno",
        )
    persons: dict[str, str] = {}
    for number, line in numbered_lines(path):
        cells = line.split()
        if len(cells) != 2:
            raise bad_line(path, number, f"{len(cells)} values", "2: a picture and a person")
        key, person = stem(cells[0]), cells[1]
        if persons.setdefault(key, person) != person:
            raise bad_line(path, number, f"a second person for {cells[0]}", "one row a picture")
    places, where = celeba_pictures(root, findings)
    people: dict[str, list[Place]] = {}
    for key in persons.keys() & places.keys():
        people.setdefault(persons[key], []).append(places[key])
    if not people:
        raise EdgeError(
            f"{path} names none of the {len(places):,} pictures in {where}",
            "take both from the same copy of CelebA",
        )
    findings["pictures of nobody known"] += len(places.keys() - persons.keys())
    findings["labels without a picture"] += len(persons.keys() - places.keys())
    return people


def _read_folder(root: Path, findings: Counter[str]) -> dict[str, list[Place]]:
    people: dict[str, list[Place]] = {}
    # One picture in two formats must not train and test.
    for name, place in by_stem(folder_pictures(root), findings).items():
        person, *below = name.split("/")
        if not below:
            findings["pictures outside the people's folders"] += 1
            continue
        if len(below) > 1 and person.lower() in SPLIT_FOLDERS:
            raise EdgeError(
                f"{root} has a folder {person}, expected one folder a person",
                f"put the people's folders side by side, or try --data {root / person}: edge "
                "chooses the pictures that test by itself",
            )
        people.setdefault(person, []).append(place)
    if not people:
        raise EdgeError(
            f"looked for one folder of pictures a person in {root}, found "
            f"{listed(sorted(path.name for path in root.iterdir()))}",
            "sort the pictures as DIR/ann, DIR/bob and so on",
        )
    return people


def _dataset(found: _People, classes: Sequence[str]) -> Dataset:
    samples: list[Sample] = []
    labels: list[Labels] = []
    for label, name in enumerate(classes):
        divided = _divided(name, found.pictures.get(name, []))
        samples += [Sample(*place, split) for place, split in divided]
        labels += [(float(label),)] * len(divided)
    listing = Listing((IDENTITY,), samples, labels, found.findings)
    return in_name_order(found.kind, found.root, listing, _LICENCES[found.kind], tuple(classes))


def _divided(person: str, places: list[Place]) -> list[tuple[Place, str]]:
    """Return one person's pictures, the last in a lottery of their names as those that test."""

    def drawn(place: Place) -> tuple[bytes, str]:
        # Without the ending: a copy that was encoded again is divided alike.
        return lot(f"{person}/{stem(place_name(place))}", 0), str(place)

    train = len(places) - len(places) // LEAST_PICTURES
    ordered = sorted(places, key=drawn)
    return [(place, "train" if at < train else "test") for at, place in enumerate(ordered)]


def _wrong_number(found: _People, people: int, enough: int) -> EdgeError:
    there = (
        f"{found.kind} at {found.root} has {enough:,} people with {LEAST_PICTURES} pictures or "
        f"more, of {len(found.pictures):,}"
    )
    if enough < 2:
        return EdgeError(
            f"{there}: too few to tell apart", f"add {LEAST_PICTURES} pictures or more a person"
        )
    return EdgeError(f"{there}; {people:,} were asked for", f"ask for 2 to {enough:,} people")
