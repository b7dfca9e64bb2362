"""Metrics of a run for Prometheus."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, make_asgi_app
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edge.environment import temperature_c, throttled
from edge.runtime.controls import Running
from edge.runtime.outputs import Output
from edge.runtime.pipeline import Result
from edge.runtime.serving import Server

# Seconds: from a tenth of a millisecond to two seconds, each about twice the one before.
_BUCKETS = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 2.0)


class Metrics(Output):
    """Serves what a run adds up to, at /metrics.

    Args:
        host: Address or name to listen on.
        port: Likewise; 0 for any that is free.

    Attributes:
        url: Where the metrics are.

    Raises:
        EdgeError: The address cannot be listened on.
    """

    def __init__(self, host: str, port: int) -> None:
        registry = CollectorRegistry()
        self._frames = Counter("edge_frames", "Frames with a result", registry=registry)
        self._faces = Counter("edge_faces", "Faces in them", registry=registry)
        self._labels = Counter(
            "edge_labels", "Faces of which a label holds", ["label"], registry=registry
        )
        stages = Histogram(
            "edge_stage_seconds", "Time of a stage", ["stage"], registry=registry, buckets=_BUCKETS
        )
        self._stages = {name: stages.labels(name) for name in ("capture", "detect", "total")}
        self._of_faces = {name: stages.labels(name) for name in ("crop", "classify")}
        self._age = Histogram(
            "edge_frame_age_seconds", "From the capture of a frame to its result",
            registry=registry, buckets=_BUCKETS,
        )  # fmt: skip
        self._about = Info("edge_run", "What runs", registry=registry)
        self._registry = registry
        self._server = Server(make_asgi_app(registry), host, port, option="--metrics")
        self.url = f"{self._server.url}metrics"
        self._server.start()

    def begin(self, running: Running) -> None:
        """Tell what runs."""
        # Not the source: its path or address is nobody's business.
        self._about.info({name: running.about[name] for name in ("model", "runtime")})
        self._registry.register(_Now(running))

    def show(self, result: Result) -> None:
        """Count one result."""
        self._frames.inc()
        for name, stage in self._stages.items():
            stage.observe(result.latency_ms[name] / 1000)
        self._age.observe(result.age_ms / 1000)
        if result.faces:
            self._faces.inc(len(result.faces))
            for name, stage in self._of_faces.items():
                stage.observe(result.latency_ms[name] / 1000)
            for face in result.faces:
                # Of people, who was seen when is nobody's business either.
                for label in face.labels if face.task != "identity" else ():
                    self._labels.labels(label).inc()

    def close(self) -> None:
        """Stop to serve."""
        self._server.close()


class _Now(Collector):
    """What is read when it is asked for."""

    def __init__(self, running: Running) -> None:
        self._running = running

    def collect(self) -> Iterator[Metric]:
        """Yield drops, temperature and throttling."""
        dropped = CounterMetricFamily("edge_dropped", "Frames that came too fast")
        dropped.add_metric([], self._running.dropped())
        yield dropped
        paused = GaugeMetricFamily("edge_paused", "1 while the run is stopped")
        paused.add_metric([], self._running.controls.paused)
        yield paused
        for name, words, value in (
            ("edge_temperature_celsius", "Of the processor", temperature_c()),
            ("edge_throttled", "1 while the board slows itself down", throttled()),
        ):
            if value is not None:
                gauge = GaugeMetricFamily(name, words)
                gauge.add_metric([], float(value))
                yield gauge
