"""The model card of an exported model: README.md in the hub's form, filled from what its runs left behind.

What bites: a card leaves the house. Nothing in it may tell of a folder of its makers or of a document that was trained
on, and what is not known is left out or said in words, never filled with a placeholder.
"""

from __future__ import annotations

from collections.abc import Mapping

from unmask import __version__
from unmask.inference.resolved import GRAPHS
from unmask.report.card_facts import CardFacts, front_matter
from unmask.report.card_recipe import recipe
from unmask.report.card_use import how_to_use
from unmask.report.data_card import documents, overlap, splits, summary, weight_text
from unmask.report.forgetting import forgotten_in_words
from unmask.report.html import Figure, Json, Table, at, decimals, number, objects, percent, read_figure, short_count
from unmask.report.markdown import document, escaped, listing, table
from unmask.report.not_for import EVERY_MODEL, LANGUAGE_MODEL, OTHER_TEXT, SMALL_DIFFERENCES
from unmask.report.run_page import RunData
from unmask.report.standing import standing_of, verdict
from unmask.report.task_page import ON_FLOORS, beside_scratch, calibration_words, reached, reached_table
from unmask.report.task_words import FIGURES, TASKS, capital

INTERVALS = "In brackets are intervals of 95\u202f%"
TEMPERATURE = (
    "The temperature that makes them honest stands in unmask.json; what does not read that file is mostly too sure."
)
_FILES = {"torch": "model.safetensors", **GRAPHS}
_MOST_LABELS = 50


def model_card(facts: CardFacts) -> str:
    """Return README.md: what the hub reads, between two rules, then what people read."""
    body = [f"# {escaped(facts.title)}", *_what_it_is(facts)]
    for title, blocks in (
        ("Figures", _figures(facts)),
        ("How to use it", how_to_use(facts.name, facts.does, facts.mask_token)),
        ("Data", _data(facts)),
        ("Recipe", _recipe(facts)),
        ("The forms in this folder", _forms(facts)),
        ("Limits", [listing(_limits(facts))]),
        ("What was not measured", [listing(_not_measured(facts))]),
        ("Licence", [_licence(facts)]),
    ):
        if any(blocks):
            body += [f"## {title}", *blocks]
    return f"---\n{front_matter(facts).to_yaml()}\n---\n\n{document(body)}"


def _what_it_is(facts: CardFacts) -> list[str]:
    shape = facts.shape
    parameters = at(facts.runs[0].run, "model", "parameters") if facts.runs else None
    sizes = [
        f"{decimals(shape.get('num_hidden_layers'), 0)} layers of width {decimals(shape.get('hidden_size'), 0)}",
        f"{' '.join(short_count(parameters)).strip()} parameters" if parameters else "",
        f"a vocabulary of {decimals(shape.get('vocab_size'), 0)} tokens",
    ]
    family = f"A bidirectional encoder of the family `{facts.model_type}`"
    made = f"{family}: {', '.join(filter(None, sizes))}."
    return [f"{made} {_made_to(facts)} {_origin(facts)}".strip(), *_labels(facts)]


def _made_to(facts: CardFacts) -> str:
    if facts.task is None:
        return "It says which token stands where one is hidden, and turns texts into vectors."
    return f"It was fine-tuned to one task: {TASKS[facts.does].lower()}."


def _origin(facts: CardFacts) -> str:
    """Say what it was made from."""
    base = "" if facts.base is None else f"`{facts.base}`" if facts.is_on_hub else escaped(facts.base)
    if not facts.runs:
        whose = base or "another model"
        return f"Its weights are those of {whose}, written in other forms by unmask {__version__} and not trained on."
    if base:
        return f"Its training started from {base}."
    if not facts.is_whole:
        return "It started from the weights of an earlier run, which was not at hand when this card was written."
    if len(facts.runs) > 1:
        return "It started from an encoder that was pre-trained for it; both runs are described here."
    return "It was trained from random weights."


