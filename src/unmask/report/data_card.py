"""The data card: what the corpus is made of, what was dropped from it, and how far its splits overlap."""

from __future__ import annotations

from collections.abc import Mapping

from unmask.report.html import ABSENT, Block, Json, Prose, Section, Table, at, decimals, number, objects, percent, plain

SPLITS = ("train", "validation", "test")


def data_card(corpus: Json | None) -> Section | None:
    """Return the section on a corpus from its manifest, None where there is no manifest."""
    if not corpus:
        return None
    blocks: list[Block] = [Prose(_summary(corpus))]
    blocks += [table for table in (_sources(corpus), _documents(corpus), _splits(corpus), _refused(corpus)) if table]
    leak = number(at(corpus, "overlap_8gram", "validation"))
    if leak is not None:
        blocks.append(
            Prose(
                f"Overlap: {percent(leak)} of the 8-grams in the validation text also occur in the training text. "
                "Near duplicates are kept in one split; what is left is phrases that many documents share. It makes "
                "held-out figures look better than they would be on text of another origin."
            )
        )
    return Section("data", "Data card", blocks)


def _summary(corpus: Json) -> str:
    words = [
        f"Vocabulary of {decimals(corpus.get('vocab_size'), 0)} tokens",
        f"corpus fingerprint {plain(corpus.get('fingerprint'))}",
    ]
    if corpus.get("tokenizer_fingerprint") is not None:
        words.append(f"tokenizer fingerprint {plain(corpus['tokenizer_fingerprint'])}")
    return "; ".join(words) + "."


def _sources(corpus: Json) -> Table | None:
    rows = [
        (
            plain(source.get("name")), plain(source.get("where")), decimals(source.get("weight")),
            decimals(source.get("documents"), 0), decimals(source.get("characters"), 0),
        )
        for source in objects(corpus.get("sources"))
    ]  # fmt: skip
    return Table("Sources", ("Source", "Where", "Weight", "Documents", "Characters"), rows, words=2) if rows else None


def _documents(corpus: Json) -> Table | None:
    names = {
        "read": "read",
        "exact_duplicates": "dropped: the same text again",
        "near_duplicates": "with a near duplicate in the corpus",
        "clusters": "clusters of near duplicates, split as one",
        "kept": "kept",
    }
    counts = at(corpus, "documents")
    rows = [(text, decimals(at(counts, key), 0)) for key, text in names.items() if at(counts, key) is not None]
    return Table("Documents", ("Documents", "Count"), rows) if rows else None


def _splits(corpus: Json) -> Table | None:
    rows = []
    for name in SPLITS:
        split = at(corpus, "splits", name)
        if split is None:
            continue
        tokens, words = number(at(split, "tokens")), number(at(split, "words"))
        ratio = ABSENT if tokens is None or not words else f"{tokens / words:.2f}"
        counts = [decimals(at(split, key), 0) for key in ("documents", "tokens", "words")]
        rows.append((name, *counts, ratio, percent(at(corpus, "overlap_8gram", name))))
    columns = ("Split", "Documents", "Tokens", "Words", "Tokens per word", "8-grams in train")
    return Table("Splits", columns, rows) if rows else None


def _refused(corpus: Json) -> Table | None:
    refused = corpus.get("refused")
    if not isinstance(refused, Mapping) or not refused:
        return None
    rows = [(str(reason), plain(at(what, "first")), decimals(at(what, "count"), 0)) for reason, what in refused.items()]
    return Table("Lines that were refused", ("Reason", "First at", "Count"), rows, words=2)
