"""Files that are whole or absent."""

import hashlib
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from edge.errors import EdgeError
from edge.files import replacing, sha256_of, write_bytes, write_json


def test_writes_into_folders_that_do_not_exist_yet(tmp_path):
    write_bytes(tmp_path / "a" / "b" / "c.bin", b"data")
    assert (tmp_path / "a" / "b" / "c.bin").read_bytes() == b"data"


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".txt"
    assert path.read_text() == "half"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_nothing_behind(tmp_path, error):
    def fail():
        with replacing(tmp_path / "file") as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_result_is_as_readable_as_other_files(tmp_path):
    (tmp_path / "plain").write_text("")
    write_bytes(tmp_path / "ours", b"")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "ours")]
    assert modes[0] == modes[1]


def test_a_place_that_cannot_be_written_is_the_users_to_mend(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgeError, match="cannot write"):
        write_bytes(tmp_path / "file" / "below", b"data")


def test_a_full_disk_is_the_users_to_mend(tmp_path):
    def fill():
        with replacing(tmp_path / "file"):
            raise OSError(28, "No space left on device")

    with pytest.raises(EdgeError, match="No space left"):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_file_is_left_alone(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(EdgeError, match="not a file"):
            write_bytes(tmp_path / name, b"data")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "pipe"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_bytes(tmp_path / "link", b"data")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"data"


def test_json_can_be_read_back_and_ends_in_a_newline(tmp_path):
    write_json(tmp_path / "value.json", {"a": [1, 2.5, None]})
    text = (tmp_path / "value.json").read_text()
    assert json.loads(text) == {"a": [1, 2.5, None]}
    assert text.endswith("}\n")


def test_digest_is_that_of_the_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"abc" * 100_000)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_of_two_that_write_at_once_one_is_left_whole(tmp_path):
    path = tmp_path / "model.tflite"
    contents = [bytes([letter]) * 3_000_000 for letter in b"ab"]
    write_bytes(path, contents[0])
    with ThreadPoolExecutor(2) as pool:
        writers = [
            pool.submit(lambda content=content: [write_bytes(path, content) for _ in range(20)])
            for content in contents
        ]
        while not all(writer.done() for writer in writers):
            assert path.read_bytes() in contents
    for writer in writers:
        writer.result()
    assert list(tmp_path.iterdir()) == [path]
