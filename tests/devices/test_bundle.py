"""Bundles: what was altered, leads outside or is signed by a stranger comes onto no board."""

import io
import json
import os
import random
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from edge.devices import flash as flashing
from edge.devices.bundle import make_bundle, read_bundle, sign
from edge.devices.flash import FlashOptions, flash
from edge.devices.onboard_bundle import SIGNERS, Incoming, check_signature, read_manifest
from edge.devices.onboard_store import RefusedError, Store
from edge.devices.onboard_whole import digest, is_whole, verify
from edge.devices.reach import Session
from edge.errors import EdgeError


@pytest.fixture
def bundle(bundles, tmp_path) -> Path:
    """A bundle to be altered."""
    return Path(shutil.copytree(bundles[0], tmp_path / "bundle"))


def rewrite(bundle: Path, change: Callable[[dict], object]) -> str:
    words = json.loads((bundle / "manifest.json").read_text())
    change(words)
    (bundle / "manifest.json").write_text(json.dumps(words))
    return json.dumps(words)


def test_it_is_the_same_for_the_same_model_and_holds_all_that_is_needed(bundles) -> None:
    assert make_bundle("default", runtime=None, key=None).folder == bundles[0]
    found = read_bundle(bundles[0])
    assert {"edge", "model.tflite", "golden.json", "golden/000.png", "assets/astronaut.png",
            "assets/face_detection_short_range.tflite"} <= set(found.words["files"])  # fmt: skip
    assert found.words["model"]["contract"]["detector"] == "blazeface"
    assert not [name for name in found.words["files"] if name.startswith("wheels/")]


def test_no_byte_of_it_can_be_altered(bundle) -> None:
    chance = random.Random(0)
    files = read_bundle(bundle).words["files"]
    for name in files:
        path = bundle / name
        kept = path.read_bytes()
        at = chance.randrange(len(kept))
        path.write_bytes(kept[:at] + bytes([kept[at] ^ 1 << chance.randrange(8)]) + kept[at + 1 :])
        with pytest.raises(EdgeError, match="is not what the manifest says"):
            read_bundle(bundle)
        path.write_bytes(kept)
    (bundle / "model.tflite").unlink()
    with pytest.raises(EdgeError, match=r"model\.tflite is not what"):
        read_bundle(bundle)


def test_no_link_is_followed(bundle, tmp_path) -> None:
    model, golden = bundle / "model.tflite", bundle / "golden"
    model.rename(tmp_path / "model")
    model.symlink_to(tmp_path / "model")
    with pytest.raises(EdgeError, match="is not what the manifest says"):
        read_bundle(bundle)
    model.unlink()
    (tmp_path / "model").rename(model)
    golden.rename(tmp_path / "golden")
    golden.symlink_to(tmp_path / "golden")
    with pytest.raises(EdgeError, match="is not what the manifest says"):
        read_bundle(bundle)


FOREIGN = ["../x", "a/../../x", "/etc/passwd", "a//b", ".hidden", "a/.b", "", "a\0b", "a\\b", "a b",
           "manifest.json", "manifest.json.sig", "runtime", "~/x", "a/", "./a", "x\n"]  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_no_name_leads_outside(bundle, name: str) -> None:
    entry = json.loads((bundle / "manifest.json").read_text())["files"]["edge"]
    text = rewrite(bundle, lambda words: words["files"].update({name: entry}))
    with pytest.raises(EdgeError, match="which is no file of a bundle"):
        read_bundle(bundle)
    with pytest.raises(RefusedError):
        read_manifest(text.encode())


