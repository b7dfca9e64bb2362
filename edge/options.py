"""The words of the command line that several commands share, or that would drown one."""

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
        help="blazeface, blazeface-full or mediapipe; default: the one the model was trained with.",
    ),
]
RuntimeOption = Annotated[
    str,
    typer.Option(
        "--runtime",
        envvar="EDGE_RUNTIME",
        metavar="NAME",
        help="auto (the first that works), litert, tflite-runtime or tensorflow.",
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
    str, typer.Option("--attributes", metavar="NAMES", help="What the model shall tell.")
]
RecipeOption = Annotated[
    str | None, typer.Option("--recipe", metavar="NAME", help="How to train; see --list.")
]
SubsetOption = Annotated[
    str | None,
    typer.Option(
        "--subset",
        metavar="TRAIN,VAL,TEST",
        help="Counts of the first --data, balanced by the first attribute.",
    ),
]
EpochsOption = Annotated[
    int | None, typer.Option("--epochs", min=1, metavar="N", help="Instead of the recipe's.")
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
    float | None,
    typer.Option(
        "--max-drop",
        min=0,
        metavar="POINTS",
        help="Write nothing and exit 1 when an attribute loses more points of accuracy.",
    ),
]
