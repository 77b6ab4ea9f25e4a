"""The data card: what the corpus is made of, what was dropped from it, and how far its splits overlap."""

from __future__ import annotations

from collections.abc import Mapping

from unmask.report.html import (
    ABSENT,
    Block,
    Details,
    Json,
    Prose,
    Section,
    Table,
    at,
    decimals,
    flat,
    number,
    objects,
    percent,
    plain,
)

SPLITS = ("train", "validation", "test")


def data_card(corpus: Json | None) -> Section | None:
    """Return the section on a corpus from its manifest, None where there is no manifest."""
    if not corpus:
        return None
    blocks: list[Block] = [Prose(summary(corpus))]
    blocks += [table for table in (_sources(corpus), documents(corpus), splits(corpus), _refused(corpus)) if table]
    leak = overlap(corpus)
    if leak is not None:
        blocks.append(Prose(leak))
    blocks.append(_identity(corpus))
    return Section("data", "Data card", blocks)


def summary(corpus: Json) -> str:
    """Return what the corpus is, in a sentence."""
    return (
        "What the encoder was trained and measured on: "
        f"{decimals(at(corpus, 'documents', 'kept'), 0)} documents, written in a vocabulary of "
        f"{decimals(corpus.get('vocab_size'), 0)} tokens. Those of validation and test were never trained on."
    )


def _identity(corpus: Json) -> Details:
    """Return what names the corpus and its settings."""
    names = {"corpus": "fingerprint", "tokenizer": "tokenizer_fingerprint"}
    settings = corpus.get("settings")
    rows = [(f"fingerprint of the {name}", plain(corpus.get(key))) for name, key in names.items()]
    rows += flat(settings) if isinstance(settings, Mapping) else []
    return Details("Fingerprints and settings of the corpus", [Table("Corpus", ("Key", "Value"), rows, words=2)])


def _near_duplicates_were_sought(corpus: Json) -> bool:
    threshold = number(at(corpus, "settings", "corpus", "near_duplicates"))
    return threshold is None or threshold < 1


def overlap(corpus: Json) -> str | None:
    """Say how much of the validation text is in the training text too; None where that was not measured."""
    leak = number(at(corpus, "overlap_8gram", "validation"))
    if leak is None:
        return None
    return (
        f"Overlap: {percent(leak)} of the 8-grams in the validation text also occur in the training text. "
        f"{_why_overlap(corpus)} It makes held-out figures look better than they would be on text of another origin."
    )


def _why_overlap(corpus: Json) -> str:
    if not _near_duplicates_were_sought(corpus):
        return "Near duplicates were not looked for, so a copy with a changed word may stand on either side."
    return "Near duplicates stay together in one split, so what is left is mostly phrases that many documents share."


def _sources(corpus: Json) -> Table | None:
    rows = [
        (
            plain(source.get("name")), plain(source.get("where")), weight_text(source.get("weight")),
            decimals(source.get("documents"), 0), decimals(source.get("characters"), 0),
        )
        for source in objects(corpus.get("sources"))
    ]  # fmt: skip
    return Table("Sources", ("Source", "Where", "Weight", "Documents", "Characters"), rows, words=2) if rows else None


def weight_text(weight: object) -> str:
    """Return the weight of a source in a mixture as text; without one it has its natural share of the rows."""
    value = number(weight)
    return "natural" if value is None else f"{value:g}"


def documents(corpus: Json) -> Table | None:
    """Return how many documents were read, dropped and kept."""
    names = {
        "read": "read",
        "exact_duplicates": "dropped: the same text again",
        "kept": "kept",
    }
    if _near_duplicates_were_sought(corpus):
        names["near_duplicates"] = "of these, near copies of another"
        names["clusters"] = "groups of near copies and single documents, each in one split"
    counts = at(corpus, "documents")
    rows = [(text, decimals(at(counts, key), 0)) for key, text in names.items() if at(counts, key) is not None]
    return Table("Documents", ("Documents", "Count"), rows) if rows else None


def splits(corpus: Json) -> Table | None:
    """Return what is in train, validation and test."""
    found = {name: split for name in SPLITS if (split := at(corpus, "splits", name)) is not None}
    if not found:
        return None
    counts = ("documents", "tokens", "words", "characters")
    rows = [(key, *(decimals(at(split, key), 0) for split in found.values())) for key in counts]
    rows.append(("tokens per word", *(_ratio(split, "tokens", "words") for split in found.values())))
    rows.append(("characters per token", *(_ratio(split, "characters", "tokens") for split in found.values())))
    rows.append(("8-grams that train has too", *(percent(at(corpus, "overlap_8gram", name)) for name in found)))
    return Table("Splits", ("Of each split", *found), rows)


def _ratio(split: object, above: str, below: str) -> str:
    upper, lower = number(at(split, above)), number(at(split, below))
    return ABSENT if upper is None or not lower else f"{upper / lower:.2f}"


def _refused(corpus: Json) -> Table | None:
    refused = corpus.get("refused")
    if not isinstance(refused, Mapping) or not refused:
        return None
    rows = [(str(reason), plain(at(what, "first")), decimals(at(what, "count"), 0)) for reason, what in refused.items()]
    return Table("Lines that were refused", ("Reason", "First at", "Count"), rows, words=2)
