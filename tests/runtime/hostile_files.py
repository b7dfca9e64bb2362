"""The files of `test_hostile.py`: pictures, videos and models, and what is changed in them."""

import io
import json
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from edge.assets import fetch
from edge.images import SUFFIXES, read_picture
from edge.modelfile import CARD_FILE, bundled_models, read_model

T = TypeVar("T")
Random = np.random.Generator
# Of a card: where it stands, and its name.
Field = tuple[str, str]

SEED = 2026
FRAMES = ("--frames", "3", "--json", "--runtime", "litert", "--threads", "1")
REAL_VIDEOS = Path(__file__).resolve().parents[3] / "shared/data/videos"

# Odd, so that the same bytes seldom mean something else.
WIDTH, HEIGHT = 211, 157
TIFF = cv2.IMWRITE_TIFF_COMPRESSION
PICTURES = {
    "plain.jpg": [], "progressive.jpg": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
    "restarts.jpeg": [cv2.IMWRITE_JPEG_RST_INTERVAL, 3], "plain.png": [], "plain.bmp": [],
    "lossy.webp": [cv2.IMWRITE_WEBP_QUALITY, 80], "lossless.webp": [],
    "raw.tiff": [TIFF, 1], "lzw.tif": [TIFF, 5], "deflate.tif": [TIFF, 8],
    "packed.tif": [TIFF, 32773], "jpeg.tif": [TIFF, 7, cv2.IMWRITE_TIFF_ROWSPERSTRIP, 16],
    "grey.jpg": [], "grey.png": [], "clear.png": [], "clear.webp": [], "deep.png": [],
    "deep.tif": [], "float.tiff": [],
    "plain.avif": [], "plain.jp2": [], "plain.gif": [], "plain.ppm": [], "plain.pam": [],
    "float.hdr": [], "plain.ras": [], "float.pfm": [],
}  # fmt: skip
VIDEOS = (
    "MJPG.avi", "MJPG.mkv", "MJPG.mp4", "mp4v.mp4", "mp4v.avi", "mp4v.ts", "VP80.webm",
    "VP80.ogv", "VP90.webm", "VP90.mp4", "FLV1.flv", "MPG1.mpg", "mpg2.ts", "WMV1.wmv",
    "FFV1.mkv", "HFYU.avi", "png .mov", "I420.avi",
)  # fmt: skip
EXTREME = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 60_000, 1 << 24, (1 << 31) - 1, 1 << 31,
           (1 << 32) - 1)  # fmt: skip
# What a field of a model's card is replaced by, as JSON.
WRONG = (
    "null", "true", "[]", "{}", '""', "0", "-1", "1e999", "-1e999", "NaN", "1e-320",
    "1" + "0" * 400, "9" * 5_000, '"\\ud800"', '"\\u0000\\u001b[2J"', '"[bold]"',
    '"' + "long " * 5_000 + '"', "[" * 400 + "]" * 400, '{"a":' * 900 + "1" + "}" * 900,
    "[" * 50_000, "[1,[2,{}]]", '["Smiling","Smiling"]', "[0,1" + "0" * 400 + "]", "[NaN,NaN]",
    "[-1e999,1e999]", '"identity"',
)  # fmt: skip
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)


def write_pictures(face: np.ndarray) -> dict[str, bytes]:
    """Every kind of picture that OpenCV writes, by file name."""
    grey, clear = face[..., 0], cv2.cvtColor(face, cv2.COLOR_BGR2BGRA)
    deep, real = face.astype(np.uint16) * 257, face.astype(np.float32)
    contents = {"grey": grey, "clear": clear, "deep": deep, "float": real}
    made = {}
    for name, options in PICTURES.items():
        content = contents.get(name.partition(".")[0], face)
        with suppress(cv2.error):  # not every build writes every kind
            done, data = cv2.imencode(Path(name).suffix, content, options)
            if done:
                made[name] = data.tobytes()
    with suppress(AttributeError):  # OpenCV 4.10 knows no animations
        moving = cv2.Animation()
        moving.frames, moving.durations = [face, face[::-1]], [40, 40]
        for suffix in (".png", ".webp", ".gif"):
            made[f"moving{suffix}"] = cv2.imencodeanimation(suffix, moving)[1].tobytes()
    return made


def write_videos(folder: Path, face: np.ndarray) -> dict[str, bytes]:
    """Return short videos by file name, and real ones where they are."""
    made = {}
    for name in VIDEOS:
        path, codec = folder / name, cv2.VideoWriter.fourcc(*name[:4])
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, codec, 20, (WIDTH - 1, HEIGHT - 1))
        for at in range(8):
            writer.write(np.roll(face, at, 1)[:-1, :-1])
        writer.release()
        if path.exists():  # not every build knows every codec
            made[name] = path.read_bytes()
            path.unlink()
    return made | {path.name: path.read_bytes() for path in sorted(REAL_VIDEOS.glob("*.*"))}


