"""The report of ``unmask limit``: the way down to the least loss that is possible, which falls in two parts.

What bites: a random token and a kept one look the same to a model, so only [MASK] and all positions together have a
limit that no model can be below; the limits of the two apart are what the best possible model loses there.
"""

from __future__ import annotations

from collections.abc import Sequence

from unmask.report.charts import Chart, Level, Series, line_chart
from unmask.report.html import (
    ABSENT,
    Block,
    Details,
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
    number,
    percent,
    read_figure,
    render_page,
)
from unmask.report.learning import CATEGORIES, KINDS, lines
from unmask.report.limit_text import as_generator, as_likelihood, sentence, way_in_words, where_asked

SOURCE_WORDS = {"markov": "a Markov chain", "hmm": "a hidden Markov model"}
BEGINNING = 3
"""How often longer than [MASK] took for half of its way the beginning is; drawn apart where the run is longer yet."""
FOOTER = (
    "Figures in square brackets are intervals over the choice of held-out texts, for one seed. This page is one file, "
    "holds no scripts and loads nothing."
)


def render_limit(found: Json, run: Json, metrics: Sequence[Json]) -> str:
    """Return the page on ``found``, what ``unmask limit`` measured of ``run``, as one HTML document."""
    captured, source = read_figure(found["mlm"]["limit"]["captured"]), found["source"]
    assert captured is not None, "a known limit has its share"
    name = SOURCE_WORDS[source["name"]]
    return render_page(
        Page(
            title=f"{percent(max(0.0, captured.value))} of the way to the limit",
            kicker=f"{name} of {source['symbols']} symbols",
            lead=(
                f"The text is drawn from {name} that is known in full, so the least loss that any model can reach is "
                f"known too. {sentence(where_asked(found))} in held-out text this model has gone {captured.percent()} "
                "of the way from guessing by frequency to there."
            ),
            opening=[_tiles(found, run)],
            sections=[
                _way_down(lines(metrics, "evaluation"), found),
                _figures(found),
                _by_heart(found),
                as_likelihood(found["text"]),
                as_generator(found),
                _elsewhere(source),
            ],
            footer=FOOTER,
        )
    )


def memory_in_words(above: Json, where: str) -> str:
    """Return what it means that the losses ``where`` it is asked on training text are ``above`` the limit, or below."""
    by, error = above["value"], above["standard_error"]
    there = f"On text that it was trained on it is {abs(by):.3f} nats (standard error {error:.3f})"
    if by < -3 * error:
        return f"{there} below the limit {where}: it knows some of that text by heart."
    return f"{there} {'above' if by >= 0 else 'below'} the limit {where}: nothing is learned by heart."


def halfway(watched: Sequence[Json], name: str) -> Json | None:
    """Return the first evaluation at which ``name`` has gone half of the way from its first value to its limit."""
    first, least = (number(at(watched[0], *path)) for path in ((name,), ("limit", name)))
    if first is None or least is None:
        return None
    return next((line for line in watched if (loss := number(line.get(name))) and loss <= (first + least) / 2), None)


def _tiles(found: Json, run: Json) -> Block:
    mlm = found["mlm"]
    return Tiles(
        [
            Tile(
                f"Cross entropy {where_asked(found)}", decimals(at(mlm, "cross_entropy", "masked", "value"), 3), "nats"
            ),
            Tile("The best possible", decimals(at(mlm, "limit", "cross_entropy", "masked", "value"), 3), "nats"),
            Tile("Guessing by frequency", decimals(at(mlm, "unigram", "masked", "value"), 3), "nats"),
            Tile(
                "Parameters",
                decimals(at(run, "model", "parameters"), 0),
                hint=f"{duration(run.get('seconds'))} of training",
            ),
        ]
    )


def _way_down(watched: Sequence[Json], found: Json) -> Section:
    columns = ("Positions asked for", "At the start", "Half-way after", "At the end", "The best possible")
    rows = [
        (
            f"{name}: {KINDS[name]}" if found["frozen"]["is_hidden"] else words,
            decimals(watched[0].get(name)),
            f"{decimals(half['tokens'], 0)} tokens" if (half := halfway(watched, name)) else "not yet",
            decimals(watched[-1].get(name)),
            decimals(at(watched[-1], "limit", name)),
        )
        for name, words in _measured(watched).items()
    ]
    half_way = "Cross entropy in nats; half-way lies between the start and the best possible"
    curves = [_curve("way", "", watched)]
    if len(first := _beginning(watched)) <= len(watched) / BEGINNING:
        curves.insert(0, _curve("beginning", ", the beginning", first))
    blocks: list[Block] = [Prose(way_in_words(found)), *curves, Table(half_way, columns, rows), _captured(watched)]
    return Section("way", "The way down", blocks)


def _measured(watched: Sequence[Json]) -> dict[str, str]:
    """Return the kinds of position that there are and their names; where nothing is hidden, all count as the first."""
    found = [name for name in CATEGORIES if number(watched[-1].get(name)) is not None]
    return {name: name for name in found} if len(found) > 1 else dict.fromkeys(found, "next token")


