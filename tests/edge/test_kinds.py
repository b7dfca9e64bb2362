"""Which kind of data set a folder is, and what is said of one that is none or several."""

from pathlib import Path

import pytest

from edge.datasets import load
from edge.errors import EdgeError
from tests.edge.conftest import put_pictures


def test_a_folder_that_is_no_data_set_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match=r"no data set in .*, which holds nothing") as caught:
        load(tmp_path)
    for sign in ("list_attr_celeba.txt", "labels.txt", "training.txt", "fold_0_data.txt"):
        assert sign in caught.value.hint
    with pytest.raises(EdgeError, match=r"cannot read .*none: No such file"):
        load(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(EdgeError, match=r"cannot read .*file: Not a directory"):
        load(tmp_path / "file")


@pytest.mark.parametrize(
    ("kind", "sign"),
    [
        ("celeba", "list_attr_celeba"),
        ("genki4k", "labels.txt"),
        ("mtfl", "training.txt"),
        ("adience", "faces or aligned"),
        ("folder", "two or more folders"),
    ],
)
def test_the_wrong_kind_says_what_was_found(tmp_path: Path, kind: str, sign: str) -> None:
    put_pictures(tmp_path, ["holiday/a.jpg"])
    with pytest.raises(EdgeError, match=rf"looked for .*{sign}.* found holiday"):
        load(tmp_path, kind)


def test_an_unknown_kind_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="unknown data set lfw") as caught:
        load(tmp_path, "lfw")
    assert "celeba, genki4k, mtfl, adience or folder" in caught.value.hint


def test_a_folder_of_data_sets_is_not_taken_for_classes(tmp_path: Path) -> None:
    put_pictures(tmp_path, ["genki4k/files/file0001.jpg"])
    (tmp_path / "genki4k" / "labels.txt").write_text("1\n")
    put_pictures(tmp_path, ["mine/a.jpg"])
    with pytest.raises(EdgeError, match="its folders are: genki4k") as caught:
        load(tmp_path)
    assert caught.value.hint.endswith(f"--data {tmp_path / 'genki4k'}")


def test_two_kinds_in_one_folder_must_be_told_apart(tmp_path: Path) -> None:
    put_pictures(tmp_path, ["files/file0001.jpg"])
    (tmp_path / "labels.txt").write_text("1\n")
    (tmp_path / "training.txt").touch()
    with pytest.raises(EdgeError, match="genki4k and mtfl"):
        load(tmp_path)
    assert len(load(tmp_path, "genki4k").samples) == 1