def some_models() -> dict[str, bytes]:
    """The bundled model, and its graph without a card, alone and with other files behind it."""
    model = read_model(bundled_models()["default"])
    labelled = io.BytesIO(model.graph)
    with zipfile.ZipFile(labelled, "a") as archive:
        archive.writestr("labels.txt", "cat\ndog\n")
    return {"whole": model.path.read_bytes(), "graph": model.graph, "labelled": labelled.getvalue()}


def flipped(random: Random, data: bytearray, _: bytes) -> None:
    for _ in range(random.integers(1, 32)):
        data[place_in(random, data)] ^= 1 << random.integers(8)


def overwritten(random: Random, data: bytearray, _: bytes) -> None:
    start, length = place_in(random, data), int(2 ** random.uniform(0, 11))
    end = min(start + length, len(data))
    data[start:end] = (bytes(end - start), b"\xff" * (end - start), random.bytes(end - start))[
        random.integers(3)
    ]


def cut(random: Random, data: bytearray, _: bytes) -> None:
    del data[place_in(random, data) :]


def lengthened(random: Random, data: bytearray, _: bytes) -> None:
    start, place = (place_in(random, data) for _ in range(2))
    length = int(2 ** random.uniform(0, 13))
    data[place:place] = random.bytes(length) if random.integers(2) else data[start : start + length]


def shortened(random: Random, data: bytearray, _: bytes) -> None:
    start = place_in(random, data)
    del data[start : start + int(2 ** random.uniform(0, 12))]


def spliced(random: Random, data: bytearray, other: bytes) -> None:
    data[place_in(random, data) :] = other[random.integers(len(other)) :]


def followed(random: Random, data: bytearray, other: bytes) -> None:
    data += other if random.integers(2) else random.bytes(int(2 ** random.uniform(0, 14)))


def miscounted(random: Random, data: bytearray, _: bytes) -> None:
    """Write an extreme number into a field: a length, a count, an offset, a dimension."""
    for _ in range(random.integers(1, 4)):
        place, size = place_in(random, data), int(random.choice([1, 2, 4, 8]))
        put(random, data, place, size)


