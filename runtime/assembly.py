"""What a run is made of: networks, detectors, and how many of each work at once."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edge.environment import cores_worth, fingerprint
from edge.modelfile import ModelFile
from edge.runtime.choice import Choice, choose
from edge.runtime.classifier import Classifier
from edge.runtime.detectors import (
    ON_TFLITE,
    choose_detector,
    create_detector,
    other_than_trained,
)
from edge.runtime.locator import Locator
from edge.runtime.pipeline import Pipeline, Report
from edge.runtime.sources import Source
from edge.runtime.steady import Steady
from edge.runtime.tracking import Tracker
from edge.runtime.trial import classifier_trial

if TYPE_CHECKING:
    from edge.runtime.run import RunOptions

# Each has networks of its own in memory.
_MOST_AT_ONCE = 4


class Assembly:
    """The pipelines of a run; its detector and thresholds can be changed while they work.

    Args:
        options: What to run.
        model: The classifier.
        source: Opened.

    Attributes:
        pipelines: One, or as many as work at once.
        report: Makes results of what they find.
        detector: Name of the detector in use.
        warnings: What the user should read.

    Raises:
        EdgeError: The model or the detector cannot be used.
    """

    def __init__(self, options: "RunOptions", model: ModelFile, source: Source) -> None:
        contract = model.card.contract
        self.detector = options.detector or contract.detector
        self._trained_with = contract.detector
        self._runtime = options.runtime
        self._every = options.detect_every if source.related else 1
        # Of a camera the newest frame is wanted soon, of a file all of them; and who follows faces
        # needs the frames one after the other.
        alone = source.live or self._every > 1 or self.detector not in ON_TFLITE
        self._threads = options.threads or (None if alone else 1)
        self._classifying = choose(
            model.graph, model.sha256, model.card.name, classifier_trial(contract),
            runtime=options.runtime, threads=self._threads,
        )  # fmt: skip
        chosen = self._classifying
        most = options.frames, source.most
        classifiers = [
            Classifier(model, runtime=chosen.runtime, threads=chosen.threads)
            for _ in range(1 if alone else _at_once(self._threads or 1, *most))
        ]
        self._classifier = classifiers[0]
        self._detecting, locators = self._locators(self.detector, len(classifiers))
        self.pipelines = [
            Pipeline(locator.locate, classifier)
            for locator, classifier in zip(locators, classifiers, strict=True)
        ]
        steady = Steady(model.card.thresholds) if options.steady and source.related else None
        names = Tracker(follows=False) if source.related and self._every == 1 else None
        self.report = Report(self._classifier, steady, names)
        self.warnings = other_than_trained(self.detector, contract)

    def title(self, source: Source) -> dict[str, str]:
        """Return what runs, in a few words: its source, model and runtime."""
        identity = self._classifier.identity
        model = f"{identity['name']} {identity['variant']}"
        return {"source": source.name, "model": model, "runtime": self._classifier.runtime}

    def about(self) -> dict[str, Any]:
        """Return what a summary says of it."""
        return {
            "model": self._classifier.identity,
            "runtime": self._classifier.runtime,
            "detector": {
                "name": self.detector, "trained_with": self._trained_with, "every": self._every,
            },
            "chosen": {
                "classifier": asdict(self._classifying), "detector": asdict(self._detecting),
            },
            "at_once": len(self.pipelines),
            "warnings": self.warnings,
            "environment": fingerprint(self._classifying.threads, self._classifier.runtime),
        }  # fmt: skip

    @property
    def thresholds(self) -> dict[str, float]:
        """Return from which probability on each attribute is said to hold."""
        classifier = self._classifier
        return dict(zip(classifier.attributes, self.report.thresholds, strict=True))

    def use_thresholds(self, thresholds: Mapping[str, float]) -> None:
        """Judge by other thresholds from now on, one for each attribute."""
        self.report.thresholds = tuple(thresholds[name] for name in self._classifier.attributes)

    def use_detector(self, name: str) -> None:
        """Find faces with another detector from now on.

        Raises:
            EdgeError: It is unknown, or what it needs is not here.
        """
        self._detecting, locators = self._locators(name, len(self.pipelines))
        for pipeline, locator in zip(self.pipelines, locators, strict=True):
            pipeline.locate = locator.locate
        self.detector = name
        contract = self._classifier.contract
        self.warnings += [
            one for one in other_than_trained(name, contract) if one not in self.warnings
        ]

    def _locators(self, name: str, count: int) -> tuple[Choice, list[Locator]]:
        chosen = choose_detector(name, runtime=self._runtime, threads=self._threads)
        locators = [
            Locator(
                create_detector(name, runtime=chosen.runtime, threads=chosen.threads),
                every=self._every, related=self._every > 1,
            )
            for _ in range(count)
        ]  # fmt: skip
        return chosen, locators


def _at_once(threads: int, *frames: int | None) -> int:
    """Return how many frames to work on at once, each network having so many threads.

    Args:
        threads: Of a network.
        frames: How many there are at most, as far as is known.
    """
    most = [cores_worth() // threads, _MOST_AT_ONCE, *(one for one in frames if one is not None)]
    return max(min(most), 1)
