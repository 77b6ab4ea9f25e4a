"""The page that a server shows: its models to try, and what it is doing now.

What bites: what the page asks is asked of the server that sent it, as any client would; it knows no way around limits
and keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from unmask.report.html import Json, Page, Section, Table, objects, render_live

SCRIPTS = ("try.js", "now.js")


@dataclass(frozen=True, slots=True)
class Try:
    """A form that asks any of the models for any task that it was made for."""

    template: ClassVar[str] = "try.html.j2"
    models: Sequence[Json]


@dataclass(frozen=True, slots=True)
class LiveTile:
    """A figure that the page's script puts in place, by its ``id``."""

    id: str
    label: str
    unit: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Now:
    """Load, queue and signals, read from ``/metrics``."""

    template: ClassVar[str] = "now.html.j2"
    tiles: Sequence[LiveTile]


TILES = (
    LiveTile("rate", "Requests", "/s", "in the last ten seconds"),
    LiveTile("median", "Half answered within", "ms", "in the last minute"),
    LiveTile("slow", "95 % answered within", "ms", "in the last minute"),
    LiveTile("waiting", "Waiting", "tokens"),
    LiveTile("workers", "Workers ready"),
    LiveTile("refused", "Refused or failed", "", "in the last minute"),
    LiveTile("truncated", "Cut off", "tokens", "since the start"),
    LiveTile("restarts", "Workers started again", "", "since the start"),
)


def render_serve(info: Json) -> str:
    """Return the page of the server that says ``info`` of itself (what ``/info`` gives)."""
    models = objects(info["models"])
    rows = [
        (
            str(model["name"]),
            str(model["task"]),
            ", ".join(model["tasks"]),
            str(model["engine"]),
            f"{model['reads_tokens']:,}",
        )
        for model in models
    ]
    columns = ("Model", "Made to", "Can be asked to", "Runs on", "Reads at most (tokens)")
    page = Page(
        title="Ask the models",
        kicker=f"unmask serve {info['version']}",
        lead="Type a text, see what a model makes of it, and what the server is doing meanwhile.",
        opening=(),
        sections=(
            Section("try", "Try it", (Try(models),)),
            Section("now", "Now", (Now(TILES),)),
            Section("models", "Models", (Table("What is served here", columns, rows, words=4),)),
        ),
        footer="Figures for Prometheus: /metrics. Models and limits: /info.",
    )
    return render_live(page, *SCRIPTS)
