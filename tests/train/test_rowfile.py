import os
import time
from pathlib import Path

import numpy as np
import pytest

from edge.errors import EdgeError
from edge.train.rowfile import RowFile, filling


@pytest.fixture
def rows(tmp_path) -> np.ndarray:
    """What is in the file rows.npy: float16 (20, 3, 4)."""
    rows = np.random.default_rng(0).random((20, 3, 4)).astype(np.float16)
    np.save(tmp_path / "rows.npy", rows)
    return rows


def test_rows_are_those_of_the_file(tmp_path, rows):
    file = RowFile(tmp_path / "rows.npy", np.float16)
    assert (len(file), file.shape, file.dtype) == (20, (20, 3, 4), np.float16)
    assert np.array_equal(file[7], rows[7])
    chosen = np.array([3, 19, 0, 3])
    assert np.array_equal(file[chosen], rows[chosen])
    assert file[np.array([], np.int64)].shape == (0, 3, 4)
    for absent in (-1, 20):
        with pytest.raises(IndexError):
            file[absent]


def test_several_rows_are_ones_own(tmp_path, rows):
    file = RowFile(tmp_path / "rows.npy", np.float16)
    file[np.array([1])][:] = 9
    assert np.array_equal(file[1], rows[1])


def test_a_file_stays_readable_whatever_happens_to_its_name(tmp_path, rows):
    file = RowFile(tmp_path / "rows.npy", np.float16)
    (tmp_path / "rows.npy").unlink()
    assert np.array_equal(file[19], rows[19])


def test_a_damaged_file_is_refused(tmp_path, rows):
    path = tmp_path / "rows.npy"
    with pytest.raises(EdgeError, match="holds float16, not uint8"):
        RowFile(path, np.uint8)
    file = RowFile(path, np.float16)
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(EdgeError, match="ends in row 19 of 20"):
        file[19]
    with pytest.raises(EdgeError, match="ends in row 19 of 20"):
        RowFile(path, np.float16)
    header = path.read_bytes()[:10]
    for other in (b"not an array", header + b"{'descr': '<f2', (" + b" " * 200):
        path.write_bytes(other)
        with pytest.raises(EdgeError, match="cannot be read"):
            RowFile(path, np.float16)
    with pytest.raises(EdgeError, match="cannot be read") as caught:
        RowFile(tmp_path / "absent.npy", np.float16)
    assert str(tmp_path) in caught.value.hint


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_reading_leaves_nothing_in_memory(tmp_path):
    np.lib.format.open_memmap(tmp_path / "rows.npy", "w+", np.uint8, (2000, 49_152)).flush()
    file = RowFile(tmp_path / "rows.npy", np.uint8)
    before = _resident_mb()
    assert sum(int(file[row][0]) for row in range(len(file))) == 0
    assert _resident_mb() - before < 20  # of 94


def test_a_folder_appears_when_it_is_whole(tmp_path):
    folder = tmp_path / "cache" / "one"
    with filling(folder, 10, "rows") as temporary:
        (temporary / "file").write_bytes(b"all of it")
        assert not folder.exists()
    assert [path.name for path in folder.iterdir()] == ["file"]
    assert list((tmp_path / "cache").iterdir()) == [folder]


def test_a_folder_that_fails_leaves_nothing(tmp_path):
    def fill() -> None:
        with filling(tmp_path / "cache" / "one", 10, "rows") as temporary:
            (temporary / "file").write_bytes(b"a part")
            raise EdgeError("no face", "none")

    with pytest.raises(EdgeError, match="no face"):
        fill()
    assert not list((tmp_path / "cache").iterdir())


def test_the_faster_process_wins(tmp_path):
    folder = tmp_path / "cache" / "one"
    with filling(folder, 10, "rows") as temporary:
        (temporary / "file").write_bytes(b"second")
        folder.mkdir()
        (folder / "file").write_bytes(b"first")
    assert (folder / "file").read_bytes() == b"first"


def test_what_was_killed_without_a_lock_is_swept_a_day_later(tmp_path):
    old, new = tmp_path / ".filling-old", tmp_path / ".filling-new"
    for leftover in (old, new):
        leftover.mkdir()
    os.utime(old, (1, 1))
    with filling(tmp_path / "one", 10, "rows"):
        assert not old.exists()
        assert new.exists()


def test_what_nobody_has_read_for_a_month_is_swept(tmp_path, rows):
    read, unread, young, new = (tmp_path / "cache" / f"{at:032x}" for at in range(4))
    foreign = tmp_path / "cache" / "holidays"
    for folder in (read, unread, young, foreign):
        folder.mkdir(parents=True)
        np.save(folder / "rows.npy", rows)
    month_ago = time.time() - 31 * 86_400
    for folder in (read, unread, foreign):
        os.utime(folder, (month_ago, month_ago))
    RowFile(read / "rows.npy", np.float16)
    with filling(new, 10, "rows"):
        pass
    assert set((tmp_path / "cache").iterdir()) == {read, young, new, foreign}


def test_a_disk_that_is_too_small_is_told_beforehand(tmp_path):
    with (
        pytest.raises(EdgeError, match=r"rows need .* MB, .* MB free") as caught,
        filling(tmp_path / "one", 10**18, "rows"),
    ):
        pytest.fail("began to fill")
    assert "EDGE_HOME" in caught.value.hint