@pytest.mark.parametrize(
    "change",
    [
        lambda words: words.pop("files"),
        lambda words: words.pop("release"),
        lambda words: words["files"].pop("model.tflite"),
        lambda words: words["release"].update(made="yesterday"),
        lambda words: words["files"]["edge"].update(size=-1),
        lambda words: words["files"]["edge"].update(size=1 << 40),
        lambda words: words["files"]["edge"].update(sha256="../../x"),
        lambda words: words["files"].update(edge=None),
        lambda words: words.update(runtime={"digest": "../../../x"}),
        # Of other wheels than those that it names.
        lambda words: words.update(runtime={"digest": "0" * 64, "python": "3.11", "machine": "x"}),
        lambda words: words.update(schema=2),
        lambda words: words.update(files=[]),
    ],
)
def test_a_manifest_says_all_that_it_must(bundle, change) -> None:
    text = rewrite(bundle, change)
    with pytest.raises(RefusedError):
        read_manifest(text.encode())
    with pytest.raises(EdgeError):
        read_bundle(bundle)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"files": 1}', "\0"])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(RefusedError):
        read_manifest(text.encode())


def test_the_board_refuses_what_this_machine_would_not_have_sent(board, bundle) -> None:
    """Whoever speaks to it: a manifest is checked there as well."""
    entry = json.loads((bundle / "manifest.json").read_text())["files"]["edge"]
    text = rewrite(bundle, lambda words: words["files"].update({"../../evil": entry}))
    asked = {"signature": None, "no_downgrade": False, "dry": False}
    with Session("board", config=board.config) as session:
        session.ask("begin", patience_s=0)
        with pytest.raises(EdgeError, match="which is no file of a bundle"):
            session.ask("stage", manifest=text, **asked)
    assert not (board.root / "staging").exists()


def test_what_is_altered_on_the_way_or_in_staging_is_refused_and_sent_anew(board, bundles) -> None:
    bundle = read_bundle(bundles[0])
    data = (bundles[0] / "model.tflite").read_bytes()
    name = bundle.words["files"]["model.tflite"]["sha256"]
    options = FlashOptions(config=board.config)
    staging = board.root / "staging"

    def begin(session: Session) -> list[dict]:
        session.ask("begin", patience_s=10)
        staged = session.ask("stage", manifest=bundle.manifest, signature=None,
                             no_downgrade=False, dry=False)  # fmt: skip
        return [file for file in staged["missing"] if file["sha256"] == name]

    def send(session: Session, content: bytes, offset: int = 0) -> None:
        session.ask("receive", sha256=name, offset=offset, size=len(content),
                    body=io.BytesIO(content))  # fmt: skip

    with Session("board", config=board.config) as session:
        begin(session)
        with pytest.raises(EdgeError, match=r"model\.tflite is not what the manifest says"):
            send(session, data[:-9] + b"altered!!")
        # In the same conversation it may come again.
        assert begin(session)[0]["offset"] == 0
        with pytest.raises(EdgeError, match="altered"):
            send(session, data[:100_000])
    # Half of it waits there, and is altered meanwhile.
    (staging / f"{name}.part").write_bytes(b"x" * 100_000)
    with Session("board", config=board.config) as session:
        assert begin(session)[0]["offset"] == 100_000
        with pytest.raises(EdgeError, match="altered"):
            send(session, data[100_000:], 100_000)
        send(session, data)
        assert begin(session) == []
    # All of it waits there, and is altered meanwhile; or is a link to something else.
    (staging / name).write_bytes(data[:-1] + b"x")
    with pytest.raises(EdgeError, match="altered"):
        flash(str(bundles[0]), "board", options, say=lambda sentence: None)
    (staging / name).unlink(missing_ok=True)
    (staging / name).symlink_to("/etc/passwd")
    assert flash(str(bundles[0]), "board", options, say=lambda sentence: None)["changed"]
    verify((board.root / "current").resolve())


def half_sent(board, bundle: Path, part: bytes) -> None:
    """Let a part of the model wait on a board, as a flash that was cut off leaves it."""
    name = read_bundle(bundle).words["files"]["model.tflite"]["sha256"]
    (board.root / "staging").mkdir(parents=True)
    (board.root / "lock").touch()
    (board.root / "staging" / f"{name}.part").write_bytes(part)


def test_half_of_a_file_is_gone_on_with(board, bundles) -> None:
    half_sent(board, bundles[0], (bundles[0] / "model.tflite").read_bytes()[:300_000])
    options = FlashOptions(config=board.config)
    done = flash(str(bundles[0]), "board", options, say=lambda sentence: None)
    assert done["sent_bytes"] < read_bundle(bundles[0]).size(wheels=False) - 250_000


