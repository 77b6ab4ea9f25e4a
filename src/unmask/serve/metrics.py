"""What the server counts, by the conventions of Prometheus: base units, and no text and no user in a label."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """All counters of one server."""

    def __init__(self, waiting_tokens: Callable[[], float], ready_workers: Callable[[], float]) -> None:
        """Make them; the two functions are asked whenever somebody looks."""
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "unmask_requests", "Requests by what came of them", ("route", "model", "code"), registry=registry
        )
        self.duration = Histogram(
            "unmask_request_duration_seconds",
            "From the body to the answer",
            ("route",),
            buckets=SECONDS,
            registry=registry,
        )
        self.queue_duration = Histogram(
            "unmask_queue_duration_seconds", "How long requests waited", buckets=SECONDS, registry=registry
        )
        self.inference_duration = Histogram(
            "unmask_inference_duration_seconds", "How long batches took", ("model",), buckets=SECONDS, registry=registry
        )
        self.batch_tokens = Histogram(
            "unmask_batch_tokens",
            "Tokens of a batch, padding left out",
            buckets=(8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096),
            registry=registry,
        )
        self.padding = Histogram(
            "unmask_batch_padding_ratio",
            "Share of a batch that was padding",
            buckets=(0.0, 0.05, 0.1, 0.2, 0.3, 0.5),
            registry=registry,
        )
        self.truncated = Counter(
            "unmask_truncated_tokens", "Tokens of texts that were left out", ("model",), registry=registry
        )
        self.shed = Counter("unmask_shed", "Requests refused or dropped under load", ("reason",), registry=registry)
        self.restarts = Counter("unmask_worker_restarts", "Workers started again", registry=registry)
        self.info = Gauge(
            "unmask_model_info", "The models of this server", ("model", "task", "engine"), registry=registry
        )
        waiting = Gauge("unmask_queue_tokens", "Tokens that wait", registry=registry)
        waiting.set_function(waiting_tokens)
        ready = Gauge("unmask_ready_workers", "Workers that have loaded their models", registry=registry)
        ready.set_function(ready_workers)

    def batch(self, model: str, tokens: int, padding: float, seconds: float) -> None:
        """Take note of an answered batch."""
        self.inference_duration.labels(model).observe(seconds)
        self.batch_tokens.observe(tokens)
        self.padding.observe(padding)

    def dropped(self, why: str) -> None:
        """Take note of work that nobody waits for any more."""
        self.shed.labels(why).inc()

    def text(self) -> bytes:
        """Return all of it as Prometheus reads it."""
        return generate_latest(self.registry)
