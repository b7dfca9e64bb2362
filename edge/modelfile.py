"""The model file: a TFLite graph and, packed behind it, what `edge` has to know of it.

Files that belong to a TFLite graph are a zip archive appended to the flatbuffer; TFLite readers
ignore it, MediaPipe reads `labels.txt` from it, and `edge` reads `edge.json`, the model's card.
The card holds a digest of the graph, because runtimes may abort the process on a damaged one.
"""

import io
import json
import stat
import struct
import sys
import zipfile
import zlib
from dataclasses import asdict, dataclass, fields, replace
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from edge.contract import InputContract
from edge.errors import EdgeError

# History of edge.json:
# 1: first one.
# 2: task; older ones are of "attributes".
SCHEMA = 2

LABELS_FILE = "labels.txt"
CARD_FILE = "edge.json"
VARIANTS = ("float32", "float16", "dynamic", "int8", "int16")
TASKS = ("attributes", "identity")

_IDENTIFIER = b"TFL3"
_BUNDLED = {"default": "default.tflite", "default-float32": "default-float32.tflite"}
# Flatbuffers end there.
_MOST_BYTES = 1 << 31
# Of a card: thousands of people and calibration pictures are a hundredth of it.
_MOST_TEXT = 1 << 24
_MOST_LEVELS = 50
_MOST_SHOWN = 100
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_CONVERT_AGAIN = "convert it again: `edge convert RUN`"


