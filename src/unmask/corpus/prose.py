"""Telling prose from code and drawings that nothing marks as such, by rule of thumb.

What bites: a wrong yes loses a paragraph and a wrong no leaves a line of code in; the rules lean to the former.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_CODE = re.compile(
    r"""
      (?:import|from|def|class|return|with|for|while|if|elif|try|except|assert|print|async|await|raise)\b.*(?:[:()=]|import)
    | @\w | \# | \.\.\.[ ] | </?\w+
    | \{\w+\}$                                    # a template of its own
    | [\w.\[\]'", ]+[ ][-+*/|]?=[ ]\S            # an assignment
    | ["'\w]+[ ]?=.*,$
    | [\w.]+\(.*\)?$                             # a call
    | [\])}]+,?$ | .*[({\[,]$                    # its ends
    | [\w'"]+\s*[:=][ ][\[{('"\d].*              # an entry of a literal
    """,
    re.VERBOSE,
)

_LEAST_LETTERS = 0.55  # share of what is not a space


def is_code(lines: Sequence[str]) -> bool:
    """Tell whether more than half of the lines look like Python, HTML or data."""
    return 2 * sum(_CODE.match(line) is not None for line in lines) > len(lines)


def has_columns(lines: Sequence[str]) -> bool:
    """Tell whether most lines hold columns apart by runs of spaces, as tables and drawings do."""
    columns = [len(re.findall(r"\S {3,}(?=\S)", line)) for line in lines]
    return sum(gaps > 0 for gaps in columns) > len(lines) / 2 and max(columns) + len(lines) > 2


def is_mostly_letters(text: str) -> bool:
    """Tell whether ``text`` is made of words rather than of signs and digits."""
    return sum(map(str.isalpha, text)) >= _LEAST_LETTERS * (len(text) - text.count(" "))
