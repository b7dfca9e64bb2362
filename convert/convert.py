"""From a trained run to model files: what `edge convert` calls."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edge import __version__
from edge.convert import bounds, compare, metadata
from edge.convert.calibrate import Calibration
from edge.convert.compare import Judged
from edge.convert.doctor import Treatment, treat
from edge.convert.integers import Io
from edge.convert.quantize import quantize, require_tensorflow
from edge.convert.source import Run, open_run, run_data, training_faces, validation_faces
from edge.datasets import Dataset
from edge.errors import EdgeError
from edge.files import require_writable, write_bytes
from edge.listings import listed
from edge.modelfile import VARIANTS, ModelCard, pack
from edge.quiet import quiet
from edge.train.job import job_of

_REFERENCE = "float32"
_CALIBRATED = ("int8", "int16")


def convert(
    source: Path,
    variants: Sequence[str],
    *,
    io: Io = "uint8",
    data: Sequence[Path] = (),
    calibration: int = 200,
    seed: int = 0,
    max_drop: float = 1.0,
    require_faster: bool = False,
    fine_tune: int = 0,
    out: Path | None = None,
    force: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Convert a trained network, compare it with its float form and write the model files.

    Args:
        source: A run folder of `edge train`, or a .keras file or SavedModel with its config.json.
        variants: Of `edge.modelfile.VARIANTS`.
        io: Type of the input and output of "int8".
        data: Where the data sets of the run lie now, in the run's order; those left out lie
            where they were.
        calibration: How many training pictures set the integer ranges.
        seed: Decides which ones.
        max_drop: Refuse to write when an attribute loses more points of accuracy than this; of
            "int8" only after all remedies of `edge.convert.doctor`.
        require_faster: Refuse to write a variant that is not faster than the float network.
        fine_tune: Epochs of training with the rounding of integers, the last of those remedies.
        out: The file for one variant, the folder for several; the run folder by default.
        force: Write in spite of both, and try no remedy.
        say: Called with a line about the faces that this takes, and one after each epoch.

    Returns:
        What `edge convert --json` prints.

    Raises:
        EdgeError: The run or its data are incomplete, the network cannot be converted, or it
            misses a bound; nothing is written then.
    """
    run, files = checked(source, variants, io=io, calibration=calibration, fine_tune=fine_tune,
                         out=out, force=force)  # fmt: skip
    model = _open(run, source, fine_tune)
    datasets = run_data(run, data)
    faces, pictures = validation_faces(run, datasets)
    draw = partial(training_faces, run, datasets, seed=seed)
    drawn = draw(calibration) if not set(variants).isdisjoint(_CALIBRATED) else None
    graphs = _graphs(run, model, variants, io, drawn)
    judge = partial(
        compare.judge, contract=run.contract, crops=faces.crops(range(len(faces))),
        labels=faces.labels, attributes=run.attributes, thresholds=run.thresholds, task=run.task,
    )  # fmt: skip
    judged, cure = judge(graphs), None
    if drawn is not None and "int8" in variants and not force:
        good = partial(bounds.within, reference=judged[_REFERENCE], max_drop=max_drop)
        if not good(judged["int8"]):
            cure = treat(
                graphs[_REFERENCE], graphs["int8"], run.contract, drawn, io=io, draw=draw,
                judge=lambda graph: judge({"int8": graph})["int8"], good=good, epochs=fine_tune,
                fine_tune=partial(_fine_tuned, run, model, data, datasets, say),
            )  # fmt: skip
            graphs["int8"] = cure.attempts[-1].graph
            judged = judge(graphs)
    if not force:
        _require_bounds(variants, judged, cure, max_drop, require_faster)
    for variant, file in files.items():
        card = _card(run, variant, judged, _record(variant, drawn, cure))
        write_bytes(file, pack(_described(run, variant, graphs[variant]), card))
    return _report(run, files, judged, pictures, max_drop, cure)


