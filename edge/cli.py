"""The front door: each command parses, calls one function and prints."""

import errno
import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from edge import extras
from edge.cli_bench import bench
from edge.cli_devices import devices, doctor, evaluate_there
from edge.cli_flash import flash
from edge.cli_run import run
from edge.errors import EdgeError
from edge.options import (
    AttributesOption,
    BatchOption,
    ClassWeightsOption,
    CompareOption,
    Crop,
    DataOption,
    DetectorOption,
    DeterministicOption,
    EpochsOption,
    HostOption,
    IoType,
    JsonOption,
    KindsOption,
    MaxDropOption,
    NetworkArgument,
    PeopleOption,
    RecipeOption,
    ResumeOption,
    RuntimeOption,
    SeedOption,
    Split,
    SshConfigOption,
    SubsetOption,
    TeachersOption,
    ThreadsOption,
    WeightsOption,
    thread_count,
    with_addresses,
)
from edge.terminal import complain, forget_output, print_result, say, warn

if TYPE_CHECKING:
    from edge.modelfile import ModelFile
    from edge.runtime.judge import Judgement, Subject

# What a path, its permissions or a full disk are at fault for; any other is a bug.
_NOT_OURS = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOSPC,
    errno.EDQUOT, errno.EIO,
}  # fmt: skip


class _Commands(TyperGroup):
    """Turns what a user can cause into words and an exit status; bugs keep their traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except EdgeError as error:
            complain(error)
            raise SystemExit(1) from None
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        except BrokenPipeError:
            forget_output()  # the reader has had enough
            raise SystemExit(0) from None
        except OSError as error:
            if error.errno not in _NOT_OURS:
                raise
            if error.filename is None:
                forget_output()
            place = "write the output" if error.filename is None else f"use {error.filename}"
            hint = "check the path, its permissions and the free space"
            complain(EdgeError(f"cannot {place}: {error.strerror}", hint))
            raise SystemExit(1) from None
        return result


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models = typer.Typer(no_args_is_help=True, help="Look at model files.")
app.add_typer(bench, name="bench")
app.add_typer(models, name="models")
app.add_typer(devices, name="devices")


def main() -> None:
    """Run the command line."""
    if sys.stdout is None:  # closed by who started it
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that lacks a letter shows another one.
        sys.stdout.reconfigure(errors="replace")
    sys.argv[1:] = with_addresses(sys.argv[1:])
    try:
        app()
    except SystemExit as over:
        from edge.runtime.ahead import still_working

        if still_working():
            # It would come back from its device while Python ends, and abort the process.
            _end_now(over.code)
        raise


def _end_now(status: Any) -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, AttributeError, ValueError):
            stream.flush()
    os._exit(status if isinstance(status, int) else 0)


def _show_version(wanted: bool) -> None:
    if wanted:
        from edge import __version__

        print(f"edge {__version__}")
        raise typer.Exit


@app.callback(epilog="Example: edge run --demo")
def _edge(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """From a folder of labelled faces to a small, fast model that runs on an edge device."""


app.command(epilog="Example: edge run photos/ --json > faces.jsonl")(run)
app.command(epilog="Example: edge doctor pi@192.168.1.7")(doctor)
app.command(epilog="Example: edge flash default pi@192.168.1.7 --with-runtime")(flash)


@app.command(epilog="Example: edge train proposed --data celeba/ --attributes Smiling,Male")
def train(
    network: NetworkArgument = None,
    data: DataOption = None,
    dataset: KindsOption = None,
    attributes: AttributesOption = None,
    recipe: RecipeOption = None,
    subset: SubsetOption = None,
    epochs: EpochsOption = None,
    batch: BatchOption = None,
    people: PeopleOption = None,
    class_weights: ClassWeightsOption = False,
    weights: WeightsOption = None,
    teacher: TeachersOption = None,
    seed: SeedOption = 0,
    deterministic: DeterministicOption = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Run folder; default: runs/MODEL-RECIPE.",
        ),
    ] = None,
    resume: ResumeOption = False,
    listing: Annotated[bool, typer.Option("--list", help="List networks and recipes.")] = False,
    compare: CompareOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train a network on labelled faces, into a run folder."""
    if len(network or []) > 1 and not compare:
        raise typer.BadParameter(f"one network at a time, not {', '.join(network or [])}")
    from edge.quiet import quiet

    name = network[0] if network else None
    with quiet(ImportError):
        if listing or (name and not compare):
            extras.training()  # what is said without a network is refused without its seconds
        from edge.train import job as jobs
        from edge.train import tables, words
    if listing:
        print_result(tables.listing(), tables.list_tables, as_json)
        return
    if compare:
        from edge.train import compare as sides

        runs = [Path(run) for run in network or []]
        print_result(sides.compare(runs, out), tables.compare_table, as_json)
        return
    folder = out or Path("runs") / ("-".join(filter(None, (name, recipe))) or "default")
    if resume and ((folder / "config.json").exists() or not data):
        job = jobs.job_of(folder, data or [])
        say(f"going on with {folder} as it was begun: of the other options only --data counts")
    else:
        job = words.make_job(
            name, recipe, data=data or [], kinds=dataset or [], attributes=attributes,
            subset=subset, epochs=epochs, batch=batch, people=people,
            class_weights=class_weights, weights=weights, teachers=teacher or [], seed=seed,
            deterministic=deterministic,
        )  # fmt: skip
    with quiet(ImportError):
        training = extras.training()
    config = training.train(job, folder, resume=resume, report=say)
    print_result(config, lambda run: tables.run_table(run, folder), as_json)


