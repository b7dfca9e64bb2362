"""Which files a --model means: bundled ones, a file, a run folder, or a network of the zoo."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from edge.errors import EdgeError
from edge.modelfile import VARIANTS, ForeignModelError, read_model, resolve_model

BUNDLED = ("default", "default-float32")
KERAS_ENGINES = ("keras-predict", "keras-call")

# int16 has no kernels in XNNPACK: minutes for a figure that nobody builds on.
ZOO_VARIANTS = tuple(variant for variant in VARIANTS if variant != "int16")

_ZOO = "zoo/"


@dataclass(frozen=True, kw_only=True)
class Model:
    """A classifier to measure: one network in one form.

    Args:
        name: What its card calls it.
        variant: One of `edge.modelfile.VARIANTS`; "unknown" of a file without a card.
        source: What a worker opens; see `edge.benchmarks.cases.Case`.
        keras: It is the Keras form.
    """

    name: str
    variant: str
    source: str
    keras: bool = False

    def runs_on(self, engine: str) -> bool:
        """Tell whether an engine opens this form."""
        if engine == "onnxruntime" and self.variant not in ("float32", "int8"):
            return False
        return self.keras == (engine in KERAS_ENGINES)


def models_of(given: str) -> Iterator[Model]:
    """Yield every form of what was given as one --model.

    Raises:
        EdgeError: It is missing or damaged, or no network of that name can be built.
    """
    if given.startswith(_ZOO):
        name = given.removeprefix(_ZOO)
        if name not in _networks():
            raise EdgeError(f"unknown network {name}", f"choose one of {', '.join(_networks())}")
        for variant in ZOO_VARIANTS:
            yield Model(name=name, variant=variant, source=given)
        yield Model(name=name, variant="float32", source=given, keras=True)
    elif (Path(given) / "model.keras").is_file():
        files = [_of_file(file, str(file)) for file in sorted(Path(given).glob("*.tflite"))]
        yield from files
        name = files[0].name if files else Path(given).resolve().name
        yield Model(name=name, variant="float32", source=given, keras=True)
    else:
        file = _of_file(resolve_model(given), given)
        yield file
        if file.variant == "float32":
            # Its Keras form is built from the card's recipe, with fresh weights.
            yield Model(name=file.name, variant="float32", source=given, keras=True)


def whole_zoo() -> tuple[str, ...]:
    """Return every network that can be built here, as sources."""
    if find_spec("tensorflow") is None:
        return ()
    return tuple(_ZOO + name for name in _networks())


def network_of(source: str) -> str | None:
    """Return the network of a source that is one of the zoo."""
    return source.removeprefix(_ZOO) if source.startswith(_ZOO) else None


def file_of(source: str) -> Path:
    """Return the path that a worker opens for a source that is not of the zoo."""
    if (Path(source) / "model.keras").is_file():
        return Path(source)
    return resolve_model(source)


def _networks() -> tuple[str, ...]:
    """Return the networks that can be trained, without importing Keras."""
    return tuple(tomllib.loads(files("edge.train").joinpath("sizes.toml").read_text("utf-8")))


def _of_file(path: Path, source: str) -> Model:
    try:
        card = read_model(path).card
    except ForeignModelError:
        return Model(name=path.stem, variant="unknown", source=source)
    return Model(name=card.name, variant=card.variant, source=source)