def _labels(facts: CardFacts) -> list[str]:
    labels = [str(label) for label in at(facts.task, "labels") or ()]
    if not labels:
        return []
    more = f", and {len(labels) - _MOST_LABELS:,} more" if len(labels) > _MOST_LABELS else ""
    return [f"Labels: {', '.join(map(escaped, labels[:_MOST_LABELS]))}{more}."]


def _figures(facts: CardFacts) -> list[str]:
    if not facts.runs:
        return []
    return _fill_figures(facts.runs[0]) if facts.task is None else _task_figures(facts.evaluation)


def _fill_figures(run: RunData) -> list[str]:
    standing, mlm = standing_of(run.evaluation), at(run.evaluation, "mlm")
    if standing is None:
        return ["The run did not come to its evaluation, so nothing is known of how good it is."]
    shares = {f"right at guess {top}": read_figure(at(mlm, "accuracy", "masked", top)) for top in ("1", "5")}
    bits = read_figure(at(mlm, "bits_per_character"))
    rows = [
        ("cross entropy, nats per token", standing.masked.text()),
        *_row("guessing by frequency (unigram line), nats", standing.unigram),
        *_row("better than that by, nats", standing.gap),
        *_row("the limit: no model can do better, nats", standing.limit),
        *_row("bits per character", bits),
        *((name.replace("guess 1", "the first guess"), share.percent()) for name, share in shares.items() if share),
    ]
    rows = [(name.replace("at guess 5", "within five guesses"), value) for name, value in rows]
    frozen = at(run.evaluation, "frozen")
    where = (
        f"Measured at mask tokens of {decimals(at(frozen, 'documents'), 0)} validation documents, which it was not "
        f"trained on: {percent(at(frozen, 'mlm_probability'), 0)} of the tokens in windows of "
        f"{decimals(at(frozen, 'window'), 0)} hidden, the same for every model. {INTERVALS} over documents. A nat less "
        "makes the right token 2.7 times as probable."
    )
    forgotten = forgotten_in_words(run.evaluation) or ""
    figures = table(Table("", ("At mask tokens of held-out text", "Figure"), rows))
    return [verdict(standing)[1], figures, where, escaped(forgotten)]


def _row(name: str, figure: Figure | None) -> list[tuple[str, str]]:
    return [] if figure is None else [(name, figure.text())]


def _task_figures(evaluation: Json | None) -> list[str]:
    task, headline = at(evaluation, "task"), str(at(evaluation, "task", "headline"))
    if not reached(task, headline):
        return ["The run holds no evaluation, so nothing is known of how good it is."]
    held_out = at(task, "held_out")
    train, measured = (decimals(at(task, "examples", name), 0) for name in ("train", "held_out"))
    others = [
        (capital(FIGURES.get(str(name), str(name))), figure.text(3))
        for name, value in at(task, "figures").items()
        if (figure := read_figure(value)) is not None
    ]
    trust = at(task, "trust")
    chosen = "" if held_out == "test" else " These examples also chose its weights: on others it would do worse."
    return [
        f"{beside_scratch(task, headline)}{chosen}{_under_a_floor(task, headline)}",
        table(reached_table(task, headline)),
        ON_FLOORS,
        table(Table("", (f"On {held_out} examples", "Figure"), others)),
        f"Trained on {train} examples, measured on {measured} {held_out} examples. {INTERVALS} over examples.",
        calibration_words(trust) if isinstance(trust, Mapping) else "",
    ]


def _under_a_floor(task: object, headline: str) -> str:
    """Say where no network was needed to do as well."""
    ours, *beside = reached(task, headline)
    floors = [one for one in beside if one.label.endswith("(floor)")]
    best = max(floors, key=lambda one: one.figure.value, default=None)
    if best is None or best.figure.value < ours.figure.value:
        return ""
    return f" It does no better than what needs no network: {best.label} has {best.figure.text()}."


