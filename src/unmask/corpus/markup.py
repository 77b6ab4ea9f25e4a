"""Docstrings turned into prose: what is not prose goes, what is marked up is freed of its marks.

Reads the dialects that Python's docstrings mix (reST, Sphinx fields, numpydoc, Google, some Markdown) line by line and
tolerantly: nothing is an error. Each block of the result is one line. Out go doctests, code, tables, formulas, notes on
versions and bibliographies. What bites: the order of the cases in ``_Scanner.scan`` is the grammar.
"""

from __future__ import annotations

import inspect
import re
import unicodedata
from itertools import pairwise
from typing import NamedTuple

from unmask.corpus.inline import Marked, mark
from unmask.corpus.prose import has_columns, is_code, is_mostly_letters

_ADMONITIONS = ("attention", "caution", "danger", "error", "hint", "important", "note", "notes", "tip", "warning")
_KEPT_DIRECTIVES = (*_ADMONITIONS, "admonition", "rubric", "seealso", "topic")
_SECTION_ROLES = {
    **dict.fromkeys(
        ["parameters", "other parameters", "args", "arguments", "keyword args", "keyword arguments"], "param"
    ),
    **dict.fromkeys(["raises", "warns"], "exc"),
    **dict.fromkeys(["returns", "yields", "see also"], ""),
    "attributes": "attr",
}
_DROPPED_SECTIONS = ("references", "reference", "bibliography")
_PARAM_FIELDS = ("param", "parameter", "arg", "argument", "key", "keyword", "kwarg", "ivar", "cvar", "var", "attr")
_RETURN_FIELDS = {"return": "Returns", "returns": "Returns", "yield": "Yields", "yields": "Yields"}
_RAISE_FIELDS = ("raise", "raises", "except", "exception", "exceptions")

_PROMPT = re.compile(r">>>|In ?\[\d*\]:|\$ \S|% \S")
_FENCE = re.compile("```")
_DIRECTIVE = re.compile(r"\.\.(?: *(?P<name>[\w:+-]+)::)?(?:\s+(?P<rest>.*))?$")
_RULE = re.compile(r"([=\-~^*+#_])\1{2,}")
_BORDER = re.compile(r"([=\-])\1+(?: +\1\1+)+")
_TABLE = re.compile(r"\+[-=]|\|")
_FIELD = re.compile(r":(?P<name>[A-Za-z]+)(?:\s+(?P<argument>[^:`]+))?:(?:\s+(?P<rest>.*))?$")
_ITEM = re.compile(r"(?:[-*+\u2022]|#\.)\s+(?=\S)")
_NUMBERED = re.compile(r"\(?(?:\d{1,2}|[a-z])[.)]\s+\S")
_NAME = r"(?:\\?\*){0,2}(?:[A-Za-z_][\w.]*|:[\w:]+:`[^`]+`|`+[^`]+`+)"
_NAMES = rf"{_NAME}(?:, {_NAME})*"
_TERM = re.compile(rf"(?P<names>{_NAMES}|\S+) *: +(?P<kind>\S.*)")
_TYPED = re.compile(rf"(?P<names>{_NAMES}) ?\((?P<kind>[^()]*(?:\([^()]*\)[^()]*)*)\) ?: *(?P<rest>.*)")
_UNTYPED = re.compile(rf"(?P<names>{_NAMES}): +(?P<rest>\S.*)")
_SECTION = re.compile(r"(?P<name>[A-Z][a-z]+(?: [a-zA-Z][a-z]+)?)::?")


class _Block(NamedTuple):
    raw: str
    is_heading: bool


def clean(docstring: str) -> Marked:
    """Return the prose of ``docstring``, one block a line, in NFC, with the spans that its markup covered."""
    text = unicodedata.normalize("NFC", inspect.cleandoc(docstring))
    whole = Marked()
    blocks = _Scanner(text.splitlines()).scan()
    for block, following in pairwise([*blocks, _Block("", is_heading=True)]):
        if block.is_heading and following.is_heading:
            continue  # what stood under it is gone
        marked = mark(block.raw)
        if marked.text.strip() and is_mostly_letters(marked.text):
            whole.add("\n" if whole.text else "")
            whole.extend(_stripped(marked))
    return whole


