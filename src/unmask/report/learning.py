"""How a run learned: frozen evaluations over time, training loss, speed.

What bites: ``metrics`` are the lines that count, those that a later attempt took back already dropped. Frozen
evaluations are comparable from run to run under one fingerprint; training loss is not, so the two never share a chart.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from unmask.report.charts import Chart, Level, Series, line_chart
from unmask.report.html import (
    ABSENT,
    Block,
    Details,
    Figure,
    Json,
    Prose,
    Section,
    Table,
    Tile,
    Tiles,
    at,
    decimals,
    duration,
    number,
    percent,
    plain,
    read_figure,
)

CATEGORIES = ("masked", "random", "kept")
KINDS = {"masked": "shown as [MASK]", "random": "replaced by a random token", "kept": "left as it was"}
MOST_POINTS = 600  # of a curve


def lines(metrics: Sequence[Json], kind: str) -> list[Json]:
    """Return the metrics of one kind that say how many tokens had been seen."""
    return [line for line in metrics if line.get("kind") == kind and number(line.get("tokens")) is not None]


def learning_curve(metrics: Sequence[Json], evaluation: Json | None) -> Section:
    """Return the section on the frozen evaluations, which says so where there are none."""
    found = lines(metrics, "evaluation")
    blocks: list[Block] = _final(at(evaluation, "mlm"))
    if found:
        hidden = (
            "Measured on the same held-out passages with the same hidden tokens every time, whatever the run trained "
            "with. The figure that counts is at [MASK] positions. Where a random token was put, the encoder must also "
            "notice that it is wrong. At kept tokens the answer is in plain sight. "
        )
        onward = (
            "The model reads from left to right. It is asked for the tokens that are hidden from others, in the same "
            "held-out passages; nothing is hidden from it, and it sees what stands before each. "
        )
        text = (
            f"{onward if at(evaluation, 'frozen', 'is_hidden') is False else hidden}The unigram line is what a guesser "
            "reaches who knows only how often each token occurs. On the way only part of the held-out documents is "
            "looked at, so the end of a curve and the final evaluation differ a little."
        )
        details = Details("The figures behind the chart", [_figures(found)])
        blocks = [
            Prose(text),
            _curve(found, read_figure(at(evaluation, "mlm", "limit", "cross_entropy", "masked"))),
            details,
            *blocks,
        ]
    return Section(
        "curve", "Learning curve", blocks or [Prose("There is no curve to show: this run holds no evaluation yet.")]
    )


def _curve(found: Sequence[Json], limit: Figure | None) -> Chart:
    x, unit = tokens_axis(found)
    series = [
        Series(label=name, x=x, y=[number(line.get(name)) for line in found], colour=f"series-{place}", markers=True)
        for place, name in enumerate(CATEGORIES, start=1)
        if any(number(line.get(name)) is not None for line in found)
    ]
    unigram = number(at(found[-1], "unigram", "masked"))
    levels = [Level("unigram", unigram)] if unigram is not None else []
    levels += [Level("limit", limit.value, "series-4")] if limit is not None else []
    ways = [f"{name} from {decimals(found[0].get(name))} to {decimals(found[-1].get(name))}" for name in CATEGORIES]
    return line_chart(
        "curve",
        title="Cross entropy on held-out text, by what was shown at the position asked for",
        description=f"In nats per token: {', '.join(ways)}; the unigram line is at {decimals(unigram)}.",
        x_label=f"tokens seen{unit}",
        y_label="cross entropy (nats per token)",
        series=series,
        levels=levels,
    )


def _final(mlm: object) -> list[Block]:
    """Return the final evaluation with its intervals, nothing where there is none."""
    rows = []
    for name in (*CATEGORIES, "all"):
        ours, theirs = (read_figure(at(mlm, which, name)) for which in ("cross_entropy", "unigram"))
        if ours is not None:
            label = f"{name}: {KINDS[name]}" if name in KINDS else name
            positions = decimals(at(mlm, "positions", name), 0)
            rows.append((label, ours.text(), ABSENT if theirs is None else theirs.text(), positions))
    columns = ("Positions asked for", "Cross entropy", "Unigram line", "Number")
    blocks: list[Block] = [Table("Final evaluation, nats per token", columns, rows)] if rows else []
    bits = read_figure(at(mlm, "bits_per_character"))
    if bits is not None:
        blocks.append(Prose(f"Beside a model with another tokenizer, compare bits per character: {bits.text()}."))
    return blocks


def training(metrics: Sequence[Json], run: Json) -> Section | None:
    """Return the section on the training itself: loss and speed; None where nothing was recorded."""
    found = lines(metrics, "train")
    if not found:
        return None
    text = (
        "This is what the optimiser saw: masked, random and kept positions together, at the mask rate of this run. Do "
        "not compare it with a run of another mask rate: the best loss that is possible moves with the rate."
    )
    blocks: list[Block] = [
        Prose(text),
        *_diverged(found),
        _loss(found),
        *_speed(found, run),
    ]
    resumed = [plain(line.get("step")) for line in metrics if line.get("kind") == "resumed"]
    if resumed:
        blocks.append(Prose(f"The run was resumed at step {', '.join(resumed)}."))
    return Section("training", "Training", blocks)


def _loss(found: Sequence[Json]) -> Chart:
    """Draw the training loss; of a long run each point is the mean of some records, so that the page stays small."""
    size = math.ceil(len(found) / MOST_POINTS)
    groups = [found[start : start + size] for start in range(0, len(found), size)]
    x, unit = tokens_axis([group[-1] for group in groups])
    losses = [[loss for line in group if (loss := number(line.get("loss"))) is not None] for group in groups]
    means = [statistics.fmean(group) if group else None for group in losses]
    finite = [mean for mean in means if mean is not None]
    ends = (
        f"from {finite[0]:.2f} to {finite[-1]:.2f} nats per token"
        if finite
        else "nowhere: no record is a finite number"
    )
    return line_chart(
        "training",
        title="Training loss, all positions asked for" + (f", means of {size} records" if size > 1 else ""),
        description=f"Over {len(found)} records it goes {ends}.",
        x_label=f"tokens seen{unit}",
        y_label="training loss (nats per token)",
        series=[Series(label="loss", x=x, y=means)],
    )


def tokens_axis(found: Sequence[Json]) -> tuple[list[float], str]:
    """Return the tokens seen at each line and the unit that they are in, as the end of an axis label."""
    tokens = [number(line["tokens"]) or 0.0 for line in found]
    for size, unit in ((1e9, " (billions)"), (1e6, " (millions)"), (1e3, " (thousands)")):
        if max(tokens) >= size:
            return [count / size for count in tokens], unit
    return tokens, ""


def _figures(found: Sequence[Json]) -> Table:
    columns = ("Step", "Tokens", "Time", "Masked", "Random", "Kept", "All", "Right at 1", "Right in 5")
    rows = [
        (
            decimals(line.get("step"), 0), decimals(line.get("tokens"), 0), duration(line.get("seconds")),
            *(decimals(line.get(name)) for name in (*CATEGORIES, "all")),
            *(percent(at(line, "accuracy", k)) for k in ("1", "5")),
        )
        for line in found
    ]  # fmt: skip
    return Table("Frozen evaluations, cross entropy in nats per token", columns, rows)


def _diverged(found: Sequence[Json]) -> list[Block]:
    bad = [line for line in found if number(line.get("loss")) is None]
    if not bad:
        return []
    step = plain(bad[0].get("step"))
    text = f"The loss was not a finite number in {len(bad)} of {len(found)} records, first at step {step}."
    return [Prose(f"{text} Do not rely on this run; a lower learning rate is the first thing to try.", note=True)]


def _speed(found: Sequence[Json], run: Json) -> list[Block]:
    """Return tiles on speed: the first record is left out where there are others, as it holds the warming up."""
    speeds = [speed for line in found if (speed := number(line.get("tokens_per_second"))) is not None]
    speeds = speeds[1:] or speeds
    used = [share for line in found if (share := number(line.get("utilisation"))) is not None]
    used = used[1:] or used
    waits = [wait for line in found if (wait := number(line.get("loader_wait"))) is not None]
    tiles = []
    if speeds:
        hint = f"median; {min(speeds):,.0f} to {max(speeds):,.0f} after the first record"
        tiles.append(Tile("Speed", f"{statistics.median(speeds):,.0f}", "tokens/s", hint))
    if used:
        hint = "of the fastest matrix products here, median; padding and what is computed twice do not count"
        tiles.append(Tile("Utilisation", percent(statistics.median(used)), hint=hint))
    if waits:
        hint = "of the training time was spent waiting, mean of the records"
        tiles.append(Tile("Waiting for data", percent(statistics.fmean(waits)), hint=hint))
    if number(at(run, "packing")) is not None:
        tiles.append(Tile("Packing", percent(at(run, "packing")), hint="of the positions in a row hold a token"))
    peak = number(at(run, "peak_memory"))
    if peak is not None:
        hint = "that the process held at once, all that it did before training included"
        tiles.append(Tile("Peak memory", f"{peak / 1e9:.2f}", "GB", hint))
    return [Tiles(tiles)] if tiles else []
