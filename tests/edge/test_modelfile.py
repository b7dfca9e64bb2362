import io
import json
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import flatbuffers
import pytest

from edge.contract import InputContract
from edge.errors import EdgeError
from edge.modelfile import SCHEMA, ModelCard, bundled_models, pack, read_model, resolve_model


def flatbuffer(parts: int = 4) -> bytes:
    """Return the skeleton of a TFLite file: operator codes, subgraphs and buffers of 1 kB."""
    builder = flatbuffers.Builder(8192)

    def tables(content: list[int]) -> int:
        made = []
        for one in content:
            builder.StartObject(1)
            builder.PrependUOffsetTRelativeSlot(0, one, 0)
            made.append(builder.EndObject())
        builder.StartVector(4, len(made), 4)
        for one in made:
            builder.PrependUOffsetTRelative(one)
        return int(builder.EndVector())

    vectors = {
        1: tables([builder.CreateString("CONV_2D")]),
        2: tables([builder.CreateString("main")]),
        4: tables([builder.CreateByteVector(bytes(1000)) for _ in range(parts)]),
    }
    builder.StartObject(8)
    for slot, vector in vectors.items():
        builder.PrependUOffsetTRelativeSlot(slot, vector, 0)
    builder.Finish(builder.EndObject(), b"TFL3")
    return bytes(builder.Output())


@pytest.fixture
def card() -> ModelCard:
    return ModelCard(
        name="smile",
        contract=InputContract(width=96, height=64, value_range=(-1.0, 1.0)),
        attributes=("Smiling", "Brille für Öl"),
        thresholds=(0.5, 0.25),
        variant="int8",
        recipe={"network": "proposed", "epochs": 3},
        data={"celeba": {"digest": "ab", "counts": {"train": 2}, "licence": "research"}},
        calibration={"seed": 1, "names": ["1.jpg"], "digest": "cd"},
        accuracy={"int8": {"Smiling": {"accuracy": 0.9, "ci95": [0.8, 0.95], "samples": 10}}},
        versions={"edge": "1"},
        licence="research",
    )


@pytest.fixture
def file(tmp_path: Path, card: ModelCard) -> Path:
    path = tmp_path / "smile.tflite"
    path.write_bytes(pack(flatbuffer(), card))
    return path


def refused(path: Path) -> str:
    with pytest.raises(EdgeError) as caught:
        read_model(path)
    assert caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint
    return caught.value.message


def repacked(file: Path, change: Any, graph: bytes | None = None) -> None:
    """Write the file again with another edge.json."""
    model = read_model(file)
    card = json.dumps(change(model.card.to_json()))
    buffer = io.BytesIO()
    buffer.write(model.graph if graph is None else graph)
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("edge.json", card)
    file.write_bytes(buffer.getvalue())


def rezipped(file: Path, kind: int) -> None:
    """Write the file again with edge.json packed in another way."""
    model = read_model(file)
    buffer = io.BytesIO()
    buffer.write(model.graph)
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        archive.writestr("edge.json", json.dumps(model.card.to_json()))
    file.write_bytes(buffer.getvalue())


def test_what_is_packed_is_read_back(file: Path, card: ModelCard) -> None:
    model = read_model(file)
    assert model.graph == flatbuffer()
    assert model.card == replace(card, graph_sha256=sha256(flatbuffer()).hexdigest())
    assert model.sha256 == sha256(file.read_bytes()).hexdigest()
    assert model.labels == card.attributes


def test_packing_is_deterministic(card: ModelCard) -> None:
    assert pack(flatbuffer(), card) == pack(flatbuffer(), card)


def test_labels_are_a_file_that_zip_tools_find(file: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        assert archive.read("labels.txt").decode() == "Smiling\nBrille für Öl\n"
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.testzip() is None


def test_a_missing_file(tmp_path: Path) -> None:
    assert "there is no file" in refused(tmp_path / "none.tflite")


def test_a_folder(tmp_path: Path) -> None:
    assert "is a folder" in refused(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "is empty"), (b"hello, world", "not a TFLite")]
)
def test_something_else_renamed(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "text.tflite"
    path.write_bytes(content)
    assert reason in refused(path)


@pytest.mark.parametrize("kept", [0.02, 0.2, 0.5, 0.7])
def test_a_file_cut_short_inside_the_graph(file: Path, kept: float) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: int(len(flatbuffer()) * kept)])
    assert "is damaged: it is cut short" in refused(file)


@pytest.mark.parametrize("missing", [1, 10, 100, 600])
def test_a_file_cut_short_behind_the_graph(file: Path, missing: int) -> None:
    file.write_bytes(file.read_bytes()[:-missing])
    assert "is damaged: it is cut short" in refused(file)


def test_any_single_wrong_byte_of_the_graph_is_found(file: Path) -> None:
    data = bytearray(file.read_bytes())
    for place in range(8, len(flatbuffer()), 97):
        changed = bytearray(data)
        changed[place] ^= 0x10
        file.write_bytes(changed)
        assert "is damaged" in refused(file)


def test_a_wrong_byte_in_the_card_is_found(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"proposed", b"pr0posed"))
    assert "is damaged" in refused(file)


