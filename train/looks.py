"""Every figure of a training and of an evaluation, in one call each; no Keras in here."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.datasets import SPLITS, Dataset
from edge.errors import EdgeError
from edge.files import write_json
from edge.progress import progress
from edge.runtime import sensitivity
from edge.runtime.detectors import Detector, create_detector
from edge.runtime.evaluate import scores_of
from edge.runtime.judge import Crop, Judgement, Subject, cut_again, judge
from edge.train import circumstances, maps, plots, sheets
from edge.train.canvas import said_only
from edge.train.circumstances import Counts
from edge.train.facecache import Faces
from edge.train.told import Figures, Floats, Told, draw, figures_of

_OTHER: dict[Crop, Crop] = {"detect": "whole", "whole": "detect"}


def training_plots(
    folder: Path,
    *,
    history: Sequence[dict[str, Any]],
    faces: Faces,
    names: Sequence[str],
    probabilities: Floats,
    answers: Sequence[str],
    thresholds: Sequence[float],
    counts: Counts,
    people: bool = False,
    examples: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None = None,
    layers: Sequence[tuple[str, Floats]] = (),
    features: Floats | None = None,
    seed: int = 0,
) -> list[Path]:
    """Draw everything about a finished training.

    Args:
        folder: Where the PNGs go.
        history: As `plots.curves`.
        faces: The validation faces; their labels may have more columns than there are answers.
        names: File name of each face's picture.
        probabilities: float32 (faces, answers), what the finished network says of them.
        answers: Names of the attributes, or of the people.
        thresholds: Where yes begins, one an answer.
        counts: As `label_counts` returns; none draws no balance.
        people: Whether the answers are people; the labels are then numbers of people.
        examples: Crops of training faces, uint8 (rows, height, width, 3), and ten augmentations
            of each, uint8 (rows, 10, height, width, 3).
        layers: (name, float32 (height, width, channels)) of each layer, for the validation face
            number 0.
        features: float32 (n, width), what the answers are made of, of the first n faces; they
            are coloured by the first attribute, or by who they are.
        seed: Decides what is left to chance.

    Returns:
        What was written.
    """
    told = Told(
        probabilities=probabilities,
        labels=faces.labels[:, : 1 if people else len(answers)],
        answers=answers,
        thresholds=thresholds,
        people=people,
        names=names,
        crops=faces.crops,
        colour=faces.contract.colour,
        title=f"{len(faces):,} validation faces",
    ).labelled()
    figures: Figures = {"curves": partial(plots.curves, history)}
    if counts:
        figures["label_balance"] = partial(circumstances.label_balance, counts)
    figures |= figures_of(told, seed)
    if examples is not None:
        figures["augmentations"] = partial(sheets.augmentation_grid, *examples, colour=told.colour)
    if layers:
        crop = faces.crops(np.zeros(1, np.int64))[0]
        figures["feature_maps"] = partial(
            sheets.feature_maps, layers, crop, colour=told.colour, seed=seed
        )
    if features is not None:
        named = answers if people else (f"not {answers[0]}", str(answers[0]))
        labels = faces.labels[: len(features), 0]
        known = np.isfinite(labels)
        figures["tsne"] = partial(
            maps.tsne, features[known], labels[known].astype(np.int64), named, seed=seed
        )
    return draw(figures, folder)


def evaluation_plots(
    judgement: Judgement,
    subject: Subject,
    result: Mapping[str, Any],
    folder: Path,
    *,
    runtime: str = "auto",
    threads: int = 1,
    deep: bool = True,
    seed: int = 0,
) -> list[Path]:
    """Draw everything about an evaluation.

    Args:
        judgement: What was said of each picture.
        subject: Who said it.
        result: What `edge evaluate` prints of it.
        folder: Where the PNGs go.
        runtime: Of the detector.
        threads: Of the detector.
        deep: Whether to judge the other crop as well, and scaled and turned faces: about as long
            again as the evaluation.
        seed: Decides what is left to chance.

    Returns:
        What was written.

    Raises:
        EdgeError: The folder cannot be written.
    """
    detector = create_detector(str(result["detector"]), runtime=runtime, threads=threads)
    title = f"{result['model']['name']} on {result['dataset']}, {result['split']}"
    judged = int(np.isfinite(judgement.values[:, 0]).sum())
    told = Told(
        probabilities=judgement.values,
        labels=judgement.labels,
        answers=subject.attributes,
        thresholds=subject.thresholds,
        people=bool(judgement.dataset.classes),
        names=[sample.name for sample in judgement.dataset.samples],
        crops=lambda some: cut_again(judgement, some, detector, subject.contract, result["crop"]),
        colour=subject.contract.colour,
        title=f"{title}: {judged:,} of {result['samples']:,} pictures judged",
    ).labelled()
    figures: Figures = {}
    if not told.people:
        counts = label_counts([judgement.dataset.with_attributes(told.answers)])
        figures["label_balance"] = partial(circumstances.label_balance, counts)
    figures |= figures_of(told, seed)
    if deep:
        figures |= _deep_figures(judgement, subject, result, folder, detector, title, seed)
    return draw(figures, folder)


def _deep_figures(
    judgement: Judgement,
    subject: Subject,
    result: Mapping[str, Any],
    folder: Path,
    detector: Detector,
    title: str,
    seed: int,
) -> Figures:
    """Judge the other crop, and scaled and turned faces; keep the numbers beside the figures."""
    crop: Crop = result["crop"]
    pictures = judgement.dataset
    with progress("judging the other crop", len(pictures.samples), "pictures") as advance:
        other = judge(pictures, detector, subject.contract, subject.classify, crop=_OTHER[crop],
                      attributes=subject.attributes, progress=advance)  # fmt: skip
    scores = {
        crop: result["attributes"],
        _OTHER[crop]: scores_of(other, subject.thresholds)["attributes"],
    }
    write_json(folder / "crops.json", scores)
    compared = partial(circumstances.crops_compared, scores["whole"], scores["detect"],
                       title=f"{title}: with a detector in front and without")  # fmt: skip
    try:
        measured = sensitivity.measure(subject, detector, judgement, seed=seed)
    except EdgeError as error:  # no face was found anywhere
        nothing = partial(said_only, title=title, sentence=error.message)
        return {"crops": compared, "sensitivity": nothing}
    write_json(folder / "sensitivity.json", measured.to_json())
    drawn = partial(circumstances.sensitivity, measured, title=title)
    return {"crops": compared, "sensitivity": drawn}


def keep_evaluation(
    judgement: Judgement,
    subject: Subject,
    result: Mapping[str, Any],
    *,
    run: Path | None,
    plots: Path | None,
    runtime: str,
    threads: int,
    report: Callable[[str], None],
    warn: Callable[[str], None],
) -> None:
    """Write an evaluation into the run folder that it is about, and draw it.

    Args:
        judgement: As `evaluation_plots`.
        subject: As `evaluation_plots`.
        result: As `evaluation_plots`.
        run: The run folder; None if the subject is none.
        plots: Where the user wants the figures; None keeps the quick ones in the run folder.
        runtime: Of the detector.
        threads: Of the detector.
        report: Called with one sentence on where the figures are.
        warn: Called with one sentence if the run folder cannot be written.

    Raises:
        EdgeError: `plots` cannot be written.
    """
    folder = plots
    if run is not None:
        pictures = judgement.dataset
        own = f"-{pictures.root.resolve().name}" if pictures.name == "folder" else ""
        name = f"{pictures.name}{own}-{result['split']}-{result['crop']}"
        if result["detector"] != subject.contract.detector:
            name += f"-{result['detector']}"
        folder = plots or run / "evaluations" / name
        try:
            write_json(run / "evaluations" / f"{name}.json", result)
        except EdgeError as error:  # somebody else's run: its evaluation has been printed
            warn(error.message)
            folder = plots
    if folder is not None:
        evaluation_plots(judgement, subject, result, folder, runtime=runtime, threads=threads,
                         deep=plots is not None)  # fmt: skip
        report(f"figures in {folder}")


def require_folder(folder: Path) -> None:
    """Make a folder for figures before minutes are spent on what goes into it.

    Raises:
        EdgeError: It cannot be made or written.
    """
    hint = "choose another folder for --plots"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgeError(f"cannot make {folder}: {error.strerror}", hint) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise EdgeError(f"cannot write into {folder}", hint)


def label_counts(datasets: Sequence[Dataset]) -> Counts:
    """Return how many pictures of each data set and split say yes, no and nothing of each label.

    People are left out: they have no yes and no.
    """
    counts = {}
    for dataset in datasets:
        if dataset.classes:
            continue
        labels = dataset.labels
        splits = np.array([sample.split for sample in dataset.samples])
        for split in SPLITS:
            if not (splits == split).any():
                continue
            own = labels[splits == split]
            counts[f"{dataset.name}, {split}"] = {
                name: (int((own[:, at] == 1).sum()), int((own[:, at] == 0).sum()),
                       int(np.isnan(own[:, at]).sum()))
                for at, name in enumerate(dataset.attributes)
            }  # fmt: skip
    return counts