def _data(facts: CardFacts) -> list[str]:
    """Describe each corpus that it was trained on, the latest first."""
    blocks: list[str] = []
    if facts.task is not None and facts.runs:
        blocks.append("The labelled examples of its task are those of its makers and are not described here.")
    for place, corpus in enumerate(run.corpus for run in facts.runs if run.corpus):
        if len(facts.runs) > 1:
            blocks.append(f"### Text of pre-training{', of the run before' if place else ''}")
        blocks += [summary(corpus), *(table(part) for part in _tables(corpus)), overlap(corpus) or ""]
    return blocks


def _tables(corpus: Json) -> list[Table]:
    rows = [
        (
            str(source.get("name")).replace("\\", "/").rstrip("/").rpartition("/")[2],
            weight_text(source.get("weight")),
            decimals(source.get("documents"), 0),
            decimals(source.get("characters"), 0),
        )
        for source in objects(corpus.get("sources"))
    ]
    sources = Table("", ("Source", "Weight", "Documents", "Characters"), rows)
    return [part for part in (sources if rows else None, documents(corpus), splits(corpus)) if part]


def _recipe(facts: CardFacts) -> list[str]:
    blocks: list[str] = []
    for place, run in enumerate(facts.runs):
        if len(facts.runs) > 1:
            kind = "Fine-tuning" if run.run.get("kind") == "finetune" else "Pre-training"
            blocks.append(f"### {kind}{', the run before' if place else ''}")
        blocks.append(table(recipe(run)))
    return blocks


def _forms(facts: CardFacts) -> list[str]:
    items = []
    for name, measured in facts.parity.items():
        largest, flipped = number(at(measured, "largest_difference")), read_figure(at(measured, "flipped"))
        if largest is not None:
            exact = "says the same to the bit" if largest == 0 else f"differs by {largest:.1e} of the largest score"
            words = f"{exact}, in windows of several lengths, alone and in a batch"
        elif flipped is not None:
            before, after = decimals(at(measured, "before"), 3), decimals(at(measured, "after"), 3)
            words = f"decides otherwise in {flipped.percent()}; {at(measured, 'figure')} is {after} for {before}"
        else:
            continue
        items.append(f"- `{_FILES.get(name, name)}` {escaped(words)}.")
    intro = "Each form was held against the model that it was made of, before it was put in place."
    return [intro, "\n".join(items)] if items else []


def _limits(facts: CardFacts) -> list[tuple[str, str]]:
    items = [*EVERY_MODEL, *(LANGUAGE_MODEL if facts.task is None else ())]
    if not facts.runs:
        return [one for one in items if one not in (SMALL_DIFFERENCES, OTHER_TEXT)]  # they speak of figures
    if facts.does in ("classify", "tag"):
        items.append(("Probabilities of other libraries.", TEMPERATURE))
    if facts.task is not None:
        items.append(("Claims about other text.", "Every figure holds for examples like those it was measured on."))
    return items


def _not_measured(facts: CardFacts) -> list[tuple[str, str]]:
    task, items = at(facts.evaluation, "task"), []
    if not facts.runs:
        items.append(("How good it is.", "Only that its forms say what it says; its figures are those of its makers."))
    elif facts.task is None:
        items.append(("Any task.", "No classification, tagging or search was tried, and no model beside it."))
        items.append(("Test documents.", "The figures are on the validation split; the test split was not read."))
    if task is not None and at(task, "held_out") != "test":
        items.append(("Examples that nobody looked at.", "There was no test set."))
    if task is not None and not at(task, "controls"):
        items.append(("What pre-training brought.", "The same network from scratch was not trained beside it."))
    if task is not None and at(task, "trust") is None:
        items.append(("Whether its scores can be believed.", "They were not held against how often it is right."))
    items += [
        ("Harm.", "Whether it treats groups of people unlike, and what it gives away of its text, was not looked at."),
        ("Other languages, times and kinds of text.", "It was measured on nothing but what is said above."),
    ]
    return items


def _licence(facts: CardFacts) -> str:
    theirs = "" if facts.base is None else " That of the model that it started from holds as well."
    if facts.license is not None:
        return f"{escaped(facts.license)}.{theirs}"
    return f"Its makers have not said under which licence it may be used; ask them first.{theirs}"