def resized(random: Random, data: bytearray, _: bytes) -> None:
    """Write extreme numbers wherever width and height stand."""
    for number in (WIDTH, HEIGHT, WIDTH - 1, HEIGHT - 1):
        for size, order in ((4, "little"), (4, "big"), (2, "little"), (2, "big")):
            find = (data.find, data.rfind)[random.integers(4) // 3]
            if (place := find(number.to_bytes(size, order))) >= 0 and random.integers(4):
                value = random.choice([*EXTREME, 5_000, 14_000, 30_000])
                data[place : place + size] = (int(value) % 256**size).to_bytes(size, order)
    digits = str(WIDTH).encode()
    if (place := data.find(digits, 0, 256)) >= 0:
        data[place : place + len(digits)] = random.choice([b"0", b"-1", b"32000", b"9" * 30])


def emptied(random: Random, data: bytearray, _: bytes) -> None:
    del data[random.integers(64) :]


def put(random: Random, data: bytearray, place: int, size: int) -> None:
    value = int(random.choice(EXTREME)) % 256**size
    data[place : place + size] = value.to_bytes(size, ("little", "big")[random.integers(2)])


def place_in(random: Random, data: bytearray) -> int:
    """Choose a place, in the first bytes as often as in all the rest."""
    return int(random.integers(max(min(len(data), 512) if random.integers(2) else len(data), 1)))


CHANGES = (flipped, flipped, overwritten, cut, lengthened, shortened, spliced, followed, miscounted,
           miscounted, resized, resized)  # fmt: skip


def damaged(random: Random, data: bytes, other: bytes) -> tuple[bytes, str]:
    """Change a file in one to three ways; return it with their names."""
    changed, names = bytearray(data), []
    for _ in range(random.integers(1, 4)):
        change = emptied if random.integers(60) == 0 else CHANGES[random.integers(len(CHANGES))]
        if changed:
            change(random, changed, other)
            names.append(change.__name__)
    if random.integers(4) and changed.startswith(b"\x89PNG"):
        sign(changed)
    return bytes(changed), ", ".join(names)


def sign(png: bytearray) -> None:
    """Correct the check sums of a PNG: readers look no further where one is wrong."""
    place = 8
    while place + 12 <= len(png):
        end = place + 8 + int.from_bytes(png[place : place + 4], "big")
        png[end : end + 4] = zlib.crc32(png[place + 4 : end]).to_bytes(4, "big")
        place = end + 4


@dataclass(frozen=True)
class Attempt:
    """A file, what was changed in which original, and what the front door is asked to do."""

    path: Path
    change: str
    arguments: list[str]


@dataclass(frozen=True)
class Originals:
    """Whole files by name, and where the changed ones go."""

    pictures: dict[str, bytes]
    videos: dict[str, bytes]
    models: dict[str, bytes]
    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "Originals":
        """Write what this build of OpenCV can write."""
        face = cv2.resize(read_picture(fetch("demo"))[:300, 80:380], (WIDTH, HEIGHT))
        return cls(write_pictures(face), write_videos(folder, face), some_models(), folder)

    def attempt(self, index: int) -> Attempt:
        """Make one file, from the seed and the index alone."""
        random = np.random.default_rng([SEED, index])
        make = (self._picture, self._model, self._picture, self._video)[index % 4]
        suffix, data, change, arguments = make(random)
        path = self.folder / f"{index:04d}{suffix}"
        path.write_bytes(data)
        told = f"seed {SEED}, index {index}, {change}"
        return Attempt(path, told, [str(path) if a == "FILE" else a for a in arguments])

    def fields(self) -> list[Field]:
        """Return the fields of a model's card: where each stands, and its name."""
        card = card_of(self.models["whole"])
        return [(of, name) for of in ("card", "contract") for name in (card | {"card": card})[of]]

    def forgery(self, field: Field, value: str) -> Attempt:
        """Put a wrong value into a model's card, and run it."""
        data = forged(self.models["whole"], len(self.models["graph"]), field, value)
        path = self.folder / f"{field[1]}-{WRONG.index(value)}.tflite"
        path.write_bytes(data)
        arguments = ["run", "--demo", "--model", str(path), *FRAMES]
        return Attempt(path, f"{field[1]} is {value[:20]}", arguments)

    def _picture(self, random: Random) -> tuple[str, bytes, str, list[str]]:
        name = pick(random, self.pictures)
        suffix = pick(random, [*[Path(name).suffix] * 9, *SUFFIXES])
        data, change = damaged(random, self.pictures[name], self._other(random))
        return suffix, data, f"{name} {change}", ["run", "FILE", *FRAMES]

    def _video(self, random: Random) -> tuple[str, bytes, str, list[str]]:
        name = pick(random, self.videos)
        suffix = pick(random, [*[Path(name).suffix] * 9, ".mp4"])
        data, change = damaged(random, self.videos[name], self._other(random))
        every = ["--detect-every", str(random.integers(1, 4))]
        return suffix, data, f"{name} {change}", ["run", "FILE", *FRAMES, *every]

    def _model(self, random: Random) -> tuple[str, bytes, str, list[str]]:
        name = pick(random, [*self.models, "whole", "whole"])
        whole, start = self.models[name], len(self.models["graph"])
        way = random.integers(4) if name == "whole" else 0
        if way == 0:
            data, change = damaged(random, whole, self._other(random))
        elif way == 1:
            tail, change = damaged(random, whole[start:], self._other(random))
            data, change = whole[:start] + tail, f"behind the graph {change}"
        else:
            field, value = pick(random, self.fields()), pick(random, WRONG)
            data = forged(whole, start, field, value, int(random.choice(PACKED)))
            change = f"{field[1]} is {value[:20]}"
        commands = (["models", "show", "FILE"], ["models", "show", "FILE", "--json"],
                    ["run", "--demo", "--model", "FILE", *FRAMES])  # fmt: skip
        return ".tflite", data, f"{name} {change}", commands[random.integers(3)]

    def _other(self, random: Random) -> bytes:
        every = self.pictures | self.videos | self.models
        return every[pick(random, every)]


def pick(random: Random, things: Iterable[T]) -> T:
    return (every := [*things])[random.integers(len(every))]


def card_of(whole: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        return json.loads(archive.read(CARD_FILE))


def forged(whole: bytes, start: int, field: Field, value: str, packed: int = PACKED[0]) -> bytes:
    """Put another value into the card of a model, packed in one of the ways that zip knows."""
    card = card_of(whole)
    within = card if field[0] == "card" else card[field[0]]
    within[field[1]] = "@"
    buffer = io.BytesIO()
    buffer.write(whole[:start])
    with zipfile.ZipFile(buffer, "w", packed) as archive:
        archive.writestr(CARD_FILE, json.dumps(card).replace('"@"', value))
    return buffer.getvalue()
