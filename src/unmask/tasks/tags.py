"""Tags that mark entities: schemes read in, BIO inside, and entities out.

Reads IOB1, BIO (IOB2) and BIOES (also spelt BILOU, BMES). What bites: in IOB1 an I- may begin an entity, in BIO it may
not; strict scoring takes an entity only where it is written as its scheme asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

Scheme = Literal["IOB1", "BIO", "BIOES"]
Entity = tuple[str, int, int]
"""Label, first word, and the one after the last."""

OUTSIDE = "O"
_SPELT = {"L": "E", "U": "S", "W": "S", "M": "I"}  # BILOU and BMEWO


def split_tag(tag: str) -> tuple[str, str]:
    """Return prefix and label of ``tag``, ("O", "") outside. Raises ValueError where it is no tag."""
    prefix, dash, label = tag.partition("-")
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix = _SPELT.get(prefix, prefix)
    if not dash or not label or prefix not in ("B", "I", "E", "S"):
        raise ValueError(f"{tag!r} is not O or one of B-, I-, E-, S- and a label")
    return prefix, label


def scheme_of(sequences: Iterable[Sequence[str]]) -> Scheme:
    """Return the scheme that the tags of ``sequences`` are written in.

    E- or S- makes BIOES; an I- that begins an entity makes IOB1; all else is BIO.
    """
    begins_inside = False
    for tags in sequences:
        before = OUTSIDE, ""
        for tag in tags:
            prefix, label = split_tag(tag)
            if prefix in ("E", "S"):
                return "BIOES"
            begins_inside |= prefix == "I" and (before[0] == OUTSIDE or before[1] != label)
            before = prefix, label
    return "IOB1" if begins_inside else "BIO"


def entities(tags: Sequence[str], scheme: Scheme = "BIO") -> list[Entity]:
    """Return the entities of ``tags``, strictly: what is not written as the scheme asks is none."""
    found: list[Entity] = []
    begin, current = 0, ""
    parts = [split_tag(tag) for tag in tags]
    for place, (prefix, label) in enumerate([*parts, (OUTSIDE, "")]):
        goes_on = current != "" and label == current and prefix in ("I", "E")
        if current and not goes_on:
            if scheme != "BIOES":
                found.append((current, begin, place))
            current = ""
        if goes_on and prefix == "E":
            found.append((current, begin, place + 1))
            current = ""
        elif prefix == "S":
            found.append((label, place, place + 1))
        elif prefix == "B" or (scheme == "IOB1" and prefix == "I" and not goes_on):
            begin, current = place, label
    return found


def to_bio(tags: Sequence[str], scheme: Scheme) -> list[str]:
    """Return ``tags`` of ``scheme`` as BIO; what marks no entity there becomes O."""
    written = [OUTSIDE] * len(tags)
    for label, begin, end in entities(tags, scheme):
        written[begin:end] = [f"B-{label}"] + [f"I-{label}"] * (end - begin - 1)
    return written


def bio_labels(sequences: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """Return O, then B- and I- of every label in ``sequences`` of BIO tags, by name."""
    labels = {split_tag(tag)[1] for tags in sequences for tag in tags} - {""}
    return (OUTSIDE, *(f"{prefix}-{label}" for label in sorted(labels) for prefix in ("B", "I")))
