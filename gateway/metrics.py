"""Metrics for Prometheus."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.gate import Gate
from indexer.models.engines.engine import Engine
from indexer.models.fetcher import Fetcher
from indexer.photos.sets import Progress
from indexer.queue.backlog import Counts, WorkerState

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Server(Protocol):
    """A machine-learning server with its figures for Prometheus. `trouble` is empty while it works."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def trouble(self) -> str: ...  # noqa: D102
    @property
    def in_flight(self) -> int: ...  # noqa: D102
    @property
    def answered(self) -> int: ...  # noqa: D102
    @property
    def failed(self) -> Mapping[str, int]: ...  # noqa: D102


class Metrics:
    """The figures of one gateway, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Counter(
            "immich_gateway_requests", "Requests answered, by route and status", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "immich_gateway_task_seconds", "Time a task took", ["task"], buckets=_SECONDS, registry=registry
        )
        self.failures = Counter(
            "immich_gateway_task_failures", "Tasks that failed, by reason", ["task", "reason"], registry=registry
        )
        self.batch = Histogram(
            "immich_gateway_text_batch_size",
            "Texts in one call of the model",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=registry,
        )
        self.cache = Counter(
            "immich_gateway_text_cache", "Texts looked up in the cache", ["outcome"], registry=registry
        )
        self.pictures = Counter(
            "immich_gateway_pictures",
            "Pictures answered, by where the answer came from",
            ["source"],
            registry=registry,
        )
        self.waiting = Gauge("immich_gateway_waiting", "Requests under way, by queue", ["queue"], registry=registry)
        self._backlog = Gauge(
            "immich_indexer_backlog", "Photos in the indexer's queue, by state", ["state"], registry=registry
        )

        self._change = Gauge(
            "immich_indexer_change",
            "Photos during a change of the CLIP model, by whether the new one has read them",
            ["state"],
            registry=registry,
        )
        self._indexers = Gauge(
            "immich_indexer_engine_ready",
            "Whether a model of an indexer is ready, and not sick",
            ["indexer", "engine"],
            registry=registry,
        )

    def watch(self, gate: Gate) -> None:
        """Report how many units of the gate are held."""
        self.waiting.labels(gate.what).set_function(lambda: gate.taken)

    def watch_upstreams(self, servers: Sequence[Server]) -> None:
        """Report the figures and the state of each server."""
        self.registry.register(_Upstreams(servers))

    def watch_engines(self, engines: Callable[[], Mapping[str, Engine]]) -> None:
        """Report the state of each engine that `engines` returns."""
        self.registry.register(_Engines(engines))

    def watch_weights(self, fetcher: Fetcher) -> None:
        """Report how much of each model's weights is present."""
        self.registry.register(_Weights(fetcher))

    @contextmanager
    def timed(self, task: str) -> Iterator[None]:
        """Record how long the block took, or why it failed."""
        start = time.perf_counter()
        try:
            yield
        except BaseException as error:
            self.failures.labels(task, getattr(error, "code", type(error).__name__)).inc()
            raise
        self.seconds.labels(task).observe(time.perf_counter() - start)

    def text(
        self, backlog: Counts | None, workers: Sequence[WorkerState] = (), change: Progress | None = None
    ) -> bytes:
        """All metrics in Prometheus' format. Without backlog and workers where the database is unavailable."""
        self._indexers.clear()
        for worker in workers:
            for name, engine in worker.engines.items():
                self._indexers.labels(worker.name, name).set(engine.state == "ready")
        self._change.clear()
        if change is not None:
            for state in ("made", "given_up", "missing"):
                self._change.labels(state).set(getattr(change, state))
        self._backlog.clear()
        if backlog is not None:
            for state in ("waiting", "retrying", "running", "dead", "inbox"):
                self._backlog.labels(state).set(getattr(backlog, state))
        return generate_latest(self.registry)


class _Engines(Collector):
    """The state of each engine of this gateway, read when Prometheus asks."""

    def __init__(self, engines: Callable[[], Mapping[str, Engine]]) -> None:
        self._engines = engines

    def collect(self) -> Iterable[Metric]:
        """By the engine's name: text, clip, ocr."""
        name, labels = "immich_gateway_engine", ["engine"]
        ready = GaugeMetricFamily(f"{name}_ready", "Whether the model is ready, and not sick", labels=labels)
        replaced = CounterMetricFamily(f"{name}_replacements", "Times that it was sick and replaced", labels=labels)
        for engine, its in self._engines().items():
            ready.add_metric([engine], its.state.is_ready)
            replaced.add_metric([engine], its.replaced)
        return ready, replaced


class _Weights(Collector):
    """How much of the weights is present, read when Prometheus asks."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    def collect(self) -> Iterable[Metric]:
        """By the model's use (clip, faces) and name."""
        name, labels = "immich_gateway_weights", ["use", "model"]
        there = GaugeMetricFamily(f"{name}_ready", "Whether the weights are here, and genuine", labels=labels)
        arrived = GaugeMetricFamily(f"{name}_arrived_bytes", "Bytes of the weights that are here", labels=labels)
        size = GaugeMetricFamily(f"{name}_bytes", "Bytes of all the weights, where that is known", labels=labels)
        for download in self._fetcher.downloads:
            values = [download.use, download.model]
            there.add_metric(values, not download.missing)
            if download.size:
                arrived.add_metric(values, download.arrived)
                size.add_metric(values, download.size)
        return there, arrived, size


class _Upstreams(Collector):
    """The figures that the servers count themselves, read when Prometheus asks."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._servers = servers

    def collect(self) -> Iterable[Metric]:
        """All of them, by the server's address."""
        name, labels = "immich_gateway_upstream", ["upstream"]
        healthy = GaugeMetricFamily(f"{name}_healthy", "Whether it answers /ping and takes connections", labels=labels)
        in_flight = GaugeMetricFamily(f"{name}_in_flight", "Requests that it is at", labels=labels)
        answered = CounterMetricFamily(f"{name}_answered", "Requests that it answered", labels=labels)
        failed = CounterMetricFamily(f"{name}_failed", "Attempts that failed, by reason", labels=[*labels, "reason"])
        for server in self._servers:
            healthy.add_metric([server.name], not server.trouble)
            in_flight.add_metric([server.name], server.in_flight)
            answered.add_metric([server.name], server.answered)
            for reason, count in server.failed.items():
                failed.add_metric([server.name, reason], count)
        return healthy, in_flight, answered, failed
