"""The front door of the pipeline: `edge run`."""

import sys
from typing import Annotated

import typer

from edge.options import (
    DetectorOption,
    JsonOption,
    ModelOption,
    RuntimeOption,
    ThreadsOption,
    thread_count,
)
from edge.terminal import warn


def run(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            help="Picture, folder, video, or rtsp/http address; without one: the camera.",
        ),
    ] = None,
    camera: Annotated[
        str,
        typer.Option(envvar="EDGE_CAMERA", metavar="N|/dev/videoN", help="Which camera."),
    ] = "0",
    demo: Annotated[bool, typer.Option("--demo", help="Show faces that edge brings.")] = False,
    model: ModelOption = "default",
    detector: DetectorOption = None,
    runtime: RuntimeOption = "auto",
    frames: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Stop after N frames; the demo stops after 300."),
    ] = None,
    threads: ThreadsOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Find faces in pictures, a video or a camera, and say what is true of each."""
    if demo and source is not None:
        raise typer.BadParameter("give a SOURCE or --demo, not both")
    count = thread_count(threads)
    from edge.runtime.outputs import JsonLines
    from edge.runtime.pipeline import Output, RunOptions
    from edge.runtime.pipeline import run as run_pipeline
    from edge.runtime.screen import Screen

    options = RunOptions(source=source, camera=camera, demo=demo, frames=frames, model=model,
                         detector=detector, runtime=runtime, threads=count)  # fmt: skip
    output: Output = JsonLines(sys.stdout) if as_json else Screen(sys.stdout)
    run_pipeline(options, output, warn=warn)
