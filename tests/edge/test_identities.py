"""People: who is chosen, and which of their pictures train and test."""

from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge.datasets import IDENTITY, Dataset
from edge.errors import EdgeError
from edge.identities import identities_of, load_identities

PEOPLE = {"ann": 5, "bob": 7, "cyd": 4, "dan": 10, "eve": 12, "fay": 5, "gus": 6, "hal": 9}
ENOUGH = set(PEOPLE) - {"cyd"}


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def folders(root: Path, people: Mapping[str, int] = PEOPLE, ending: str = "jpg") -> Path:
    """Make a folder a person; their pictures have the same names."""
    for name, count in people.items():
        for number in range(count):
            touch(root / name / f"{number}.{ending}")
    return root


def celeba(root: Path, people: Mapping[str, int] = PEOPLE, ending: str = "jpg") -> Path:
    """Make CelebA's pictures and the list of who they are."""
    persons = [str(100 + at) for at, count in enumerate(people.values()) for _ in range(count)]
    names = [f"{at:06d}" for at in range(1, len(persons) + 1)]
    for name in names:
        touch(root / "img_align_celeba" / f"{name}.{ending}")
    lines = [f"{name}.jpg {person}\n" for name, person in zip(names, persons, strict=True)]
    (root / "identity_CelebA.txt").write_text("".join(lines))
    return root


def pictures(dataset: Dataset) -> dict[str, dict[str, str]]:
    """Return by person the split of each picture."""
    found: dict[str, dict[str, str]] = {name: {} for name in dataset.classes}
    for sample, label in zip(dataset.samples, dataset.labels[:, 0].tolist(), strict=True):
        found[dataset.classes[int(label)]][sample.path.stem] = sample.split
    return found


@pytest.mark.parametrize(("build", "kind"), [(folders, "folder"), (celeba, "celeba")])
@pytest.mark.parametrize("auto", [True, False])
def test_people_are_classes(
    tmp_path: Path, build: Callable[[Path], Path], kind: str, auto: bool
) -> None:
    dataset = load_identities(build(tmp_path), "auto" if auto else kind, 7, seed=0)
    assert (dataset.name, dataset.attributes) == (kind, (IDENTITY,))
    assert list(dataset.classes) == sorted(dataset.classes)
    held = {name: len(splits) for name, splits in pictures(dataset).items()}
    assert sorted(held.values()) == sorted(PEOPLE[name] for name in ENOUGH)
    assert dataset.findings == {"people with fewer than 5 pictures": 1}
    labels = dataset.labels
    assert labels.shape == (54, 1)
    assert set(labels[:, 0].tolist()) == set(range(7))


def test_a_label_is_the_place_of_its_folder(tmp_path: Path) -> None:
    dataset = load_identities(folders(tmp_path), "folder", 7, seed=0)
    for sample, label in zip(dataset.samples, dataset.labels[:, 0].tolist(), strict=True):
        assert dataset.classes[int(label)] == sample.path.parent.name


def test_four_of_five_train_and_a_fifth_of_more_tests(tmp_path: Path) -> None:
    dataset = load_identities(folders(tmp_path), "folder", 7, seed=0)
    splits = {name: Counter(found.values()) for name, found in pictures(dataset).items()}
    assert {name: found["test"] for name, found in splits.items()} == {
        "ann": 1, "bob": 1, "dan": 2, "eve": 2, "fay": 1, "gus": 1, "hal": 1,
    }  # fmt: skip
    assert {name: found["train"] for name, found in splits.items()} == {
        "ann": 4, "bob": 6, "dan": 8, "eve": 10, "fay": 4, "gus": 5, "hal": 8,
    }  # fmt: skip
    assert dataset.count("val") == 0
    assert len(dataset.only("test").samples) == 9


def test_the_seed_decides_who_and_a_smaller_choice_is_part_of_a_larger(tmp_path: Path) -> None:
    folders(tmp_path)
    chosen = [set(load_identities(tmp_path, "folder", n, seed=3).classes) for n in range(2, 8)]
    assert all(small < large for small, large in pairwise(chosen))
    pairs = {load_identities(tmp_path, "folder", 2, seed=seed).classes for seed in range(20)}
    assert len(pairs) > 5


def test_a_picture_tests_whatever_the_seed_and_the_company(tmp_path: Path) -> None:
    """So no run has trained on what another one is tested with."""
    folders(tmp_path)
    whole = pictures(load_identities(tmp_path, "folder", 7, seed=0))
    for seed in range(5):
        part = pictures(load_identities(tmp_path, "folder", 3, seed=seed))
        assert part == {name: whole[name] for name in part}
    tested = {at for found in whole.values() for at, split in found.items() if split == "test"}
    assert len(tested) > 2


def test_pictures_encoded_again_are_divided_alike(tmp_path: Path) -> None:
    official = load_identities(celeba(tmp_path / "a"), "celeba", 5, seed=1)
    again = load_identities(celeba(tmp_path / "b", ending="webp"), "celeba", 5, seed=1)
    assert pictures(official) == pictures(again)
    assert again.samples[0].path.suffix == ".webp"


def test_one_picture_in_two_formats_is_one(tmp_path: Path) -> None:
    folders(folders(tmp_path), ending="png")
    dataset = load_identities(tmp_path, "folder", 7, seed=0)
    assert len(dataset.samples) == 54
    assert dataset.findings["pictures in a second format"] == 58


