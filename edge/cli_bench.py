"""The front door of the benchmark: `edge bench`, `edge bench compare`, `edge bench report`."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from edge.options import (
    BenchResumeOption,
    DevicesOption,
    FramesOption,
    HostOption,
    JsonOption,
    ModelsOption,
    PageOption,
    PicturesOption,
    ResultsOption,
    RuntimesOption,
    SoakOption,
    SshConfigOption,
    SuiteArgument,
    ThreadCountsOption,
    thread_count,
)
from edge.terminal import print_result, say, warn

if TYPE_CHECKING:
    from edge.benchmarks.results import Document

_MEASURE = "measure"


class _Bench(TyperGroup):
    """Takes whatever is no other command for what is to be measured."""

    unnamed = _MEASURE

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name of the first command before what belongs to it."""
        if not args or args[0] not in self.commands:
            args = [self.unnamed, *args]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Leave that name out of the usage line."""
        name, command, rest = super().resolve_command(ctx, args)
        return "" if name == self.unnamed else name, command, rest


bench = typer.Typer(cls=_Bench, help="Measure what runs here, and compare measurements.")


@bench.command(
    _MEASURE,
    epilog="Example: edge bench classifiers --device cpu,gpu --out x86.json",
)
def measure(
    suite: SuiteArgument = None,
    model: ModelsOption = None,
    device: DevicesOption = None,
    runtime: RuntimesOption = None,
    threads: ThreadCountsOption = None,
    frames: FramesOption = None,
    data: PicturesOption = None,
    out: ResultsOption = None,
    html: PageOption = None,
    resume: BenchResumeOption = False,
    soak: SoakOption = None,
    host: HostOption = None,
    ssh_config: SshConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure networks, detectors, the pipeline and training, with all samples kept.

    See also: edge bench compare A.json B.json, edge bench report FILE.json.
    """
    if host is not None and (resume or data is not None):
        raise typer.BadParameter("--host does without --resume and --data")
    from edge.benchmarks import files, job

    place = files.results_file(out, suite if soak is None else "soak", html, resume=resume)
    if host is not None:
        given = {"--device": device, "--runtime": runtime, "--threads": threads,
                 "--frames": frames, "--soak": soak}  # fmt: skip
        words = [*([suite] if suite else []), *_options(given)]
        document = _measure_there(words, model, host, ssh_config, place)
        _show(document, files.write_reports(document, place, html), as_json)
        return
    request = job.request(
        suite, models=model, devices=device, runtimes=runtime, frames=frames, data=data,
        threads=[thread_count(count.strip()) for count in threads.split(",")] if threads else [],
    )  # fmt: skip
    command = shlex.join(["edge", *sys.argv[1:]])
    document = job.measure(request, place, command, resume=resume, soak=soak, say=say)
    _show(document, files.write_reports(document, place, html), as_json)


@bench.command("compare", epilog="Example: edge bench compare before.json after.json")
def compare(
    results: Annotated[
        list[Path], typer.Argument(metavar="A.json B.json...", help="The first is the base.")
    ],
    fail_slower: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="PERCENT",
            help="Exit 1 when the whole interval of a case is slower by more than this.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Compare what is not comparable, with a warning.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare measurements case by case, as ratios with intervals."""
    from edge.benchmarks import compare as comparison
    from edge.benchmarks.compare_tables import compare_table

    report = comparison.compare(results, force=force)
    for sentence in report["warnings"]:
        warn(sentence)
    print_result(report, compare_table, as_json)
    if fail_slower is not None:
        for sentence in comparison.require_not_slower(report, fail_slower):
            warn(sentence)


@bench.command("report", epilog="Example: edge bench report x86.json --html x86.html")
def report(
    results: Annotated[Path, typer.Argument(metavar="FILE.json", help="What was measured.")],
    html: PageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a measurement again, and write its page and Markdown anew."""
    from edge.benchmarks import files
    from edge.benchmarks.results import read_results

    document = read_results(results)
    _show(document, files.write_reports(document, results, html), as_json)


def _measure_there(
    words: list[str], models: str | None, host: str, config: Path | None, place: Path
) -> "Document":
    """Measure on a board, and keep the results here."""
    from edge.benchmarks.bench import write
    from edge.benchmarks.results import read_results
    from edge.devices.there import bench_there

    write(bench_there(words, models, host=host, config=config, say=say), place)
    return read_results(place)


def _options(given: dict[str, Any]) -> list[str]:
    """Return options as they are typed, without those that were not."""
    chosen = {name: value for name, value in given.items() if value is not None}
    return [word for name, value in chosen.items() for word in (name, str(value))]


def _show(document: "Document", written: dict[str, Path], as_json: bool) -> None:
    from edge.benchmarks.tables import results_tables

    if not as_json:
        for sentence in document["warnings"]:
            warn(sentence)
    print_result(document, results_tables, as_json)
    if not as_json:
        print()
        for name, path in written.items():
            print(f"{name:9}{path}")
