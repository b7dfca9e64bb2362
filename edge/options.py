"""The words of the command line that several commands share, or that would drown one."""

import re
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Literal

import typer

Split = Literal["train", "val", "test", "all"]
Crop = Literal["detect", "whole"]
IoType = Literal["uint8", "int8", "float32"]

ModelOption = Annotated[
    str, typer.Option("--model", envvar="EDGE_MODEL", metavar="NAME|PATH", help="The classifier.")
]
DetectorOption = Annotated[
    str | None,
    typer.Option(
        "--detector",
        envvar="EDGE_DETECTOR",
        metavar="NAME",
        help="blazeface, blazeface-full, mediapipe, yunet or haar; default: the one the model was "
        "trained with.",
    ),
]
RuntimeOption = Annotated[
    str,
    typer.Option(
        "--runtime",
        envvar="EDGE_RUNTIME",
        metavar="NAME",
        help="auto (the first that works), litert, openvino, tflite-runtime or tensorflow.",
    ),
]
ThreadsOption = Annotated[
    str,
    typer.Option(
        "--threads",
        envvar="EDGE_THREADS",
        metavar="N|auto",
        help="Threads of each network; auto is half of the cores, from 1 to 4.",
    ),
]
SshConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--ssh-config",
        envvar="EDGE_SSH_CONFIG",
        metavar="FILE",
        help="An ssh configuration in place of your own, as `ssh -F`.",
    ),
]
HostOption = Annotated[
    str | None,
    typer.Option("--host", metavar="HOST", help="Measure on a board, as ssh takes it."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine output, and nothing else.")]


DataOption = Annotated[
    list[Path] | None,
    typer.Option("--data", metavar="DIR", help="Folder of a data set; may be repeated."),
]
KindsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset",
        metavar="KIND",
        help="Of each --data: auto, celeba, genki4k, mtfl, adience or folder.",
    ),
]
AttributesOption = Annotated[
    str | None,
    typer.Option("--attributes", metavar="NAMES", help="What the model shall tell; or all."),
]
NetworkArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[MODEL]", help="Network, see --list; with --compare: RUN…"),
]
CompareOption = Annotated[
    bool,
    typer.Option(
        "--compare",
        help="Put runs beside the figures of their sources; --out DIR writes the page there.",
    ),
]
RecipeOption = Annotated[
    str | None, typer.Option("--recipe", metavar="NAME", help="How to train; see --list.")
]
SubsetOption = Annotated[
    str | None,
    typer.Option(
        "--subset",
        metavar="TRAIN,VAL,TEST|all",
        help="Counts of the first --data, balanced by the first attribute; or all.",
    ),
]
EpochsOption = Annotated[
    int | None,
    typer.Option("--epochs", min=1, metavar="N", help="Of each phase, instead of the recipe's."),
]
BatchOption = Annotated[
    int | None, typer.Option("--batch", min=1, metavar="N", help="Faces a step.")
]
PeopleOption = Annotated[
    int | None,
    typer.Option("--people", min=2, metavar="N", help="How many to tell apart, of identities."),
]
ClassWeightsOption = Annotated[
    bool, typer.Option("--class-weights", help="Let yes and no of each attribute count alike.")
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="imagenet|none|PATH",
        help="What the network starts from: published weights, none, or a file or run.",
    ),
]
TeachersOption = Annotated[
    list[str] | None,
    typer.Option(
        "--teacher",
        metavar="RUN|PATH",
        help="A run to learn from, several for their mean; or weights of the recipe's teacher.",
    ),
]
SeedOption = Annotated[
    int,
    typer.Option(
        "--seed", min=0, max=2**32 - 1, metavar="N", help="Decides all that is left to chance."
    ),
]
DeterministicOption = Annotated[
    bool, typer.Option("--deterministic", help="The same bits each time; slower.")
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on with the run in --out, as it was begun.")
]
MaxDropOption = Annotated[
    float,
    typer.Option(
        "--max-drop",
        min=0,
        metavar="POINTS",
        help="Points of accuracy that an attribute may lose: beyond, int8 is mended, or nothing "
        "is written.",
    ),
]


SuiteArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[SUITE]",
        help="classifiers, detectors, pipeline, training or all; without one: a short selection, "
        "in less than two minutes.",
    ),
]
ModelsOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        envvar="EDGE_MODEL",
        metavar="NAME|PATH[,…]",
        help="Bundled models, .tflite files, run folders, or zoo/NETWORK.",
    ),
]
DevicesOption = Annotated[
    str | None,
    typer.Option("--device", envvar="EDGE_DEVICE", metavar="cpu,gpu", help="Where they run."),
]
RuntimesOption = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        envvar="EDGE_RUNTIME",
        metavar="NAME[,…]",
        help="litert, openvino, tflite-runtime, tensorflow, onnxruntime, keras-predict or "
        "keras-call; default: what is installed.",
    ),
]
ThreadCountsOption = Annotated[
    str | None,
    typer.Option(
        "--threads",
        envvar="EDGE_THREADS",
        metavar="N[,…]",
        help="Threads of each engine; default: 1, 2, 4… for LiteRT and 1 for others.",
    ),
]
FramesOption = Annotated[
    int | None,
    typer.Option(
        "--frames", min=1, metavar="N", help="Least samples of a case, over all its processes."
    ),
]
PicturesOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Labelled pictures, to measure accuracy as well."),
]
ResultsOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE.json", help="Default: bench/SUITE-DATE.json."),
]
PageOption = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="The page; default: beside the JSON."),
]
BenchResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on with --out, or the last one, as it was begun.")
]
SoakOption = Annotated[
    float | None,
    typer.Option(
        "--soak",
        min=0.1,
        metavar="MINUTES",
        help="Run the pipeline for so long instead: does it keep its speed?",
    ),
]


def thread_count(threads: str) -> int:
    """Return how many threads --threads means."""
    if threads == "auto":
        from edge.environment import threads_of_a_network

        return threads_of_a_network()
    if not threads.isdecimal() or not 0 < int(threads) <= 1024:
        raise typer.BadParameter(f"--threads is {threads}, expected 1 to 1024, or auto")
    return int(threads)


# What an option means that stands without its address.
_WITHOUT_ADDRESS = {"--preview": "127.0.0.1:8088", "--metrics": "127.0.0.1:9109"}
_ADDRESS = re.compile(r"(?:(\[[^\]]*\]|[^\[\]:\s]*):)?(\d{1,5})")


def with_addresses(arguments: list[str]) -> list[str]:
    """Return a command line whose every option for an address has one."""
    filled = []
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        filled.append(argument)
        if argument in _WITHOUT_ADDRESS and not _ADDRESS.fullmatch(following):
            filled.append(_WITHOUT_ADDRESS[argument])
    return filled


def address(words: str, option: str) -> tuple[str, int]:
    """Return the host and port in HOST:PORT; a port alone is one of this machine."""
    found = _ADDRESS.fullmatch(words)
    if not found or int(found[2]) > 65535:
        raise typer.BadParameter(f"{option} is {words}, expected HOST:PORT, such as 127.0.0.1:8088")
    return (found[1] or "127.0.0.1").strip("[]"), int(found[2])