def test_half_of_a_file_that_was_spoiled_is_sent_anew_by_the_same_flash(board, bundles) -> None:
    half_sent(board, bundles[0], b"x" * 300_000)
    options = FlashOptions(config=board.config)
    assert flash(str(bundles[0]), "board", options, say=lambda sentence: None)["changed"]
    verify((board.root / "current").resolve())


@pytest.mark.parametrize("waiting", [0, 100_000])
def test_a_file_that_is_cut_short_here_meanwhile(board, bundle, monkeypatch, waiting: int) -> None:
    send = flashing._send
    if waiting:
        half_sent(board, bundle, (bundle / "model.tflite").read_bytes()[:waiting])

    def cut_short(session: Session, *given) -> None:
        os.truncate(bundle / "model.tflite", 150_000)
        send(session, *given)

    monkeypatch.setattr(flashing, "_send", cut_short)
    with pytest.raises(EdgeError, match="cut short") as caught:
        flash(str(bundle), "board", FlashOptions(config=board.config), say=lambda sentence: None)
    assert caught.value.hint == "flash again"
    assert not (board.root / "current").is_symlink()


@pytest.mark.parametrize(
    ("edge", "made", "older"),
    [
        ([0, 9], 0, None),
        ([0, 10], 0, None),
        ([1, 0], 1, None),
        ([0, 0], 0, "edge 0.0, there 0.9"),
        ([0, 8, 9], 1, "edge 0.8.9, there 0.9"),
        ([1, 0], -1, r"made 19[\d: -]+, there 19[\d: -]+"),
    ],
)
def test_what_is_older_than_what_runs(bundle, tmp_path, edge, made: int, older) -> None:
    store = Store(tmp_path / "root")
    store.version("runs").mkdir(parents=True)
    text = rewrite(bundle, lambda words: words["release"].update(edge=[0, 9], made=9000))
    (store.version("runs") / "manifest.json").write_text(text)
    store.point("current", "runs")
    release = json.loads(text)["release"]
    other = {"edge": edge, "made": release["made"] + made}
    # The same files are the same version, whatever is said of them.
    text = rewrite(bundle, lambda words: words.update(release=other))
    Incoming(store, text, None).require_newer()
    text = rewrite(bundle, lambda words: words["files"].pop("golden/000.png"))
    incoming = Incoming(store, text, None)
    if older is None:
        incoming.require_newer()
    else:
        with pytest.raises(RefusedError, match=f"older than the version that runs: {older}"):
            incoming.require_newer()


def test_a_version_is_whole_or_it_is_not(bundles, tmp_path) -> None:
    version = Path(shutil.copytree(bundles[0], tmp_path / bundles[0].name))
    assert is_whole(version)
    # It is the one that its name says.
    assert is_whole(version.rename(tmp_path / f"{version.name}-2"))
    assert not is_whole((tmp_path / f"{version.name}-2").rename(tmp_path / "0123456789abcdef"))
    (tmp_path / "0123456789abcdef").rename(version)
    for name, make in {
        "more": lambda path: path.write_text(""),
        "golden/more": lambda path: path.write_text(""),
        "link": lambda path: path.symlink_to("/etc"),
        "golden/link": lambda path: path.symlink_to("/etc/passwd"),
    }.items():
        make(version / name)
        with pytest.raises(RefusedError, match=name):
            verify(version)
        (version / name).unlink()
    assert is_whole(version)
    # What a disk has lost is not there.
    assert digest(Path("/proc/self/mem")) is None
    (version / "golden").rename(tmp_path / "golden")
    (version / "golden").symlink_to(tmp_path / "golden")
    assert not is_whole(version)


