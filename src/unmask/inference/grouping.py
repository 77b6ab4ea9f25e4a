"""Which windows of token ids run together. What bites: padding costs as much as text, so like goes with like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

TOKENS_AT_ONCE = 8192
"""Places of one batch, padding included: bounds memory under any mix of lengths."""


def in_groups(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the numbers of windows of ``lengths`` (N,), like beside like, as many at once as fit when padded."""
    group: list[int] = []
    for n in sorted(range(len(lengths)), key=lambda n: lengths[n]):
        if group and (len(group) + 1) * lengths[n] > TOKENS_AT_ONCE:
            yield group
            group = []
        group.append(n)
    if group:
        yield group
