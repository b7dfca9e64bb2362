"""What may be changed while a run goes on: whether it goes on, its detector, its thresholds."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from edge.errors import EdgeError
from edge.listings import listed
from edge.runtime.detectors import DETECTORS


class Changeable(Protocol):
    """A run whose detector and thresholds can be changed."""

    @property
    def detector(self) -> str:
        """Return the name of the detector in use."""

    @property
    def thresholds(self) -> dict[str, float]:
        """Return from which probability on each attribute is said to hold."""

    def use_detector(self, name: str) -> None:
        """Find faces with another detector from now on; raise `EdgeError` where it cannot be."""

    def use_thresholds(self, thresholds: Mapping[str, float]) -> None:
        """Judge by other thresholds from now on."""


class Controls:
    """Changes a run, from any thread.

    Args:
        run: What is changed.
    """

    def __init__(self, run: Changeable) -> None:
        self._run = run
        self._changing = threading.Lock()
        self._going = threading.Event()
        self._going.set()

    @property
    def paused(self) -> bool:
        """Whether the run waits to be started again."""
        return not self._going.is_set()

    def hold(self) -> None:
        """Wait while the run is paused."""
        self._going.wait()

    def go_on(self) -> None:
        """End a pause."""
        self._going.set()

    def state(self) -> dict[str, Any]:
        """Return what can be changed, as it is now."""
        return {
            "paused": self.paused,
            "detector": self._run.detector,
            "detectors": list(DETECTORS),
            "thresholds": self._run.thresholds,
        }

    def change(self, asked: Any) -> None:
        """Change what is asked for, or nothing.

        Args:
            asked: Of JSON: any of "paused", "detector" and "thresholds", as in `state`.

        Raises:
            EdgeError: It cannot be changed so.
        """
        known = ("paused", "detector", "thresholds")
        if not isinstance(asked, dict) or not asked or set(asked) - set(known):
            raise EdgeError("that is nothing to change", f"send an object with {listed(known)}")
        with self._changing:
            thresholds = self._checked(asked.get("thresholds", {}))
            if not isinstance(asked.get("paused", False), bool):
                raise EdgeError("paused is neither true nor false", "send true or false")
            if (detector := asked.get("detector", self._run.detector)) not in DETECTORS:
                raise EdgeError(f"unknown detector {detector}", f"choose of {listed(DETECTORS)}")
            if detector != self._run.detector:
                self._run.use_detector(detector)
            if thresholds:
                self._run.use_thresholds(self._run.thresholds | thresholds)
            if "paused" in asked:
                (self._going.clear if asked["paused"] else self._going.set)()

    def _checked(self, asked: Any) -> dict[str, float]:
        known = self._run.thresholds
        if not isinstance(asked, dict):
            raise EdgeError("thresholds are no object", f"send numbers for {listed(known)}")
        for name, value in asked.items():
            if name not in known:
                raise EdgeError(f"no attribute is called {name}", f"there are {listed(known)}")
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 <= value <= 1:
                raise EdgeError(f"the threshold of {name} is no probability", "send 0 to 1")
        return {name: float(value) for name, value in asked.items()}


@dataclass(frozen=True)
class Running:
    """A run, for those who show more of it than results.

    Args:
        about: Its source, model and runtime, in words.
        controls: Change it.
        dropped: Tells how many frames came too fast so far.
        lost: Tells whether the source is away, and is waited for.
        stopping: Tells whether the run is to end.
        waits: Names of what a run waits for at the moment, beside its source.
        live: Only the newest frames are processed.
        fps: Frames a second that the source says it gives; None where it does not.
    """

    about: dict[str, str]
    controls: Controls
    dropped: Callable[[], int]
    lost: Callable[[], bool] = lambda: False
    stopping: Callable[[], bool] = lambda: False
    waits: set[str] = field(default_factory=set)
    live: bool = False
    fps: float | None = None
