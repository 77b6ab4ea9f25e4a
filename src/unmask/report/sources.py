"""A run by the sources of its text: what was read of each, and how the encoder does on each.

What bites: one unigram line stands beside all sources, that of the whole corpus, so a source far from the rest has a
high one; look at the gap, and compare sources with care.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unmask.report.data_card import weight_text
from unmask.report.html import ABSENT, Json, Prose, Section, Table, at, decimals, number, objects, percent, read_figure


def by_source(metrics: Sequence[Json], evaluation: Json | None, corpus: Json | None) -> Section | None:
    """Return the section on a run with several sources, None where it has one."""
    measured, seen = at(evaluation, "mlm", "by_source"), _last_seen(metrics)
    names = list(seen or (measured if isinstance(measured, Mapping) else ()))
    if not names:
        return None
    weights = {source.get("name"): source.get("weight") for source in objects(at(corpus, "sources"))}
    total = sum(number(at(seen, name, "tokens")) or 0.0 for name in names)
    rows = []
    for name in names:
        tokens = number(at(seen, name, "tokens"))
        ours, theirs = (read_figure(at(measured, name, which)) for which in ("cross_entropy", "unigram"))
        rows.append(
            (
                name,
                weight_text(weights.get(name)),
                decimals(tokens, 0),
                ABSENT if tokens is None or not total else percent(tokens / total),
                decimals(at(seen, name, "masked")),
                ABSENT if ours is None else ours.text(),
                ABSENT if theirs is None else theirs.text(),
                decimals(at(measured, name, "documents"), 0),
            )
        )
    text = (
        "A source with a weight gets its share of the rows, and comes round again when its text is used up; without "
        "weights each has its natural share. The training loss is that of the last steps, at the mask rate of this "
        "run; cross entropy and unigram line are measured on held-out documents of the source, at [MASK] positions."
    )
    columns = (
        "Source", "Weight", "Tokens seen", "Share", "Training loss at [MASK]", "Cross entropy", "Unigram line",
        "Held-out documents",
    )  # fmt: skip
    return Section("sources", "By source", [Prose(text), Table("Nats per token, by source", columns, rows)])


def _last_seen(metrics: Sequence[Json]) -> Json:
    """Return what the last line of training says of each source, nothing where it tells none apart."""
    found = [sources for line in metrics if isinstance(sources := line.get("sources"), Mapping)]
    return found[-1] if found else {}
