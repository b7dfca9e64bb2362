"""A folder of pictures per class: what the classes say, the split, and what is refused."""

from pathlib import Path

import pytest

from edge.datasets import load
from edge.errors import EdgeError
from edge.readers_folder import positive_of, split_of
from tests.edge.conftest import put_pictures, put_text, seen


@pytest.mark.parametrize(
    ("first", "second", "positive"),
    [
        ("smiling", "not_smiling", "smiling"),
        ("glasses", "no_glasses", "glasses"),
        ("with mask", "without mask", "with mask"),
        ("yes", "no", "yes"),
        ("0", "1", "1"),
        ("happy", "unhappy", "happy"),
        ("smile", "neutral", "smile"),
        ("noon", "midnight", "noon"),
        ("female", "male", "male"),
        ("cat", "dog", "dog"),
    ],
)
def test_two_classes_are_named_after_the_one_that_says_yes(
    first: str, second: str, positive: str
) -> None:
    assert positive_of(first, second) == positive
    assert positive_of(second, first) == positive


def test_two_class_folders_are_one_attribute(tmp_path: Path) -> None:
    names = ["smiling/a.jpg", "smiling/deep/b.png", "not_smiling/c.webp", "stray.jpg"]
    put_pictures(tmp_path, names)
    (tmp_path / "notes").mkdir()
    put_text(tmp_path / "smiling" / "readme.txt", "mine")
    dataset = load(tmp_path)
    assert (dataset.name, dataset.attributes) == ("folder", ("smiling",))
    assert [sample.name for sample in dataset.samples] == ["a.jpg", "b.png", "c.webp"]
    assert dataset.labels.tolist() == [[1], [1], [0]]
    assert dataset.findings == {
        "pictures outside the class folders": 1,
        "folders without pictures": 1,
    }


def test_either_of_two_classes_can_be_asked_for(tmp_path: Path) -> None:
    put_pictures(tmp_path, ["cat/a.jpg", "dog/b.jpg"])
    assert load(tmp_path).labels.tolist() == [[0], [1]]
    assert load(tmp_path, attributes=["cat"]).labels.tolist() == [[1], [0]]
    assert load(tmp_path, attributes=["cat", "dog"]).labels.tolist() == [[1, 0], [0, 1]]


def test_more_class_folders_are_one_attribute_each(tmp_path: Path) -> None:
    put_pictures(tmp_path, ["happy/a.jpg", "sad/b.jpg", "calm/c.jpg"])
    dataset = load(tmp_path)
    assert dataset.attributes == ("calm", "happy", "sad")
    assert dataset.labels.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_split_folders_are_used(tmp_path: Path) -> None:
    names = ["train/yes/a.jpg", "train/no/b.jpg", "Validation/yes/c.jpg", "test/no/d.jpg"]
    put_pictures(tmp_path, [*names, "extra/yes/e.jpg", "test/f.jpg"])
    dataset = load(tmp_path)
    assert dataset.attributes == ("yes",)
    assert seen(dataset) == {
        "a.jpg": ((1.0,), "train"),
        "b.jpg": ((0.0,), "train"),
        "c.jpg": ((1.0,), "val"),
        "d.jpg": ((0.0,), "test"),
    }
    assert dataset.findings == {"pictures outside the class folders": 2}


def test_a_picture_keeps_its_split_when_others_come(tmp_path: Path) -> None:
    put_pictures(tmp_path, [f"{'yes' if n % 2 else 'no'}/{n}.png" for n in range(40)])
    before = {s.name: s.split for s in load(tmp_path).samples}
    put_pictures(tmp_path, [f"yes/{n}.png" for n in range(40, 60)])
    after = {s.name: s.split for s in load(tmp_path).samples}
    assert len(after) == 60
    assert before.items() <= after.items()


def test_the_split_by_name_is_80_10_10_and_fixed() -> None:
    splits = [split_of(f"{n:06d}.jpg") for n in range(10_000)]
    assert splits.count("train") == pytest.approx(8000, abs=150)
    assert splits.count("val") == pytest.approx(1000, abs=100)
    assert [split_of(f"{n}.jpg") for n in (3, 10, 12, 13, 14)] == [
        "val",
        "val",
        "train",
        "test",
        "train",
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["only/a.jpg"], "found only"),
        (["train/a.jpg", "test/b.jpg"], "pictures right in test, train"),
        (["train/yes/a.jpg", "test/yes/b.jpg"], "found yes"),
    ],
)
def test_a_folder_without_two_classes_is_refused(
    tmp_path: Path, names: list[str], message: str
) -> None:
    put_pictures(tmp_path, names)
    with pytest.raises(EdgeError, match=message):
        load(tmp_path, "folder")


def test_a_link_back_up_ends(tmp_path: Path) -> None:
    put_pictures(tmp_path, ["yes/a.jpg", "no/b.jpg"])
    (tmp_path / "yes" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert len(load(tmp_path).samples) == 2


def test_hidden_files_are_no_pictures(tmp_path: Path) -> None:
    put_pictures(tmp_path, ["yes/a.jpg", "no/b.jpg", ".thumbnails/c.jpg"])
    put_text(tmp_path / "yes" / "._a.jpg", "a Mac's own notes")
    dataset = load(tmp_path)
    assert list(seen(dataset)) == ["a.jpg", "b.jpg"]
    assert dataset.findings == {}
