"""What ``unmask serve --watch`` lays together: a server that knows nothing of watching, and one who listens to it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from unmask.errors import SettingError
from unmask.serve.models import ServedModel
from unmask.serve.service import Service
from unmask.watch.live import Live
from unmask.watch.settings import WatchSettings
from unmask.watch.signals import Reader

BASE = "watch:base"
"""What the frozen model is called among those that a server loads."""


def share_of(option: str, percent: str) -> float:
    """Return the share that ``percent`` says, as in 1%. Raises SettingError."""
    if not re.fullmatch(r"\d+(\.\d+)?%", percent) or float(percent[:-1]) > 100:
        raise SettingError(f"{option} {percent}: a share is given as 1%, with 0 at least and 100 at most")
    return float(percent[:-1]) / 100


def base_model(where: str | None) -> list[ServedModel]:
    """Return the frozen model at ``where``, if there is one. Raises SettingError, ModelError."""
    if where is None:
        return []
    model = ServedModel(BASE, where, "auto")
    if model.task != "fill":
        raise SettingError(f"--watch-base {where}: it was made to {model.task}; give a model that fills masks")
    return [model]


def listener(
    folder: Path,
    settings: WatchSettings,
    service: Service,
    models: Sequence[ServedModel],
    base: Sequence[ServedModel],
) -> Live:
    """Return who listens to ``service`` for ``models``, and is counted among its figures. Raises UserError."""
    in_pieces = service.settings.too_long == "stride"
    readers = {model.name: Reader.of(model.predictor, in_pieces=in_pieces) for model in models}
    frozen = {model.name: Reader.of(model.predictor) for model in base}
    live = Live(folder, readers | frozen, settings, base=next(iter(frozen), None), say=service.log.line)
    register(live, service.metrics.registry)
    return live


class _Figures:
    """Reads the figures of a listener whenever somebody looks."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def collect(self) -> Iterator[Metric]:
        """Yield them as Prometheus counts them."""
        figures = self._live.figures()
        yield CounterMetricFamily("unmask_watch_captured", "Texts whose signals are written", figures["captured"])
        yield _by("unmask_watch_dropped", "Texts whose signals are lost", "why", figures, "dropped_")
        yield _by("unmask_watch_sampled", "Texts of the sample", "outcome", figures, "sample_")
        last = figures["last_write"]
        yield GaugeMetricFamily("unmask_watch_last_write_timestamp_seconds", "When something was written", last)


def register(live: Live, registry: CollectorRegistry) -> None:
    """Have the figures of ``live`` shown by ``registry``."""
    registry.register(_Figures(live))


def _by(name: str, what: str, label: str, figures: Mapping[str, float], beginning: str) -> Metric:
    family = CounterMetricFamily(name, what, labels=[label])
    for key, value in figures.items():
        if key.startswith(beginning):
            family.add_metric([key.removeprefix(beginning)], value)
    return family
