"""Selection, subsets and digest of data sets, and the counts of the real ones."""

import subprocess
import sys
import time
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.datasets import IDENTITY, Dataset, Sample, balanced_subset, load
from edge.errors import EdgeError
from tests.edge.conftest import put_pictures

NAN = float("nan")


def make_dataset(count: int = 60) -> Dataset:
    """Make one with a third of each split; Smiling alternates, Male is yes for every fifth."""
    samples = tuple(
        Sample(f"/nowhere/{n:04d}.jpg", None, ("train", "val", "test")[n % 3]) for n in range(count)
    )
    labels = np.array([(n % 2, n % 5 == 0) for n in range(count)], np.float32)
    return Dataset("celeba", Path("/nowhere"), ("Smiling", "Male"), samples, labels, {}, "none")


def assert_same(first: Dataset, second: Dataset) -> None:
    assert (first.samples, first.classes) == (second.samples, second.classes)
    assert first.digest() == second.digest()


def counts(dataset: Dataset) -> tuple[int, int, int]:
    held = Counter(sample.split for sample in dataset.samples)
    return held["train"], held["val"], held["test"]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_only_keeps_one_split(split: str) -> None:
    part = make_dataset().only(split)
    assert len(part.samples) == 20
    assert {sample.split for sample in part.samples} == {split}


def test_only_all_keeps_everything() -> None:
    assert_same(make_dataset().only("all"), make_dataset())


def test_an_empty_split_lists_the_counts() -> None:
    dataset = make_dataset().only("train")
    with pytest.raises(EdgeError, match=r"no val pictures in celeba .* train 20, val 0, test 0"):
        dataset.only("val")
    with pytest.raises(EdgeError, match="unknown split holdout"):
        dataset.only("holdout")


def test_attributes_are_chosen_in_order() -> None:
    swapped = make_dataset().with_attributes(["Male", "Smiling"])
    assert swapped.attributes == ("Male", "Smiling")
    assert np.array_equal(swapped.labels, make_dataset().labels[:, ::-1])
    assert make_dataset().with_attributes(["Male"]).labels.shape == (60, 1)


def test_an_attribute_is_found_whatever_its_case() -> None:
    dataset = replace(make_dataset(), attributes=("smiling", "Wearing_Hat"))
    chosen = dataset.with_attributes(["WearingHat", "Smiling"])
    assert chosen.attributes == ("WearingHat", "Smiling")
    assert np.array_equal(chosen.labels, dataset.labels[:, ::-1])


@pytest.mark.parametrize(
    ("held", "asked"),
    [
        ("happy", "Smiling"), ("Happiness", "Smiling"), ("smile", "Smiling"), ("Smiling", "happy"),
        ("man", "Male"), ("Men", "Male"), ("male", "Male"), ("Male", "man"),
        ("glasses", "Eyeglasses"), ("Eye_glasses", "Eyeglasses"), ("Eyeglasses", "glasses"),
    ],
)  # fmt: skip
def test_an_attribute_is_found_by_another_word_for_it(held: str, asked: str) -> None:
    dataset = replace(make_dataset(), attributes=("sad", held))
    chosen = dataset.with_attributes([asked])
    assert chosen.attributes == (asked,)
    assert np.array_equal(chosen.labels, dataset.labels[:, 1:])


@pytest.mark.parametrize(
    ("held", "asked"),
    [
        ("female", "Male"), ("woman", "Male"), ("women", "Male"), ("Male", "female"),
        ("sad", "Smiling"), ("neutral", "Smiling"), ("unhappy", "Smiling"),
        ("no_glasses", "Eyeglasses"), ("sunglasses", "Eyeglasses"),
    ],
)  # fmt: skip
def test_what_says_the_opposite_is_not_taken_for_it(held: str, asked: str) -> None:
    dataset = replace(make_dataset(), attributes=("Young", held))
    with pytest.raises(EdgeError, match=f"no attribute {asked}"):
        dataset.with_attributes([asked])
    unknown = dataset.with_attributes([asked], allow_missing=True)
    assert np.isnan(unknown.labels).all()


