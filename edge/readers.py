"""Readers of the published face data sets: their label files and folders, as they are shipped."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from edge.errors import EdgeError
from edge.listings import (
    Labels,
    Listing,
    Rows,
    add_row,
    bad_line,
    by_stem,
    columns_of,
    csv_rows,
    folder_pictures,
    join,
    listed,
    numbered_lines,
    quoted,
    stem,
    zip_pictures,
)
from edge.samples import Place

ADIENCE_SPLITS = {0: "train", 1: "train", 2: "train", 3: "val", 4: "test"}

_PARTITIONS = {"0": "train", "1": "val", "2": "test"}
_SIGNED = {"1": 1.0, "-1": 0.0}
_ONE_TWO = {"1": 1.0, "2": 0.0}
# The publisher's site sorts its files into these; copies often have them side by side.
_CELEBA_FOLDERS = ("", "Anno", "Eval", "Img")
_ADIENCE_PICTURES = (("faces", "coarse_tilt_aligned_face"), ("aligned", "landmark_aligned_face"))


def celeba_file(root: Path, name: str) -> Path | None:
    """Return where one of CelebA's text files is, official or Kaggle's; None where it is not."""
    candidates = [
        root / folder / f"{name}{ending}"
        for folder in _CELEBA_FOLDERS
        for ending in (".txt", ".csv")
    ]
    return next((path for path in candidates if path.is_file()), None)


def celeba_pictures(root: Path, findings: Counter[str]) -> tuple[dict[str, Place], str]:
    """Return CelebA's pictures by stem, and where they are.

    Raises:
        EdgeError: There are none.
    """
    for base in (root, root / "Img"):
        # Kaggle's folder of that name holds another one of that name.
        folder, archive = base / "img_align_celeba", base / "img_align_celeba.zip"
        for place, find in ((folder, folder_pictures), (archive, zip_pictures)):
            found = find(place) if place.exists() else {}
            if found:
                bare = {name.rpartition("/")[2]: where for name, where in found.items()}
                findings["pictures in two folders"] += len(found) - len(bare)
                return by_stem(bare, findings), str(place)
    raise _missing(root, "pictures in img_align_celeba or img_align_celeba.zip")


def read_celeba(root: Path) -> Listing:
    """Read CelebA, as the publisher or as Kaggle ships it, whole or in part.

    Raises:
        EdgeError: A file is missing or a line of one is wrong.
    """
    findings: Counter[str] = Counter()
    labels_file = _needed(celeba_file(root, "list_attr_celeba"), root, "list_attr_celeba")
    splits_file = _needed(celeba_file(root, "list_eval_partition"), root, "list_eval_partition")
    attributes, labels = _celeba_labels(labels_file, findings)
    splits = _celeba_splits(splits_file, findings)
    pictures, where = celeba_pictures(root, findings)
    rows: Rows = {}
    for key, values in labels.items():
        if key in splits:
            rows[key] = values, splits[key]
        else:
            findings["labels without a partition"] += 1
            pictures.pop(key, None)
    findings["partitions without labels"] += sum(key not in labels for key in splits)
    if not rows:
        raise EdgeError(
            f"{labels_file} and {splits_file} have no picture in common",
            "take both files from the same copy of CelebA",
        )
    return Listing(attributes, *join(rows, pictures, findings, where), findings)


def read_genki4k(root: Path) -> Listing:
    """Read GENKI-4K; all of it is test.

    Raises:
        EdgeError: A file is missing or a line of one is wrong.
    """
    findings: Counter[str] = Counter()
    path = _needed(root / "labels.txt", root, "labels.txt")
    rows: Rows = {}
    for position, (number, line) in enumerate(numbered_lines(path), start=1):
        # Head pose angles follow the label in the publisher's copy.
        label = line.split()[0]
        if number != position:
            raise bad_line(path, position, "a blank line", f"the label of file{position:04d}.jpg")
        if label not in ("0", "1"):
            raise bad_line(path, number, quoted(label), "1 for a smile or 0 for none")
        rows[f"file{number:04d}"] = (float(label),), "test"
    folder = root / "files" if (root / "files").is_dir() else root
    pictures = by_stem(folder_pictures(folder), findings)
    return Listing(("Smiling",), *join(rows, pictures, findings, str(folder)), findings)


def read_mtfl(root: Path) -> Listing:
    """Read MTFL: `training.txt` is train, `testing.txt` is test, and there is no val.

    Raises:
        EdgeError: A file is missing or a line of one is wrong.
    """
    findings: Counter[str] = Counter()
    rows: Rows = {}
    files = {"train": root / "training.txt", "test": root / "testing.txt"}
    if not any(path.is_file() for path in files.values()):
        raise _missing(root, "training.txt or testing.txt")
    for split, path in files.items():
        for number, line in numbered_lines(path) if path.is_file() else ():
            key, labels = _mtfl_row(path, number, line)
            add_row(rows, key, (labels, split), path, number, findings)
    pictures = by_stem(folder_pictures(root), findings)
    attributes = "Male", "Smiling", "Eyeglasses"
    return Listing(attributes, *join(rows, pictures, findings, str(root)), findings)


def read_adience(root: Path) -> Listing:
    """Read the gender labels of Adience: folds 0 to 2 are train, 3 is val, 4 is test.

    Raises:
        EdgeError: A file is missing or a line of one is wrong.
    """
    findings: Counter[str] = Counter()
    folder, prefix, pictures = _adience_pictures(root, findings)
    rows: Rows = {}
    for fold, split in ADIENCE_SPLITS.items():
        path = root / f"fold_{fold}_data.txt"
        if not path.is_file():
            findings["folds that are missing"] += 1
            continue
        for number, (user, original, face, gender) in _adience_cells(path):
            key = f"{user}/{prefix}.{face}.{stem(original)}"
            if gender in ("m", "f"):
                labels = (1.0 if gender == "m" else 0.0,)
                add_row(rows, key, (labels, split), path, number, findings)
            elif gender in ("u", "unknown", ""):
                findings["labels of unknown gender"] += 1
                pictures.pop(key, None)
            else:
                raise bad_line(path, number, f"gender {quoted(gender)}", "m, f or u")
    if findings["folds that are missing"] == len(ADIENCE_SPLITS):
        raise _missing(root, "fold_0_data.txt to fold_4_data.txt")
    return Listing(("Male",), *join(rows, pictures, findings, str(folder)), findings)


def _celeba_labels(path: Path, findings: Counter[str]) -> tuple[tuple[str, ...], dict[str, Labels]]:
    """Return the attribute names and the labels of each picture, by stem."""
    lines = _celeba_lines(path)
    announced = None
    if path.suffix == ".txt":
        number, cells = next(lines, (1, []))
        if len(cells) != 1 or not cells[0].isdecimal() or len(cells[0]) > 9:
            raise bad_line(path, number, quoted(" ".join(cells)), "the count of pictures")
        announced = int(cells[0])
    number, header = next(lines, (1 if announced is None else 2, []))
    if path.suffix == ".csv":
        columns_of(path, number, header[:1], ("image_id",))
        header = header[1:]
    attributes = tuple(name.strip() for name in header)
    if not attributes or len(set(attributes)) < len(attributes) or "" in attributes:
        raise bad_line(path, number, quoted(" ".join(header)), "one name an attribute")
    rows: Rows = {}
    for number, cells in lines:
        labels = _celeba_values(path, number, cells, attributes)
        add_row(rows, stem(cells[0].strip()), (labels, ""), path, number, findings)
    if not rows:
        raise bad_line(path, number + 1, "the end of the file", "a row of labels")
    if announced is not None:
        findings["labels more or fewer than announced"] += abs(
            announced - len(rows) - findings["labels listed twice"]
        )
    return attributes, {key: labels for key, (labels, _) in rows.items()}


def _celeba_values(
    path: Path, number: int, cells: list[str], attributes: tuple[str, ...]
) -> Labels:
    if len(cells) != len(attributes) + 1:
        raise bad_line(
            path,
            number,
            f"{len(cells)} values",
            f"{len(attributes) + 1}: a picture and {len(attributes)} labels",
        )
    try:
        return tuple([_SIGNED[cell] for cell in cells[1:]])
    except KeyError as error:
        value = error.args[0]
        name = attributes[cells.index(value, 1) - 1]
        raise bad_line(path, number, f"{quoted(value)} for {name}", "1 or -1") from error


def _celeba_splits(path: Path, findings: Counter[str]) -> dict[str, str]:
    """Return the split of each picture, by stem."""
    lines = _celeba_lines(path)
    picture, partition = 0, 1
    if path.suffix == ".csv":
        number, header = next(lines, (1, []))
        picture, partition = columns_of(path, number, header, ("image_id", "partition"))
    rows: Rows = {}
    for number, cells in lines:
        if len(cells) != 2:
            raise bad_line(path, number, f"{len(cells)} values", "2: a picture and its partition")
        value = cells[partition].strip()
        if value not in _PARTITIONS:
            raise bad_line(
                path, number, f"partition {quoted(value)}", "0 for train, 1 for val or 2 for test"
            )
        row = (), _PARTITIONS[value]
        add_row(rows, stem(cells[picture].strip()), row, path, number, findings)
    return {key: split for key, (_, split) in rows.items()}


def _celeba_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    if path.suffix == ".csv":
        return csv_rows(path)
    return ((number, line.split()) for number, line in numbered_lines(path))


def _mtfl_row(path: Path, number: int, line: str) -> tuple[str, Labels]:
    """Return the stem of the picture and its gender, smile and glasses."""
    cells = line.rsplit(maxsplit=14)
    if len(cells) != 15:
        raise bad_line(
            path,
            number,
            f"{len(cells)} values",
            "15: a picture, 10 coordinates, gender, smile, glasses and head pose",
        )
    name = cells[0].strip().replace("\\", "/")
    if stem(name) == name:
        raise bad_line(path, number, quoted(name), "the name of a picture")
    for value, meaning in zip(cells[11:14], ("gender", "smile", "glasses"), strict=True):
        if value not in _ONE_TWO:
            raise bad_line(path, number, f"{quoted(value)} for {meaning}", "1 or 2")
    return stem(name), tuple([_ONE_TWO[value] for value in cells[11:14]])


def _adience_pictures(root: Path, findings: Counter[str]) -> tuple[Path, str, dict[str, Place]]:
    """Return the folder of the pictures, how their names begin, and the pictures by stem."""
    for folder, prefix in _ADIENCE_PICTURES:
        found = folder_pictures(root / folder) if (root / folder).is_dir() else {}
        if found:
            return root / folder, prefix, by_stem(found, findings)
    raise _missing(root, "pictures in faces or aligned")


def _adience_cells(path: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the line number, and user, original picture, face and gender of each row."""
    lines = csv_rows(path, delimiter="\t")
    number, header = next(lines, (1, []))
    columns = columns_of(path, number, header, ("user_id", "original_image", "face_id", "gender"))
    for number, cells in lines:
        if len(cells) != len(header):
            raise bad_line(path, number, f"{len(cells)} values", f"{len(header)} as in the header")
        user, original, face, gender = (cells[column].strip() for column in columns)
        if not (user and original and face):
            raise bad_line(path, number, "an empty cell", "a user, a picture and a face")
        yield number, (user, original, face, gender.lower())


def _needed(path: Path | None, root: Path, name: str) -> Path:
    if path is None or not path.is_file():
        raise _missing(root, name if "." in name else f"{name}.txt or {name}.csv")
    return path


def _missing(root: Path, wanted: str) -> EdgeError:
    found = sorted(entry.name for entry in root.iterdir() if not entry.name.startswith("."))
    return EdgeError(
        f"looked for {wanted} in {root}, found {listed(found)}",
        "point --data at the folder of the data set, or name its --dataset",
    )
