"""The page at ``/watch``: what the texts that a server answers look like now, without any of them.

What bites: it shows the last texts of each model and judges nothing; whether they have changed is for ``unmask watch
check`` to say, which knows what was usual.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from unmask.report.html import (
    ABSENT,
    Code,
    Json,
    Page,
    Prose,
    Section,
    Table,
    Tile,
    Tiles,
    at,
    decimals,
    number,
    percent,
    render_live,
)

SHARES: Final = ("unknown_share", "truncated", "other_script_share", "abstained")
"""Numbers that are read as per cent."""

NAMES: Final = {
    "characters": "Characters",
    "words": "Words",
    "tokens": "Tokens",
    "tokens_per_word": "Tokens a word",
    "unknown_share": "Unknown tokens",
    "truncated": "Truncated",
    "other_script_share": "Letters of other scripts",
    "confidence": "Confidence",
    "margin": "Lead over the second",
    "entropy": "Entropy (nats)",
    "abstained": "Abstained",
    "latency_ms": "Milliseconds to the answer",
    "live_bits": "Bits a character, this model",
    "base_bits": "Bits a character, frozen model",
    "prediction": "Predictions",
    "script": "Scripts",
}


def render_traffic(seen: Json) -> str:
    """Return the page of what ``/watch.json`` gives."""
    figures, trouble = seen["figures"], seen["trouble"]
    models = [_model(name, one) for name, one in sorted(seen["models"].items())]
    lead = "The last texts of each model at a glance. No text is kept for this page."
    notes = [Prose(f"Nothing can be written: {trouble}. What comes waits, then it is dropped.", note=True)]
    page = Page(
        title="Traffic, now",
        kicker="unmask serve --watch",
        lead=lead if models else "Nothing was asked yet.",
        opening=[*(notes if trouble else []), _tiles(figures)],
        sections=[*models, _further()],
        footer="The same as JSON: /watch.json. Figures for Prometheus: /metrics.",
    )
    return render_live(page, "again.js")


def _tiles(figures: Json) -> Tiles:
    dropped = figures["dropped_unread"] + figures["dropped_unwritten"]
    last = number(figures["last_write"])
    at_time = datetime.fromtimestamp(last, UTC).strftime("%H:%M:%S") if last else ABSENT
    return Tiles(
        [
            Tile("Texts captured", decimals(figures["captured"], 0), hint="since the start"),
            Tile("Dropped", decimals(dropped, 0)),
            Tile("Measured by networks", decimals(figures["sample_measured"], 0), hint="the sample"),
            Tile("Last written", at_time, "UTC" if last else ""),
        ]
    )


def _model(name: str, seen: Json) -> Section:
    numbers = [
        (NAMES.get(signal, signal), *(_said(signal, at(one, part)) for part in ("mean", "low", "middle", "high")))
        for signal, one in seen["numbers"].items()
    ]
    columns = ("Signal", "Mean", "5 % are below", "Middle", "5 % are above")
    tables = [Table(f"The last {seen['count']:,} texts", columns, numbers)]
    for signal, shares in seen["classes"].items():
        rows = [(label, percent(share)) for label, share in shares.items()]
        tables.append(Table(NAMES.get(signal, signal), ("Class", "Share"), rows))
    return Section(f"model-{name}", name, tables)


def _said(signal: str, value: object) -> str:
    return percent(value) if signal in SHARES else decimals(value, 2)


def _further() -> Section:
    words = "Make a baseline of what is usual, and have every new day or hour held against it:"
    lines = "unmask watch baseline DIR\nunmask watch check DIR"
    return Section("alarms", "Has it changed?", [Prose(words), Code(lines)])