def test_two_words_for_one_attribute_must_be_told_apart() -> None:
    dataset = replace(make_dataset(), attributes=("happy", "smile"))
    with pytest.raises(EdgeError, match="says Smiling in more than one way: happy, smile"):
        dataset.with_attributes(["Smiling"], allow_missing=True)
    assert dataset.with_attributes(["Happy"]).attributes == ("Happy",)


def test_a_folder_of_expressions_goes_with_celeba(tmp_path: Path) -> None:
    put_pictures(tmp_path, ("happy/a.jpg", "sad/b.jpg", "neutral/c.jpg", "surprise/d.jpg"))
    dataset = load(tmp_path, "folder", wanted=["Smiling", "Male"])
    chosen = dataset.with_attributes(["Smiling", "Male"], allow_missing=True)
    assert [sample.name for sample in chosen.samples] == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert chosen.labels[:, 0].tolist() == [1, 0, 0, 0]
    assert np.isnan(chosen.labels[:, 1]).all()


@pytest.mark.parametrize(
    ("yes", "no", "asked"),
    [("happy", "sad", "Smiling"), ("man", "woman", "Male"), ("glasses", "plain", "Eyeglasses")],
)
def test_of_two_folders_the_one_that_was_asked_for_in_other_words_says_yes(
    tmp_path: Path, yes: str, no: str, asked: str
) -> None:
    put_pictures(tmp_path / yes, ["a.jpg"])
    put_pictures(tmp_path / no, ["b.jpg"])
    assert load(tmp_path, attributes=[asked]).labels.tolist() == [[1], [0]]
    assert load(tmp_path, wanted=[asked]).attributes == (yes,)


def test_a_folder_of_women_and_others_is_not_turned_round(tmp_path: Path) -> None:
    put_pictures(tmp_path, ["woman/a.jpg"])
    put_pictures(tmp_path, ["other/b.jpg"])
    assert load(tmp_path, wanted=["Male"]).attributes == ("woman",)
    with pytest.raises(EdgeError, match="no attribute Male"):
        load(tmp_path, attributes=["Male"])


def test_an_unknown_attribute_names_those_that_are_close() -> None:
    with pytest.raises(EdgeError, match="celeba has no attribute Smilling") as caught:
        make_dataset().with_attributes(["Male", "Smilling"])
    assert caught.value.hint == "did you mean Smiling? choose of Smiling, Male"
    with pytest.raises(EdgeError) as caught:
        make_dataset().with_attributes(["Xyz"])
    assert caught.value.hint == "choose of Smiling, Male"


@pytest.mark.parametrize("names", [[], ["Male", "Male"]])
def test_attributes_are_each_asked_for_once(names: list[str]) -> None:
    with pytest.raises(EdgeError, match="expected each once"):
        make_dataset().with_attributes(names)


def test_a_missing_attribute_is_unknown_where_that_is_allowed() -> None:
    dataset = make_dataset().with_attributes(["Eyeglasses", "Male"], allow_missing=True)
    labels = dataset.labels
    assert np.isnan(labels[:, 0]).all()
    assert np.array_equal(labels[:, 1], make_dataset().labels[:, 1])


def test_labels_are_float32_with_a_row_a_sample() -> None:
    labels = make_dataset().labels
    assert labels.dtype == np.float32
    assert labels[:3].tolist() == [[0, 1], [1, 0], [0, 0]]
    assert make_dataset().chosen([]).labels.shape == (0, 2)


def test_labels_of_another_length_cannot_be_constructed() -> None:
    with pytest.raises(ValueError, match="labels are"):
        replace(make_dataset(), attributes=("Smiling",))


def test_a_subset_is_half_yes_half_no_in_each_split() -> None:
    subset = balanced_subset(make_dataset(), (10, 6, 4), "Smiling", seed=3)
    assert counts(subset) == (10, 6, 4)
    for split in ("train", "val", "test"):
        assert subset.only(split).labels[:, 0].mean() == 0.5
    assert subset.attributes == ("Smiling", "Male")
    names = [sample.name for sample in subset.samples]
    assert names == sorted(names)


def test_a_subset_follows_its_seed_alone() -> None:
    dataset = make_dataset()
    shuffled = dataset.chosen(range(59, -1, -1))
    chosen = balanced_subset(dataset, (8, 4, 4), "Smiling", seed=1)
    assert balanced_subset(shuffled, (8, 4, 4), "Smiling", seed=1).digest() == chosen.digest()
    assert balanced_subset(dataset, (8, 4, 4), "Smiling", seed=2).digest() != chosen.digest()


