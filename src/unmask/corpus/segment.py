"""Words of scripts that are written without spaces: Chinese, Japanese, Thai.

A tokenizer's pre-tokenizer takes a whole run of such text for one word, or every character. BudouX (a small model for
each language, no dependencies) says where words begin. What bites: it can only be asked where the text is of these
scripts; all other text keeps the words of the pre-tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import accumulate

from unmask.errors import MissingExtra

HAN, KANA, THAI = (
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
    "\u3040-\u30ff\u31f0-\u31ff",
    "\u0e00-\u0e7f",
)
OTHERS = "\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff"  # Lao, Burmese, Khmer: no spaces either, and no model

_RUN = re.compile(f"[{HAN}{KANA}\u3005\u303b]+|[{THAI}]+")
_KANA, _THAI = re.compile(f"[{KANA}]"), re.compile(f"[{THAI}]")
_SPACELESS = re.compile(f"[{HAN}{KANA}{THAI}{OTHERS}]")

Parse = Callable[[str], list[str]]


def spaceless_share(text: str) -> float:
    """Return the share of the characters of ``text`` whose scripts are written without spaces."""
    return len(_SPACELESS.findall(text)) / max(1, len(text))


def require_segmenter() -> None:
    """Raise MissingExtra where BudouX is not installed."""
    _parser("chinese")


def word_starts(text: str) -> tuple[set[int], list[tuple[int, int]]]:
    """Return the code points at which words begin inside the runs of ``text`` that are written without spaces.

    And those runs, end exclusive. A text with kana is read as Japanese, Han characters elsewhere as Chinese. Raises
    MissingExtra where BudouX is not installed.
    """
    runs = [found.span() for found in _RUN.finditer(text)]
    return {start for run in runs for start in _starts(text, *run)}, runs


def _starts(text: str, begin: int, end: int) -> Iterator[int]:
    run = text[begin:end]
    language = "thai" if _THAI.match(run) else "japanese" if _KANA.search(text) else "chinese"
    lengths = (len(word) for word in _parser(language)(run)[:-1])
    yield from accumulate(lengths, initial=begin)


@cache
def _parser(language: str) -> Parse:
    try:
        import budoux
    except ImportError:
        raise MissingExtra("segment", "budoux") from None
    parsers = {
        "chinese": budoux.load_default_simplified_chinese_parser,
        "japanese": budoux.load_default_japanese_parser,
        "thai": budoux.load_default_thai_parser,
    }
    parse: Parse = parsers[language]().parse
    return parse
