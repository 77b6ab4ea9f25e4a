"""Blocks of a page as Markdown, for the places that show that instead of HTML.

What bites: names and labels are the user's own and may hold anything, so all that is not written here is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from unmask.report.html import ABSENT, Table

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$!&])")


def escaped(text: str) -> str:
    """Return ``text`` as one line that Markdown shows as it is."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.splitlines()))


def table(block: Table) -> str:
    """Return a table, figures to the right; what is absent stays empty."""
    ruler = ["---" if place < block.words else "---:" for place in range(len(block.columns))]
    rows = [["" if cell == ABSENT else escaped(cell) for cell in row] for row in (block.columns, *block.rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (rows[0], ruler, *rows[1:]))


def listing(items: Iterable[tuple[str, str]]) -> str:
    """Return a list of sentences, each led by a few words in bold."""
    return "\n".join(f"- **{escaped(lead)}** {escaped(text)}" for lead, text in items)


def code(lines: Sequence[str]) -> str:
    """Return lines of Python as a block."""
    return "\n".join(("```python", *lines, "```"))


def document(parts: Iterable[str]) -> str:
    """Return paragraphs, headings and blocks one below the other."""
    return "\n\n".join(part for part in parts if part) + "\n"
