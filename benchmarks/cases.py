"""Cases: what is measured, as plain values; one case is one row of a table."""

from dataclasses import asdict, dataclass, fields
from typing import Any

# Side of the frames of detectors and the pipeline, in pixels, as the seeds measured them.
FRAME_SIDE = 350

SUITES = ("classifiers", "detectors", "pipeline", "training")

Key = tuple[str, str, str, str, str, int]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing to measure.

    Args:
        suite: One of `SUITES`.
        name: Of the model, the detector or the recipe.
        variant: "float32", "float16", "dynamic" or "int8"; of Keras, the policy.
        runtime: What runs it, such as "litert", "openvino", "keras-call" or "mediapipe".
        device: "cpu" or "gpu".
        threads: Threads that it may use; it is pinned to as many cores.
        model: What a worker opens: name of a bundled model, path of a file or run folder, or
            "zoo/NAME" for a network with fresh weights.
        asked: The user named its device or runtime, so its absence is worth an error.
    """

    suite: str
    name: str
    variant: str
    runtime: str
    device: str = "cpu"
    threads: int = 1
    model: str = ""
    asked: bool = False

    @property
    def key(self) -> Key:
        """What tells it from every other case."""
        return self.suite, self.name, self.variant, self.runtime, self.device, self.threads

    def to_json(self) -> dict[str, Any]:
        """Return the case as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Case":
        """Read a case back; unknown keys are left out.

        Raises:
            TypeError: A key is missing.
        """
        names = {field.name for field in fields(cls)}
        return cls(**{name: item for name, item in value.items() if name in names})