@app.command(epilog="Example: edge convert runs/proposed --int8 --max-drop 0.5")
def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|FILE.keras|SAVEDMODEL",
            help="What `edge train` wrote, or a network with the config.json of a run beside it.",
        ),
    ],
    int8: Annotated[bool, typer.Option("--int8", help="Integers throughout.")] = False,
    int16: Annotated[
        bool, typer.Option("--int16", help="Weights of 8 bits, what flows between them of 16.")
    ] = False,
    dynamic: Annotated[bool, typer.Option("--dynamic", help="Integer weights only.")] = False,
    float16: Annotated[bool, typer.Option("--float16", help="Half-precision weights.")] = False,
    float32: Annotated[bool, typer.Option("--float32", help="As it was trained.")] = False,
    every: Annotated[bool, typer.Option("--all", help="All five of them.")] = False,
    io: Annotated[IoType, typer.Option(help="Input and output of --int8.")] = "uint8",
    data: DataOption = None,
    calibration: Annotated[
        int, typer.Option(min=1, metavar="N", help="Training pictures that set the ranges.")
    ] = 200,
    seed: SeedOption = 0,
    max_drop: MaxDropOption = 1.0,
    require_faster: Annotated[
        bool, typer.Option("--require-faster", help="Write nothing that is slower than float32.")
    ] = False,
    fine_tune: Annotated[
        int,
        typer.Option(
            min=0, metavar="EPOCHS", help="Train with int8's rounding where all else fails."
        ),
    ] = 0,
    force: Annotated[bool, typer.Option("--force", help="Write in spite of both.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE|DIR", help="Default: in the run folder.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Convert a trained network to .tflite and compare it with its float form."""
    asked = {
        "float32": float32, "float16": float16, "dynamic": dynamic, "int8": int8, "int16": int16
    }  # fmt: skip
    variants = [name for name, wanted in asked.items() if wanted or every]
    if not variants:
        raise typer.BadParameter("choose of --float32, --float16, --dynamic, --int8 and --int16")
    from edge.quiet import quiet

    conversion = extras.conversion()
    given: dict[str, Any] = {
        "io": io, "calibration": calibration, "fine_tune": fine_tune, "force": force, "out": out
    }  # fmt: skip
    conversion.checked(source, variants, **given)
    with quiet(ImportError):
        extras.training()
        from edge.convert import tables
    report = conversion.convert(
        source, variants, data=data or [], seed=seed, max_drop=max_drop,
        require_faster=require_faster, say=say, **given,
    )  # fmt: skip
    print_result(report, tables.verdict, as_json)


@app.command(epilog="Example: edge evaluate default --data genki4k/ --split test")
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL|FILE|RUN", help="What to measure.")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the data set.")],
    dataset: Annotated[
        str,
        typer.Option(metavar="KIND", help="auto, celeba, genki4k, mtfl, adience or folder."),
    ] = "auto",
    split: Annotated[Split, typer.Option(help="Which pictures.")] = "test",
    crop: Annotated[
        Crop, typer.Option(help="What the model sees: the face, or the whole picture.")
    ] = "detect",
    detector: DetectorOption = None,
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = "auto",
    plots: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Draw scores, mistakes, both crops, and what size and tilt of a face do.",
        ),
    ] = None,
    host: HostOption = None,
    ssh_config: SshConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how right a model is on labelled pictures; of a run folder, keep it in there."""
    if host is not None:
        evaluate_there(model, data, dataset, split, crop, detector, runtime, threads, plots, host,
                       ssh_config, as_json)  # fmt: skip
        return
    count = thread_count(threads)
    subject = _open_subject(Path(model), runtime, count)
    folder = Path(model) if (Path(model) / "model.keras").is_file() else None
    looks = extras.looks(plots) if plots or folder else None
    from edge.runtime.evaluate import evaluate_subject
    from edge.runtime.screen import evaluation_table

    kept: list[Judgement] = []
    result = evaluate_subject(
        subject, data, kind=dataset, split=split, crop=crop, detector=detector,
        runtime=runtime, threads=count, warn=warn, keep=kept.append,
    )  # fmt: skip
    print_result(result, evaluation_table, as_json)
    if looks is not None:
        looks.keep_evaluation(kept[0], subject, result, run=folder, plots=plots, runtime=runtime,
                              threads=count, report=say, warn=warn)  # fmt: skip


@models.command("list", epilog="Example: edge models list")
def models_list(as_json: JsonOption = False) -> None:
    """List the models that come with edge."""
    from edge.modelfile import bundled_models, read_model
    from edge.runtime.outputs import to_json
    from edge.runtime.screen import models_table, show

    cards = {name: _described(read_model(path)) for name, path in bundled_models().items()}
    print(to_json(cards, indent=2)) if as_json else show(models_table(cards))


@models.command("show", epilog="Example: edge models show default")
def models_show(
    model: Annotated[str, typer.Argument(metavar="NAME|FILE")], as_json: JsonOption = False
) -> None:
    """Show what a model file says of itself."""
    from edge.modelfile import read_model, resolve_model
    from edge.runtime.outputs import to_json
    from edge.runtime.screen import card_table, show

    card = _described(read_model(resolve_model(model)))
    print(to_json(card, indent=2)) if as_json else show(card_table(card))


@models.command("verify", epilog="Example: edge models verify default face.tflite")
def models_verify(
    files: Annotated[list[str], typer.Argument(metavar="NAME|FILE...")],
    runtime: RuntimeOption = "auto",
) -> None:
    """Check that model files are whole and can be run here."""
    from edge.modelfile import read_model, resolve_model
    from edge.runtime.classifier import Classifier

    for file in files:
        path = resolve_model(file)
        classifier = Classifier(read_model(path), runtime=runtime)
        print(f"{path} is whole and opens with {classifier.runtime}")


def _open_subject(path: Path, runtime: str, threads: int) -> "Subject":
    """Open a .keras file or a run folder with Keras, anything else with a TFLite runtime."""
    if path.suffix == ".keras" or (path / "model.keras").is_file():
        from edge.quiet import quiet

        with quiet(ImportError):
            extras.training()
            from edge.train.model import KerasClassifier

            return KerasClassifier(path)
    from edge.modelfile import read_model, resolve_model
    from edge.runtime.classifier import Classifier

    model = read_model(resolve_model(str(path)))
    return Classifier(model, runtime=runtime, threads=threads)


def _described(model: "ModelFile") -> dict[str, Any]:
    """Return a model's card with what the file itself adds."""
    from edge.runtime.outputs import readable

    file = {"file": readable(str(model.path)), "size_bytes": model.path.stat().st_size}
    return file | {"sha256": model.sha256} | model.card.to_json()