def checked(
    source: Path,
    variants: Sequence[str],
    *,
    io: Io = "uint8",
    calibration: int = 200,
    fine_tune: int = 0,
    out: Path | None = None,
    force: bool = False,
) -> tuple[Run, dict[str, Path]]:
    """Check what can be checked without TensorFlow, whose import takes seconds.

    Args:
        source: As `convert`, and so are the others.
        variants: Which files to make.
        io: Type of the input and output of "int8".
        calibration: How many training pictures.
        fine_tune: Epochs.
        out: The file or the folder.
        force: Whether bounds are to be kept.

    Returns:
        The run, and the file of each variant.

    Raises:
        EdgeError: The options do not fit together, the run is incomplete, or its files cannot be
            written.
    """
    _require_options(variants, io, calibration, fine_tune, force=force)
    run = open_run(source)
    if fine_tune and run.network.is_dir():
        raise EdgeError(
            f"{source} is a SavedModel, which cannot be trained further",
            "give the run folder or its .keras file, or leave --fine-tune out",
        )
    files = _outputs(run, variants, out)
    for file in files.values():
        require_writable(file.parent)
    return run, files


def _open(run: Run, source: Path, fine_tune: int) -> Any:
    """Return the network of a run as a Keras model."""
    with quiet():  # TensorFlow writes while it is imported, and when it looks for a GPU
        require_tensorflow()
        from edge.train.model import load_keras, load_saved_model

        saved = run.network.is_dir()
        model = load_saved_model(run.network, run.contract) if saved else load_keras(run.network)
    answers = model.outputs[0].shape[-1]
    # A SavedModel need not tell how many.
    if len(model.outputs) == 1 and answers not in (None, len(run.attributes)):
        raise EdgeError(
            f"{source} gives {answers} values, its config.json names {len(run.attributes)}: "
            f"{listed(run.attributes)}",
            "keep the network together with the config.json it was written with",
        )
    if fine_tune:
        from edge.train.fine_tune import require_known

        require_known(model, source)
    return model


def _fine_tuned(
    run: Run,
    model: Any,
    data: Sequence[Path],
    datasets: Sequence[Dataset],
    say: Callable[[str], None],
    epochs: int,
) -> bytes:
    """Return the float32 graph of the network after training with the rounding of integers."""
    from edge.train.fine_tune import fine_tuned

    job = job_of(run.folder, data)
    network = fine_tuned(model, run.network, job, datasets, epochs, say)
    return quantize(network, _REFERENCE, run.contract)


def _graphs(
    run: Run, model: Any, variants: Sequence[str], io: Io, drawn: Calibration | None
) -> dict[str, bytes]:
    """Return the graph of each variant, the float parent first."""
    make = partial(
        quantize, model, contract=run.contract, io=io,
        calibration=None if drawn is None else drawn.crops,
    )  # fmt: skip
    graphs = {_REFERENCE: make(_REFERENCE)}
    for variant in variants:
        if variant not in graphs:
            graphs[variant] = make(variant, parent=graphs[_REFERENCE])
    return graphs


def _require_bounds(
    variants: Sequence[str],
    judged: dict[str, Judged],
    cure: Treatment | None,
    max_drop: float,
    require_faster: bool,
) -> None:
    reference = judged[_REFERENCE]
    chosen = {variant: judged[variant] for variant in variants}
    bounds.require_drop(chosen, reference, max_drop, cure)
    quantized = {variant: one for variant, one in chosen.items() if variant != _REFERENCE}
    if require_faster and quantized:
        bounds.require_faster(quantized, reference, judged, max_drop)


def _record(
    variant: str, drawn: Calibration | None, cure: Treatment | None
) -> dict[str, Any] | None:
    """Return what a card keeps of the pictures that set its ranges, and of layers kept floats."""
    if drawn is None or variant not in _CALIBRATED:
        return None
    if cure is None or variant != "int8":
        return drawn.manifest()
    last = cure.attempts[-1]
    learnt = {"epochs": last.epochs} if last.epochs else {}
    return last.calibration.manifest() | {"floats": list(last.floats)} | learnt


