"""Docstrings of Python files, cleaned, without importing anything: ``python -m unmask.corpus.extract``.

As a program it reads a JSON list of ``[package, module, path]`` on standard input and writes a JSON line a docstring: a
process of its own needs no ``__main__`` guard in the caller's script and no fork of a process that has threads.
"""

from __future__ import annotations

import ast
import gc
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from unmask.corpus.inline import Span
from unmask.corpus.markup import clean

MIN_WORDS = 6
"""A docstring with less prose is no document."""

_WORD = re.compile(r"[^\W\d_]{2,}")
_BLOCKS = ("body", "orelse", "handlers", "finalbody")  # where statements hold statements


@dataclass(frozen=True, slots=True)
class Documented:
    """The prose of one docstring and what its markup said about it."""

    text: str
    name: str
    """Dotted name of the module, class or function."""
    package: str
    kind: str
    """``module``, ``class``, ``function`` or ``method``."""
    spans: tuple[Span, ...]
    """What was marked up in the docstring, as stretches of ``text``."""

    def line(self) -> str:
        """Return the document as a line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def of_line(cls, line: str) -> Documented:
        """Return the document in a line of JSON that ``line`` made."""
        fields = json.loads(line)
        return cls(**{**fields, "spans": tuple(Span(*span) for span in fields["spans"])})


def extract(source: bytes, module: str, package: str) -> Iterator[Documented]:
    """Yield the documents of one file; nothing where it is no Python that this interpreter reads."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):  # templates, other versions of Python, NUL bytes
        return
    yield from _walk(tree, module, package, "module")


def _walk(node: ast.AST, name: str, package: str, kind: str) -> Iterator[Documented]:
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        docstring = ast.get_docstring(node, clean=False)
        if docstring is not None:
            marked = clean(docstring)
            if len(_WORD.findall(marked.text)) >= MIN_WORDS:
                yield Documented(marked.text, name, package, kind, tuple(marked.spans))
    for block in _BLOCKS:
        for child in getattr(node, block, ()):
            if isinstance(child, ast.ClassDef):
                yield from _walk(child, f"{name}.{child.name}", package, "class")
            elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield from _walk(child, f"{name}.{child.name}", package, "method" if kind == "class" else "function")
            else:
                yield from _walk(child, name, package, kind)


def main() -> None:
    """Extract what standard input lists."""
    gc.disable()  # trees have no cycles, and looking for some costs a quarter of the time
    for package, module, path in json.load(sys.stdin):
        try:
            source = Path(path).read_bytes()
        except OSError:
            continue  # an installation may hold links that lead nowhere
        for documented in extract(source, module, package):
            sys.stdout.write(documented.line() + "\n")


if __name__ == "__main__":
    main()