def test_a_smaller_subset_is_part_of_a_larger() -> None:
    small = balanced_subset(make_dataset(), (4, 2, 2), "Smiling", seed=0)
    large = balanced_subset(make_dataset(), (12, 6, 6), "Smiling", seed=0)
    assert set(small.samples) < set(large.samples)


def test_a_subset_may_leave_splits_out() -> None:
    assert counts(balanced_subset(make_dataset(), (0, 0, 6), "Male", seed=0)) == (0, 0, 6)


def test_a_subset_that_cannot_be_met_says_what_there_is() -> None:
    with pytest.raises(EdgeError, match=r"train 4 yes, 16 no; val 4 yes, 16 no") as caught:
        balanced_subset(make_dataset(), (10, 4, 4), "Male", seed=0)
    assert caught.value.hint == "the most is --subset 8,8,8"


def test_pictures_of_unknown_label_are_left_out_of_a_subset() -> None:
    dataset = make_dataset()
    dataset.labels[:30] = NAN
    subset = balanced_subset(dataset, (10, 10, 10), "Smiling", seed=0)
    assert not np.isnan(subset.labels).any()


@pytest.mark.parametrize("wanted", [(3, 2, 2), (-2, 2, 2), (0, 0, 0)])
def test_counts_that_cannot_be_halved_are_refused(wanted: tuple[int, int, int]) -> None:
    with pytest.raises(EdgeError, match="cannot be halved"):
        balanced_subset(make_dataset(), wanted, "Smiling", seed=0)


def test_the_digest_is_that_of_names_splits_and_labels() -> None:
    dataset = make_dataset()
    mirrored = dataset.chosen(range(59, -1, -1))
    moved = tuple(replace(sample, file=f"/else/{sample.name}") for sample in mirrored.samples)
    assert replace(mirrored, root=Path("/else"), samples=moved).digest() == dataset.digest()
    assert len(dataset.digest()) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"split": "val"},
        {"file": "/nowhere/other.jpg"},
        {"member": "other.jpg"},
    ],
)
def test_the_digest_sees_every_change_of_a_sample(change: dict[str, str]) -> None:
    dataset = make_dataset()
    first, *others = dataset.samples
    changed = replace(dataset, samples=(replace(first, **change), *others))
    assert changed.digest() != dataset.digest()


def test_the_digest_sees_every_change_of_a_label() -> None:
    dataset = make_dataset()
    for label in (1.0, NAN):
        changed = dataset.labels.copy()
        changed[0, 0] = label
        assert replace(dataset, labels=changed).digest() != dataset.digest()
    assert replace(dataset, attributes=("Smiling", "Young")).digest() != dataset.digest()


def test_the_digest_of_a_version_is_that_of_the_next() -> None:
    digest = make_dataset(6).digest()
    assert digest == "993b2dd3b8e561a28de97c439edba3a18c9c34e1d7ced06b3cdcc5ee49c04734"


