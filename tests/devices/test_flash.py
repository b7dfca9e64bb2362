"""Flashing over a real ssh server: what is there afterwards, and what is refused."""

import json
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from edge.devices.flash import FlashOptions, flash, trust
from edge.devices.onboard_store import Store
from edge.devices.reach import Session
from edge.errors import EdgeError


def leftovers(device) -> set[str]:
    """Return what is in the store besides two versions and what belongs to them."""
    expected = {"current", "previous", "versions", "home", "lock", "journal.jsonl", "runtimes",
                "wheels", "allowed_signers"}  # fmt: skip
    found = {path.name for path in device.root.iterdir()} - expected
    kept = {(device.root / link).readlink().name for link in ("current", "previous")
            if (device.root / link).is_symlink()}  # fmt: skip
    return found | ({path.name for path in (device.root / "versions").iterdir()} - kept)


def test_a_model_is_put_there_tried_and_used(board, bundles) -> None:
    done = board.flash(bundles[0])
    assert (done["changed"], done["replaced"]) == (True, None)
    assert done["smoke"]["faces"] >= 6
    assert done["smoke"]["largest_difference"] < 0.05
    assert done["use"]["frames"] == 30
    assert board.current() == done["version"]
    assert leftovers(board) == set()
    # What was put there is what a user of the board runs.
    line = subprocess.run(
        [board.root / "current" / "edge", "run", "--demo", "--frames", "2", "--json"],
        capture_output=True, text=True, check=True,
        env={"PATH": os.environ["PATH"], "HOME": str(board.root)},
    ).stdout.splitlines()  # fmt: skip
    summary = json.loads(line[-1])["summary"]
    words = json.loads((board.root / "current" / "manifest.json").read_text())
    assert summary["model"]["sha256"] == words["model"]["sha256"]


def test_a_board_measures_its_engines_once(start_device, bundles, tmp_path) -> None:
    from edge.runtime.choice import candidates

    path = f"{sys.base_prefix}/bin:/usr/bin:/bin:{Path(sys.executable).parent}"
    device = start_device(tmp_path / "board", PATH=path)
    device.flash(bundles[0])
    kept = device.root / "home" / "choices.json"
    assert kept.exists() == (len(candidates()) > 1)
    measured = kept.exists() and kept.stat().st_mtime_ns
    assert not device.flash(bundles[0])["changed"]
    assert measured == (kept.exists() and kept.stat().st_mtime_ns)


def test_the_same_again_moves_little_and_changes_nothing(flashed, bundles) -> None:
    inode = (flashed.root / "current").lstat().st_ino
    again = flashed.flash(bundles[0])
    assert not again["changed"]
    assert again["version"] == bundles[0].name
    assert again["sent_bytes"] < 100_000
    assert (flashed.root / "current").lstat().st_ino == inode


def test_another_model_takes_its_place_and_only_what_is_new_is_sent(flashed, bundles) -> None:
    second = flashed.flash(bundles[1])
    assert second["replaced"] == bundles[0].name
    new = json.loads((bundles[1] / "manifest.json").read_text())["files"]
    assert second["sent_bytes"] < 30_000 + sum(
        new[name]["size"] for name in ("model.tflite", "golden.json")
    )
    found = flashed.status()
    assert found["previous"]["version"] == bundles[0].name
    assert [line["event"] for line in found["journal"]] == ["switched", "good"] * 2


def test_back_and_forth(flashed, bundles) -> None:
    with pytest.raises(EdgeError, match="no version before"):
        flashed.roll_back()
    done = flashed.flash(bundles[1])
    back = flashed.roll_back()
    assert back["version"] == bundles[0].name == flashed.current()
    assert (back["replaced"], set(back)) == (done["version"], set(done))
    assert flashed.roll_back()["version"] == done["version"] == flashed.current()


def test_after_a_flash_that_was_cut_off_one_goes_back_by_one(flashed, bundles) -> None:
    second = flashed.flash(bundles[1])["version"]
    Store(flashed.root).begin_trial(bundles[0].name, None)
    back = flashed.roll_back()
    assert (back["version"], back["replaced"]) == (second, bundles[0].name)
    assert flashed.current() == second
    assert flashed.status()["previous"]["version"] == bundles[0].name


def test_the_first_flash_that_was_cut_off_leaves_nothing_to_go_back_to(board, bundles) -> None:
    name = board.make(bundles[0])
    Store(board.root).begin_trial(name, None)
    done = board.edge("flash", "--rollback", "board")
    assert (done.returncode, "nothing runs there any more" in done.stdout) == (0, True)
    assert board.current() is None


def test_a_signature_of_a_stranger_takes_the_place_of_none(flashed, bundles, keys) -> None:
    flashed.flash(bundles[1], key=keys / "user")
    flashed.flash(bundles[1], key=keys / "stranger")
    flashed.flash(bundles[0], key=keys / "user")
    trust(flashed.host, keys / "user.pub", config=flashed.config)
    assert flashed.roll_back()["version"] == bundles[1].name


