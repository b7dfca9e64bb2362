"""Labelled pictures: what a data set holds, what is chosen from it, and a digest of the choice."""

import difflib
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import EdgeError
from edge.kinds import FOLDER_LICENCE, KINDS, recognised
from edge.listings import Listing, listed, reading
from edge.readers_folder import read_folder
from edge.samples import Sample

SPLITS = ("train", "val", "test")

# The one column of labels of a data set of people.
IDENTITY = "identity"

# Words that say yes to the same question, lower-case letters and digits alone. What says no to it
# ("female", "neutral", "sad") does not belong here: its column would be read the wrong way round.
SYNONYMS = (
    frozenset({"smiling", "smile", "happy", "happiness"}),
    frozenset({"male", "man", "men"}),
    frozenset({"eyeglasses", "glasses"}),
)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled pictures of one source.

    Args:
        name: The kind of data set: "celeba", "genki4k", "mtfl", "adience" or "folder".
        root: The folder it was loaded from.
        attributes: What the labels of each sample say, in their order.
        samples: In name order.
        labels: float32 (samples, attributes): 1 yes, 0 no, nan unknown; of people the place of
            each in `classes`.
        findings: How many of what did not fit, such as labels without a picture.
        licence: The terms of the pictures, one line.
        classes: Of people, their names; the only attribute is then `IDENTITY`.
    """

    name: str
    root: Path
    attributes: tuple[str, ...]
    samples: tuple[Sample, ...]
    labels: NDArray[np.float32]
    findings: dict[str, int]
    licence: str
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        expected = len(self.samples), len(self.attributes)
        if self.labels.shape != expected:
            raise ValueError(f"labels are {self.labels.shape}, expected {expected}")
        if self.classes and self.attributes != (IDENTITY,):
            raise ValueError(f"attributes of people: {self.attributes}, expected {IDENTITY}")

    def only(self, split: str) -> "Dataset":
        """Return the samples of one split; "all" is every sample.

        Raises:
            EdgeError: There is no such split, or no sample in it.
        """
        if split == "all":
            return self
        if split not in SPLITS:
            raise EdgeError(f"unknown split {split}", f"choose one of {', '.join(SPLITS)}, all")
        rows = [row for row, sample in enumerate(self.samples) if sample.split == split]
        if not rows:
            counts = Counter(sample.split for sample in self.samples)
            held = ", ".join(f"{name} {counts[name]:,}" for name in SPLITS)
            raise EdgeError(
                f"no {split} pictures in {self.name} at {self.root}: {held}",
                "choose another --split, or all",
            )
        return self.chosen(rows)

    def chosen(self, rows: Sequence[int] | NDArray[np.int64]) -> "Dataset":
        """Return some of the samples, in the order of `rows`."""
        places = np.asarray(rows, np.int64)
        samples = tuple([self.samples[row] for row in places.tolist()])
        return replace(self, samples=samples, labels=self.labels[places])

    def with_attributes(self, attributes: Sequence[str], allow_missing: bool = False) -> "Dataset":
        """Return the samples with these attributes, in this order.

        A name that differs in case or punctuation alone is found, and so is one of `SYNONYMS`;
        it takes the form asked for.

        Args:
            attributes: Names, each once.
            allow_missing: True labels an attribute that the data set lacks as unknown
                everywhere.

        Raises:
            EdgeError: The data set lacks an attribute, or has it twice by other names.
        """
        wanted = tuple(attributes)
        if not wanted or len(set(wanted)) < len(wanted):
            raise EdgeError(
                f"attributes are {', '.join(wanted) or 'none'}, expected each once",
                f"choose of {listed(self.attributes, 40)}",
            )
        if wanted == self.attributes:
            return self
        labels = np.full((len(self.samples), len(wanted)), np.nan, np.float32)
        for at, name in enumerate(wanted):
            column = self._column(name, allow_missing)
            if column is not None:
                labels[:, at] = self.labels[:, column]
        classes = self.classes if wanted == (IDENTITY,) else ()
        return replace(self, attributes=wanted, labels=labels, classes=classes)

    def count(self, split: str) -> int:
        """Return how many samples a split has."""
        return sum(sample.split == split for sample in self.samples)

    def digest(self) -> str:
        """Return the sha256 of attributes, and of the names, splits and labels of the samples.

        Of people, that of their names too.
        """
        words = {float(place): str(place) for place in range(max(2, len(self.classes)))}
        lines = sorted(
            "\t".join(
                (sample.name, sample.split, *[words.get(label, "?") for label in row.tolist()])
            )
            for sample, row in zip(self.samples, self.labels, strict=True)
        )
        head = [self.attributes, self.classes] if self.classes else [self.attributes]
        text = "\n".join((*("\t".join(names) for names in head), *lines))
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()

    def _column(self, name: str, allow_missing: bool) -> int | None:
        if name in self.attributes:
            return self.attributes.index(name)
        plain = [_plain(attribute) for attribute in self.attributes]
        if plain.count(_plain(name)) == 1:
            return plain.index(_plain(name))
        alike = [at for at, other in enumerate(plain) if other in spellings(name)]
        if len(alike) == 1:
            return alike[0]
        if alike:
            found = [self.attributes[at] for at in alike]
            raise EdgeError(
                f"{self.name} says {name} in more than one way: {', '.join(found)}",
                f"choose one by its own name: --attributes {found[0]}",
            )
        if allow_missing:
            return None
        near = difflib.get_close_matches(_plain(name), plain, n=3)
        close = [self.attributes[plain.index(match)] for match in near]
        there = f"choose of {listed(self.attributes, 40)}"
        raise EdgeError(
            f"{self.name} has no attribute {name}",
            f"did you mean {' or '.join(close)}? {there}" if close else there,
        )


def spellings(name: str) -> frozenset[str]:
    """Return every word that says the same as an attribute, itself included, in plain letters."""
    plain = _plain(name)
    return next((words for words in SYNONYMS if plain in words), frozenset({plain}))


def load(
    root: Path,
    kind: str = "auto",
    attributes: Sequence[str] | None = None,
    *,
    wanted: Sequence[str] = (),
) -> Dataset:
    """Load the labels of a data set; no picture is opened.

    Args:
        root: Its folder.
        kind: "celeba", "genki4k", "mtfl", "adience", "folder", or "auto" to recognise it.
        attributes: Those to return, in order; None for all.
        wanted: Of a folder of two classes, which one says yes where either could; see
            `read_folder`. What is not there is no error.

    Raises:
        EdgeError: The folder holds no such data set, a line of it is wrong, or it lacks an
            attribute.
    """
    if kind not in ("auto", "folder", *KINDS):
        raise EdgeError(
            f"unknown data set {kind}", f"choose --dataset auto, {', '.join(KINDS)} or folder"
        )
    with reading(root):
        name = recognised(root) if kind == "auto" else kind
        if name == "folder":
            asked = attributes or wanted
            words = [word for one in asked for word in (one, *spellings(one))]
            listing, licence = read_folder(root, words), FOLDER_LICENCE
        else:
            listing, licence = KINDS[name].read(root), KINDS[name].licence
    dataset = in_name_order(name, root, listing, licence)
    return dataset if attributes is None else dataset.with_attributes(attributes)


def in_name_order(
    kind: str, root: Path, listing: Listing, licence: str, classes: tuple[str, ...] = ()
) -> Dataset:
    """Return a data set of what a reader found; the arguments are those of `Dataset`."""
    found = listing.samples
    order = sorted(range(len(found)), key=lambda row: (found[row].name, found[row].file))
    width = np.dtype((np.float32, (len(listing.attributes),)))
    labels = np.fromiter((listing.labels[row] for row in order), width, len(order))
    return Dataset(
        name=kind,
        root=root,
        attributes=listing.attributes,
        samples=tuple([found[row] for row in order]),
        labels=np.asarray(labels, np.float32),
        findings={what: count for what, count in listing.findings.items() if count},
        licence=licence,
        classes=classes,
    )


def balanced_subset(
    dataset: Dataset, counts: tuple[int, int, int], attribute: str, seed: int
) -> Dataset:
    """Choose pictures at random, half with an attribute and half without.

    The choice depends on seed and picture names alone; a smaller subset of the same seed is part
    of a larger one.

    Args:
        dataset: What to choose from.
        counts: Pictures of train, val and test.
        attribute: The one to balance; pictures where it is unknown are left out.
        seed: Any integer.

    Raises:
        EdgeError: A split has too few pictures of a class, or a count is negative or odd.
    """
    if min(counts) < 0 or any(count % 2 for count in counts) or not any(counts):
        raise EdgeError(
            f"subset {','.join(map(str, counts))} cannot be halved into two classes",
            "give even counts of pictures, as in --subset 10000,2500,2500",
        )
    labels = dataset.with_attributes([attribute]).labels[:, 0]
    classes: dict[tuple[str, float], list[int]] = {
        (split, label): [] for split in SPLITS for label in (1.0, 0.0)
    }
    for index, (sample, label) in enumerate(zip(dataset.samples, labels.tolist(), strict=True)):
        if (sample.split, label) in classes:
            classes[sample.split, label].append(index)
    wanted = dict(zip(SPLITS, counts, strict=True))
    if any(len(members) < wanted[split] // 2 for (split, _), members in classes.items()):
        raise _too_few(attribute, counts, {key: len(group) for key, group in classes.items()})
    chosen: list[int] = []
    for (split, _), members in classes.items():
        members.sort(key=lambda index: lot(dataset.samples[index].name, seed))
        chosen += members[: wanted[split] // 2]
    return dataset.chosen(sorted(chosen))


def _too_few(
    attribute: str, counts: tuple[int, int, int], held: dict[tuple[str, float], int]
) -> EdgeError:
    there = "; ".join(
        f"{split} {held[split, 1.0]:,} yes, {held[split, 0.0]:,} no" for split in SPLITS
    )
    halves = ", ".join(f"{count // 2:,}" for count in counts)
    most = ",".join(str(2 * min(held[split, 1.0], held[split, 0.0])) for split in SPLITS)
    return EdgeError(
        f"{attribute} needs {halves} of each class, there are {there}",
        f"the most is --subset {most}",
    )


def lot(name: str, seed: int) -> bytes:
    """Return a name's place in the lottery of a seed, the same for every NumPy version."""
    return hashlib.sha256(f"{seed}/{name}".encode(errors="surrogateescape")).digest()


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
