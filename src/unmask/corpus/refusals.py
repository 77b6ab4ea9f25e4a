"""What readers refuse: counted by reason, with the first place of each, instead of stopping a long build.

What bites: bytes that are not UTF-8 arrive here as lone surrogates, which is how they are told from good text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

EMPTY = "empty"
NOT_UTF8 = "not UTF-8"
NUL_BYTES = "NUL bytes"
BROKEN_JSON = "broken JSON"
BROKEN_CSV = "broken CSV"
FIELD_MISSING = "field missing"
FIELD_NOT_TEXT = "field not text"
NOT_A_SEQUENCE = "not a sequence"
ROW_TOO_LONG = "row too long"

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)
class Refusal:
    """How often a reason occurred, and where first (``file:line``)."""

    count: int
    first: str


class Refusals(dict[str, Refusal]):
    """Refused lines by reason."""

    def add(self, reason: str, where: str) -> None:
        """Count one more refusal."""
        if reason in self:
            self[reason].count += 1
        else:
            self[reason] = Refusal(1, where)

    def plain(self) -> dict[str, dict[str, int | str]]:
        """Return ``{reason: {"count", "first"}}``, as the manifest holds it."""
        return {reason: {"count": refusal.count, "first": refusal.first} for reason, refusal in self.items()}


def flaw_of(text: str) -> str | None:
    """Return the reason to refuse ``text``, or None where it is sound."""
    if not text or text.isspace():
        return EMPTY
    if "\0" in text:
        return NUL_BYTES
    return NOT_UTF8 if _LONE_SURROGATE.search(text) else None
