"""Each published layout is read as shipped; what does not fit is counted or refused."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.datasets import load
from edge.errors import EdgeError
from tests.edge.conftest import put_pictures, put_text, seen

NAMES = "Smiling", "Male"
CELEBA = {"000001.jpg": (1, -1, 0), "000002.jpg": (-1, -1, 1), "000003.jpg": (1, 1, 2)}


def official_celeba(root: Path, anno: str = "", evaluation: str = "") -> None:
    rows = "".join(f"{name} {a:2d} {b:2d}\n" for name, (a, b, _) in CELEBA.items())
    put_text(root / anno / "list_attr_celeba.txt", f"{len(CELEBA)}\n{' '.join(NAMES)} \n{rows}")
    splits = "".join(f"{name} {split}\n" for name, (_, _, split) in CELEBA.items())
    put_text(root / evaluation / "list_eval_partition.txt", splits)


def kaggle_celeba(root: Path) -> None:
    rows = "".join(f"{name},{a},{b}\n" for name, (a, b, _) in CELEBA.items())
    put_text(root / "list_attr_celeba.csv", f"image_id,{','.join(NAMES)}\n{rows}")
    splits = "".join(f"{name},{split}\n" for name, (_, _, split) in CELEBA.items())
    put_text(root / "list_eval_partition.csv", f"image_id,partition\n{splits}")


WHOLE_CELEBA = {
    "000001.jpg": ((1.0, 0.0), "train"),
    "000002.jpg": ((0.0, 0.0), "val"),
    "000003.jpg": ((1.0, 1.0), "test"),
}


def official_side_by_side(root: Path) -> None:
    official_celeba(root)
    put_pictures(root / "img_align_celeba", CELEBA)


def official_in_folders(root: Path) -> None:
    official_celeba(root, "Anno", "Eval")
    put_pictures(root / "Img" / "img_align_celeba", CELEBA)


def official_zip(root: Path) -> None:
    official_celeba(root, "Anno", "Eval")
    put_pictures(root / "unpacked", CELEBA)
    (root / "Img").mkdir()
    with zipfile.ZipFile(root / "Img" / "img_align_celeba.zip", "w") as archive:
        for path in (root / "unpacked").iterdir():
            archive.write(path, f"img_align_celeba/{path.name}")
            archive.writestr(f"__MACOSX/img_align_celeba/._{path.name}", b"")


def kaggle_doubled(root: Path) -> None:
    kaggle_celeba(root)
    put_pictures(root / "img_align_celeba" / "img_align_celeba", CELEBA)


@pytest.mark.parametrize(
    "build", [official_side_by_side, official_in_folders, official_zip, kaggle_doubled]
)
@pytest.mark.parametrize("kind", ["auto", "celeba"])
def test_celeba_is_read_in_every_layout(
    tmp_path: Path, build: Callable[[Path], None], kind: str
) -> None:
    build(tmp_path)
    dataset = load(tmp_path, kind)
    assert dataset.name == "celeba"
    assert dataset.attributes == NAMES
    assert seen(dataset) == WHOLE_CELEBA
    assert dataset.findings == {}
    assert all(sample.read().shape == (8, 6, 3) for sample in dataset.samples)


def test_celeba_layouts_have_one_digest(tmp_path: Path) -> None:
    digests = set()
    for build in (official_side_by_side, official_zip, kaggle_doubled):
        build(tmp_path / build.__name__)
        digests.add(load(tmp_path / build.__name__).digest())
    assert len(digests) == 1


def test_a_partial_celeba_in_another_format_is_counted(tmp_path: Path) -> None:
    kaggle_celeba(tmp_path)
    names = ["000001.webp", "000003.JPG", "000777.jpg", "000888.png"]
    put_pictures(tmp_path / "img_align_celeba", names)
    dataset = load(tmp_path)
    assert [sample.name for sample in dataset.samples] == ["000001.webp", "000003.JPG"]
    assert dataset.findings == {"labels without a picture": 1, "pictures without a label": 2}


def test_of_two_formats_of_a_picture_one_is_kept(tmp_path: Path) -> None:
    kaggle_celeba(tmp_path)
    put_pictures(tmp_path / "img_align_celeba", [*CELEBA, "000001.webp", "000002.png"])
    dataset = load(tmp_path)
    assert seen(dataset) == WHOLE_CELEBA
    assert dataset.findings == {"pictures in a second format": 2}


def test_celeba_rows_in_one_file_only_are_counted(tmp_path: Path) -> None:
    kaggle_celeba(tmp_path)
    put_pictures(tmp_path / "img_align_celeba", CELEBA)
    put_text(
        tmp_path / "list_eval_partition.csv",
        "image_id,partition\n000001.jpg,0\n000009.jpg,1\n000010.jpg,1\n",
    )
    dataset = load(tmp_path)
    assert [sample.name for sample in dataset.samples] == ["000001.jpg"]
    assert dataset.findings == {"labels without a partition": 2, "partitions without labels": 2}


def test_celeba_files_with_nothing_in_common_are_refused(tmp_path: Path) -> None:
    kaggle_doubled(tmp_path)
    put_text(tmp_path / "list_eval_partition.csv", "image_id,partition\n000009.jpg,1\n")
    with pytest.raises(EdgeError, match="no picture in common"):
        load(tmp_path)


def test_a_count_that_disagrees_is_counted(tmp_path: Path) -> None:
    official_side_by_side(tmp_path)
    path = tmp_path / "list_attr_celeba.txt"
    path.write_text(path.read_text().replace("3\n", "202599\n", 1))
    assert load(tmp_path).findings == {"labels more or fewer than announced": 202596}


def test_a_repeated_row_is_counted(tmp_path: Path) -> None:
    kaggle_doubled(tmp_path)
    path = tmp_path / "list_attr_celeba.csv"
    path.write_text(path.read_text() + "000001.jpg,1,-1\n")
    dataset = load(tmp_path)
    assert seen(dataset) == WHOLE_CELEBA
    assert dataset.findings == {"labels listed twice": 1}


BAD_LINES = [
    ("list_attr_celeba.csv", "000001.jpg,1,-1", "000001.jpg,1", "line 2.*2 values.*3"),
    ("list_attr_celeba.csv", "000001.jpg,1,-1", "000001.jpg,1,-1,1", "line 2.*4 values"),
    ("list_attr_celeba.csv", "000002.jpg,-1,-1", "000002.jpg,-1,2", "line 3.*'2' for Male"),
    ("list_attr_celeba.csv", "000002.jpg,-1,-1", "000002.jpg,,-1", "line 3.*'' for Smiling"),
    ("list_attr_celeba.csv", "000002.jpg", "000001.jpg", "line 3.*contradicts"),
    ("list_attr_celeba.csv", "image_id", "picture", "line 1.*'picture'.*image_id"),
    ("list_attr_celeba.csv", "Smiling,Male", "Male,Male", "line 1.*one name an attribute"),
    ("list_attr_celeba.csv", "000003.jpg,1,1", "000003.jpg,\0,1", "line 4.*binary data"),
    ("list_attr_celeba.csv", "000003.jpg,1,1", '000003.jpg,"1,1', "line 4"),
    ("list_eval_partition.csv", "000002.jpg,1", "000002.jpg,3", "line 3.*partition '3'.*0 for"),
    ("list_eval_partition.csv", "000002.jpg,1", "000002.jpg", "line 3.*1 values"),
    ("list_eval_partition.csv", "000002.jpg,1", "000001.jpg,1", "line 3.*contradicts"),
    ("list_eval_partition.csv", "partition", "part", "line 1.*a column partition"),
]


@pytest.mark.parametrize(("name", "old", "new", "message"), BAD_LINES)
def test_a_wrong_line_of_kaggles_celeba_is_refused_by_number(
    tmp_path: Path, name: str, old: str, new: str, message: str
) -> None:
    kaggle_doubled(tmp_path)
    path = tmp_path / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(EdgeError, match=f"{name}, {message}"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("list_attr_celeba.txt", "3\n", "", "line 1.*the count of pictures"),
        ("list_attr_celeba.txt", "3\n", "9" * 5000 + "\n", "line 1.*the count of pictures"),
        ("list_attr_celeba.txt", "000002.jpg -1 -1", "000002.jpg -1", "line 4.*2 values"),
        ("list_attr_celeba.txt", "000002.jpg -1 -1", "000002.jpg -1 0", "line 4.*'0' for Male"),
        ("list_eval_partition.txt", "000003.jpg 2", "000003.jpg two", "line 3.*'two'"),
    ],
)
def test_a_wrong_line_of_the_official_celeba_is_refused_by_number(
    tmp_path: Path, name: str, old: str, new: str, message: str
) -> None:
    official_side_by_side(tmp_path)
    path = tmp_path / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(EdgeError, match=f"{name}, {message}"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["list_attr_celeba.csv", "list_eval_partition.csv"])
@pytest.mark.parametrize(
    "garbage", [b"", b"\n\n", b"\x89PNG\r\n\x1a\n\0\0", b"\xff\xfe\x00", b"a\xe9b\n", b"," * 300000]
)
def test_garbage_in_a_list_is_refused(tmp_path: Path, name: str, garbage: bytes) -> None:
    kaggle_doubled(tmp_path)
    (tmp_path / name).write_bytes(garbage)
    with pytest.raises(EdgeError) as caught:
        load(tmp_path)
    assert len(caught.value.message) < 300 + 2 * len(str(tmp_path))
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.replace(b"\n", b"\r"),
        lambda text: text + b"\n \n\r\n",
        lambda text: text.rstrip(b"\n"),
        lambda text: text.decode().encode("utf-16"),
        lambda text: text.replace(b",", b", "),
    ],
    ids=["bom", "crlf", "cr", "blank lines", "no last newline", "utf-16", "spaces"],
)
def test_how_a_list_was_saved_does_not_matter(
    tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    kaggle_doubled(tmp_path)
    for name in ("list_attr_celeba.csv", "list_eval_partition.csv"):
        (tmp_path / name).write_bytes(change((tmp_path / name).read_bytes()))
    assert seen(load(tmp_path)) == WHOLE_CELEBA


def test_a_zip_cut_short_is_refused(tmp_path: Path) -> None:
    official_zip(tmp_path)
    path = tmp_path / "Img" / "img_align_celeba.zip"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(EdgeError, match=r"img_align_celeba\.zip: File is not a zip file"):
        load(tmp_path)


def test_celeba_without_pictures_or_partition_says_what_it_looked_for(tmp_path: Path) -> None:
    kaggle_celeba(tmp_path)
    with pytest.raises(EdgeError, match=r"looked for pictures in img_align_celeba or img_align"):
        load(tmp_path)
    put_pictures(tmp_path / "img_align_celeba", ["999999.jpg"])
    with pytest.raises(EdgeError, match=r"none of the 3 labelled pictures .* holds 1 others"):
        load(tmp_path)
    (tmp_path / "list_eval_partition.csv").unlink()
    with pytest.raises(EdgeError, match=r"looked for list_eval_partition\.txt or .*\.csv"):
        load(tmp_path)


def test_genki4k_takes_the_first_column_and_is_all_test(tmp_path: Path) -> None:
    put_text(tmp_path / "labels.txt", "1 0.1 0.2 -0.3\r\n0 0 0 0\r\n1 0 0 0\r\n\r\n")
    put_pictures(tmp_path / "files", ["file0001.jpg", "file0002.png", "file0009.jpg"])
    dataset = load(tmp_path)
    assert (dataset.name, dataset.attributes) == ("genki4k", ("Smiling",))
    assert seen(dataset) == {"file0001.jpg": ((1.0,), "test"), "file0002.png": ((0.0,), "test")}
    assert dataset.findings == {"labels without a picture": 1, "pictures without a label": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n2\n", "line 2: found '2'"),
        ("1\n\n0\n", "line 2: found a blank line.*file0002"),
        ("\n1\n", "line 1: found a blank line"),
        ("smile\n", "line 1: found 'smile'"),
    ],
)
def test_a_wrong_line_of_genki4k_is_refused_by_number(
    tmp_path: Path, text: str, message: str
) -> None:
    put_text(tmp_path / "labels.txt", text)
    put_pictures(tmp_path / "files", ["file0001.jpg"])
    with pytest.raises(EdgeError, match=message):
        load(tmp_path)


POINTS = " ".join(["101.25"] * 10)


def test_mtfl_reads_both_lists(tmp_path: Path) -> None:
    put_text(
        tmp_path / "training.txt",
        f"lfw_5590\\A B_0001.jpg {POINTS} 1 2 2 3\r\n net_7876\\0_0_0.jpg {POINTS} 2 1 1 4\r\n  ",
    )
    put_text(tmp_path / "testing.txt", f" AFLW\\1-image.jpg {POINTS} 2 2 2 5\r\n")
    put_pictures(
        tmp_path, ["lfw_5590/A B_0001.webp", "net_7876/0_0_0.jpg", "AFLW/1-image.jpg", "AFLW/x.jpg"]
    )
    dataset = load(tmp_path)
    assert (dataset.name, dataset.attributes) == ("mtfl", ("Male", "Smiling", "Eyeglasses"))
    assert seen(dataset) == {
        "A B_0001.webp": ((1.0, 0.0, 0.0), "train"),
        "0_0_0.jpg": ((0.0, 1.0, 1.0), "train"),
        "1-image.jpg": ((0.0, 0.0, 0.0), "test"),
    }
    assert dataset.findings == {"pictures without a label": 1}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"lfw\\a.jpg {POINTS} 1 2 2", "14 values"),
        (f"lfw\\a.jpg {POINTS} 1 2 2 3 9", "name of a picture"),
        (f"lfw\\a.jpg {POINTS} 3 2 2 3", "'3' for gender"),
        (f"lfw\\a.jpg {POINTS} 1 0 2 3", "'0' for smile"),
        (f"lfw\\a.jpg {POINTS} 1 2 -1 3", "'-1' for glasses"),
        (f"lfw\\ok.jpg {POINTS} 2 2 2 3", "contradicts"),
    ],
)
def test_a_wrong_line_of_mtfl_is_refused_by_number(tmp_path: Path, line: str, message: str) -> None:
    put_text(tmp_path / "training.txt", f"lfw\\ok.jpg {POINTS} 1 2 2 3\n{line}\n")
    put_pictures(tmp_path / "lfw", ["ok.jpg", "a.jpg"])
    with pytest.raises(EdgeError, match=rf"training\.txt, line 2: found .*{message}"):
        load(tmp_path)


def test_mtfl_cannot_reach_outside_its_folder(tmp_path: Path) -> None:
    put_pictures(tmp_path, ["secret.jpg", "mtfl/lfw/ok.jpg"])
    text = f"lfw\\ok.jpg {POINTS} 1 2 2 3\n..\\secret.jpg {POINTS} 1 2 2 3\n"
    put_text(tmp_path / "mtfl" / "training.txt", text)
    dataset = load(tmp_path / "mtfl")
    assert list(seen(dataset)) == ["ok.jpg"]
    assert dataset.findings == {"labels without a picture": 1}


ADIENCE_HEADER = "user_id\toriginal_image\tface_id\tage\tgender\tx\n"


def adience(root: Path, folder: str, prefix: str) -> None:
    genders = ["m", "f", "u", "", "m"]
    for fold, gender in enumerate(genders):
        row = f"30601258@N03\t{fold}_o.jpg\t{fold + 7}\t(25, 32)\t{gender}\t0\n"
        put_text(root / f"fold_{fold}_data.txt", ADIENCE_HEADER + row)
    names = [f"30601258@N03/{prefix}.{fold + 7}.{fold}_o.jpg" for fold in range(5)]
    put_pictures(root / folder, names)


@pytest.mark.parametrize(
    ("folder", "prefix"),
    [("faces", "coarse_tilt_aligned_face"), ("aligned", "landmark_aligned_face")],
)
def test_adience_reads_gender_by_fold(tmp_path: Path, folder: str, prefix: str) -> None:
    adience(tmp_path, folder, prefix)
    (tmp_path / "faces").mkdir(exist_ok=True)
    dataset = load(tmp_path)
    assert (dataset.name, dataset.attributes) == ("adience", ("Male",))
    assert seen(dataset) == {
        f"{prefix}.7.0_o.jpg": ((1.0,), "train"),
        f"{prefix}.8.1_o.jpg": ((0.0,), "train"),
        f"{prefix}.11.4_o.jpg": ((1.0,), "test"),
    }
    assert dataset.findings == {"labels of unknown gender": 2}


def test_adience_folds_are_train_train_train_val_test(tmp_path: Path) -> None:
    adience(tmp_path, "faces", "coarse_tilt_aligned_face")
    for path in tmp_path.glob("fold_*"):
        path.write_text(path.read_text().replace("\tu\t", "\tm\t").replace("\t\t", "\tf\t"))
    splits = {s.name[-7]: s.split for s in load(tmp_path).samples}
    assert splits == {"0": "train", "1": "train", "2": "train", "3": "val", "4": "test"}


def test_missing_folds_are_counted(tmp_path: Path) -> None:
    adience(tmp_path, "faces", "coarse_tilt_aligned_face")
    (tmp_path / "fold_4_data.txt").unlink()
    findings = load(tmp_path).findings
    assert findings["folds that are missing"] == 1
    assert findings["pictures without a label"] == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("gender", "sex", "line 1.*a column gender"),
        ("\tm\t0", "\tm", "line 2.*5 values, expected 6"),
        ("\tm\t", "\tman\t", "line 2.*gender 'man'"),
        ("\t7\t", "\t\t", "line 2.*an empty cell"),
    ],
)
def test_a_wrong_line_of_adience_is_refused_by_number(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    adience(tmp_path, "faces", "coarse_tilt_aligned_face")
    path = tmp_path / "fold_0_data.txt"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(EdgeError, match=f"fold_0_data.txt, {message}"):
        load(tmp_path)