def test_a_model_of_another_task(tmp_path: Path) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(flatbuffer())
    assert "not a face classifier made by `edge convert`" in refused(path)


def test_a_model_with_other_associated_files(tmp_path: Path) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(flatbuffer())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "cat\n")
    assert "not a face classifier made by `edge convert`" in refused(path)


def test_a_newer_schema_names_both_versions(file: Path) -> None:
    repacked(file, lambda card: card | {"schema": SCHEMA + 1, "contract": {"new": 1}, "more": 2})
    message = refused(file)
    assert f"schema {SCHEMA + 1}" in message
    assert f"up to {SCHEMA}" in message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", "1"), ("schema", None), ("schema", True), ("name", 3), ("variant", "int4"),
        ("attributes", []), ("attributes", "Smiling"), ("attributes", [1, 2]),
        ("thresholds", [0.5]), ("thresholds", ["a", "b"]), ("thresholds", [0.5, float("nan")]),
        ("thresholds", [0.5, float("inf")]), ("thresholds", [0.5, 10**400]),
        ("contract", []), ("contract", {"width": 0}), ("contract", {"width": "wide"}),
        ("contract", {"colour": ["RGB"]}), ("accuracy", None), ("calibration", 5),
        ("licence", None), ("graph_sha256", None), ("task", "detection"), ("task", None),
    ],
)  # fmt: skip
def test_a_card_with_a_wrong_field(file: Path, field: str, value: object) -> None:
    repacked(file, lambda card: card | {field: value})
    assert str(file) in refused(file)


def test_a_card_that_lacks_a_field(file: Path) -> None:
    repacked(file, lambda card: {key: card[key] for key in card if key != "thresholds"})
    assert "without thresholds" in refused(file)


def test_a_card_of_the_first_schema_is_of_attributes(file: Path, card: ModelCard) -> None:
    def first(card: dict[str, Any]) -> dict[str, Any]:
        return {key: card[key] for key in card if key != "task"} | {"schema": 1}

    repacked(file, first)
    assert read_model(file).card == replace(card, graph_sha256=sha256(flatbuffer()).hexdigest())
    assert read_model(file).card.task == "attributes"
    repacked(file, lambda card: first(card) | {"schema": 2})
    assert "without task" in refused(file)


def test_thousands_of_people_are_packed_and_read_back(tmp_path: Path, card: ModelCard) -> None:
    names = tuple(f"person {number}" for number in range(5_000))
    people = replace(card, task="identity", attributes=names, thresholds=(0.0,) * 5_000)
    path = tmp_path / "people.tflite"
    path.write_bytes(pack(flatbuffer(), people))
    model = read_model(path)
    assert (model.card.task, model.labels) == ("identity", names)
    with zipfile.ZipFile(path) as archive:
        assert archive.read("labels.txt").decode().splitlines() == list(names)


@pytest.mark.parametrize("name", sorted(bundled_models()))
def test_the_bundled_models_tell_attributes(name: str) -> None:
    assert read_model(bundled_models()[name]).card.task == "attributes"


def nested(levels: int) -> Any:
    return {"within": nested(levels - 1)} if levels else "all"


def test_a_card_nested_without_end(file: Path) -> None:
    repacked(file, lambda card: card | {"recipe": nested(40)})
    assert read_model(file).card.recipe == nested(40)
    repacked(file, lambda card: card | {"recipe": nested(900)})
    assert "at most 50 levels deep" in refused(file)


def test_what_a_message_shows_of_a_card_is_short(file: Path) -> None:
    repacked(file, lambda card: card | {"attributes": "Smiling" * 1_000})
    assert len(refused(file)) < 300


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_card_packed_in_another_way(file: Path, kind: int) -> None:
    rezipped(file, kind)
    assert "packed in another way" in refused(file)


def test_a_card_that_zip_tools_deflated(file: Path, card: ModelCard) -> None:
    rezipped(file, zipfile.ZIP_DEFLATED)
    assert read_model(file).card.name == card.name
    data = bytearray(file.read_bytes())
    data[data.rindex(b"edge.json", 0, data.index(b"PK\1\2")) + 9] = 0xFF
    file.write_bytes(data)
    assert "its card cannot be read" in refused(file)


def test_a_card_that_claims_gigabytes(file: Path) -> None:
    rezipped(file, zipfile.ZIP_DEFLATED)
    data = bytearray(file.read_bytes())
    place = data.index(b"PK\1\2") + 24
    data[place : place + 4] = b"\xff\xff\xff\x7f"
    file.write_bytes(data)
    assert "far too large" in refused(file)


def test_a_file_of_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.tflite"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert "more than 2,147,483,648 bytes" in refused(path)


@pytest.mark.parametrize("content", [[], 3, None, "card"])
def test_a_card_that_is_no_object(file: Path, content: object) -> None:
    repacked(file, lambda _: content)
    assert "must be an object" in refused(file)


def test_a_path_resolves_to_itself(file: Path) -> None:
    assert resolve_model(str(file)) == file
    assert resolve_model("missing.tflite") == Path("missing.tflite")


def test_an_unknown_name_lists_the_bundled_models() -> None:
    with pytest.raises(EdgeError, match="no model is called smiles") as caught:
        resolve_model("smiles")
    for name in bundled_models():
        assert name in caught.value.message
