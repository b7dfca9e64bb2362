"""The front door of the pipeline: `edge run`."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from edge.extras import watching
from edge.options import DetectorOption, JsonOption, ModelOption, address, thread_count
from edge.terminal import say, warn

if TYPE_CHECKING:
    from edge.runtime.outputs import Output
    from edge.runtime.preview import Preview
    from edge.runtime.screen import Screen

_SIZE = re.compile(r"(\d{1,5})[x×](\d{1,5})")

_Source = Annotated[
    str | None,
    typer.Argument(
        metavar="SOURCE",
        help="Picture, folder, video, or rtsp/http address; without one: the camera.",
    ),
]
_Camera = Annotated[
    str,
    typer.Option(envvar="EDGE_CAMERA", metavar="N|/dev/videoN|picamera", help="Which camera."),
]
_CameraSize = Annotated[
    str | None,
    typer.Option(envvar="EDGE_CAMERA_SIZE", metavar="WxH", help="Frames to ask the camera for."),
]
_CameraFps = Annotated[
    float | None,
    typer.Option(envvar="EDGE_CAMERA_FPS", metavar="N", help="Frames a second to ask it for."),
]
_CameraFormat = Annotated[
    str | None,
    typer.Option(envvar="EDGE_CAMERA_FORMAT", metavar="CODE", help="Pixels to ask it for: MJPG…"),
]
_UntilLost = Annotated[
    bool,
    typer.Option("--until-lost", help="End when a camera or stream is lost; else wait for it."),
]
_Demo = Annotated[bool, typer.Option("--demo", help="Show faces that edge brings.")]
_Frames = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Stop after N frames; the demo stops after 300."),
]
_DetectEvery = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Detect in every Nth frame, follow faces in between."),
]
_Steady = Annotated[
    bool, typer.Option("--steady", help="Average over a quarter of a second: labels are calm.")
]
_Preview = Annotated[
    str | None,
    typer.Option(
        envvar="EDGE_PREVIEW",
        metavar="[HOST:PORT]",
        help="A page with the live picture; at 127.0.0.1:8088 unless given. Others than this "
        "machine need a token, which is told.",
    ),
]
_Save = Annotated[
    Path | None,
    typer.Option(metavar="FILE.mp4", help="A video of the run, with boxes and labels."),
]
_Log = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.jsonl",
        help="What --json writes, in a file that is turned over at 10 MB; five are kept.",
    ),
]
_Mqtt = Annotated[
    str | None,
    typer.Option(
        envvar="EDGE_MQTT",
        metavar="URL",
        help="Send each result to a broker: mqtt://HOST/TOPIC; mqtts:// for TLS; ?qos=0, 1 or 2.",
    ),
]
_Metrics = Annotated[
    str | None,
    typer.Option(
        envvar="EDGE_METRICS",
        metavar="[HOST:PORT]",
        help="Metrics for Prometheus; at 127.0.0.1:9109 unless given.",
    ),
]
_Runtime = Annotated[
    str,
    typer.Option(
        envvar="EDGE_RUNTIME",
        metavar="NAME",
        help="auto (the fastest that answers right), litert, openvino, tflite-runtime or "
        "tensorflow.",
    ),
]
_Threads = Annotated[
    str,
    typer.Option(
        envvar="EDGE_THREADS",
        metavar="N|auto",
        help="Threads of each network; auto is what is the fastest, at most half of the cores, "
        "and of files 1, with several frames at once.",
    ),
]


def run(
    source: _Source = None,
    camera: _Camera = "0",
    camera_size: _CameraSize = None,
    camera_fps: _CameraFps = None,
    camera_format: _CameraFormat = None,
    until_lost: _UntilLost = False,
    demo: _Demo = False,
    frames: _Frames = None,
    model: ModelOption = "default",
    detector: DetectorOption = None,
    detect_every: _DetectEvery = 1,
    steady: _Steady = False,
    runtime: _Runtime = "auto",
    threads: _Threads = "auto",
    preview: _Preview = None,
    save: _Save = None,
    log: _Log = None,
    mqtt: _Mqtt = None,
    metrics: _Metrics = None,
    as_json: JsonOption = False,
) -> None:
    """Find faces in pictures, a video or a camera, and say what is true of each."""
    if demo and source is not None:
        raise typer.BadParameter("give a SOURCE or --demo, not both")
    count = None if threads == "auto" else thread_count(threads)
    size = _size(camera_size)
    from edge.runtime.outputs import JsonLines, Outputs
    from edge.runtime.run import RunOptions
    from edge.runtime.run import run as run_pipeline
    from edge.runtime.sources import CameraSettings

    options = RunOptions(
        source=source, camera=camera, demo=demo, frames=frames, model=model, detector=detector,
        detect_every=detect_every, steady=steady, runtime=runtime, threads=count,
        asked=CameraSettings(size=size, fps=camera_fps, format=camera_format),
        until_lost=until_lost,
    )  # fmt: skip
    outputs: list[Output] = [JsonLines(sys.stdout) if as_json else _screen()]
    outputs += _files(source, save, log)
    with watching():
        outputs += _watchers(preview, mqtt, metrics)
    run_pipeline(options, Outputs(outputs), warn=warn, reference=_reference)


def _screen() -> "Screen":
    from edge.runtime.screen import Screen

    return Screen(sys.stdout)


def _files(source: str | None, save: Path | None, log: Path | None) -> "list[Output]":
    """Open what is written beside the results, and tell systemd where there is one."""
    for option, path in (("--save", save), ("--log", log)):
        if source is None or path is None or not (path.exists() and Path(source).exists()):
            continue
        if path.samefile(source):
            raise typer.BadParameter(f"{option} would overwrite the source {source}")
    from edge.runtime.systemd import Systemd

    outputs: list[Output] = []
    if save is not None:
        from edge.runtime.recording import Recording

        outputs.append(Recording(save))
    if log is not None:
        from edge.runtime.log import Log

        outputs.append(Log(log, warn))
    if (service := Systemd.of_environment()) is not None:
        outputs.append(service)
    return outputs


def _watchers(preview: str | None, mqtt: str | None, metrics: str | None) -> "list[Output]":
    """Open what is watched from elsewhere, and tell where it is."""
    outputs: list[Output] = []
    if preview is not None:
        outputs.append(_preview(*address(preview, "--preview")))
    if mqtt is not None:
        from edge.runtime.mqtt import Broker, Mqtt

        outputs.append(Mqtt(Broker.from_url(mqtt), warn))
    if metrics is not None:
        from edge.runtime.metrics import Metrics

        served = Metrics(*address(metrics, "--metrics"))
        say(f"metrics: {served.url}")
        outputs.append(served)
    return outputs


def _preview(host: str, port: int) -> "Preview":
    """Open the preview; its token never reaches a log."""
    from edge.runtime.guard import is_loopback
    from edge.runtime.preview import Preview, kept_token

    token, kept = (None, "") if is_loopback(host) else kept_token()
    preview = Preview(host, port, token)
    if preview.token is None:
        say(f"preview: {preview.url}")
    elif sys.stderr.isatty():
        login = f"edge:{quote(preview.token, safe='')}@"
        say(f"preview: {preview.url.replace('://', f'://{login}')}")
    else:
        say(f"preview: {preview.url}, user edge, with the password in {kept}")
    return preview


def _size(words: str | None) -> tuple[int, int] | None:
    found = _SIZE.fullmatch(words) if words else None
    if words and not found:
        raise typer.BadParameter(f"--camera-size is {words}, expected such as 640x480")
    return (int(found[1]), int(found[2])) if found else None


def _reference(sha256: str) -> dict[str, Any] | None:
    """Look a model up in the committed figures, once a run is over."""
    from edge.benchmarks.reference import reference_of

    return reference_of(sha256)