def test_nothing_is_gone_back_to_where_nothing_is(board) -> None:
    with pytest.raises(EdgeError, match="no version before"):
        board.roll_back()
    assert not board.root.exists()


def test_a_damaged_version_is_not_gone_back_to(flashed, bundles) -> None:
    second = flashed.flash(bundles[1])["version"]
    damaged = flashed.root / "previous" / "model.tflite"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    with pytest.raises(EdgeError, match=r"model\.tflite is not what the manifest says"):
        flashed.roll_back()
    found = flashed.status()
    assert (found["current"]["version"], found["previous"]["whole"]) == (second, False)


def test_what_was_altered_on_the_board_is_put_there_anew(flashed, bundles) -> None:
    (flashed.root / "current" / "golden.json").write_text("{}")
    done = flashed.flash(bundles[0])
    assert done["changed"]
    assert done["version"] == f"{bundles[0].name}-2" == flashed.current()
    # What is damaged is nothing to go back to.
    assert leftovers(flashed) == set()
    assert flashed.status()["previous"] is None


def test_a_dry_run_changes_nothing(board, bundles, store) -> None:
    done = board.flash(bundles[0], dry_run=True)
    assert not board.root.exists()
    assert not done["changed"]
    files = json.loads((bundles[0] / "manifest.json").read_text())["files"]
    assert done["would_send_bytes"] == sum(file["size"] for file in files.values())
    shutil.copytree(store, board.root, symlinks=True)
    before = sorted((path, path.lstat().st_mtime_ns) for path in board.root.rglob("*"))
    assert board.flash(bundles[1], dry_run=True)["would_replace"] == board.current()
    assert before == sorted((path, path.lstat().st_mtime_ns) for path in board.root.rglob("*"))


def test_without_edge_there_it_has_to_be_brought(device, bundles) -> None:
    error = device.refused(bundles[0])
    assert "no edge that could run" in error.message
    assert "--with-runtime" in error.hint
    assert not device.root.exists()


def test_what_is_too_slow_is_refused(flashed, bundles) -> None:
    error = flashed.refused(bundles[1], max_latency_ms=0.001)
    assert "too slow" in error.message
    assert flashed.current() == bundles[0].name
    assert leftovers(flashed) <= {"staging"}


def test_what_takes_too_much_memory_is_refused(flashed, bundles) -> None:
    for bundle in bundles:
        assert "MB of memory, 5 are allowed" in flashed.refused(bundle, max_memory_mb=5).message
        assert flashed.current() == bundles[0].name
        assert leftovers(flashed) <= {"staging"}


def test_what_takes_too_much_memory_in_use_is_taken_back(flashed, bundles) -> None:
    name = flashed.make(bundles[1])
    with pytest.raises(EdgeError, match=f"MB of memory, 5 .* it is back at {bundles[0].name}"):
        flashed.activate(name, max_memory_mb=5)
    assert flashed.current() == bundles[0].name
    assert flashed.status()["journal"][-1]["event"] == "rolled back"
    assert flashed.flash(bundles[1])["replaced"] == bundles[0].name


def test_the_first_one_that_fails_leaves_nothing_that_runs(board, bundles) -> None:
    name = board.make(bundles[0])
    with pytest.raises(EdgeError, match="nothing ran there before"):
        board.activate(name, max_memory_mb=5)
    assert board.current() is None
    assert board.flash(bundles[0])["changed"]


def test_a_model_that_says_something_else_there_is_refused(flashed, bundles, tmp_path) -> None:
    other = changed(bundles[1], tmp_path, lambda golden: golden["frames"][2][0]["attributes"].
                    update(Smiling=0.2))  # fmt: skip
    assert "a score of golden picture 2 is 0." in flashed.refused(other).message
    assert flashed.current() == bundles[0].name


def changed(bundle: Path, folder: Path, change) -> Path:
    """Return a copy of a bundle with other expectations, and a manifest that fits."""
    copy = Path(shutil.copytree(bundle, folder / "changed"))
    golden = json.loads((copy / "golden.json").read_text())
    change(golden)
    (copy / "golden.json").write_text(json.dumps(golden))
    words = json.loads((copy / "manifest.json").read_text())
    data = (copy / "golden.json").read_bytes()
    words["files"]["golden.json"] = {
        "size": len(data), "sha256": sha256(data).hexdigest()
    }  # fmt: skip
    (copy / "manifest.json").write_text(json.dumps(words))
    return copy


def test_an_older_one_is_refused_where_that_is_asked_for(flashed, bundles, tmp_path) -> None:
    older = changed(bundles[1], tmp_path, lambda golden: None)
    words = json.loads((older / "manifest.json").read_text())
    words["release"]["edge"] = [0, 0]
    (older / "manifest.json").write_text(json.dumps(words))
    error = flashed.refused(older, no_downgrade=True)
    assert "older than the version that runs" in error.message
    assert flashed.current() == bundles[0].name
    assert flashed.flash(older)["changed"]
    # The newer one may come back.
    assert flashed.flash(bundles[0], no_downgrade=True)["changed"]


