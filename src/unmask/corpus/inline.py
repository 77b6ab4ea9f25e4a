r"""Inline markup of a paragraph (reST, Sphinx, Markdown, a little TeX) taken out of it and kept as spans beside it.

What bites: docstrings mix dialects, so what is no markup in any of them (``*args``, ``x[i][j]``, ``\n``) must stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple


class Span(NamedTuple):
    """A stretch of clean text that was marked up: code points, ``end`` exclusive, and the role of the markup."""

    start: int
    end: int
    role: str


@dataclass(slots=True)
class Marked:
    """Text that has been cleaned so far, and the spans over it."""

    text: str = ""
    spans: list[Span] = field(default_factory=list)

    def add(self, text: str, role: str | None = None) -> None:
        """Append ``text``, marked with ``role`` where one is given and there is something to mark."""
        start = len(self.text)
        self.text += text
        if role and text.strip():
            self.spans.append(Span(start, len(self.text), role))

    def extend(self, other: Marked, role: str | None = None) -> None:
        """Append ``other`` with its spans, and mark it as a whole with ``role``."""
        start = len(self.text)
        self.add(other.text, role)
        self.spans.extend(Span(start + span.start, start + span.end, span.role) for span in other.spans)


_MARKUP = re.compile(
    r"""
      ``(?P<literal>.+?)``(?!`)
    | :(?:[A-Za-z+-]+:)?(?P<role>[A-Za-z+-]+):`(?P<content>[^`]+)`
    | `(?P<link>[^`<]+?)\s*<[^`>]+>`__?
    | (?<![\w`])`(?P<name>[^`]+)`(?:__?(?!\w))?
    | (?P<dropped>\s*\[(?:\d+|\#\w*|\*|[A-Za-z][\w.+-]*)\]_(?!\w)
        | </?(?:a|b|br|code|em|i|li|p|pre|strong|sub|sup|tip|ul|Tip)(?:\s[^<>]*)?/?>
        | %\([^()]+\)s
        | (?<=[`*])\\(?=\w))
    | (?<![\w*\\])\*\*(?=[^\s*])(?P<strong>[^*]+?)(?<=[^\s\\])\*\*(?![\w*])
    | (?<![\w*\\])\*(?P<word>\w[\w.]*)\*(?![\w*])
    | (?<![\w*\\(])\*(?=[^\s*,)])(?P<emphasis>[^*]+?)(?<=[^\s,\\])\*(?![\w*])
    | (?<!\w)!?\[(?P<markdown>(?:[^\[\]]|\[\])+)\](?:\([^()\s]+\)|\[(?=[\w./`-]*\])[^\]]*\])
    | (?<!\w)\[`(?P<shortcut>[^`\]]+)`\](?![\w(\[])
    | (?<![\w\\])\$\$?(?=\S)(?P<dollars>[^$]{1,200}?)(?<=\S)\$\$?(?!\w)
    | <?(?P<url>https?://[^\s<>"'`)\]]+)>?
    | \\(?P<escaped>[*`_|\\ ])
    """,
    re.VERBOSE,
)


def mark(raw: str) -> Marked:
    """Return the paragraph ``raw`` without its markup, white space collapsed, and the spans over the clean text."""
    return _mark(" ".join(raw.split()))


def _mark(raw: str) -> Marked:
    marked, done = Marked(), 0
    for match in _MARKUP.finditer(raw):
        marked.add(raw[done : match.start()])
        kind = match.lastgroup or ""
        _HANDLERS["role" if kind == "content" else kind](marked, match)
        done = match.end()
    marked.add(raw[done:])
    return marked


def _role(marked: Marked, match: re.Match[str]) -> None:
    role, content = match["role"].lower(), match["content"].strip()
    role = _ROLE_ALIASES.get(role, role)
    title = re.fullmatch(r"(.+?)\s*<[^<>]*>", content)
    if role == "math":
        marked.add(plain_tex(content), role)
    elif title:
        marked.add(title[1], role)
    elif role in _PREFIXED:
        marked.add(_PREFIXED[role] + content, role)
    elif role == "samp":
        marked.add(content.replace("{", "").replace("}", ""), role)
    elif role in ("ref", "doc"):  # the title of the target is not known here, its label is close to it
        marked.add(" ".join(_LABEL_NOISE.sub(" ", content).split()), role)
    else:
        shown = content.rpartition(".")[2] if content.startswith("~") else content.lstrip("!")
        needs_call = role in ("func", "meth") and not shown.endswith(")")
        marked.add(shown + "()" * needs_call, role)


def _name(marked: Marked, match: re.Match[str]) -> None:
    content = match["name"].strip()
    if re.search(r"\\[A-Za-z]|[_^]{", content):  # the default role of some packages is math
        marked.add(plain_tex(content), "math")
    else:
        is_short = content.startswith("~") and " " not in content
        marked.add(content.rpartition(".")[2] if is_short else content, "name")


def _url(marked: Marked, match: re.Match[str]) -> None:
    url = match["url"]
    tail = url[len(url.rstrip(".,;:")) :]
    marked.add(url.split("/")[2].rstrip(".,;:"), "url")
    marked.add(tail)


_Handler = Callable[[Marked, re.Match[str]], None]
_HANDLERS: dict[str, _Handler] = {
    "literal": lambda marked, match: marked.add(match["literal"].strip(), "literal"),
    "role": _role,
    "link": lambda marked, match: marked.add(match["link"].strip(), "link"),
    "name": _name,
    "dropped": lambda _marked, _match: None,
    "strong": lambda marked, match: marked.extend(_mark(match["strong"]), "strong"),
    "word": lambda marked, match: marked.add(match["word"], "emphasis"),
    "emphasis": lambda marked, match: marked.extend(_mark(match["emphasis"]), "emphasis"),
    "markdown": lambda marked, match: marked.extend(_mark(match["markdown"]), "link"),
    "shortcut": lambda marked, match: marked.add(match["shortcut"], "link"),
    "dollars": lambda marked, match: marked.add(plain_tex(match["dollars"]), "math"),
    "url": _url,
    "escaped": lambda marked, match: marked.add(match["escaped"].strip()),
}
_ROLE_ALIASES = {"exception": "exc", "function": "func", "method": "meth", "module": "mod", "prop": "attr"}
_PREFIXED = {"pep": "PEP ", "rfc": "RFC ", "doi": "doi:", "arxiv": "arXiv:"}

_LABEL_NOISE = re.compile(r"^sphx.glr.(?:auto.examples.)?|\.py$|[-_/]+")

_TEX_GROUP = re.compile(
    r"\\(?:text\w*|math\w+|operatorname|mbox|boldsymbol|hat|bar|tilde|vec|overline|widetilde)\s*\{([^{}]*)\}"
)
_TEX_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_TEX_SCRIPT = re.compile(r"([_^])\{([^{}]*)\}")
_TEX_COMMAND = re.compile(r"\\([A-Za-z]+|.)")
_TEX_WORDS = {
    **dict.fromkeys(["left", "right", "big", "Big", "displaystyle", "!"], ""),
    **dict.fromkeys(["quad", "qquad", ",", ";", ":", " ", "\\"], " "),
    **dict.fromkeys(["cdots", "ldots", "dots"], "..."),
    **dict.fromkeys(["leq", "le"], "<="),
    **dict.fromkeys(["geq", "ge"], ">="),
    **dict.fromkeys(["neq", "ne"], "!="),
    **dict.fromkeys(["to", "rightarrow"], "->"),
    **dict.fromkeys(["mid", "vert"], "|"),
    **dict.fromkeys(["Vert", "lVert", "rVert", "|"], "||"),
    **dict.fromkeys(["rfloor", "rceil"], ")"),
    "times": " x ",
    "cdot": "*",
    "approx": "~",
    "lfloor": "floor(",
    "lceil": "ceil(",
    "infty": "infinity",
}


def plain_tex(tex: str) -> str:
    r"""Return TeX as one types without it: ``\frac{a}{b_{i}}`` is ``a/b_i``, an unknown command is its own name."""
    for _ in range(3):  # groups nest
        tex = _TEX_SCRIPT.sub(r"\1\2", _TEX_GROUP.sub(r"\1", tex))
        tex = _TEX_FRACTION.sub(r"\1/\2", tex)
    tex = _TEX_COMMAND.sub(lambda match: _TEX_WORDS.get(match[1], match[1] + " " * match[1].isalpha()), tex)
    return " ".join(re.sub(r"[{}$]", "", tex).split())