def _stripped(marked: Marked) -> Marked:
    left = len(marked.text) - len(marked.text.lstrip())
    result = Marked(marked.text.strip())
    for span in marked.spans:
        start, end = max(span.start - left, 0), min(span.end - left, len(result.text))
        if start < end:
            result.spans.append(span._replace(start=start, end=end))
    return result


def _is_type(text: str) -> bool:
    return text.endswith("optional") or (len(text.split()) <= 3 and text[-1] not in ".:")


class _Scanner:
    """Walks the lines of a docstring; ``held`` is the block being gathered, ``blocks`` what is done."""

    def __init__(self, lines: list[str], section: str = "") -> None:
        self.lines = lines
        self.at = 0
        self.section = section
        self.blocks: list[_Block] = []
        self.held: list[str] = []
        self.base = 0  # indent of the first held line
        self.hangs = False  # whether deeper lines belong to the held block and the next line at its indent does not
        self.is_item = False
        self.literal: int | None = None  # lines deeper than this are a literal block

    def scan(self) -> list[_Block]:
        while self.at < len(self.lines):
            line = self.lines[self.at].strip()
            if not line:
                self._flush()
                self.at += 1
            elif self.literal is not None and self._indent() > self.literal:
                self._drop_lead()
                self.at += 1
            else:
                self.literal = None
                self._line(line)
        self._flush()
        return self.blocks

    def _line(self, line: str) -> None:
        if _PROMPT.match(line):
            self._flush()
            self._drop_lead()
            self._skip_to_blank()
        elif _FENCE.match(line):
            self._fence()
        elif directive := _DIRECTIVE.match(line):
            self._directive(directive)
        elif _BORDER.fullmatch(line):
            self._table()
        elif _RULE.fullmatch(line):
            self._rule()
        elif _TABLE.match(line):
            self._flush()
            self.at += 1
        elif field := _FIELD.match(line):
            self._field(field)
        elif line.startswith("!!! "):
            self._flush()
            self.at += 1
        else:
            self._prose(line)

    def _prose(self, line: str) -> None:
        indent = self._indent()
        if item := _ITEM.match(line):
            self._hold(line[item.end() :], hangs=True, is_item=True)
        elif _NUMBERED.match(line):
            self._hold(line, hangs=True, is_item=True)
        elif (entry := self._entry(line)) is not None:
            self._hold(entry, hangs=True)
        elif not self.held:
            self._hold(line)
        elif indent > self.base and not self.hangs:
            self._deeper(line)
        elif indent < self.base or (indent == self.base and self._is_closed()):
            self._hold(line)
        else:
            self.held.append(line)
            self.at += 1

    def _deeper(self, line: str) -> None:
        """Take a line that stands deeper than the plain block before it: a definition, or a block of its own."""
        term = self.held[0]
        if len(self.held) > 1 or term.endswith(":"):
            self._flush()  # may find out that a literal block begins here, so the line is looked at again
        else:
            is_short = len(term.split()) <= 5 and term[-1] not in ".!?,;-"
            names = self._named(term) if self.section in _SECTION_ROLES and re.fullmatch(_NAMES, term) else term
            self.held = [names + ":" * is_short, line]
            self.hangs = True
            self.at += 1

    def _entry(self, line: str) -> str | None:
        """Return ``name (type): text`` with the name marked where ``line`` begins the entry of a section, else None."""
        if self.section not in _SECTION_ROLES:
            return None
        if self.held and self.hangs and self._indent() > self.base:
            return None
        if typed := _TYPED.fullmatch(line):
            return f"{self._named(typed['names'])} ({typed['kind']}): {typed['rest']}"
        if self.section == "see also" and " : " in line:
            return line.replace(" : ", ": ", 1)
        is_deeper = self._next_indent() > self._indent()
        if (term := _TERM.fullmatch(line)) and (" : " in line or (is_deeper and _is_type(term["kind"]))):
            return f"{self._named(term['names'])} ({term['kind']})" + ":" * is_deeper
        if untyped := _UNTYPED.fullmatch(line):
            return f"{self._named(untyped['names'])}: {untyped['rest']}"
        return None

    def _named(self, names: str) -> str:
        role = _SECTION_ROLES[self.section]
        if not role or "`" in names:
            return names
        return ", ".join(f":{role}:`{name}`" for name in names.split(", "))

    def _field(self, field: re.Match[str]) -> None:
        name, argument, rest = field["name"].lower(), (field["argument"] or "").split(), field["rest"] or ""
        if name in _PARAM_FIELDS and argument:
            self._hold(f":param:`{argument[-1]}`: {rest}", hangs=True)
        elif name in _RETURN_FIELDS:
            self._hold(f"{_RETURN_FIELDS[name]}: {rest}", hangs=True)
        elif name in _RAISE_FIELDS and argument:
            self._hold(f"Raises :exc:`{argument[-1]}`: {rest}", hangs=True)
        else:
            self._flush()
            self._body()

    def _directive(self, directive: re.Match[str]) -> None:
        self._flush()
        body = self._body()
        if (directive["name"] or "").lower() in _KEPT_DIRECTIVES:
            inner = inspect.cleandoc("\n".join(["", *body])).splitlines()
            self.blocks += _Scanner([directive["rest"] or "", *inner], self.section).scan()
        elif directive["name"]:
            self._drop_lead()

    def _body(self) -> list[str]:
        """Step over the line at hand and what is indented under it, and return the latter."""
        indent, start = self._indent(), self.at + 1
        self.at = start
        while self.at < len(self.lines) and (not self.lines[self.at].strip() or self._indent() > indent):
            self.at += 1
        return self.lines[start : self.at]

    def _rule(self) -> None:
        """Take an underline: the line above it is a heading."""
        self.at += 1
        if self.held:
            title = self.held.pop()
            self._flush()
            self._heading(title)

    def _heading(self, title: str) -> None:
        self.section = title.rstrip(":").lower()
        if self.section not in _DROPPED_SECTIONS:
            self.blocks.append(_Block(title, is_heading=True))

    def _fence(self) -> None:
        self._flush()
        self._drop_lead()
        fence = self.lines[self.at].strip()[:3]
        self.at += 1
        while self.at < len(self.lines) and not self.lines[self.at].strip().startswith(fence):
            self.at += 1
        self.at += 1

    def _table(self) -> None:
        """Step over a table: to the border that nothing follows, else to the next blank line."""
        self.held = []
        self._drop_lead()
        for end in range(self.at + 1, len(self.lines)):
            is_last = end + 1 == len(self.lines) or not self.lines[end + 1].strip()
            if is_last and _BORDER.fullmatch(self.lines[end].strip()):
                self.at = end + 1
                return
        self._skip_to_blank()

    def _skip_to_blank(self) -> None:
        while self.at < len(self.lines) and self.lines[self.at].strip():
            self.at += 1

    def _is_closed(self) -> bool:
        """Tell whether a line at the held block's own indent begins another one: lists may be continued lazily."""
        return self.hangs and not (self.is_item and self.held[-1][-1] not in ".:;")

    def _hold(self, line: str, *, hangs: bool = False, is_item: bool = False) -> None:
        self._flush()
        self.held, self.base, self.hangs, self.is_item = [line], self._indent(), hangs, is_item
        self.at += 1

    def _flush(self) -> None:
        """Finish the held block, unless it is no prose."""
        held, self.held = self.held, []
        if not held:
            return
        if held[-1].endswith("::"):
            self.literal = self.base
            held[-1] = held[-1][:-2] + ":"
        section = _SECTION.fullmatch(held[0]) if len(held) == 1 else None
        if section and (section["name"].lower() in _SECTION_ROLES or section["name"].lower() in _DROPPED_SECTIONS):
            self._heading(held[0])
        elif is_code(held) or has_columns(held):
            self._drop_lead()
        elif self.section not in _DROPPED_SECTIONS and not self._is_bare_link(held):
            self.blocks.append(_Block(" ".join(held), is_heading=False))

    def _is_bare_link(self, lines: list[str]) -> bool:
        return self.section == "see also" and len(lines) == 1 and len(lines[0].split()) <= 3

    def _drop_lead(self) -> None:
        """Take back a short "Example:" that leads to what is being dropped."""
        if self.blocks and self.blocks[-1].raw.endswith(":") and len(self.blocks[-1].raw.split()) <= 4:
            self.blocks.pop()

    def _indent(self) -> int:
        line = self.lines[self.at]
        return len(line) - len(line.lstrip())

    def _next_indent(self) -> int:
        line = self.lines[self.at + 1] if self.at + 1 < len(self.lines) else ""
        return len(line) - len(line.lstrip())