def test_of_two_at_once_one_waits_or_is_refused(flashed, bundles) -> None:
    heard: list[str] = []
    with Session(flashed.host, config=flashed.config) as other:
        other.ask("begin", patience_s=0)
        error = flashed.refused(bundles[0], patience_s=0)
        assert "another flash is under way there: process" in error.message

        def say(sentence: str) -> None:
            heard.append(sentence)
            other.close()

        options = FlashOptions(config=flashed.config, patience_s=30)
        done = flash(str(bundles[0]), flashed.host, options, say=say)
    assert done["smoke"]["faces"]
    assert "waiting for another flash" in heard[0]


def test_signed_bundles_alone_once_somebody_is_trusted(board, keys) -> None:
    from edge.devices.bundle import make_bundle

    trust(board.host, keys / "user.pub", config=board.config)
    unsigned = make_bundle("default", runtime=None, key=None).folder
    error = board.refused(unsigned)
    assert ("is not signed" in error.message, "--sign" in error.hint) == (True, True)
    error = board.refused("default", key=keys / "stranger")
    assert "not of one who may sign" in error.message
    assert board.current() is None
    assert board.flash("default", key=keys / "user")["changed"]
    # Another key beside it, and then in its place.
    trust(board.host, keys / "stranger.pub", config=board.config)
    assert not board.flash("default", key=keys / "stranger")["changed"]
    done = trust(board.host, keys / "user.pub", remove=True, config=board.config)
    assert [key.split()[0] for key in done["trusted_keys"]] == ["ssh-ed25519"]
    assert board.status()["trusted_keys"] == done["trusted_keys"]
    assert "not of one who may sign" in board.refused("default", key=keys / "user").message
    with pytest.raises(EdgeError, match="does not trust"):
        trust(board.host, keys / "user.pub", remove=True, config=board.config)
    trust(board.host, keys / "stranger.pub", remove=True, config=board.config)
    assert not board.flash(unsigned)["changed"]


def test_a_version_that_is_signed_later_is_gone_back_to(flashed, bundles, keys) -> None:
    trust(flashed.host, keys / "user.pub", config=flashed.config)
    assert not flashed.flash(bundles[0], key=keys / "user")["changed"]
    flashed.flash(bundles[1], key=keys / "user")
    assert flashed.roll_back()["version"] == bundles[0].name == flashed.current()


def test_what_is_not_signed_is_not_gone_back_to(flashed, bundles, keys) -> None:
    flashed.flash("default-float32", key=keys / "user")
    trust(flashed.host, keys / "user.pub", config=flashed.config)
    with pytest.raises(EdgeError, match="is not signed"):
        flashed.roll_back()
    # A bundle that was made before can be signed on its way.
    assert flashed.flash(bundles[0], key=keys / "user")["changed"]


def test_a_key_that_is_none_does_not_sign(tmp_path, board, keys) -> None:
    (tmp_path / "key").write_text("no key\n")
    assert "does not sign" in board.refused("default", key=tmp_path / "key").message
    command = ["ssh-keygen", "-q", "-s", keys / "host", "-I", "x", "-n", "x", tmp_path / "my.pub"]
    shutil.copy(keys / "user.pub", tmp_path / "my.pub")
    subprocess.run(command, check=True)
    for none in (keys / "user", tmp_path / "my-cert.pub"):
        with pytest.raises(EdgeError, match="no public key"):
            trust(board.host, none, config=board.config)
    assert not board.root.exists()


def test_the_command_line(board, tmp_path, monkeypatch) -> None:
    # It is for flashes; going back does without.
    monkeypatch.setenv("EDGE_SIGN", str(tmp_path / "none"))
    done = board.edge("flash", "--rollback", "board")
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        1, "error: board: there is no version before this one"
    )  # fmt: skip
    monkeypatch.delenv("EDGE_SIGN")
    done = board.edge("flash", "default", "board", "--json")
    assert done.returncode == 0, done.stderr
    version = json.loads(done.stdout)["version"]
    done = board.edge("flash", "default", "board")
    assert f"board: {version} runs already" in done.stdout
    done = board.edge("devices", "status", "board")
    assert version in done.stdout
    done = board.edge("devices", "trust", "board", f"{tmp_path}/none.pub", "--json")
    assert (done.returncode, "No such file" in done.stderr) == (1, True)
    assert board.edge("flash", "default").returncode == 2
    assert board.edge("flash", "default", "--inventory", "").returncode == 2
    assert board.edge("flash", "default", "board", "--max-memory", "nan").returncode == 2
    assert board.edge("flash", "default", "board", "--run-options", "--demo").returncode == 2
    assert board.edge("flash", "--rollback", "--dry-run", "board").returncode == 2
    assert board.edge("flash", "nosuchmodel", "board").returncode == 1