@pytest.fixture
def signed(bundle, keys, tmp_path) -> tuple[Path, bytes, str]:
    """A file of those who may sign, a manifest, and its signature."""
    signers = tmp_path / SIGNERS
    key = (keys / "user.pub").read_text().rsplit(maxsplit=1)[0]
    signers.write_text(f'edge namespaces="edge-bundle" {key}\n')
    text = (bundle / "manifest.json").read_bytes()
    return signers, text, sign(bundle / "manifest.json", keys / "user")


def test_no_byte_of_a_signed_manifest_can_be_altered(signed) -> None:
    signers, text, signature = signed
    check_signature(signers, text, signature)
    chance = random.Random(0)
    for _ in range(40):
        at = chance.randrange(len(text))
        other = text[:at] + bytes([text[at] ^ 1 << chance.randrange(8)]) + text[at + 1 :]
        with pytest.raises(RefusedError):
            check_signature(signers, other, signature)
    for other in (text + b" ", text[:-1], b""):
        with pytest.raises(RefusedError):
            check_signature(signers, other, signature)


def test_a_signature_is_of_one_who_may_for_this_and_nothing_else(signed, keys, bundle) -> None:
    import subprocess

    signers, text, signature = signed
    with pytest.raises(RefusedError, match="is not signed"):
        check_signature(signers, text, None)
    for broken in ("", "no signature", signature.replace("A", "B", 3)):
        with pytest.raises(RefusedError):
            check_signature(signers, text, broken)
    with pytest.raises(RefusedError, match="not of one who may sign"):
        check_signature(signers, text, sign(bundle / "manifest.json", keys / "stranger"))
    # The same key, for something else.
    other = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-f", keys / "user", "-n", "git"], input=text,
        capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    with pytest.raises(RefusedError):
        check_signature(signers, text, other)


def test_a_swapped_manifest_is_refused(board, keys) -> None:
    from edge.devices.flash import trust

    trust("board", keys / "user.pub", config=board.config)
    first = make_bundle("default", runtime=None, key=keys / "user")
    second = make_bundle("default-float32", runtime=None, key=keys / "user")
    asked = {"no_downgrade": False, "dry": False}
    with Session("board", config=board.config) as session:
        session.ask("begin", patience_s=0)
        with pytest.raises(EdgeError, match="altered"):
            session.ask("stage", manifest=first.manifest, signature=second.signature, **asked)
        assert session.ask("stage", manifest=first.manifest, signature=first.signature, **asked)[
            "missing"
        ]


def test_all_of_a_version_is_on_the_disk_before_it_is_switched_to(tmp_path, monkeypatch) -> None:
    """A power cut forgets what was not synced: the order is what counts."""
    files = {name: name.encode() * 100 for name in ("edge", "model.tflite", "golden.json", "a/b")}
    manifest = json.dumps({
        "schema": 1, "model": {}, "release": {"edge": [0, 1], "made": 1}, "runtime": None,
        "files": {name: {"size": len(data), "sha256": sha256(data).hexdigest()}
                  for name, data in files.items()},
    })  # fmt: skip
    store = Store(tmp_path / "root")
    store.staging.mkdir(parents=True)
    for data in files.values():
        (store.staging / sha256(data).hexdigest()).write_bytes(data)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "edge").write_text("")
    (tmp_path / "bin" / "edge").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HOME", str(tmp_path))
    seen: list[tuple[str, str]] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        seen.append(("sync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))
        fsync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        seen.append(("rename", str(target)))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    name = Incoming(store, manifest, None).assemble(None)
    store.begin_trial(name, None)
    order = {word: at for at, word in enumerate(seen)}
    made = str(store.versions / f".new-{name}")
    settled = order["rename", str(store.version(name))]
    for file in [*files, "manifest.json", "a"]:
        assert order["sync", f"{made}/{file}"] < settled
    assert order["sync", made] < settled
    trial = order["rename", str(store.root / "trial")]
    current = order["rename", str(store.root / "current")]
    assert settled < order["sync", str(store.versions)] < trial < current
    # The folder is synced after the switch, and the journal after that.
    after = [word for word in seen[current:] if word[0] == "sync"]
    assert after == [("sync", str(store.root)), ("sync", str(store.root / "journal.jsonl"))]
