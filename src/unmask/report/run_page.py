"""The report of one run: from the JSON files of a run directory to a page for a person.

What bites: a run may be running, stopped, or from another version, so a part that lacks its data is left out or says
so; no key is taken for granted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from unmask.report.accuracy import accuracy
from unmask.report.charts import Bar, BarRow, bar_chart
from unmask.report.copying import copying
from unmask.report.data_card import data_card
from unmask.report.forgetting import forgetting
from unmask.report.html import (
    Block,
    Details,
    Figure,
    Json,
    Page,
    Prose,
    Section,
    Table,
    Tile,
    Tiles,
    at,
    decimals,
    duration,
    flat,
    moment,
    number,
    percent,
    plain,
    read_figure,
    render_page,
    short_count,
)
from unmask.report.learning import learning_curve, training
from unmask.report.masking import masking
from unmask.report.not_for import not_for
from unmask.report.passages import passages
from unmask.report.sources import by_source
from unmask.report.standing import Standing, standing_of, verdict

FOOTER = (
    "Figures in square brackets are intervals. A nat is a unit of surprise: each nat less makes the right token 2.7 "
    "times as probable. This page is one file, holds no scripts and loads nothing."
)
KINDS = {"pretrain": "Pre-training run"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunData:
    """The JSON of a run directory as plain values, named as its files.

    ``metrics`` are the lines that count: those that a later attempt took back are dropped.
    """

    run: Json
    settings: Json = field(default_factory=dict)
    environment: Json = field(default_factory=dict)
    metrics: Sequence[Json] = ()
    evaluation: Json | None = None
    fills: Sequence[Json] = ()
    corpus: Json | None = None


def render_run(data: RunData) -> str:
    """Return the report of a run as one HTML document. Raises MissingExtra where matplotlib is not installed."""
    standing = standing_of(data.evaluation, data.metrics)
    sections = [
        learning_curve(data.metrics, data.evaluation),
        forgetting(data.metrics, data.evaluation),
        accuracy(data.evaluation),
        _fills(data),
        masking(data.run, data.settings),
        training(data.metrics, data.run),
        copying(data.metrics, data.settings),
        by_source(data.metrics, data.evaluation, data.corpus),
        data_card(data.corpus),
        not_for(data.evaluation),
        _settings(data),
    ]
    title, lead = verdict(standing)
    return render_page(
        Page(
            title=title,
            kicker=_kicker(data.run),
            lead=lead,
            opening=_opening(data, standing),
            sections=[section for section in sections if section is not None],
            footer=FOOTER,
        )
    )


def _kicker(run: Json) -> str:
    kind = plain(run.get("kind", "run"))
    parts = [KINDS.get(kind, kind)]
    if at(run, "model", "preset") is not None:
        parameters = at(run, "model", "parameters")
        size = f", {' '.join(short_count(parameters)).strip()} parameters" if number(parameters) is not None else ""
        parts.append(f"{plain(at(run, 'model', 'preset'))}{size}")
    if number(run.get("step")) is not None:
        parts.append(
            f"{plain(run.get('status'))} at step {decimals(run['step'], 0)} of {decimals(run.get('max_steps'), 0)}"
        )
    if run.get("created") is not None:
        parts.append(moment(run["created"]))
    return " · ".join(parts)


def _opening(data: RunData, standing: Standing | None) -> list[Block]:
    blocks: list[Block] = []
    status = data.run.get("status")
    if status not in (None, "finished"):
        state = {"running": "was still running", "stopped": "was stopped before its end", "failed": "failed"}.get(
            str(status)
        )
        blocks.append(
            Prose(
                f"The run {state or plain(status)} when this page was made: these are not its final figures.", note=True
            )
        )
    blocks.append(Tiles(_tiles(data, standing)))
    if standing is not None:
        blocks.append(_scale(standing, number(at(data.corpus, "vocab_size"))))
    return blocks


def _tiles(data: RunData, standing: Standing | None) -> list[Tile]:
    tiles = []
    if standing is not None:
        tiles.append(
            Tile("Cross entropy at [MASK]", decimals(standing.masked.value), "nats", _interval(standing.masked))
        )
        if standing.unigram is not None:
            tiles.append(
                Tile("Unigram line", decimals(standing.unigram.value), "nats", "guessing by frequency, same positions")
            )
        if standing.gap is not None:
            tiles.append(Tile("Gap to the unigram line", decimals(standing.gap.value), "nats", _interval(standing.gap)))
    hits = at(data.evaluation, "mlm", "accuracy", "masked", "1")
    first = read_figure(hits)
    if first is not None:
        tiles.append(Tile("First guess is right", percent(first.value), hint="at [MASK] positions"))
    last = next((line for line in reversed(data.metrics) if number(line.get("tokens")) is not None), None)
    if last is not None:
        tiles.append(Tile("Tokens seen", *short_count(last["tokens"]), hint=_passes(data.run)))
        tiles.append(Tile("Training time", duration(last.get("seconds")), hint="over all attempts"))
    return tiles


def _passes(run: Json) -> str:
    """Say how often the run went through its training text."""
    consumed, num_rows = number(run.get("rows_consumed")), number(run.get("num_rows"))
    if consumed is None or not num_rows:
        return "in training, repeats counted"
    passes = consumed / num_rows
    return f"{decimals(passes, 1 if passes >= 1 else 2)} passes over the training text"


def _interval(figure: Figure) -> str:
    if figure.interval is None:
        return "no interval was computed"
    level = f"{100 * figure.level:.0f}\u202f% interval" if figure.level is not None else "interval"
    return f"{level} [{figure.low:.2f}, {figure.high:.2f}]"


def _scale(standing: Standing, vocab_size: float | None) -> Block:
    """Draw the way from knowing nothing to this encoder, and to the limit where it is known."""
    levels: list[tuple[str, Figure | None, str]] = [
        ("guessing by frequency (the unigram line)", standing.unigram, "muted"),
        ("this encoder", standing.masked, "series-1"),
        ("the limit: no model can do better", standing.limit, "series-4"),
    ]
    if vocab_size is not None and vocab_size >= 2:
        levels.insert(0, (f"guessing blindly among {vocab_size:,.0f} tokens", Figure(math.log(vocab_size)), "muted"))
    rows = [
        BarRow(label, [Bar(value=f.value, text=f.text(), colour=colour, low=f.low, high=f.high)])
        for label, f, colour in levels
        if f is not None
    ]
    return bar_chart(
        "scale",
        title="Surprise at hidden tokens of held-out text: less is better",
        description="; ".join(f"{row.label}: {row.bars[0].text} nats per token" for row in rows) + ".",
        x_label="cross entropy at [MASK] positions (nats per token)",
        rows=rows,
    )


def _fills(data: RunData) -> Section | None:
    shown = passages(data.fills)
    if not shown:
        return None
    text = (
        "Held-out passages, so the encoder has not been trained on them; a hash chose them, nobody picked. Coloured "
        "words were hidden from it. Beside them are its best guesses and their probabilities; where it missed the "
        "word, the probability that it gave to that word stands in brackets."
    )
    return Section("fills", "What it fills in", [Prose(text), *shown])


def _settings(data: RunData) -> Section | None:
    blocks: list[Block] = []
    named: tuple[tuple[str, Any], ...] = (
        ("Settings", data.settings),
        ("Environment", data.environment),
        ("Run", data.run),
        ("Frozen evaluation", at(data.evaluation, "frozen")),
    )
    for name, values in named:
        rows = flat(values) if isinstance(values, Mapping) else []
        if rows:
            blocks.append(Details(f"{name} ({len(rows)})", [Table(name, ("Key", "Value"), rows, words=2)]))
    return Section("settings", "Settings and environment", blocks) if blocks else None
