"""The kit that pages are made of: figures as text, blocks, sections and the frame around them.

A page is data: sections of blocks, each block a frozen value that names the template that draws it, so that a new page
needs no HTML of its own. Templates escape everything; only drawings that this package made are passed as Markup. What
bites: reports are made from JSON that may be older, newer or half written, so every look-up goes through ``at``, which
answers None for what is not there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

Json = Mapping[str, Any]
ABSENT = "\u2013"  # an en dash


class Block(Protocol):
    """What stands in a section: a value drawn by ``template``, where it is known as ``block``."""

    template: ClassVar[str]


@dataclass(frozen=True, slots=True)
class Prose:
    """A paragraph; a ``note`` stands apart from the text."""

    template: ClassVar[str] = "prose.html.j2"
    text: str
    note: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of sentences, each led by a few words in bold."""

    template: ClassVar[str] = "listing.html.j2"
    items: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Code:
    """Lines to copy as they stand."""

    template: ClassVar[str] = "code.html.j2"
    text: str


@dataclass(frozen=True, slots=True)
class Tile:
    """One big figure with its unit, what it is, and a line on how to read it."""

    label: str
    value: str
    unit: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Tiles:
    """A row of big figures."""

    template: ClassVar[str] = "tiles.html.j2"
    tiles: Sequence[Tile]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text; the first cell of a row is its heading, columns after the first ``words`` are figures."""

    template: ClassVar[str] = "table.html.j2"
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1


@dataclass(frozen=True, slots=True)
class Details:
    """Blocks behind a line that opens them; on paper they are open."""

    template: ClassVar[str] = "details.html.j2"
    summary: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page under a heading; ``anchor`` is its id and is linked from the top of the page."""

    anchor: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class Page:
    """A page: ``title`` is its one first-level heading, ``kicker`` the line above, ``lead`` the sentence below."""

    title: str
    kicker: str
    lead: str
    opening: Sequence[Block]
    sections: Sequence[Section]
    footer: str


def render_page(page: Page) -> str:
    """Return the page as one self-contained HTML document, without scripts and without anything from a network."""
    return _templates().get_template("page.html.j2").render(page=page)


def render_live(page: Page, *scripts: str) -> str:
    """Return the page as one HTML document with the templates ``scripts`` in it, which ask the server that sent it.

    It names no policy of its own: the server that sends it allows these scripts and nothing else, in a header.
    """
    loader, templates = _loader(), _templates()
    text = "".join(loader.get_source(templates, name)[0] for name in scripts)
    return templates.get_template("live.html.j2").render(page=page, script=Markup(text))  # noqa: S704  # files of ours


@cache
def _loader() -> PackageLoader:
    return PackageLoader("unmask.report", "templates")


@cache
def _templates() -> Environment:
    return Environment(
        loader=_loader(), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value with, where it has one, its interval."""

    value: float
    low: float | None = None
    high: float | None = None
    level: float | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The interval, or None where either end is unknown."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    def text(self, digits: int = 2, unit: str = "") -> str:
        """Return ``4.02 [3.98, 4.06]``, or ``4.02`` without an interval; ``unit`` follows the value."""
        value = f"{self.value:.{digits}f}{unit}"
        return value if self.interval is None else f"{value} [{self.low:.{digits}f}, {self.high:.{digits}f}]"

    def percent(self, digits: int = 1) -> str:
        """Return a share as ``41.0 % [39.8, 42.2]``."""
        parts = (None if share is None else 100 * share for share in (self.low, self.high))
        return Figure(100 * self.value, *parts).text(digits, "\u202f%")


def read_figure(value: object) -> Figure | None:
    """Return the figure of a JSON value: an object with ``value`` or a bare number; None for anything else."""
    if not isinstance(value, Mapping):
        bare = number(value)
        return None if bare is None else Figure(bare)
    middle = number(value.get("value"))
    if middle is None:
        return None
    return Figure(middle, *(number(value.get(key)) for key in ("low", "high", "level")))


def at(value: object, *path: str) -> Any:
    """Return what stands in nested JSON objects under ``path``, or None where a step is missing."""
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def number(value: object) -> float | None:
    """Return a JSON number as a float, None if it is none or not finite (a loss that went to NaN)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def objects(value: object) -> list[Json]:
    """Return the objects in a JSON list, an empty list for anything else."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []


def leaves(value: Json, prefix: str = "") -> dict[str, Any]:
    """Return what nested objects hold, by dotted key."""
    found: dict[str, Any] = {}
    for key, item in value.items():
        found |= leaves(item, f"{prefix}{key}.") if isinstance(item, Mapping) else {f"{prefix}{key}": item}
    return found


def flat(value: Json) -> list[tuple[str, str]]:
    """Return nested objects as rows of dotted key and text."""
    return [(name, plain(item)) for name, item in leaves(value).items()]


def plain(value: object) -> str:
    """Return a setting's value as text."""
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value) or ABSENT
    return str(value)


def decimals(value: object, digits: int = 2) -> str:
    """Return a number with fixed decimals, ABSENT where there is none."""
    found = number(value)
    return ABSENT if found is None else f"{found:,.{digits}f}"


def percent(value: object, digits: int = 1) -> str:
    """Return a share as a percentage, ABSENT where there is none."""
    found = number(value)
    return ABSENT if found is None else f"{100 * found:.{digits}f}\u202f%"


def short_count(value: object) -> tuple[str, str]:
    """Return a count as three figures and its word: 2,412,345 becomes ``("2.41", "million")``."""
    found = number(value)
    if found is None:
        return ABSENT, ""
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if found >= 0.9995 * size:
            return f"{found / size:.3g}", word
    return f"{found:,.0f}", ""


def duration(value: object) -> str:
    """Return seconds as ``42 s``, ``5 min 3 s`` or ``2 h 5 min``, ABSENT where there are none."""
    found = number(value)
    if found is None:
        return ABSENT
    seconds = round(found)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def moment(value: object) -> str:
    """Return an ISO 8601 time as ``24 November 2025, 05:55 UTC``, other text as it stands."""
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)
    return f"{found.day} {found:%B %Y, %H:%M %Z}".rstrip()