def make_people() -> Dataset:
    """Make three people with two pictures each."""
    samples = tuple(Sample(f"/nowhere/{n}.jpg", None, ("train", "test")[n // 3]) for n in range(6))
    labels = np.array([[n % 3] for n in range(6)], np.float32)
    classes = ("ann", "bob", "cyd")
    return Dataset("folder", Path("/nowhere"), (IDENTITY,), samples, labels, {}, "none", classes)


def test_the_label_of_a_person_is_a_place_among_the_classes() -> None:
    people = make_people()
    assert people.labels.tolist() == [[0], [1], [2], [0], [1], [2]]
    assert_same(people.with_attributes([IDENTITY]), people)
    assert people.only("test").classes == people.classes
    assert len(people.only("train").samples) == 3


def test_people_and_attributes_do_not_mix() -> None:
    with pytest.raises(EdgeError, match="no attribute Smiling"):
        make_people().with_attributes(["Smiling"])
    assert make_people().with_attributes(["Smiling"], allow_missing=True).classes == ()
    with pytest.raises(ValueError, match="attributes of people"):
        replace(make_people(), attributes=("Smiling",))


def test_the_digest_sees_who_is_who() -> None:
    people = make_people()
    digests = {
        people.digest(),
        replace(people, classes=("ann", "bob", "dan")).digest(),
        replace(people, classes=("ann", "cyd", "bob")).digest(),
        replace(people, labels=np.array([[2], *people.labels[1:]], np.float32)).digest(),
        replace(people, labels=np.array([[NAN], *people.labels[1:]], np.float32)).digest(),
    }
    assert len(digests) == 5


def test_names_that_are_not_unicode_do_not_break_the_digest(tmp_path: Path) -> None:
    dataset = make_dataset(2)
    odd = replace(dataset.samples[0], file="/nowhere/\udce9.jpg")
    assert len(replace(dataset.chosen([0]), samples=(odd,)).digest()) == 64


def test_samples_are_in_name_order_and_any_attribute_can_be_asked_for(tmp_path: Path) -> None:
    put_pictures(tmp_path, ("b/1.jpg", "a/2.jpg", "c/0.jpg", "a/1.jpg"))
    dataset = load(tmp_path, attributes=["c", "a"])
    assert [s.name for s in dataset.samples] == ["0.jpg", "1.jpg", "1.jpg", "2.jpg"]
    assert dataset.labels.tolist() == [[1, 0], [0, 1], [0, 0], [0, 1]]


def test_tensorflow_stays_out() -> None:
    code = (
        "import sys, edge.datasets; print([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout == "[]\n"


def test_a_list_of_200_000_loads_in_seconds(tmp_path: Path) -> None:
    rows = 200_000
    names = [f"{n:06d}.jpg" for n in range(1, rows + 1)]
    labels = " -1  1" * 20
    attributes = " ".join(f"A{n}" for n in range(40))
    body = "".join(f"{name} {labels}\n" for name in names)
    (tmp_path / "list_attr_celeba.txt").write_text(f"{rows}\n{attributes}\n{body}")
    (tmp_path / "list_eval_partition.txt").write_text("".join(f"{name} 0\n" for name in names))
    with zipfile.ZipFile(tmp_path / "img_align_celeba.zip", "w") as archive:
        for name in names[:1000]:
            archive.writestr(f"img_align_celeba/{name}", b"")
    start = time.process_time()
    dataset = load(tmp_path)
    assert time.process_time() - start < 8
    assert len(dataset.samples) == 1000
    assert dataset.findings == {"labels without a picture": rows - 1000}


@pytest.mark.data
def test_the_real_celeba(data_dir: Path) -> None:
    dataset = load(data_dir / "celeba")
    assert (dataset.name, len(dataset.attributes)) == ("celeba", 40)
    assert counts(dataset) == (20_000, 2_510, 2_505)
    assert dataset.findings == {"labels without a picture": 3_000}
    yes = {
        split: int(dataset.only(split).with_attributes(["Smiling"]).labels.sum())
        for split in ("train", "val", "test")
    }
    assert yes == {"train": 9_691, "val": 1_254, "test": 1_251}
    assert dataset.samples[0].read().shape == (218, 178, 3)


@pytest.mark.data
def test_the_balanced_protocol_on_the_real_celeba(data_dir: Path) -> None:
    dataset = load(data_dir / "celeba", "celeba", ["Smiling", "Male"])
    subset = balanced_subset(dataset, (10_000, 2_500, 2_500), "Smiling", seed=0)
    assert counts(subset) == (10_000, 2_500, 2_500)
    assert subset.labels[:, 0].mean() == 0.5
    with pytest.raises(EdgeError, match=r"train 9,051 yes, 10,949 no"):
        balanced_subset(dataset, (20_000, 5_000, 5_000), "Male", seed=0)


@pytest.mark.data
def test_the_real_genki4k_and_mtfl(data_dir: Path) -> None:
    genki4k = load(data_dir / "genki4k")
    assert (genki4k.name, counts(genki4k)) == ("genki4k", (0, 0, 2_000))
    assert genki4k.findings == {"labels without a picture": 2_000}
    mtfl = load(data_dir / "mtfl")
    assert (mtfl.name, counts(mtfl)) == ("mtfl", (10_000, 0, 0))
    assert mtfl.findings == {}
    assert not np.isnan(mtfl.labels).any()