def _require_options(
    variants: Sequence[str], io: Io, calibration: int, fine_tune: int, *, force: bool
) -> None:
    unknown = sorted(set(variants) - set(VARIANTS))
    if unknown or not variants:
        raise EdgeError(
            f"unknown variant {', '.join(unknown)}" if unknown else "no variant chosen",
            "choose of " + ", ".join(f"--{variant}" for variant in VARIANTS) + " or --all",
        )
    if calibration < 1:
        raise EdgeError(
            f"{calibration} calibration pictures, expected 1 or more", "try --calibration 200"
        )
    if io != "uint8" and "int8" not in variants:
        raise EdgeError(f"--io {io} is of --int8, and none was asked for", "add --int8")
    if fine_tune and (force or "int8" not in variants):
        raise EdgeError(
            "--fine-tune mends int8 that loses too much; "
            + ("with --force nothing is mended" if force else "none was asked for"),
            "leave --force out" if force else "add --int8",
        )


def _outputs(run: Run, variants: Sequence[str], out: Path | None) -> dict[str, Path]:
    """Return the file of each variant, by name."""
    variants = tuple(dict.fromkeys(variants))
    named = {variant: f"{run.config['name']}-{variant}.tflite" for variant in variants}
    if out is None or out.is_dir() or (len(variants) > 1 and not out.suffix):
        folder = run.folder if out is None else out
        return {variant: folder / name for variant, name in named.items()}
    if len(variants) > 1:
        raise EdgeError(
            f"{out} is one file, {len(variants)} variants were asked for",
            "give a folder as --out, or choose one variant",
        )
    if out.suffix != ".tflite":
        raise EdgeError(f"{out} does not end in .tflite", f"try --out {out}.tflite")
    return {variants[0]: out}


def _described(run: Run, variant: str, graph: bytes) -> bytes:
    return metadata.describe(
        graph,
        name=f"{run.config['name']} {variant}",
        contract=run.contract,
        attributes=run.attributes,
        licence=_licence(run),
        task=run.task,
    )


def _card(
    run: Run, variant: str, judged: dict[str, Judged], calibration: dict[str, Any] | None
) -> ModelCard:
    config = run.config
    return ModelCard(
        name=config["name"],
        contract=run.contract,
        attributes=run.attributes,
        thresholds=run.thresholds,
        variant=variant,
        recipe={**config["recipe"], "seed": config["seed"], "subset": config["subset"]},
        data=_data(config["data"]),
        calibration=calibration,
        accuracy={name: judged[name].accuracy for name in dict.fromkeys((_REFERENCE, variant))},
        versions={**config["versions"], **_versions()},
        licence=_licence(run),
        task=run.task,
    )


def _versions() -> dict[str, str]:
    packages = "tensorflow", "litert-quantizer"
    return {"edge": __version__, **{package: version(package) for package in packages}}


def _data(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what a card tells of the data sets, without folders, which mean nothing elsewhere."""
    data: dict[str, Any] = {}
    for place, entry in enumerate(entries, 1):
        name = entry["dataset"]
        name = f"{name}-{place}" if name in data else name
        data[name] = {key: entry[key] for key in ("digest", "counts", "licence")}
    return data


def _licence(run: Run) -> str:
    return "; ".join(dict.fromkeys(entry["licence"] for entry in run.config["data"]))


def _report(
    run: Run,
    files: dict[str, Path],
    judged: dict[str, Judged],
    names: Sequence[str],
    max_drop: float,
    cure: Treatment | None,
) -> dict[str, Any]:
    """Return what `edge convert --json` prints."""
    reference = judged[_REFERENCE]
    entries = [
        compare.describe(variant, judged[variant], reference, names)
        | {"file": str(file), "size_bytes": file.stat().st_size}
        for variant, file in files.items()
    ]
    return {
        "model": run.config["name"],
        "samples": len(reference.decisions),
        "reference": compare.describe(_REFERENCE, reference, reference, names)
        | {"size_bytes": reference.size_bytes},
        "variants": entries,
        # Of the variant that differs most from the float network.
        "agreement": min(entry["agreement"] for entry in entries),
        "choice": bounds.choice(judged, reference, max_drop),
        "doctor": None if cure is None else cure.as_json(reference),
    }