class ForeignModelError(EdgeError):
    """A whole .tflite file, but none that `edge convert` made: it has no card."""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What is known of a model; the content of `edge.json`.

    Args:
        name: Name of the run that it comes from.
        contract: What the network was trained to see.
        attributes: Its outputs, in order; of the task "identity" the names of the people.
        thresholds: Probability at and above which an attribute is a label, one an attribute; of
            the task "identity" that at and above which the most probable person is (0 names one
            whatever the face).
        variant: One of `VARIANTS`.
        recipe: How it was trained.
        data: What it was trained on: digest, counts and licence of each data set.
        calibration: Seed, file names and digest of the crops that set the integer ranges, and
            "floats", the operators that stayed floats, if any did, and "epochs" of training with
            rounding, if there were any; None for a model without any.
        accuracy: On the validation pictures, by variant ("float32" and the model's own), then
            attribute: accuracy (0 to 1), its 95 % interval and how many pictures.
        versions: Version of each library that took part.
        licence: Licence of the data, which binds the model too.
        graph_sha256: Hexadecimal digest of the graph; `pack` fills it in.
        task: One of `TASKS`: each output a probability of its own, or a softmax over people.
    """

    name: str
    contract: InputContract
    attributes: tuple[str, ...]
    thresholds: tuple[float, ...]
    variant: str
    recipe: dict[str, Any]
    data: dict[str, Any]
    calibration: dict[str, Any] | None
    accuracy: dict[str, Any]
    versions: dict[str, str]
    licence: str
    graph_sha256: str = ""
    task: str = "attributes"

    def __post_init__(self) -> None:
        for name in ("name", "variant", "licence", "graph_sha256"):
            _require(isinstance(getattr(self, name), str), name, "text", getattr(self, name))
        for name in ("recipe", "data", "accuracy", "versions"):
            _require(isinstance(getattr(self, name), dict), name, "an object", getattr(self, name))
        _require(
            self.calibration is None or isinstance(self.calibration, dict),
            "calibration",
            "an object or null",
            self.calibration,
        )
        _require(self.variant in VARIANTS, "variant", " or ".join(VARIANTS), self.variant)
        _require(self.task in TASKS, "task", " or ".join(TASKS), self.task)
        _require(
            _is_list(self.attributes, str) and len(self.attributes) > 0,
            "attributes",
            "a list of names",
            self.attributes,
        )
        _require(
            _is_list(self.thresholds, (int, float))
            and len(self.thresholds) == len(self.attributes)
            and all(abs(value) <= sys.float_info.max for value in self.thresholds),
            "thresholds",
            f"{len(self.attributes)} numbers",
            self.thresholds,
        )
        object.__setattr__(self, "attributes", tuple(self.attributes))
        object.__setattr__(self, "thresholds", tuple(self.thresholds))

    def to_json(self) -> dict[str, Any]:
        """Return the card as plain JSON values, with the schema first."""
        values = asdict(self) | {
            "contract": self.contract.to_json(),
            "attributes": list(self.attributes),
            "thresholds": list(self.thresholds),
        }
        return {"schema": SCHEMA} | values

    @classmethod
    def from_json(cls, value: Any) -> "ModelCard":
        """Read a card back.

        Raises:
            EdgeError: It is of a newer schema, or a field is missing or of another type.
        """
        _require(isinstance(value, dict), "the whole", "an object", value)
        _require(_is_flat(value), "the whole", f"at most {_MOST_LEVELS} levels deep", "deeper")
        schema = value.get("schema")
        _require(
            isinstance(schema, int) and not isinstance(schema, bool) and schema > 0,
            "schema",
            "a number",
            schema,
        )
        if schema > SCHEMA:
            raise EdgeError(
                f"the model is of schema {schema}, this edge reads up to {SCHEMA}",
                "upgrade edge (`pip install --upgrade edge-tflite`), or convert the model with "
                "this version",
            )
        if schema < 2:
            value = {"task": TASKS[0]} | value
        names = {field.name for field in fields(cls)}
        missing = sorted(names - value.keys())
        _require(not missing, "fields", "complete", f"without {', '.join(missing)}")
        unknown = sorted(value.keys() - names - {"schema"})
        _require(not unknown, "fields", "those of its schema", f"with {', '.join(unknown)}")
        _require(isinstance(value["contract"], dict), "contract", "an object", value["contract"])
        try:
            contract = InputContract.from_json(value["contract"])
        except TypeError as error:
            raise _invalid("contract", "an input contract", error) from error
        return cls(**{name: value[name] for name in names} | {"contract": contract})


@dataclass(frozen=True)
class ModelFile:
    """A model file that was read and found whole.

    Args:
        path: Where it lies.
        card: What it says of itself.
        graph: The TFLite flatbuffer, for a runtime to load.
        sha256: Hexadecimal digest of the whole file.
    """

    path: Path
    card: ModelCard
    graph: bytes
    sha256: str

    @property
    def labels(self) -> tuple[str, ...]:
        """The attributes, in the order of the outputs."""
        return self.card.attributes


def bundled_models() -> dict[str, Path]:
    """Return the models that come with edge, by name."""
    folder = Path(str(files("edge"))) / "models"
    return {name: folder / file for name, file in _BUNDLED.items() if (folder / file).is_file()}


def resolve_model(name_or_path: str) -> Path:
    """Return the path of a model given by the name of a bundled one or by its path.

    Raises:
        EdgeError: It is neither; the message lists the bundled ones.
    """
    bundled = bundled_models()
    if name_or_path in bundled:
        return bundled[name_or_path]
    path = Path(name_or_path)
    if path.exists() or (path.suffix and name_or_path not in _BUNDLED):
        return path
    known = ", ".join(bundled) or "none"
    raise EdgeError(
        f"no model is called {name_or_path} and there is no such file (bundled: {known})",
        "choose a bundled one or give the path of a .tflite file",
    )


def read_model(path: Path) -> ModelFile:
    """Read a model file and check that it is whole.

    Raises:
        EdgeError: It is missing, not a TFLite file, cut short, damaged, not made by
            `edge convert`, or of a newer schema.
    """
    if path.is_dir():
        raise EdgeError(
            f"{path} is a folder, expected a .tflite file",
            "name the file in it, such as one that `edge convert` made",
        )
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise EdgeError(f"{path} is no file", "give a .tflite file made by `edge convert`")
        if path.stat().st_size > _MOST_BYTES:
            raise EdgeError(
                f"{path} has more than {_MOST_BYTES:,} bytes, which no .tflite file has",
                "give a .tflite file made by `edge convert`",
            )
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise EdgeError(
            f"there is no file {path}", "check the path, or use the bundled model, default"
        ) from error
    except OSError as error:
        raise EdgeError(
            f"cannot read {path}: {error.strerror or error}", "check the path and its permissions"
        ) from error
    if data[4:8] != _IDENTIFIER:
        what = "empty" if not data else "not a TFLite file"
        raise EdgeError(f"{path} is {what}", "give a .tflite file made by `edge convert`")
    graph, card = _unpack(data, path)
    if sha256(graph).hexdigest() != card.graph_sha256:
        raise _damaged(path, "its graph has another digest than its card says")
    return ModelFile(path, card, graph, sha256(data).hexdigest())


def pack(graph: bytes, card: ModelCard) -> bytes:
    """Return a model file: the graph, and behind it the labels and the card.

    Args:
        graph: A TFLite flatbuffer.
        card: Its card; `graph_sha256` is filled in here.

    Returns:
        The same bytes for the same arguments.
    """
    card = replace(card, graph_sha256=sha256(graph).hexdigest())
    members = {
        LABELS_FILE: "".join(f"{name}\n" for name in card.attributes),
        CARD_FILE: json.dumps(card.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
    }
    # Written behind the graph in one buffer, so that the archive's offsets count from its start.
    buffer = io.BytesIO()
    buffer.write(graph)
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, text in members.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text.encode())
    return buffer.getvalue()


def _unpack(data: bytes, path: Path) -> tuple[bytes, ModelCard]:
    """Split a model file into its graph and its card."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if CARD_FILE not in archive.namelist():
                raise _foreign(path)
            entry = archive.getinfo(CARD_FILE)
            if entry.compress_type not in _PACKED or entry.file_size > _MOST_TEXT:
                raise _damaged(path, "its card is packed in another way, or far too large")
            card = json.loads(archive.read(entry))
            start = min(entry.header_offset for entry in archive.infolist())
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        if CARD_FILE.encode() in data or not _holds_its_buffers(data):
            raise _damaged(path, "it is cut short or its end is overwritten") from error
        raise _foreign(path) from error
    except (ValueError, OSError, struct.error, zlib.error, OverflowError) as error:
        raise _damaged(path, "its card cannot be read") from error
    try:
        return data[:start], ModelCard.from_json(card)
    except EdgeError as error:
        raise EdgeError(f"{path}: {error.message}", error.hint) from error


def _holds_its_buffers(data: bytes) -> bool:
    """Tell whether every part that a TFLite flatbuffer's root points to lies inside `data`."""
    try:
        (model,) = struct.unpack_from("<I", data)
        for field in (1, 2, 4):  # operator codes, subgraphs, buffers
            for table in _tables(data, _field(data, model, field)):
                content = _field(data, table, 0) if field == 4 else 0
                size = struct.unpack_from("<I", data, content)[0] if content else 0
                if content + size > len(data):
                    return False
                struct.unpack_from("<i", data, table)
    except struct.error:
        return False
    return True


def _field(data: bytes, table: int, index: int) -> int:
    """Return where a vector field of a flatbuffer table starts; 0 for an absent one."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if vtable < 0:
        raise struct.error("a table outside the file")
    if 4 + 2 * index >= struct.unpack_from("<H", data, vtable)[0]:
        return 0
    (offset,) = struct.unpack_from("<H", data, vtable + 4 + 2 * index)
    place = table + offset
    return int(place + struct.unpack_from("<I", data, place)[0]) if offset else 0


def _tables(data: bytes, vector: int) -> list[int]:
    """Return where the tables of a flatbuffer vector start."""
    if not vector:
        return []
    (count,) = struct.unpack_from("<I", data, vector)
    places = range(vector + 4, vector + 4 + 4 * count, 4)
    return [place + struct.unpack_from("<I", data, place)[0] for place in places]


def _is_list(value: Any, kinds: type | tuple[type, ...]) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(item, kinds) and not isinstance(item, bool) for item in value
    )


def _is_flat(value: Any, levels: int = _MOST_LEVELS) -> bool:
    """Tell whether lists and objects are nested in at most so many levels."""
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return True
    return levels > 0 and all(_is_flat(item, levels - 1) for item in inner)


def _require(valid: bool, name: str, expected: str, found: object) -> None:
    if not valid:
        raise _invalid(name, expected, found)


def _invalid(name: str, expected: str, found: object) -> EdgeError:
    text = str(found)
    shown = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
    return EdgeError(f"{name} of {CARD_FILE} must be {expected}, not {shown}", _CONVERT_AGAIN)


def _foreign(path: Path) -> ForeignModelError:
    return ForeignModelError(
        f"{path} is a .tflite file but not a face classifier made by `edge convert`",
        "train one with `edge train` and convert it, or use the bundled one, default",
    )


def _damaged(path: Path, reason: str) -> EdgeError:
    return EdgeError(f"{path} is damaged: {reason}", f"copy it again, or {_CONVERT_AGAIN}")
