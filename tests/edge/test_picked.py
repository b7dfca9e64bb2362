"""Picked pictures: what another machine reads is what was there."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.datasets import load
from edge.errors import EdgeError
from edge.picked import FILE, is_picked, pick, read_picked
from edge.samples import Sample


def sent(dataset, folder: Path) -> Path:
    folder.mkdir()
    for name, content in pick(dataset):
        (folder / name).write_bytes(content)
    return folder


def test_labels_splits_and_pictures_are_the_same(portraits: Path, tmp_path: Path) -> None:
    dataset = load(portraits)
    folder = sent(dataset, tmp_path / "there")
    assert is_picked(folder)
    assert not is_picked(portraits)
    there = read_picked(folder)
    assert (there.name, there.attributes, there.licence) == (
        dataset.name, dataset.attributes, dataset.licence
    )  # fmt: skip
    assert np.array_equal(there.labels, dataset.labels, equal_nan=True)
    for one, other in zip(there.samples, dataset.samples, strict=True):
        assert one.split == other.split
        assert np.array_equal(one.read(), other.read())
    assert len(there.only("test").samples) == len(dataset.only("test").samples)


def test_unknown_labels_stay_unknown(portraits: Path, tmp_path: Path) -> None:
    dataset = load(portraits).with_attributes(["Smiling"], allow_missing=True)
    there = read_picked(sent(dataset, tmp_path / "there"))
    assert np.isnan(there.labels).all()


def test_a_picture_that_cannot_be_read_cannot_be_read_there(
    portraits: Path, tmp_path: Path
) -> None:
    dataset = load(portraits)
    one = dataset.chosen([0])
    gone = tmp_path / "gone.png"
    object.__setattr__(one.samples[0], "file", str(gone))
    there = read_picked(sent(one, tmp_path / "there"))
    with pytest.raises(EdgeError):
        there.samples[0].read()


def test_pictures_of_a_zip_come_as_files(portraits: Path, tmp_path: Path) -> None:
    one = load(portraits).chosen([0])
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(one.samples[0].path, "inner/one.png")
    zipped = replace(one, samples=(Sample(str(tmp_path / "all.zip"), "inner/one.png", "test"),))
    [there] = read_picked(sent(zipped, tmp_path / "there")).samples
    assert (there.member, there.split) == (None, "test")
    assert np.array_equal(there.read(), one.samples[0].read())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"labels": 1}'])
def test_a_damaged_list_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(EdgeError, match="is damaged"):
        read_picked(tmp_path)