def _beginning(watched: Sequence[Json]) -> Sequence[Json]:
    """Return the evaluations up to some while after [MASK] went half of its way; all where it never did."""
    half = halfway(watched, "masked")
    return watched if half is None else [line for line in watched if line["tokens"] <= BEGINNING * half["tokens"]]


def _curve(name: str, part: str, watched: Sequence[Json]) -> Chart:
    x = [line["tokens"] / 1e6 for line in watched]
    series = [
        Series(label=words, x=x, y=[number(line.get(kind)) for line in watched], colour=f"series-{place}")
        for place, (kind, words) in enumerate(_measured(watched).items(), start=1)
    ]
    levels = [
        Level(label, value, colour)
        for label, path, colour in (
            ("unigram", ("unigram", "masked"), "muted"),
            *(
                (f"limit, {words}", ("limit", kind), f"series-{place}")
                for place, (kind, words) in enumerate(_measured(watched).items(), start=1)
            ),
        )
        if (value := number(at(watched[-1], *path))) is not None
    ]
    ways = [
        f"{words} from {decimals(watched[0].get(kind))} to {decimals(watched[-1].get(kind))}"
        for kind, words in _measured(watched).items()
    ]
    return line_chart(
        name,
        title=f"Cross entropy on held-out text, by what was shown at the position asked for{part}",
        description=f"In nats per token: {', '.join(ways)}.",
        x_label="tokens seen (millions)",
        y_label="cross entropy (nats per token)",
        series=series,
        levels=levels,
    )


def _captured(watched: Sequence[Json]) -> Chart:
    shares = [number(at(line, "limit", "captured")) for line in watched]
    return line_chart(
        "captured",
        title="Share of the way from the unigram line to the limit, in KL divergence",
        description=f"It ends at {percent(shares[-1])}.",
        x_label="tokens seen (millions)",
        y_label="per cent of the way",
        series=[
            Series(
                label="gone",
                x=[line["tokens"] / 1e6 for line in watched],
                y=[None if share is None else max(0.0, 100 * share) for share in shares],
            )
        ],
        levels=[Level("limit", 100.0, "series-4")],
    )


def _figures(found: Json) -> Section:
    mlm = found["mlm"]
    rows = [
        (name, *_texts(mlm["cross_entropy"], mlm["limit"]["cross_entropy"], mlm["unigram"], name=name))
        for name in _kinds(mlm)
    ]
    text = (
        "All three columns are means over the same positions, so their sampling noise is the same. The share of the "
        "way has none of it: it is one minus the KL divergence of the model's answers from the exact posterior, over "
        f"that of the unigram line, {where_asked(found)}. "
        f"The divergence that is left there is {_text(mlm['limit']['divergence'])} nats. "
    )
    if found["frozen"]["is_hidden"]:
        text += (
            "A random token and a kept one look the same to a model, so it can be better than the best possible one at "
            "one of the two alone, at the cost of the other; at [MASK] and over all positions it can not."
        )
    columns = ("Positions asked for", "This model", "The best possible", "Unigram line")
    return Section("figures", "Figures", [Table("Held-out text, nats per token", columns, rows), Prose(text)])


def _by_heart(found: Json) -> Section:
    train = found["train"]
    rows = [
        (name, *_texts(train["cross_entropy"], train["limit"]["cross_entropy"], name=name)) for name in _kinds(train)
    ]
    columns = ("Positions asked for", "This model", "The best possible")
    words = memory_in_words(train["limit"]["above"]["masked"], where_asked(found))
    details = Details("The figures", [Table("Training text, nats per token", columns, rows)])
    return Section("heart", "Learned by heart?", [Prose(words), details])


def _kinds(measured: Json) -> list[str]:
    """Return the kinds of position there are rows for: where nothing is hidden, all are alike."""
    is_hidden = at(measured, "cross_entropy", "kept") is not None
    return [*CATEGORIES, "all"] if is_hidden else ["all"]


def _elsewhere(source: Json) -> Section:
    rows = [
        ("Reading from left to right (causal)", _text(source["least"]["causal"])),
        ("One symbol hidden at a time (pseudo-log-likelihood)", _text(source["least"]["pseudo_likelihood"])),
    ]
    if source["entropy_rate"] is not None:
        rows.append(("Entropy rate of the source, exactly", decimals(source["entropy_rate"], 4)))
    text = (
        "What the best possible model of another kind loses on the same source. These are different questions about "
        "the same text, so a lower figure is not a better model; least of all is a pseudo-log-likelihood a perplexity."
    )
    table = Table("The best possible, nats per symbol", ("Question", "Loss"), rows)
    return Section("elsewhere", "The same source, asked otherwise", [Prose(text), table])


def _texts(*levels: Json, name: str) -> tuple[str, ...]:
    return tuple(_text(level[name]) for level in levels)


def _text(value: object) -> str:
    found = read_figure(value)
    return found.text(3) if found else ABSENT
