"""The parts of the report of ``unmask limit`` on whole texts: how likely they are to the model, and what it draws.

What bites: a bound of a model that was not trained by diffusion is mostly the price of rates that it never saw.
"""

from __future__ import annotations

from unmask.report.html import ABSENT, Block, Json, Prose, Section, Table, decimals, percent, read_figure


def where_asked(found: Json) -> str:
    """Return in words where the model of ``found`` is asked for tokens."""
    return "at [MASK]" if found["frozen"]["is_hidden"] else "at next tokens"


def way_in_words(found: Json) -> str:
    """Return what the way down to the limit shows, by what the model was trained to do."""
    lines = "Dotted lines are what the best possible model loses on the same positions."
    if not found["frozen"]["is_hidden"]:
        return (
            "Nothing is hidden: the model is asked for the tokens that are hidden from others, and sees what stands "
            f"before them. {lines}"
        )
    if found["objective"] == "diffusion":
        return (
            "Diffusion asks for tokens at [MASK] alone, and whatever else is shown is right. So a token that stands at "
            f"a position asked for, random or kept, is a question that this model never had. {lines}"
        )
    return (
        "The three kinds of position fall one after the other. At kept tokens the answer is in plain sight: that is "
        "copying, and it is learned first. At [MASK] it takes the neighbours, and a loss there stays at the unigram "
        "line until the model begins to use them. The average over all positions falls from the first step, so it "
        f"can not tell the two apart. {lines}"
    )


def sentence(words: str) -> str:
    """Return ``words`` as a sentence begins."""
    return f"{words[0].upper()}{words[1:]}"


def text_in_words(text: Json) -> str:
    """Return how likely held-out texts are to the model, beside their source where that is known."""
    nats = text["nats_per_token"]["value"]
    cost = f"Whole texts cost it {'' if text['is_exact'] else 'at most '}{nats:.3f} nats a token"
    if text["entropy"] is None:
        return f"{cost}."
    entropy = text["entropy"]["value"]
    return f"{cost}, and their source {entropy:.3f}: {percent(text['above']['value'] / entropy)} more."


def as_likelihood(text: Json) -> Section:
    """Return the section on the nats of whole texts."""
    why = (
        "The model reads from left to right, so this is exact: the nats of each token given those before it."
        if text["is_exact"]
        else "The model fills what is hidden, so this is a bound from above: the mean over all rates of hiding of its "
        "loss at [MASK], weighted by one over the rate. The bound is of drawing one token after the other in a random "
        "order, and no pseudo-log-likelihood."
    )
    rows = [("This model", _text(text["nats_per_token"]), _text(text["bits_per_character"]))]
    if text["entropy"] is not None:
        rows.append(("The source", _text(text["entropy"]), ABSENT))
    caption = f"{text['documents']} held-out texts, in windows of 128 tokens"
    table = Table(caption, ("", "Nats per token", "Bits per character"), rows)
    return Section("text", "Whole texts", [Prose(f"{text_in_words(text)} {why}"), table])


def as_generator(found: Json) -> Section:
    """Return the section on texts that were drawn from the model."""
    samples = found["samples"]
    rows = [
        (one["way"], _text(one["nats"]), _text(one["distance"]), decimals(one["divergence"]["value"], 3))
        for one in samples
    ]
    text = (
        f"{samples[0]['texts']} texts of {samples[0]['length']} symbols were drawn in each way, and the source knows "
        "exactly how likely each is. Nats above those of its own texts are symbols that do not go together; fewer are "
        "texts that are too tame. The distance is the total variation of neighbouring pairs from the source's own; of "
        "texts so few even the source's are at some distance, which the first row shows. Gibbs sampling needs "
        "conditionals that fit one joint distribution, and nothing in masked language modelling makes them fit."
    )
    blocks: list[Block] = [Prose(text)]
    columns = ("Texts that were drawn", "Nats a symbol under the source", "Distance of pairs", "Divergence of pairs")
    blocks.append(Table("Samples beside their source", columns, rows))
    return Section("samples", "As a generator", blocks)


def _text(value: object) -> str:
    found = read_figure(value)
    assert found is not None, "a measured figure"
    return found.text(3)