@pytest.mark.parametrize("people", [8, 100, 1, 0, -3])
def test_another_number_than_there_are_is_refused_with_the_most(
    tmp_path: Path, people: int
) -> None:
    with pytest.raises(
        EdgeError, match=rf"has 7 people with 5 pictures or more, of 8; {people} were asked for"
    ) as caught:
        load_identities(folders(tmp_path), "folder", people, seed=0)
    assert caught.value.hint == "ask for 2 to 7 people"


def test_too_few_pictures_a_person_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="has 0 people with 5 pictures or more, of 2") as caught:
        load_identities(folders(tmp_path, {"ann": 4, "bob": 2}), "folder", 2, seed=0)
    assert caught.value.hint == "add 5 pictures or more a person"


def test_what_does_not_fit_is_counted(tmp_path: Path) -> None:
    root = celeba(tmp_path)
    (root / "img_align_celeba" / "000001.jpg").unlink()
    touch(root / "img_align_celeba" / "999999.jpg")
    assert load_identities(root, "celeba", 2, seed=0).findings == {
        "pictures of nobody known": 1,
        "labels without a picture": 1,
        "people with fewer than 5 pictures": 2,
    }
    mine = folders(tmp_path / "mine", {"ann": 5, "bob": 5, "c\nd": 5})
    touch(mine / "stray.jpg")
    assert load_identities(mine, "folder", 2, seed=0).findings == {
        "people whose name is no line of text": 1,
        "pictures outside the people's folders": 1,
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("000001.jpg", "line 59: found 1 values, expected 2: a picture and a person"),
        ("000001.jpg 12 13", "line 59: found 3 values"),
        ("000001.jpg 104", r"line 59: found a second person for 000001\.jpg"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = celeba(tmp_path) / "identity_CelebA.txt"
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(EdgeError, match=rf"identity_CelebA\.txt, {message}"):
        load_identities(tmp_path, "celeba", 2, seed=0)


def test_a_folder_that_does_not_say_who_is_who_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match=r"has no identity_CelebA\.txt"):
        load_identities(tmp_path, "celeba", 2, seed=0)
    with pytest.raises(EdgeError, match="genki4k says nothing of who is who"):
        load_identities(tmp_path, "genki4k", 2, seed=0)
    with pytest.raises(EdgeError, match=r"cannot read .*none: No such file"):
        load_identities(tmp_path / "none", "folder", 2, seed=0)
    with pytest.raises(EdgeError, match=r"one folder of pictures a person .* found nothing"):
        load_identities(tmp_path, "folder", 2, seed=0)
    celeba(tmp_path / "other")
    (tmp_path / "other" / "identity_CelebA.txt").write_text("x.jpg 1\n")
    with pytest.raises(EdgeError, match="names none of the 58 pictures in"):
        load_identities(tmp_path / "other", "auto", 2, seed=0)


def test_folders_of_splits_are_not_taken_for_people(tmp_path: Path) -> None:
    folders(tmp_path / "train")
    folders(tmp_path / "val")
    with pytest.raises(EdgeError, match=r"has a folder (train|val), expected one folder a person"):
        load_identities(tmp_path, "folder", 2, seed=0)
    assert len(load_identities(tmp_path / "train", "folder", 2, seed=0).classes) == 2


def test_the_people_of_a_model_are_found_again(tmp_path: Path) -> None:
    folders(tmp_path)
    trained = load_identities(tmp_path, "folder", 4, seed=5)
    assert identities_of(tmp_path, "auto", trained.classes).digest() == trained.digest()
    turned = identities_of(tmp_path, "folder", trained.classes[::-1])
    assert turned.classes == trained.classes[::-1]
    assert pictures(turned) == pictures(trained)
    assert turned.digest() != trained.digest()


def test_people_who_are_missing_are_counted_and_their_labels_kept(tmp_path: Path) -> None:
    folders(tmp_path, {"bob": 5, "zoe": 9})
    found = identities_of(tmp_path, "folder", ["ann", "bob", "eve"])
    assert found.classes == ("ann", "bob", "eve")
    assert set(found.labels[:, 0].tolist()) == {1.0}
    assert found.findings == {"people without a picture": 2}
    with pytest.raises(EdgeError, match="has none of the 2 people ann, eve, but bob, zoe"):
        identities_of(tmp_path, "folder", ["ann", "eve"])


@pytest.mark.data
def test_the_real_celeba(data_dir: Path) -> None:
    dataset = load_identities(data_dir / "celeba", "auto", 100, seed=0)
    assert (dataset.name, len(dataset.classes)) == ("celeba", 100)
    found = pictures(dataset)
    assert all(list(splits.values()).count("test") == 1 for splits in found.values())
    assert all(list(splits.values()).count("train") >= 4 for splits in found.values())
    assert len(np.unique(dataset.labels)) == 100
    again = identities_of(data_dir / "celeba", "celeba", dataset.classes)
    assert again.digest() == dataset.digest()
    with pytest.raises(EdgeError, match="4,957 people with 5 pictures or more, of 4,961"):
        load_identities(data_dir / "celeba", "celeba", 5_000, seed=0)
